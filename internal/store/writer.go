package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
)

// groupLimit bounds how many bodies share a transaction, and with it how long
// one commit can keep the next caller waiting.
const groupLimit = 256

// writer owns the connection that writes. Its goroutine takes the bodies that
// wait, runs them in one transaction, each under a savepoint, and commits once.
type writer struct {
	s     *Store
	db    *sql.DB
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
	queue chan *job
	quit  chan struct{}
	done  chan struct{}
	once  sync.Once
}

type job struct {
	ctx  context.Context
	body func(*Tx) error
	tx   *Tx
	err  error
	done chan struct{}
}

func newWriter(ctx context.Context, s *Store, db *sql.DB) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	w := &writer{
		s: s, db: db, conn: conn, stmts: map[string]*sql.Stmt{},
		queue: make(chan *job, groupLimit), quit: make(chan struct{}), done: make(chan struct{}),
	}
	go w.loop()
	return w, nil
}

func (w *writer) do(ctx context.Context, body func(*Tx) error) error {
	j := &job{ctx: ctx, body: body, done: make(chan struct{})}
	select {
	case <-w.quit:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	case w.queue <- j:
	}
	select {
	case <-j.done:
		return j.err
	case <-w.done:
	}
	// The loop may have finished this very body before it ended.
	select {
	case <-j.done:
		return j.err
	default:
		return ErrClosed
	}
}

func (w *writer) close() error {
	w.once.Do(func() { close(w.quit) })
	<-w.done
	for _, st := range w.stmts {
		st.Close()
	}
	return errors.Join(w.conn.Close(), w.db.Close())
}

func (w *writer) loop() {
	defer close(w.done)
	group := make([]*job, 0, groupLimit)
	for {
		group = group[:0]
		select {
		case <-w.quit:
			return
		case j := <-w.queue:
			group = append(group, j)
		}
	waiting:
		for len(group) < groupLimit {
			select {
			case j := <-w.queue:
				group = append(group, j)
			default:
				break waiting
			}
		}
		w.commit(group)
	}
}

// commit runs the group in one transaction and answers every caller.
func (w *writer) commit(group []*job) {
	err := w.control("BEGIN IMMEDIATE")
	if err == nil {
		for _, j := range group {
			w.runOne(j, len(group) > 1)
		}
		if err = w.control("COMMIT"); err != nil {
			_ = w.control("ROLLBACK")
		}
	}
	if err != nil {
		w.s.log.Error("the database did not take a write; nothing of it was kept", slog.Any("error", err))
		w.s.Outage.begin(w.s.clock.Now())
	} else {
		w.s.Outage.end(w.s.clock.Now())
	}
	for _, j := range group {
		switch {
		case j.err != nil:
		case err != nil:
			j.err = fmt.Errorf("store: %w", err)
		default:
			for _, f := range j.tx.after {
				f()
			}
		}
	}
	for _, j := range group {
		close(j.done)
	}
}

// runOne runs one body. A failed body is rolled back alone.
func (w *writer) runOne(j *job, shared bool) {
	if j.err = j.ctx.Err(); j.err != nil {
		return
	}
	if j.err = w.control("SAVEPOINT body"); j.err != nil {
		return
	}
	j.tx = &Tx{Reader: Reader{run: w}, s: w.s, now: w.s.clock.Now()}
	j.err = w.guarded(j)
	end := "RELEASE body"
	if j.err != nil {
		end = "ROLLBACK TO body; RELEASE body"
	}
	if err := w.control(end); err != nil {
		j.err = errors.Join(j.err, err)
	}
}

func (w *writer) guarded(j *job) (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.s.log.Error("a transaction panicked and was rolled back", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			err = fmt.Errorf("store: transaction panicked: %v", p)
		}
	}()
	return j.body(j.tx)
}

func (w *writer) control(query string) error {
	_, err := w.exec(query, nil)
	return err
}

func (w *writer) prepared(query string) (*sql.Stmt, error) {
	if st, ok := w.stmts[query]; ok {
		return st, nil
	}
	st, err := w.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	w.stmts[query] = st
	return st, nil
}

func (w *writer) query(query string, args []any) (*sql.Rows, error) {
	st, err := w.prepared(query)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(context.Background(), args...)
}

func (w *writer) exec(query string, args []any) (sql.Result, error) {
	st, err := w.prepared(query)
	if err != nil {
		return nil, err
	}
	return st.ExecContext(context.Background(), args...)
}
