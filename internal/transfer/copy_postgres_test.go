//go:build e2e

package transfer

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/pgtest"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/store/postgres"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// openShared opens a PostgreSQL database; its clock is its own where c is nil.
func openShared(t testing.TB, dsn string, c clock.Clock) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), &postgres.Engine{}, dsn, c, quietLog)
	must(t, err)
	t.Cleanup(func() { must(t, st.Close()) })
	return st
}

// There and back again, with interruptions, and the same hashes on both engines.
func TestCopyBetweenEngines(t *testing.T) {
	t.Parallel()
	from, back := empty(t), empty(t)
	seed(t, from, seeded)
	middle := openShared(t, pgtest.Database(t), clock.NewManual(begin.Add(2*time.Hour)))
	for _, at := range []string{"users", "audit"} {
		ctx, progress := interrupted(t, at, 1000)
		if _, err := (Copy{From: from, To: middle, Log: quietLog, Progress: progress}).Run(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	out, err := Copy{From: from, To: middle, Log: quietLog}.Run(t.Context())
	must(t, err)
	if diff := cmp.Diff(all(t, from), out.Tables); diff != "" || !out.Resumed {
		t.Errorf("resumed: %t, (-source +target):\n%s", out.Resumed, diff)
	}
	same(t, from, middle)
	ctx, progress := interrupted(t, "users", 2000)
	if _, err := (Copy{From: middle, To: back, Log: quietLog, Progress: progress}).Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	_, err = Copy{From: middle, To: back, Log: quietLog}.Run(t.Context())
	must(t, err)
	same(t, middle, back)
}

// A server that leaves signs of life is noticed, one that died without notice too, and
// one that has ended is not.
func TestQuiet(t *testing.T) {
	t.Parallel()
	st := openShared(t, pgtest.Database(t), nil)
	must(t, Quiet(t.Context(), st))
	write := func(body func(*store.Tx) error) { must(t, st.Write(context.Background(), body)) }
	write(func(tx *store.Tx) error { return tx.CreateIssuer(time.Hour) })
	beats := time.NewTicker(200 * time.Millisecond)
	ended := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		defer close(ended)
		for {
			select {
			case <-ctx.Done():
				return
			case <-beats.C:
				_ = st.Write(ctx, (*store.Tx).Alive)
			}
		}
	}()
	if err := Quiet(t.Context(), st); !errors.Is(err, ErrServed) {
		t.Errorf("beside a server: %v", err)
	}
	stop()
	<-ended
	write(func(tx *store.Tx) error {
		_, err := tx.TakeLease(aliveJob, "node", tx.Now().Add(time.Minute))
		return err
	})
	if err := Quiet(t.Context(), st); err == nil || errors.Is(err, ErrServed) {
		t.Errorf("a lease that is held: %v", err)
	}
	write(func(tx *store.Tx) error {
		_, err := tx.TakeLease(aliveJob, "node", tx.Now())
		return err
	})
	must(t, Quiet(t.Context(), st))
}

func TestRecordsPostgres(t *testing.T) {
	t.Parallel()
	testRecords(t, openShared(t, pgtest.Database(t), clock.NewManual(begin)))
}

func TestOneMomentPostgres(t *testing.T) {
	t.Parallel()
	testOneMoment(t, openShared(t, pgtest.Database(t), clock.NewManual(begin)))
}

// From one engine to the other, and serializable transactions.
func TestRestorePostgres(t *testing.T) {
	t.Parallel()
	c := clock.NewManual(begin)
	testRestore(t, empty(t), openShared(t, pgtest.Database(t, "default_transaction_isolation=serializable"), c), c)
}
