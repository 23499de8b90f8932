// Package transfer moves whole issuers: it copies one from a database to another,
// writes backups and restores them, and makes a database that went back in time fit to
// be served again. It moves rows as they are, and judges by counts and hashes, computed
// the same way on every engine, whether all of them arrived. A database that does not
// hold a whole issuer has a hold, with which no server starts on it.
package transfer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/store"
)

// batch bounds how many rows one transaction moves.
const batch = 1000

// Progress hears how many rows of a table have been moved so far. It is called after
// each transaction.
type Progress func(table string, rows int64)

func (p Progress) tell(table string, rows int64) {
	if p != nil {
		p(table, rows)
	}
}

// ErrServed says that a server runs on a database.
var ErrServed = errors.New("a server runs on this database: end it first, on every node")

// aliveJob is the job that notes a sign of life each second (internal/server).
const aliveJob = "alive"

// Quiet returns when no server runs on a database; ErrServed: one does. An embedded
// database that could be opened has none. A shared one is watched for three beats of
// the signs of life that servers leave.
func Quiet(ctx context.Context, st *store.Store) error {
	if !st.Shared() {
		return nil
	}
	const watched = 3500 * time.Millisecond
	first, err := signOf(ctx, st)
	if err != nil || first.IsZero() || st.Now().Sub(first) > time.Hour {
		return err
	}
	timer, look := time.NewTimer(watched), time.NewTicker(watched/20)
	defer timer.Stop()
	defer look.Stop()
	for {
		sign, err := signOf(ctx, st)
		if err != nil {
			return err
		}
		if !sign.Equal(first) {
			return ErrServed
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
		case <-timer.C:
			// The node whose turn it was may have died, and others wait for its lease.
			until, err := st.Read(ctx).LeaseUntil(aliveJob)
			if err != nil {
				return err
			}
			if left := until.Sub(st.Now()); left > 0 {
				return fmt.Errorf("a server died without notice, and others may run: end them all, and try again in %s", left.Round(time.Second)+time.Second)
			}
			return nil
		}
	}
}

// signOf is the last sign of life; zero: no server ever ran.
func signOf(ctx context.Context, st *store.Store) (time.Time, error) {
	i, err := st.Read(ctx).Issuer()
	if errors.Is(err, store.ErrNotFound) {
		return time.Time{}, nil
	}
	return i.AliveAt, err
}

// vacant tells whether a database holds no rows at all.
func vacant(r store.Reader, tables []store.Table) (bool, error) {
	for _, t := range tables {
		rows, err := r.Rows(t, nil, 1)
		if err != nil || len(rows) > 0 {
			return false, err
		}
	}
	return true, nil
}

// writer writes to a database that is being filled.
type writer struct {
	st    *store.Store
	audit *audit.Log
}

func newWriter(st *store.Store, log *slog.Logger) *writer {
	return &writer{st, audit.New(st, log)}
}

// write changes what is no event of its own.
func (w *writer) write(ctx context.Context, body func(*store.Tx) error) error {
	return w.audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		return audit.Event{Type: audit.Transferred}, body(tx)
	})
}

// clear removes all rows, in small transactions.
func (w *writer) clear(ctx context.Context, tables []store.Table) error {
	for _, t := range tables {
		for more := true; more; {
			err := w.write(ctx, func(tx *store.Tx) error {
				n, err := tx.Empty(t, batch)
				more = n > 0
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// operator is the actor of the commands.
func operator() audit.Origin { return audit.Origin{Actor: "operator"} }

// Admit tells whether a server may start on a database; a Held says what it waits for.
func Admit(ctx context.Context, st *store.Store) error {
	holds, err := st.Read(ctx).Holds()
	if err != nil {
		return err
	}
	return holdError(holds)
}
