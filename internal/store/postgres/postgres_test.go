//go:build e2e

package postgres_test

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"testing"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/pgtest"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/store/postgres"
	"github.com/jeton-auth/jeton/internal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestStore(t *testing.T) {
	t.Parallel()
	suite(t)
}

// The databases that descend from PostgreSQL are serializable by default, some always.
func TestStoreSerializable(t *testing.T) {
	t.Parallel()
	suite(t, "default_transaction_isolation=serializable")
}

func suite(t *testing.T, settings ...string) {
	storetest.Run(t, func(t testing.TB, c clock.Clock) *store.Store {
		return open(t, pgtest.Database(t, settings...), c)
	})
}

func open(t testing.TB, dsn string, c clock.Clock) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), &postgres.Engine{}, dsn, c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func BenchmarkRotate(b *testing.B) {
	storetest.BenchmarkRotate(b, func(t testing.TB, c clock.Clock) *store.Store { return open(t, pgtest.Database(t), c) })
}

// release is the engine with the migrations of another release.
type release struct {
	postgres.Engine
	files fs.FS
}

func (r *release) Migrations() fs.FS { return r.files }

func database(t testing.TB, settings ...string) storetest.OpenWith {
	dsn := pgtest.Database(t, settings...)
	return func(ctx context.Context, files fs.FS) (*store.Store, func() error, error) {
		s, err := store.Open(ctx, &release{files: files}, dsn, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			return nil, nil, err
		}
		return s, s.Close, nil
	}
}

func TestMigrations(t *testing.T) {
	t.Parallel()
	storetest.RunMigrations(t, (&postgres.Engine{}).Migrations(), func(t testing.TB) storetest.OpenWith { return database(t) })
}

// Nodes that start at once, of this release and the next.
func TestMigrationsTogether(t *testing.T) {
	t.Parallel()
	for _, isolation := range []string{"read committed", "serializable"} {
		t.Run(isolation, func(t *testing.T) {
			t.Parallel()
			storetest.Together(t, (&postgres.Engine{}).Migrations(), database(t, "default_transaction_isolation="+isolation))
		})
	}
}

// A migration takes as long as it needs, though every other statement is cut off; the
// nodes that start meanwhile wait for it.
func TestLongMigration(t *testing.T) {
	t.Parallel()
	files := storetest.Release(t, (&postgres.Engine{}).Migrations(), "SELECT pg_sleep(2);\nCREATE TABLE slow (id BIGINT PRIMARY KEY);\n")
	dsn := pgtest.Database(t)
	opened := make(chan error)
	applied := make(chan int, 3)
	for range 3 {
		go func() {
			// What cuts a statement off and what ends a wait are far shorter than the migration.
			s, err := store.Open(t.Context(), &release{files: files}, dsn+"&statement_timeout=1000&lock_timeout=300", nil, slog.New(slog.DiscardHandler))
			if err == nil {
				applied <- len(s.Schema().Applied)
				err = s.Close()
			}
			opened <- err
		}()
	}
	for range 3 {
		if err := <-opened; err != nil {
			t.Error(err)
		}
	}
	close(applied)
	sum := 0
	for n := range applied {
		sum += n
	}
	if sum != len(files) {
		t.Errorf("%d of %d migrations were applied", sum, len(files))
	}
}
