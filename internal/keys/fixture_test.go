package keys

import (
	"database/sql"
	"encoding/base64"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/store/sqlite"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/jwks"
)

const day = 24 * time.Hour

var (
	begin  = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	policy = Policy{Algs: []oauth.Alg{oauth.ES256}, Rotate: 30 * day, PublishBefore: 2 * day, RetireAfter: 3 * day}
)

// fixture is a ring over a database on disk, which can be closed and opened again.
type fixture struct {
	*Ring
	t     *testing.T
	path  string
	kek   []byte
	clock *clock.Manual
	st    *store.Store
	log   *audit.Log
	close func()
}

func database(t *testing.T) *fixture {
	t.Helper()
	kek, err := base64.StdEncoding.DecodeString(NewKEK())
	must(t, err)
	f := &fixture{t: t, path: filepath.Join(t.TempDir(), "jeton.db"), kek: kek, clock: clock.NewManual(begin)}
	f.openStore()
	return f
}

func ring(t *testing.T, p Policy) *fixture {
	t.Helper()
	f := database(t)
	must(t, f.open(p))
	return f
}

func (f *fixture) openStore() {
	f.t.Helper()
	engine := &sqlite.Engine{}
	st, err := store.Open(f.t.Context(), engine, f.path, f.clock, slog.New(slog.DiscardHandler))
	must(f.t, err)
	f.st, f.log = st, audit.New(st, slog.New(slog.DiscardHandler))
	f.close = sync.OnceFunc(func() {
		if err := errors.Join(st.Close(), engine.Close()); err != nil {
			f.t.Error(err)
		}
	})
	f.t.Cleanup(f.close)
}

func (f *fixture) open(p Policy) (err error) {
	f.Ring, err = Open(f.t.Context(), f.log, f.st, f.kek, p)
	return err
}

// restart closes the database, lets an intruder at it, and opens it again.
func (f *fixture) restart(p Policy, intrusion ...string) error {
	f.t.Helper()
	f.close()
	if len(intrusion) > 0 {
		db, err := sql.Open("sqlite", f.path)
		must(f.t, err)
		for _, query := range intrusion {
			_, err := db.Exec(query)
			must(f.t, err)
		}
		must(f.t, db.Close())
	}
	f.openStore()
	return f.open(p)
}

// after moves the clock and ticks.
func (f *fixture) after(d time.Duration) {
	f.t.Helper()
	f.clock.Advance(d)
	must(f.t, f.Tick(f.t.Context()))
}

// states lists the keys of a purpose, sorted, as "alg:state".
func (f *fixture) states(p Purpose) (all []string) {
	for _, k := range f.List() {
		if k.Purpose == p {
			all = append(all, string(k.Alg)+":"+string(k.State))
		}
	}
	slices.Sort(all)
	return all
}

// kid is the id of the only signing key of an algorithm in a state.
func (f *fixture) kid(alg oauth.Alg, s State) string {
	f.t.Helper()
	id := ""
	for _, k := range f.List() {
		if k.Purpose == Sign && k.Alg == alg && k.State == s {
			if id != "" {
				f.t.Fatalf("two %s keys are %s", alg, s)
			}
			id = k.ID
		}
	}
	if id == "" {
		f.t.Fatalf("no %s key is %s: %v", alg, s, f.states(Sign))
	}
	return id
}

// signs checks that the active key of alg is the one named, is published, and
// makes signatures that verify.
func (f *fixture) signs(alg oauth.Alg, kid string) {
	f.t.Helper()
	s, ok := f.Signer(alg)
	if !ok || s.ID != kid || s.Alg != alg {
		f.t.Fatalf("the signer for %s is %v, %v, want %s", alg, s, ok, kid)
	}
	signed := []byte("header.payload")
	sig, err := s.Sign(signed)
	must(f.t, err)
	k, ok := f.Key(kid)
	if !ok {
		f.t.Fatalf("key %s signs and is not published", kid)
	}
	must(f.t, k.Verify(signed, sig))
	set, err := jwks.Parse(f.JWKS())
	must(f.t, err)
	k, ok = set.Key(kid)
	if !ok || k.Alg != alg {
		f.t.Fatalf("key %s is not in the document %s", kid, f.JWKS())
	}
	must(f.t, k.Verify(signed, sig))
}

func (f *fixture) published(kid string) bool {
	_, ok := f.Key(kid)
	return ok
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
