package store

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// single runs a body of one statement at most, which is its own transaction.
func (w *shared) single(ctx context.Context, began time.Time, body func(*Tx) error) (*Tx, error) {
	wait, cancel := context.WithDeadline(ctx, began.Add(writeFor))
	conn, err := w.s.read.Conn(wait)
	cancel()
	if err != nil {
		return nil, err
	}
	defer func() { w.release(conn, err) }()
	run, done := context.WithDeadline(context.WithoutCancel(ctx), began.Add(commitFor))
	defer done()
	one := &oneStatement{w: w, ctx: run, conn: conn}
	tx := &Tx{Reader: Reader{run: one}, s: w.s, now: w.s.clock.Now()}
	if err = w.contained(tx, body); err == nil {
		err = finish(tx)
	}
	if err != nil && one.sent {
		// Without an answer nobody knows whether it was done, as with a COMMIT.
		err = &commitError{err}
	}
	return tx, err
}

// oneStatement runs one statement outside of any transaction.
type oneStatement struct {
	w    *shared
	ctx  context.Context
	conn *sql.Conn
	sent bool
}

var errSecond = errors.New("store: WriteOne is for one statement")

func (r *oneStatement) query(query string, args []any) (*sql.Rows, error) {
	if r.sent {
		return nil, errSecond
	}
	r.sent = true
	return r.conn.QueryContext(r.ctx, r.w.rebind(query), numbers(args)...)
}

func (r *oneStatement) exec(query string, args []any) (sql.Result, error) {
	if r.sent {
		return nil, errSecond
	}
	r.sent = true
	return r.conn.ExecContext(r.ctx, r.w.rebind(query), numbers(args)...)
}
