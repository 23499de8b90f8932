package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
)

// groupLimit bounds how many bodies share a transaction, and with it how long
// one commit can keep the next caller waiting.
const groupLimit = 256

// writer owns the connection that writes. Its goroutine takes the bodies that
// wait, runs them in one transaction and commits once.
//
// A savepoint costs about as much as a small body, and bodies seldom fail. So a
// group first runs without: only when a body fails that had changed something, the
// whole group is rolled back and run again, each body under a savepoint.
type writer struct {
	s     *Store
	db    *sql.DB
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
	dirty bool // the body that runs has changed something
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
	err := w.transaction(group, w.runPlain)
	if errors.Is(err, errAgain) {
		err = w.transaction(group, w.runGuarded)
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

// errAgain says that a body failed which had changed something.
var errAgain = errors.New("store: run the group again under savepoints")

// transaction runs the group in one transaction. run returns an error to roll all of
// it back.
func (w *writer) transaction(group []*job, run func(*job) error) error {
	if err := w.control("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	for _, j := range group {
		if err := run(j); err != nil {
			return errors.Join(err, w.control("ROLLBACK"))
		}
	}
	err := w.control("COMMIT")
	if err != nil {
		_ = w.control("ROLLBACK")
	}
	return err
}

// runPlain runs a body that is taken to succeed.
func (w *writer) runPlain(j *job) error {
	if j.err = j.ctx.Err(); j.err != nil {
		return nil
	}
	j.err = w.body(j)
	if j.err != nil && w.dirty {
		return errAgain
	}
	return nil
}

// runGuarded runs a body under a savepoint. A failed body is rolled back alone.
func (w *writer) runGuarded(j *job) error {
	if j.err = j.ctx.Err(); j.err != nil {
		return nil
	}
	if err := w.control("SAVEPOINT body"); err != nil {
		return err
	}
	j.err = w.body(j)
	if j.err != nil {
		return errors.Join(w.control("ROLLBACK TO body"), w.control("RELEASE body"))
	}
	return w.control("RELEASE body")
}

// body runs a body to its end; its panic becomes its error.
func (w *writer) body(j *job) (err error) {
	j.tx = &Tx{Reader: Reader{run: w}, s: w.s, now: w.s.clock.Now()}
	w.dirty = false
	defer func() {
		if p := recover(); p != nil {
			w.s.log.Error("a transaction panicked and was rolled back", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			err = fmt.Errorf("store: transaction panicked: %v", p)
		}
	}()
	if err := j.body(j.tx); err != nil {
		return err
	}
	return finish(j.tx)
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
	w.dirty = w.dirty || !strings.HasPrefix(query, "SELECT")
	st, err := w.prepared(query)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(context.Background(), args...)
}

func (w *writer) exec(query string, args []any) (sql.Result, error) {
	w.dirty = true
	st, err := w.prepared(query)
	if err != nil {
		return nil, err
	}
	return st.ExecContext(context.Background(), args...)
}
