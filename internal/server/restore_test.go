package server

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/session"
	"github.com/jeton-auth/jeton/internal/transfer"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// backup takes one while the server runs.
func (i *issuer) backup() []byte {
	i.t.Helper()
	var b bytes.Buffer
	if err := transfer.WriteRecords(i.t.Context(), i.store, "http://localhost:8080", noLog, &b); err != nil {
		i.t.Fatal(err)
	}
	return b.Bytes()
}

// restoring is a restore of a backup into the issuer's own store.
func (i *issuer) restoring(backup []byte, journals ...[]byte) (transfer.Restored, error) {
	i.t.Helper()
	st, end := i.database("sqlite:" + i.databasePath())
	defer end()
	r := transfer.Restore{
		To: st, Log: noLog, Issuer: "http://localhost:8080",
		Open: func() (*transfer.Records, error) { return transfer.ReadRecords(bytes.NewReader(backup)) },
	}
	for _, j := range journals {
		r.Journals = append(r.Journals, bytes.NewReader(j))
	}
	return r.Run(i.t.Context())
}

func (i *issuer) restored(backup []byte, journals ...[]byte) transfer.Restored {
	i.t.Helper()
	out, err := i.restoring(backup, journals...)
	if err != nil {
		i.t.Fatal(err)
	}
	return out
}

// lose ends the server and removes its database.
func (i *issuer) lose() {
	i.t.Helper()
	i.stop()
	if err := os.Remove(i.databasePath()); err != nil {
		i.t.Fatal(err)
	}
}

// What was issued before a restore is dead, whether the backup knows of it or not.
func TestRestored(t *testing.T) {
	t.Parallel()
	i := start(t)
	_, id := i.browserSession()
	a := readOrders("shop-web", callback)
	a.session = id
	inSession := i.redeem(shop, i.code(a), callback).want(t, 200, "")
	before := i.login()
	shown := i.polled(nil).str(t, "heartbeat")
	backup := i.backup()
	after := i.login()
	second := i.refresh(shop, before.str(t, "refresh_token")).want(t, 200, "")
	machine := i.post("/token", robot, "grant_type", "client_credentials").want(t, 200, "")
	was, _ := i.revoked.Position()
	for range 3 { // the log goes on after the backup
		i.post("/revoke", shop, "token", i.login().str(t, "refresh_token")).want(t, 200, "")
	}
	i.lose()
	out := i.restored(backup)
	i.open(testConfig)
	if at, former := i.revoked.Position(); at.N != out.Head || at.N <= transfer.Jump || !slices.Equal(former, []string{was.Incarnation}) {
		t.Errorf("the log stands at %v after %v", at, former)
	}
	for _, r := range []reply{inSession, before, after, second, machine} {
		if i.active(r.str(t, "access_token")) {
			t.Error("an access token survived")
		}
	}
	for _, r := range []reply{inSession, before, after, second} {
		i.refresh(shop, r.str(t, "refresh_token")).want(t, 400, oauth.InvalidGrant)
	}
	if who, err := session.Current(i.store.Read(t.Context()), id, i.clock.Now()); who != nil || err != nil {
		t.Errorf("the session lives on: %v, %v", who, err)
	}
	if i.wasAudited("store.writes_lost") {
		t.Error("an old token raised an alarm: what it tells is known")
	}
	i.follows(shown)
	i.restart()
	now := i.login()
	i.refresh(shop, now.str(t, "refresh_token")).want(t, 200, "")
	if !i.active(now.str(t, "access_token")) || !i.active(i.post("/token", robot, "grant_type", "client_credentials").want(t, 200, "").str(t, "access_token")) {
		t.Error("what is issued now is not active")
	}
}

// follows does what a reader of the feed does who last took an earlier heartbeat.
func (i *issuer) follows(earlier string) {
	i.t.Helper()
	was, err := feed.ParseHeartbeat(payloadOf(i.t, earlier), "http://localhost:8080")
	if err != nil {
		i.t.Fatal(err)
	}
	answer := i.polled(map[string][]string{"heartbeat": {earlier}, "after": {fmt.Sprint(was.N)}, "inc": {was.Incarnation}})
	b, err := feed.ParseBatch(answer.body)
	if err != nil || b.Base == nil {
		i.t.Fatalf("no snapshot for a reader of the incarnation before: %s, %v", answer.body, err)
	}
	now, err := feed.ParseHeartbeat(payloadOf(i.t, answer.str(i.t, "heartbeat")), "http://localhost:8080")
	if err != nil {
		i.t.Fatal(err)
	}
	at := feed.Position{Incarnation: b.Incarnation, N: b.From, Hash: *b.Base}
	if err := errors.Join(at.Extend(b), now.Follows(was)); err != nil || at != now.Position() || b.From >= now.First {
		i.t.Errorf("a reader can't follow: %v; at %v, the heartbeat %+v", err, at, now)
	}
	if k := b.Entries[len(b.Entries)-1]; k.Kind != feed.All || k.N != now.N || at.Hash == feed.Start(b.Incarnation) {
		i.t.Errorf("the new log ends with %+v", k)
	}
}

func payloadOf(t testing.TB, jws string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(jws, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// An interrupted restore is not served, and a second one ends it.
func TestRestoreInterrupted(t *testing.T) {
	t.Parallel()
	i := start(t)
	i.login()
	backup := i.backup()
	i.lose()
	st, end := i.database("sqlite:" + i.databasePath())
	times := 0
	_, err := transfer.Restore{
		To: st, Log: noLog, Issuer: "http://localhost:8080",
		Open: func() (*transfer.Records, error) {
			if times++; times == 1 {
				return transfer.ReadRecords(bytes.NewReader(backup))
			}
			return transfer.ReadRecords(io.LimitReader(bytes.NewReader(backup), int64(len(backup)*9/10)))
		},
	}.Run(t.Context())
	end()
	if !errors.Is(err, transfer.ErrRecords) {
		t.Fatalf("a backup that ends early: %v", err)
	}
	i.refused(testConfig, "the same jeton restore again")
	i.restored(backup)
	i.open(testConfig)
}

// journaled has clients whose refresh tokens rotate, and one whose don't.
var journaled = strings.Replace(testConfig, "    first_party: true\n    id_token_alg: ES256\n", "    first_party: true\n    id_token_alg: ES256\n    refresh_token: {rotate: never}\n", 1) +
	"revocation_journal: journal\n"

func (i *issuer) journal() []byte {
	i.t.Helper()
	b, err := os.ReadFile(filepath.Join(i.dir, "journal"))
	if err != nil {
		i.t.Fatal(err)
	}
	return b
}

// With the journal those grants live on that it can vouch for, and no others.
func TestReplayed(t *testing.T) {
	t.Parallel()
	i := start(t)
	i.stop()
	i.open(journaled)
	steady, revoked, quiet := i.login(), i.login(), i.login()
	i.clock.Advance(2 * time.Hour) // their access tokens are dead
	rotating := i.redeem(other, i.code(readOrders("other-web", "https://other.example.com/callback")), "https://other.example.com/callback").want(t, 200, "")
	code := i.code(readOrders("shop-web", callback))
	_, id := i.browserSession()
	a := readOrders("shop-web", callback)
	a.session = id
	inSession := i.redeem(shop, i.code(a), callback).want(t, 200, "")
	i.post("/revoke", shop, "token", i.login().str(t, "refresh_token")).want(t, 200, "")
	backup := i.backup()
	i.clock.Advance(time.Second)

	access := i.refresh(shop, steady.str(t, "refresh_token")).want(t, 200, "")
	i.refresh(shop, revoked.str(t, "refresh_token")).want(t, 200, "")
	i.post("/revoke", shop, "token", revoked.str(t, "refresh_token")).want(t, 200, "") // with an entry
	i.post("/revoke", shop, "token", quiet.str(t, "refresh_token")).want(t, 200, "")   // without one
	after := i.login()
	i.post("/revoke", shop, "token", i.login().str(t, "refresh_token")).want(t, 200, "")
	i.lose()
	journal := i.journal()

	lines := bytes.SplitAfter(journal, []byte("\n"))
	if len(lines) < 5 {
		t.Fatalf("the journal has %d lines: %s", len(lines), journal)
	}
	gap := slices.DeleteFunc(slices.Clone(lines), func(l []byte) bool { return bytes.Contains(l, []byte(`"n":2,`)) })
	for says, bad := range map[string][]byte{
		"revocation 2 is in none of the journals": bytes.Join(gap, nil),
		"begin after the backup":                  bytes.Join(lines[2:], nil),
		"not one of a journal":                    slices.Concat(lines[0], []byte("x\n"), bytes.Join(lines[1:], nil)),
		"which is neither the backup's":           append([]byte(`{"inc":"other","k":"opened","n":0,"at":1}`+"\n"), journal...),
	} {
		if _, err := i.restoring(backup, bad); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("a journal that can't vouch for anything: %v, want %q", err, says)
		}
	}

	out := i.restored(backup, journal)
	if out.Kept != 1 || out.Replayed != 3 {
		t.Errorf("%d grants live on, %d lines were replayed", out.Kept, out.Replayed)
	}
	i.open(journaled)
	for _, r := range []reply{access, after, rotating, inSession} {
		if i.active(r.str(t, "access_token")) {
			t.Error("an access token survived")
		}
	}
	for _, r := range []reply{revoked, quiet, after, inSession} {
		i.refresh(shop, r.str(t, "refresh_token")).want(t, 400, oauth.InvalidGrant)
	}
	i.refresh(other, rotating.str(t, "refresh_token")).want(t, 400, oauth.InvalidGrant)
	i.redeem(shop, code, callback).want(t, 400, oauth.InvalidGrant)
	for range 2 {
		again := i.refresh(shop, steady.str(t, "refresh_token")).want(t, 200, "")
		if !i.active(again.str(t, "access_token")) {
			t.Error("a grant that lives on gives dead tokens")
		}
		i.stop()
		i.open(journaled)
	}
	if i.wasAudited("store.writes_lost") {
		t.Error("an old token raised an alarm: what it tells is known")
	}
}
