package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/store/sqlite"
	"github.com/jeton-auth/jeton/oauth"
)

var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func open(t testing.TB) (*store.Store, *clock.Manual) {
	t.Helper()
	c := clock.NewManual(begin)
	return openAt(t, filepath.Join(t.TempDir(), "jeton.db"), c), c
}

func openAt(t testing.TB, path string, c clock.Clock) *store.Store {
	t.Helper()
	engine := &sqlite.Engine{}
	s, err := store.Open(t.Context(), engine, path, c, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), engine.Close()); err != nil {
			t.Error(err)
		}
	})
	must(t, s.Write(t.Context(), func(tx *store.Tx) error { return tx.CreateIssuer(time.Hour) }))
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// seed adds a client, a user and a grant redeemed to number 1.
func seed(t testing.TB, s *store.Store) store.Grant {
	t.Helper()
	g := store.Grant{
		Secret: secret.Bytes(32), Pepper: 1, Client: "shop", Subject: "u_ada",
		AbsoluteAt: begin.Add(100 * time.Hour), IdleAt: begin.Add(10 * time.Hour),
		Code:    &store.CodeDetails{RedirectURI: "https://shop.example/cb", ExpiresAt: begin.Add(time.Minute)},
		Details: store.GrantDetails{Scopes: []string{"openid"}, AuthTime: begin},
	}
	copy(g.ID[:], secret.Bytes(16))
	must(t, s.Write(t.Context(), func(tx *store.Tx) error {
		return errors.Join(
			tx.PutClient(store.Client{Client: spec.Client{ID: "shop", AuthMethod: oauth.NoAuth}, Source: store.SourceAPI}),
			ignoreConflict(tx.CreateUser(store.User{ID: "u_ada", Email: "ada@example.com"})),
			tx.CreateGrant(g))
	}))
	must(t, s.Write(t.Context(), func(tx *store.Tx) error {
		won, err := tx.SpendCode(&g, g.IdleAt, begin.Add(time.Minute))
		if err == nil && !won {
			err = errors.New("the code was not there")
		}
		return err
	}))
	return g
}

func ignoreConflict(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

func BenchmarkRotate(b *testing.B) {
	s, _ := open(b)
	grants := make([]store.Grant, 16)
	for i := range grants {
		grants[i] = seed(b, s)
	}
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range grants {
		wg.Go(func() {
			for range b.N / len(grants) {
				g, err := s.Read(context.Background()).Grant(grants[i].ID)
				if err != nil {
					b.Error(err)
					return
				}
				err = s.Write(context.Background(), func(tx *store.Tx) error {
					won, err := tx.Rotate(g.ID, g.Number, g.IdleAt, begin)
					if err == nil && !won {
						err = fmt.Errorf("lost at %d", g.Number)
					}
					return err
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// A body that fails is rolled back alone; the bodies that shared its transaction stay.
func TestFailedBodyAlone(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	failure := errors.New("no")
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			err := s.Write(context.Background(), func(tx *store.Tx) error {
				if err := tx.CreateUser(store.User{ID: fmt.Sprint(i), Email: fmt.Sprintf("u%d@example.com", i)}); err != nil {
					return err
				}
				switch i % 4 {
				case 1:
					return failure
				case 2:
					panic("no")
				}
				return nil
			})
			if (i%4 == 1) != errors.Is(err, failure) || (i%4 == 2) != (err != nil && !errors.Is(err, failure)) {
				t.Errorf("body %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	users, err := s.Read(t.Context()).Users("", 1000)
	must(t, err)
	if len(users) != 100 {
		t.Errorf("%d users are there, want the 100 whose bodies succeeded", len(users))
	}
}

// Memory changes after the commit, before Write returns, and not for what was rolled
// back.
func TestAfterCommit(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	seen := 0
	must(t, s.Write(t.Context(), func(tx *store.Tx) error {
		tx.AfterCommit(func() { seen++ })
		if seen != 0 {
			t.Error("memory changed before the commit")
		}
		return nil
	}))
	if seen != 1 {
		t.Errorf("after the commit memory changed %d times, want once", seen)
	}
	if err := s.Write(t.Context(), func(tx *store.Tx) error {
		tx.AfterCommit(func() { seen++ })
		return errors.New("no")
	}); err == nil || seen != 1 {
		t.Errorf("a rolled back body changed memory: %v, %d", err, seen)
	}
}

func TestEndedContext(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Write(ctx, func(*store.Tx) error { t.Error("ran"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Write = %v", err)
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	engine := &sqlite.Engine{}
	s, err := store.Open(t.Context(), engine, filepath.Join(t.TempDir(), "jeton.db"), clock.System{}, slog.New(slog.DiscardHandler))
	must(t, err)
	must(t, s.Close())
	must(t, engine.Close())
	if err := s.Write(t.Context(), func(*store.Tx) error { return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Write on a closed store = %v", err)
	}
}

// One process owns the file.
func TestSecondOwner(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "jeton.db")
	openAt(t, path, clock.System{})
	_, err := store.Open(t.Context(), &sqlite.Engine{}, path, clock.System{}, slog.New(slog.DiscardHandler))
	if !errors.Is(err, sqlite.ErrInUse) {
		t.Errorf("the second owner got %v", err)
	}
}

// Of a hundred parallel uses of one number one wins.
func TestRaces(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	g := seed(t, s)
	for name, spend := range map[string]func(*store.Tx) (bool, error){
		"rotate": func(tx *store.Tx) (bool, error) { return tx.Rotate(g.ID, 1, g.IdleAt, begin) },
	} {
		wins := 0
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				var won bool
				err := s.Write(context.Background(), func(tx *store.Tx) (err error) {
					won, err = spend(tx)
					return err
				})
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				if won {
					wins++
				}
			})
		}
		wg.Wait()
		if wins != 1 {
			t.Errorf("%s: %d of 100 won, want 1", name, wins)
		}
	}
}

// A grant that is not live rotates no more, whatever made it so.
func TestOnlyLiveGrantsRotate(t *testing.T) {
	t.Parallel()
	for name, kill := range map[string]func(*store.Tx, store.GrantID) error{
		"ended":           func(tx *store.Tx, id store.GrantID) error { _, err := tx.EndGrant(id, "test"); return err },
		"user cut off":    func(tx *store.Tx, _ store.GrantID) error { return tx.CutOffUser("u_ada", 9) },
		"client cut off":  func(tx *store.Tx, _ store.GrantID) error { return tx.CutOffClient("shop", 9) },
		"all cut off":     func(tx *store.Tx, _ store.GrantID) error { return tx.CutOffAll(9) },
		"user deleted":    func(tx *store.Tx, _ store.GrantID) error { return tx.DeleteUser("u_ada") },
		"client deleted":  func(tx *store.Tx, _ store.GrantID) error { return tx.DeleteClient("shop") },
		"client disabled": func(tx *store.Tx, _ store.GrantID) error { return tx.DisableClient("shop", true) },
		"user disabled": func(tx *store.Tx, _ store.GrantID) error {
			return tx.UpdateUser(store.User{ID: "u_ada", Email: "ada@example.com", Disabled: true})
		},
	} {
		s, _ := open(t)
		g := seed(t, s)
		before, err := s.Read(t.Context()).Grant(g.ID)
		must(t, err)
		if !before.Live() {
			t.Fatalf("%s: the grant was not live to begin with", name)
		}
		must(t, s.Write(t.Context(), func(tx *store.Tx) error { return kill(tx, g.ID) }))
		after, err := s.Read(t.Context()).Grant(g.ID)
		must(t, err)
		if after.Live() {
			t.Errorf("%s: the grant is still live", name)
		}
		must(t, s.Write(t.Context(), func(tx *store.Tx) error {
			rotated, err := tx.Rotate(g.ID, 1, g.IdleAt, begin)
			touched, terr := tx.Touch(g.ID, 1, g.IdleAt, begin)
			if rotated || touched {
				t.Errorf("%s: rotated %t, touched %t", name, rotated, touched)
			}
			return errors.Join(err, terr)
		}))
	}
}

// Growth: 10,000 rotations leave one row of one size.
func TestRotationLeavesOneRow(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	g := seed(t, s)
	for n := int64(1); n <= 10_000; n++ {
		must(t, s.Write(t.Context(), func(tx *store.Tx) error {
			won, err := tx.Rotate(g.ID, n, g.IdleAt, begin)
			if err == nil && !won {
				err = fmt.Errorf("lost at %d", n)
			}
			return err
		}))
	}
	rows, err := s.Read(t.Context()).CountGrants()
	must(t, err)
	now, err := s.Read(t.Context()).Grant(g.ID)
	must(t, err)
	if rows != 1 || now.Number != 10_001 {
		t.Errorf("%d rows at number %d, want 1 row at 10001", rows, now.Number)
	}
}

func TestPurge(t *testing.T) {
	t.Parallel()
	s, c := open(t)
	g := seed(t, s)
	dead := seed(t, s)
	must(t, s.Write(t.Context(), func(tx *store.Tx) error { _, err := tx.EndGrant(dead.ID, "test"); return err }))
	unused := store.Grant{
		Secret: secret.Bytes(32), Pepper: 1, Client: "shop", Subject: "u_ada", AbsoluteAt: begin.Add(100 * time.Hour), IdleAt: begin.Add(time.Minute),
		Code: &store.CodeDetails{ExpiresAt: begin.Add(time.Minute)},
	}
	copy(unused.ID[:], secret.Bytes(16))
	must(t, s.Write(t.Context(), func(tx *store.Tx) error { return tx.CreateGrant(unused) }))
	purge := func() (rows int64) {
		t.Helper()
		must(t, s.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.PurgeUnredeemed(100)
			next, perr := tx.PurgeGrants(store.GrantID{}, 100)
			if next != (store.GrantID{}) {
				t.Error("the walk did not reach the end")
			}
			return errors.Join(err, perr)
		}))
		rows, err := s.Read(t.Context()).CountGrants()
		must(t, err)
		return rows
	}
	if n := purge(); n != 3 {
		t.Fatalf("%d rows, want 3: nothing is over yet", n)
	}
	c.Advance(90 * time.Second) // the tokens of the dead one are over, the code's row is kept a minute
	if n := purge(); n != 2 {
		t.Fatalf("%d rows, want 2: the ended grant's last token is over", n)
	}
	c.Advance(time.Minute)
	if n := purge(); n != 1 {
		t.Fatalf("%d rows, want 1: the unused code's row is over", n)
	}
	c.Advance(11 * time.Hour)
	if n := purge(); n != 0 {
		t.Fatalf("%d rows, want 0: the last one was idle too long", n)
	}
	if _, err := s.Read(t.Context()).Grant(g.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Grant = %v", err)
	}
}

// Outages are remembered across starts, and a command that only opens the store makes
// none.
func TestOutages(t *testing.T) {
	t.Parallel()
	c := clock.NewManual(begin)
	path := filepath.Join(t.TempDir(), "jeton.db")
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	serve := func(from, to int) {
		t.Helper()
		c.Advance(at(from).Sub(c.Now()))
		engine := &sqlite.Engine{}
		s, err := store.Open(t.Context(), engine, path, c, slog.New(slog.DiscardHandler))
		must(t, err)
		must(t, s.Write(t.Context(), func(tx *store.Tx) error { return tx.CreateIssuer(time.Hour) }))
		must(t, s.Write(t.Context(), (*store.Tx).Resume))
		c.Advance(at(to).Sub(c.Now()))
		must(t, s.Write(t.Context(), (*store.Tx).Alive))
		must(t, errors.Join(s.Close(), engine.Close()))
	}
	serve(0, 10)
	serve(20, 30)
	c.Advance(at(32).Sub(c.Now()))
	must(t, openAndClose(t, path, c)) // a command
	serve(35, 60)
	c.Advance(at(70).Sub(c.Now()))
	s := openAt(t, path, c)
	must(t, s.Write(t.Context(), (*store.Tx).Resume))
	for _, x := range []struct{ from, to, want int }{
		{0, 5, 5}, {0, 15, 10}, {12, 18, 0}, {0, 40, 25}, {15, 32, 10}, {36, 60, 24}, {20, 10, 0}, {50, 75, 15},
	} {
		if got := s.Outage.Served(at(x.from), at(x.to)); got != time.Duration(x.want)*time.Second {
			t.Errorf("Served(%d, %d) = %s, want %ds", x.from, x.to, got, x.want)
		}
	}
}

func openAndClose(t *testing.T, path string, c clock.Clock) error {
	engine := &sqlite.Engine{}
	s, err := store.Open(t.Context(), engine, path, c, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return errors.Join(s.Close(), engine.Close())
}
