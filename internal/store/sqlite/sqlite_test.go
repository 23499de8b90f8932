package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/store/sqlite"
	"github.com/jeton-auth/jeton/internal/store/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t testing.TB, c clock.Clock) *store.Store {
		return openAt(t, filepath.Join(t.TempDir(), "jeton.db"), c)
	})
}

// release is the engine with the migrations of another release.
type release struct {
	sqlite.Engine
	files fs.FS
}

func (r *release) Migrations() fs.FS { return r.files }

func TestMigrations(t *testing.T) {
	t.Parallel()
	storetest.RunMigrations(t, (&sqlite.Engine{}).Migrations(), func(t testing.TB) storetest.OpenWith {
		path := filepath.Join(t.TempDir(), "jeton.db")
		return func(ctx context.Context, files fs.FS) (*store.Store, func() error, error) {
			engine := &release{files: files}
			s, err := store.Open(ctx, engine, path, clock.System{}, slog.New(slog.DiscardHandler))
			if err != nil {
				return nil, nil, errors.Join(err, engine.Close())
			}
			return s, func() error { return errors.Join(s.Close(), engine.Close()) }, nil
		}
	})
}

var begin = storetest.Begin

func openAt(t testing.TB, path string, c clock.Clock) *store.Store {
	t.Helper()
	engine := &sqlite.Engine{}
	s, err := store.Open(t.Context(), engine, path, c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), engine.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Bodies that wait at the same time share a commit, and each has its own answer.
func TestGroupCommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := openAt(t, filepath.Join(t.TempDir(), "jeton.db"), clock.System{})
		free := make(chan struct{})
		go func() {
			if err := s.Write(context.Background(), func(*store.Tx) error { <-free; return nil }); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		const bodies = 100
		var happened []string
		for i := range bodies {
			go func() {
				err := s.Write(context.Background(), func(tx *store.Tx) error {
					happened = append(happened, "body")
					tx.AfterCommit(func() { happened = append(happened, "commit") })
					return tx.PutAttempt(fmt.Sprint(i), begin)
				})
				if err != nil {
					t.Error(err)
				}
			}()
		}
		synctest.Wait() // all of them wait for the one that writes
		close(free)
		synctest.Wait()
		if want := append(slices.Repeat([]string{"body"}, bodies), slices.Repeat([]string{"commit"}, bodies)...); !slices.Equal(happened, want) {
			t.Errorf("%d bodies that waited were not committed together: %v", bodies, happened)
		}
	})
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

func BenchmarkRotate(b *testing.B) {
	storetest.BenchmarkRotate(b, func(t testing.TB, c clock.Clock) *store.Store {
		return openAt(t, filepath.Join(t.TempDir(), "jeton.db"), c)
	})
}
