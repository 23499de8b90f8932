package server

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/manage"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/transfer"
	"github.com/jeton-auth/jeton/oauth"
)

const markedConfig = testConfig + "high_water: high-water\n"

// aside ends the server, gives what puts the database back as it is now, and goes on.
func (i *issuer) aside(text string) (back func()) {
	i.t.Helper()
	i.stop()
	kept, err := os.ReadFile(i.databasePath())
	if err != nil {
		i.t.Fatal(err)
	}
	i.open(text)
	return func() {
		i.t.Helper()
		i.stop()
		if err := os.WriteFile(i.databasePath(), kept, 0o600); err != nil {
			i.t.Fatal(err)
		}
	}
}

// recovers does what jeton recover does, and starts a server: nothing of before is left
// alive, and what is issued now is.
func (i *issuer) recovers(text string, dead ...reply) transfer.Recovered {
	i.t.Helper()
	mark, err := transfer.ReadMark(filepath.Join(i.dir, "high-water"))
	if err != nil {
		i.t.Fatal(err)
	}
	st, end := i.database("sqlite:" + i.databasePath())
	out, err := transfer.Recover{Store: st, Log: noLog, Mark: mark}.Run(i.t.Context())
	if err != nil {
		i.t.Fatal(err)
	}
	end()
	i.open(text)
	at, former := i.revoked.Position()
	if at.Incarnation != out.Incarnation || at.N != out.Head || !slices.Equal(former, out.Former) || out.Cutoff <= transfer.Jump {
		i.t.Errorf("the log stands at %v after %v, recovered was %+v", at, former, out)
	}
	for _, r := range dead {
		if i.active(r.str(i.t, "access_token")) {
			i.t.Error("an access token survived")
		}
		i.refresh(shop, r.str(i.t, "refresh_token")).want(i.t, 400, oauth.InvalidGrant)
	}
	now := i.login()
	if !i.active(now.str(i.t, "access_token")) {
		i.t.Error("what is issued now is not active")
	}
	i.refresh(shop, now.str(i.t, "refresh_token")).want(i.t, 200, "")
	if !i.wasAudited(audit.Recovered) {
		i.t.Error("no event tells of it")
	}
	i.restart() // the hold is gone
	return out
}

// mark writes the high-water mark as a running server does each second.
func (i *issuer) raise() {
	i.t.Helper()
	if err := i.raiseMark(i.t.Context()); err != nil {
		i.t.Fatal(err)
	}
}

func (i *issuer) alive() {
	i.t.Helper()
	i.clock.Advance(time.Second)
	if err := i.store.Write(i.t.Context(), (*store.Tx).Alive); err != nil {
		i.t.Fatal(err)
	}
}

// The first sign: the high-water mark. A database that lost a revocation is refused, and
// so is one that lost nothing but seconds.
func TestHighWater(t *testing.T) {
	t.Parallel()
	i := start(t)
	i.stop()
	i.open(markedConfig)
	h, revoked := i.login(), i.login()
	i.raise()
	back := i.aside(markedConfig)
	i.post("/revoke", shop, "token", revoked.str(t, "refresh_token")).want(t, 200, "")
	i.raise()
	back()
	i.refused(markedConfig, "the high-water mark stands at revocation 1, the database at 0")
	i.refused(testConfig, "jeton recover") // it stands in the store now
	out := i.recovers(markedConfig, h, revoked)
	if len(out.Former) != 1 {
		t.Errorf("the new incarnation comes after %v", out.Former)
	}

	// A mark of an earlier incarnation is no sign.
	i.stop()
	i.open(markedConfig)
	i.raise()
	back = i.aside(markedConfig)
	for range 3 {
		i.alive()
	}
	i.raise()
	back()
	i.refused(markedConfig, "the high-water mark was in use at")
	out = i.recovers(markedConfig)

	// One of a later incarnation is.
	i.stop()
	i.open(markedConfig)
	back = i.aside(markedConfig)
	i.stop()
	out = i.recovers(markedConfig)
	i.stop()
	i.open(markedConfig)
	i.raise()
	back()
	i.refused(markedConfig, "which came after the database's")
	again := i.recovers(markedConfig)
	if !slices.Contains(again.Former, out.Incarnation) || again.Head <= out.Head+transfer.Jump-1 {
		t.Errorf("the mark's incarnation %s at %d is lost: %+v", out.Incarnation, out.Head, again)
	}
}

// A mark without its database is no new beginning.
func TestHighWaterAlone(t *testing.T) {
	t.Parallel()
	i := start(t)
	i.stop()
	i.open(markedConfig)
	i.raise()
	kept := i.aside(markedConfig)
	i.stop()
	if err := os.Remove(i.databasePath()); err != nil {
		t.Fatal(err)
	}
	i.refused(markedConfig, "the database is empty")
	i.open(testConfig)
	i.stop()
	i.refused(markedConfig, "of another database")
	i.open(testConfig)
	kept()
	i.open(markedConfig)

	// It went back under the running server.
	m := transfer.Mark{Incarnation: "x"}
	issuer, err := i.store.Read(t.Context()).Issuer()
	if err != nil {
		t.Fatal(err)
	}
	m = transfer.MarkOf(issuer)
	m.Head++
	if err := m.Write(filepath.Join(i.dir, "high-water")); err != nil {
		t.Fatal(err)
	}
	i.raise()
	if now, err := transfer.ReadMark(filepath.Join(i.dir, "high-water")); err != nil || now.Head != m.Head {
		t.Errorf("the mark was lowered to %+v: %v", now, err)
	}
	if !i.wasAudited(audit.WentBack) {
		t.Error("no event tells of it")
	}
	i.stop()
	i.refused(testConfig, "jeton recover")
	i.recovers(testConfig)
}

// polled asks the feed.
func (i *issuer) polled(values url.Values) reply {
	i.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/revocations?"+values.Encode(), nil)
	asAPI(r, nil)
	return i.do(r).want(i.t, 200, "")
}

// The second sign: a reader shows a heartbeat that the feed signed, beyond its log.
func TestReaderKnowsMore(t *testing.T) {
	t.Parallel()
	i := start(t)
	h, revoked := i.login(), i.login()
	before := i.polled(nil).str(t, "heartbeat")
	back := i.aside(testConfig)
	i.post("/revoke", shop, "token", revoked.str(t, "refresh_token")).want(t, 200, "")
	newest := i.polled(nil).str(t, "heartbeat")
	i.polled(url.Values{"heartbeat": {newest}})
	back()
	i.open(testConfig)

	forged := newest[:len(newest)-10] + "AAAAAAAAAA"
	for _, no := range []string{before, forged, "x", ""} {
		i.polled(url.Values{"heartbeat": {no}})
	}
	i.polled(url.Values{"after": {"1"}}) // nobody signed that
	if i.wasAudited(audit.WentBack) {
		t.Fatal("what proves nothing raised an alarm")
	}
	for range 3 {
		i.polled(url.Values{"heartbeat": {newest}, "after": {"1"}})
	}
	events := slices.DeleteFunc(i.audited(), func(e string) bool { return e != string(audit.WentBack) })
	if len(events) != 1 {
		t.Errorf("%d events tell of it, want one", len(events))
	}
	i.stop()
	i.refused(testConfig, "a reader of the feed has a heartbeat at revocation 1, and the database stands at 0")
	i.recovers(testConfig, h, revoked)
	i.polled(url.Values{"heartbeat": {newest}}) // of an earlier incarnation now
	i.restart()

	// The same number, and another log.
	back = i.aside(testConfig)
	i.post("/revoke", shop, "token", i.login().str(t, "refresh_token")).want(t, 200, "")
	other := i.polled(nil).str(t, "heartbeat")
	back()
	i.open(testConfig)
	if _, err := i.manager.Revoke(t.Context(), audit.Origin{}, manage.Target{Client: "robot"}, ""); err != nil {
		t.Fatal(err)
	}
	i.polled(url.Values{"heartbeat": {other}})
	i.stop()
	i.refused(testConfig, "of another revocation")
	i.recovers(testConfig)
}

// The third sign: a client has a refresh token that the row knows nothing of.
func TestNumberAhead(t *testing.T) {
	t.Parallel()
	i := start(t)
	h := i.login()
	other := i.login()
	back := i.aside(testConfig)
	next := i.refresh(shop, h.str(t, "refresh_token")).want(t, 200, "")
	back()
	i.open(testConfig)
	i.refresh(shop, next.str(t, "refresh_token")).want(t, 400, oauth.InvalidGrant)
	if !i.wasAudited(audit.WritesLost) {
		t.Error("no event tells of it")
	}
	i.refresh(shop, other.str(t, "refresh_token")).want(t, 200, "") // who serves goes on
	i.stop()
	i.refused(testConfig, "stands at number 1, and its client has number 2")
	i.recovers(testConfig, h, next, other)
}
