package revoke_test

import (
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/revoke"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/store/sqlite"
	"github.com/jeton-auth/jeton/oauth/feed"
)

func open(t testing.TB) (*store.Store, *clock.Manual) {
	t.Helper()
	c := clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	engine := &sqlite.Engine{}
	st, err := store.Open(t.Context(), engine, filepath.Join(t.TempDir(), "jeton.db"), c, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(st.Close(), engine.Close()); err != nil {
			t.Error(err)
		}
	})
	write(t, st, func(tx *store.Tx) error { return tx.CreateIssuer(time.Hour) })
	return st, c
}

func write(t testing.TB, st *store.Store, body func(*store.Tx) error) {
	t.Helper()
	if err := st.Write(t.Context(), body); err != nil {
		t.Fatal(err)
	}
}

func load(t testing.TB, st *store.Store) *revoke.Log {
	t.Helper()
	l, err := revoke.Open(t.Context(), st, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func revoked(l *revoke.Log, c feed.Claims) bool { return l.Revoked(feed.NewNames(c)) }

func TestKinds(t *testing.T) {
	t.Parallel()
	token := feed.Claims{ID: "handle.abc", Subject: "u_ada", ClientID: "shop", KeyID: "k1", HasRev: true}
	for _, c := range []struct {
		entry revoke.Entry
		want  bool
	}{
		{revoke.Entry{Kind: feed.Token, Value: "handle.abc"}, true},
		{revoke.Entry{Kind: feed.Token, Value: "handle.abd"}, false},
		{revoke.Entry{Kind: feed.Grant, Value: "handle"}, true},
		{revoke.Entry{Kind: feed.Grant, Value: "handle.abc"}, false},
		{revoke.Entry{Kind: feed.Token, Value: "handle"}, false},
		{revoke.Entry{Kind: feed.Key, Value: "k1"}, true},
		{revoke.Entry{Kind: feed.Key, Value: "k2"}, false},
		{revoke.Entry{Kind: feed.Subject, Value: "u_ada"}, true},
		{revoke.Entry{Kind: feed.Subject, Value: "shop"}, false},
		{revoke.Entry{Kind: feed.Client, Value: "shop"}, true},
		{revoke.Entry{Kind: feed.Client, Value: "u_ada"}, false},
		{revoke.Entry{Kind: feed.All}, true},
	} {
		st, _ := open(t)
		l := load(t, st)
		if revoked(l, token) {
			t.Fatal("revoked before anything was")
		}
		write(t, st, func(tx *store.Tx) error { return l.Add(tx, "test", c.entry) })
		if got := revoked(l, token); got != c.want {
			t.Errorf("%+v: revoked = %t, want %t", c.entry, got, c.want)
		}
		if got := revoked(load(t, st), token); got != c.want {
			t.Errorf("%+v: after a restart revoked = %t, want %t", c.entry, got, c.want)
		}
		newer := token
		newer.Rev, newer.ID, newer.KeyID = l.Head(), "other.abc", "k9"
		if revoked(l, newer) {
			t.Errorf("%+v: kills a token that was made after it", c.entry)
		}
	}
}

// Case 32: cutoffs compose as the maximum, and stand for good on the rows that they
// name.
func TestCutoffsStand(t *testing.T) {
	t.Parallel()
	st, c := open(t)
	l := load(t, st)
	write(t, st, func(tx *store.Tx) error {
		return errors.Join(tx.CreateUser(store.User{ID: "u_ada", Email: "ada@example.com"}),
			tx.PutClient(store.Client{Client: spec.Client{ID: "shop"}}))
	})
	for range 3 {
		write(t, st, func(tx *store.Tx) error {
			return l.Add(tx, "test", revoke.Entry{Kind: feed.Subject, Value: "u_ada"}, revoke.Entry{Kind: feed.Client, Value: "shop"}, revoke.Entry{Kind: feed.All})
		})
	}
	if l.Head() != 9 {
		t.Fatalf("head = %d, want 9: one number an entry", l.Head())
	}
	user, err := st.Read(t.Context()).User("u_ada")
	if err != nil || user.Cutoff != 7 {
		t.Errorf("user's cutoff = %d, %v; want 7", user.Cutoff, err)
	}
	client, err := st.Read(t.Context()).Client("shop")
	if err != nil || client.Cutoff != 8 {
		t.Errorf("client's cutoff = %d, %v; want 8", client.Cutoff, err)
	}
	// Every entry expires; the cutoffs stay on their rows.
	c.Advance(1000 * time.Hour)
	write(t, st, func(tx *store.Tx) error { _, err := tx.PurgeRevocations(1000); return err })
	l.Forget(st.Now())
	if issuer, err := st.Read(t.Context()).Issuer(); err != nil || issuer.Cutoff != 9 || issuer.Head != 9 {
		t.Errorf("issuer = %+v, %v; want head and cutoff 9", issuer, err)
	}
	if got := load(t, st).Head(); got != 9 {
		t.Errorf("head after a restart = %d, want 9: numbers are never used twice", got)
	}
}

// A rolled back transaction leaves no trace in the view.
func TestRolledBack(t *testing.T) {
	t.Parallel()
	st, _ := open(t)
	l := load(t, st)
	failure := errors.New("no")
	err := st.Write(t.Context(), func(tx *store.Tx) error {
		return errors.Join(l.Add(tx, "test", revoke.Entry{Kind: feed.All}), failure)
	})
	if !errors.Is(err, failure) || l.Head() != 0 || l.Entries() != 0 {
		t.Errorf("err = %v, head = %d, entries = %d; want nothing kept", err, l.Head(), l.Entries())
	}
}

// Any interleaving of tokens made, revocations, expiry and restarts gives the verdicts
// of a plain model.
func TestModel(t *testing.T) {
	t.Parallel()
	type token struct {
		feed.Claims
		dead bool
	}
	rapid.Check(t, func(rt *rapid.T) {
		st, c := open(t)
		l := load(t, st)
		var made []token
		name := func(kind string) string {
			return kind + strconv.Itoa(rapid.IntRange(0, 2).Draw(rt, kind))
		}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch rapid.IntRange(0, 4).Draw(rt, "step") {
			case 0, 1:
				made = append(made, token{Claims: feed.Claims{
					ID: name("g") + "." + strconv.Itoa(len(made)), Subject: name("u"), ClientID: name("c"), KeyID: name("k"), Rev: l.Head(), HasRev: true,
				}})
			case 2, 3:
				e := revoke.Entry{Kind: rapid.SampledFrom([]feed.Kind{feed.Token, feed.Grant, feed.Key, feed.Subject, feed.Client, feed.All}).Draw(rt, "kind")}
				switch e.Kind {
				case feed.Token:
					if len(made) == 0 {
						continue
					}
					e.Value = made[rapid.IntRange(0, len(made)-1).Draw(rt, "token")].ID
				case feed.Grant:
					e.Value = name("g")
				case feed.Key:
					e.Value = name("k")
				case feed.Subject:
					e.Value = name("u")
				case feed.Client:
					e.Value = name("c")
				}
				write(t, st, func(tx *store.Tx) error { return l.Add(tx, "test", e) })
				for i := range made {
					m := &made[i]
					m.dead = m.dead || e.Kind == feed.All || map[feed.Kind]string{
						feed.Token: m.ID, feed.Grant: feed.Handle(m.ID), feed.Key: m.KeyID,
						feed.Subject: m.Subject, feed.Client: m.ClientID,
					}[e.Kind] == e.Value
				}
			case 4:
				c.Advance(time.Minute) // far less than an entry lives
				l.Forget(st.Now())
				if rapid.Bool().Draw(rt, "restart") {
					l = load(t, st)
				}
			}
			for _, m := range made {
				// An absolute entry also names tokens made after it: grants, keys.
				if m.dead && !revoked(l, m.Claims) {
					rt.Fatalf("%+v was revoked and is accepted", m)
				}
			}
		}
	})
}

// Whole segments go once nothing in them is needed, and what is left has no gap: those
// who follow can go on, or begin with what is there.
func TestPurgeLeavesNoGap(t *testing.T) {
	t.Parallel()
	st, c := open(t)
	l := load(t, st)
	add := func(n int) {
		write(t, st, func(tx *store.Tx) error {
			entries := make([]revoke.Entry, n)
			for i := range entries {
				entries[i] = revoke.Entry{Kind: feed.Token, Value: "g." + strconv.Itoa(i)}
			}
			return l.Add(tx, "test", entries...)
		})
	}
	add(2*feed.SegmentSize + 10)
	c.Advance(2 * time.Hour)
	add(5)
	for range 3 {
		write(t, st, func(tx *store.Tx) error { _, err := tx.PurgeRevocations(2000); return err })
	}
	l.Forget(st.Now())
	if got, want := l.First(), int64(2*feed.SegmentSize+1); got != want {
		t.Errorf("the oldest entry needed is %d, want %d", got, want)
	}
	for _, l := range []*revoke.Log{l, load(t, st)} {
		position, _ := l.Position()
		at := feed.Position{Incarnation: position.Incarnation, N: l.First() - 1}
		b, err := l.Since(t.Context(), at.N, 4)
		if err != nil {
			t.Fatal(err)
		}
		at.Hash = *b.Base
		for at.N < position.N {
			if b, err = l.Since(t.Context(), at.N, 4); err != nil {
				t.Fatal(err)
			}
			if err := at.Extend(b); err != nil {
				t.Fatal(err)
			}
		}
		if at != position || len(b.Entries) == 0 {
			t.Errorf("who follows ends at %v, the log at %v", at, position)
		}
		if _, err := l.Since(t.Context(), position.N+1, 4); !errors.Is(err, revoke.ErrAhead) {
			t.Errorf("beyond the end: %v", err)
		}
	}
	if _, err := load(t, st).Since(t.Context(), 0, 4); !errors.Is(err, revoke.ErrGone) {
		t.Errorf("what is gone: %v", err)
	}
}

// A log whose rows were changed behind its back is noticed at the start.
func TestChangedRows(t *testing.T) {
	t.Parallel()
	st, _ := open(t)
	l := load(t, st)
	for range 3 {
		write(t, st, func(tx *store.Tx) error { return l.Add(tx, "test", revoke.Entry{Kind: feed.All}) })
	}
	write(t, st, func(tx *store.Tx) error {
		return tx.AppendRevocations([]store.Revocation{{Kind: "unknown", Value: "x", Until: tx.Now()}})
	})
	if _, err := revoke.Open(t.Context(), st, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("an entry of an unknown kind was passed over")
	}
}
