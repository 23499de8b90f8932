//go:build e2e

package jobs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/pgtest"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/store/postgres"
)

// openShared opens a store on a database that others have open too.
func openShared(t *testing.T, dsn string, c clock.Clock) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), &postgres.Engine{}, dsn, c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

// Of many nodes one runs a job at a time, as often as one node alone would, and another
// goes on when it leaves.
func TestOneOfManyNodes(t *testing.T) {
	t.Parallel()
	const every, nodes = 100 * time.Millisecond, 4
	dsn, quiet := pgtest.Database(t), slog.New(slog.DiscardHandler)
	var running, together, runs atomic.Int64
	var who sync.Map
	var group sync.WaitGroup
	var leave [nodes]context.CancelFunc
	began := time.Now()
	for k := range nodes {
		st := openShared(t, dsn, nil)
		ctx, cancel := context.WithCancel(t.Context())
		leave[k] = cancel
		job := Job{Name: "count", Every: every, Run: func(context.Context, Lease) error {
			if running.Add(1) > 1 {
				together.Add(1)
			}
			defer running.Add(-1)
			runs.Add(1)
			who.Store(k, true)
			return nil
		}}
		group.Go(func() { Run(ctx, quiet, audit.New(st, quiet), string(rune('a'+k)), []Job{job}) })
	}
	reach := func(n int64) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); runs.Load() < n; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the job ran %d times, not %d", runs.Load(), n)
			}
		}
	}
	for k := range nodes - 1 {
		reach(int64(5 * (k + 1)))
		leave[k]()
	}
	reach(5 * nodes)
	took := time.Since(began)
	leave[nodes-1]()
	group.Wait()
	if most := int64(took/every) + 1; runs.Load() > most || together.Load() > 0 {
		t.Errorf("%d runs within %s, at most %d were due; %d times two at once", runs.Load(), took, most, together.Load())
	}
}

// A transaction that holds the lease has it until it ends, whatever the time is then.
func TestHeldToTheEnd(t *testing.T) {
	t.Parallel()
	dsn, c := pgtest.Database(t), clock.NewManual(begin)
	st, other := openShared(t, dsn, c), openShared(t, dsn, c)
	take := func(st *store.Store, holder string) (taken bool, err error) {
		err = st.Write(t.Context(), func(tx *store.Tx) (err error) {
			taken, err = tx.TakeLease("job", holder, tx.Now().Add(lease))
			return err
		})
		return taken, err
	}
	if taken, err := take(st, "a"); err != nil || !taken {
		t.Fatal(taken, err)
	}
	var ended atomic.Bool
	var group sync.WaitGroup
	err := st.Write(t.Context(), func(tx *store.Tx) error {
		if err := (Lease{"job", "a"}).Hold(tx); err != nil {
			return err
		}
		c.Advance(lease + time.Second)
		group.Go(func() {
			if taken, err := take(other, "b"); err != nil || !taken || !ended.Load() {
				t.Errorf("another node takes an expired lease: %v, %v; after the transaction that held it: %v", taken, err, ended.Load())
			}
		})
		// Long enough for the other node to be there, and to wait.
		time.Sleep(200 * time.Millisecond)
		ended.Store(true)
		return nil
	})
	group.Wait()
	if err != nil {
		t.Error(err)
	}
	if err := st.Write(t.Context(), (Lease{"job", "a"}).Hold); !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("a lease that another node has is held: %v", err)
	}
}
