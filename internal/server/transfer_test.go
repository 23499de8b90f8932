package server

import (
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/manage"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/transfer"
	"github.com/jeton-auth/jeton/oauth"
)

var noLog = slog.New(slog.NewTextHandler(io.Discard, nil))

// database opens a store with the issuer's clock, beside no server, until end.
func (i *issuer) database(name string) (st *store.Store, end func()) {
	i.t.Helper()
	e, dsn := engine(name)
	st, err := store.Open(i.t.Context(), e, dsn, i.clock, noLog)
	if err != nil {
		i.t.Fatal(err)
	}
	return st, func() {
		if err := st.Close(); err != nil {
			i.t.Error(err)
		}
		if err := closeEngine(e); err != nil {
			i.t.Error(err)
		}
	}
}

// stop ends the server; another is opened before the test ends.
func (i *issuer) stop() {
	i.t.Helper()
	if err := i.Server.Close(); err != nil {
		i.t.Fatal(err)
	}
}

// copiedTo copies the issuer to another store and starts a server there.
func (i *issuer) copiedTo(name string) {
	i.t.Helper()
	i.stop()
	from, endFrom := i.database("sqlite:" + i.databasePath())
	to, endTo := i.database(name)
	out, err := transfer.Copy{From: from, To: to, Log: noLog}.Run(i.t.Context())
	if err != nil {
		i.t.Fatal(err)
	}
	if len(out.Tables) < 10 {
		i.t.Errorf("only %d tables were copied", len(out.Tables))
	}
	endFrom()
	endTo()
	i.open(strings.Replace(testConfig, "sqlite:jeton.db", name, 1))
}

// kids are the ids of all keys.
func (i *issuer) kids() (ids []string) {
	for _, k := range i.ring.List() {
		ids = append(ids, k.ID)
	}
	slices.Sort(ids)
	return ids
}

// What the source issued works on the target, and what it revoked is revoked.
func testCopied(t *testing.T, i *issuer, to string) {
	h, dead := i.login(), i.login()
	robots := i.post("/token", robot, "grant_type", "client_credentials").want(t, 200, "")
	gone := i.post("/token", robot, "grant_type", "client_credentials").want(t, 200, "")
	i.post("/revoke", shop, "token", dead.str(t, "refresh_token")).want(t, 200, "")
	i.post("/revoke", robot, "token", gone.str(t, "access_token")).want(t, 200, "")
	second := i.refresh(shop, h.str(t, "refresh_token")).want(t, 200, "")
	before, _ := i.revoked.Position()
	ring := i.kids()

	i.copiedTo(to)
	if at, former := i.revoked.Position(); at != before || len(former) > 0 {
		t.Errorf("the log stands at %v after %v, on the source at %v", at, former, before)
	}
	if now := i.kids(); !slices.Equal(now, ring) {
		t.Errorf("the target has the keys %v, the source %v", now, ring)
	}
	for _, r := range []reply{h, second, robots} {
		if !i.active(r.str(t, "access_token")) {
			t.Error("an access token of the source is not active on the target")
		}
	}
	for _, r := range []reply{dead, gone} {
		if i.active(r.str(t, "access_token")) {
			t.Error("an access token that was revoked on the source is active on the target")
		}
	}
	i.refresh(shop, dead.str(t, "refresh_token")).want(t, 400, oauth.InvalidGrant)
	third := i.refresh(shop, second.str(t, "refresh_token")).want(t, 200, "")
	i.refresh(shop, third.str(t, "refresh_token")).want(t, 200, "")
	if _, err := i.manager.Revoke(t.Context(), audit.Origin{Actor: "operator"}, manage.Target{All: true}, ""); err != nil {
		t.Fatal(err)
	}
	if i.active(robots.str(t, "access_token")) {
		t.Error("an access token of the source survives a cutoff on the target")
	}
}

func TestCopied(t *testing.T) {
	t.Parallel()
	i := start(t)
	testCopied(t, i, "sqlite:"+filepath.Join(t.TempDir(), "copy.db"))
}

// Half a copy is not served.
func TestHeld(t *testing.T) {
	t.Parallel()
	i := start(t)
	err := i.store.Write(t.Context(), func(tx *store.Tx) error { return tx.PutHold(store.HoldCopy, "{}") })
	if err != nil {
		t.Fatal(err)
	}
	i.stop()
	i.refused(testConfig, "the same jeton copy again")
	st, end := i.database("sqlite:" + i.databasePath())
	if err := st.Write(t.Context(), func(tx *store.Tx) error { return tx.DropHold(store.HoldCopy) }); err != nil {
		t.Fatal(err)
	}
	end()
	i.open(testConfig)
}

// refused checks that no server starts, and why.
func (i *issuer) refused(text, says string) {
	i.t.Helper()
	srv, err := Open(i.t.Context(), Options{Config: parseConfig(i.t, text, i.dir, i.kek), Clock: i.clock, Log: noLog})
	if err == nil {
		i.t.Fatalf("a server started: want %q; close: %v", says, srv.Close())
	}
	if !strings.Contains(err.Error(), says) {
		i.t.Errorf("a server refuses to start with %v, want %q", err, says)
	}
}
