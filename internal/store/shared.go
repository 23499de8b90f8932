package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// shared writes to a database that other nodes use too: each body in a transaction of
// its own, over the pool's connections. The database decides the races; what it
// asks to be tried again is tried again.
type shared struct {
	s      *Store
	engine Shared
	looks  *sql.DB
	bound  sync.Map // query → the engine's form

	turn      chan struct{} // to run again what was rolled back for the sake of another
	head      heads
	time      atomic.Pointer[moment]
	suspected atomic.Pointer[time.Time]
	cancel    context.CancelFunc
	wg        sync.WaitGroup
}

// Bounds. A caller is told within writeFor that a transaction did not come about,
// within commitFor that nobody knows, and within readFor that nothing can be read.
const (
	writeFor   = 4 * time.Second
	commitFor  = 5 * time.Second
	readFor    = 4 * time.Second
	firstPause = 2 * time.Millisecond
	maxPause   = 250 * time.Millisecond
	clockEvery = time.Second
	clockBound = 2 * time.Second
)

// newShared makes the writer of a store. Of the connections that each of two pools may
// have, looks get one or two.
func newShared(s *Store, e Shared, looks *sql.DB) *shared {
	all := s.read.Stats().MaxOpenConnections
	few := min(2, max(1, all/8))
	looks.SetMaxOpenConns(few)
	s.read.SetMaxOpenConns(all - few)
	return &shared{s: s, engine: e, looks: looks, turn: make(chan struct{}, 1), cancel: func() {}}
}

func (w *shared) rebind(query string) string {
	if q, ok := w.bound.Load(query); ok {
		return q.(string)
	}
	q := w.engine.Rebind(query)
	w.bound.Store(query, q)
	return q
}

func (w *shared) close() error {
	w.cancel()
	w.wg.Wait()
	return w.looks.Close()
}

// do runs a body until it is committed, fails by itself, or time is up.
func (w *shared) do(ctx context.Context, body func(*Tx) error) error {
	return w.keepTrying(ctx, time.Now(), w.once, body)
}

// attempt runs a body once. Where it had begun, the transaction is returned, also if it
// failed.
type attempt func(ctx context.Context, began time.Time, body func(*Tx) error) (*Tx, error)

func (w *shared) keepTrying(ctx context.Context, began time.Time, once attempt, body func(*Tx) error) error {
	at := w.s.clock.Now()
	pause := firstPause
	mine := false // the turn to retry
	pass := func() {
		if mine {
			<-w.turn
			mine = false
		}
	}
	defer pass()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		tx, err := once(ctx, began, body)
		if err == nil {
			w.s.Outage.end(w.s.clock.Now())
			for _, f := range tx.after {
				f()
			}
			return nil
		}
		if errors.Is(err, errTogether) {
			pass() // those it waits for may need it
			switch err = w.together(ctx, began, body); err {
			case errTogether:
			case errAlone:
				once = w.alone
			default:
				return err
			}
			continue
		}
		if ctx.Err() != nil && tx == nil {
			return ctx.Err()
		}
		again, err := w.judge(err)
		if !again || time.Since(began) > writeFor-pause {
			if errors.Is(err, ErrUnavailable) && !w.s.engine.Retryable(err) {
				w.s.Outage.begin(at)
			}
			return err
		}
		// Those who met must not meet again: of this node one at a time, of others hardly
		// at the same moment.
		if !mine && w.s.engine.Retryable(err) {
			mine = w.queue(ctx, began)
			continue
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return ctx.Err()
		}
		pause = min(2*pause, maxPause)
	}
}

// queue waits for the turn to run again what was rolled back for the sake of another
// transaction.
func (w *shared) queue(ctx context.Context, began time.Time) (mine bool) {
	t := time.NewTimer(time.Until(began.Add(writeFor)))
	defer t.Stop()
	select {
	case w.turn <- struct{}{}:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	return false
}

// judge tells whether a transaction that failed may be run again.
func (w *shared) judge(err error) (again bool, told error) {
	var c *commitError
	committing := errors.As(err, &c)
	if w.s.engine.Retryable(err) {
		return true, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if lost, unsent := w.engine.Lost(err); lost {
		// A commit without an answer may have happened: running it again could do twice
		// what is to be done once.
		return unsent || !committing, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return false, err
}

// commitError is a failed COMMIT.
type commitError struct{ error }

func (e *commitError) Unwrap() error { return e.error }

// once runs a body in a transaction of its own, or finds that it is to change the head
// while another does, and returns errTogether.
func (w *shared) once(ctx context.Context, began time.Time, body func(*Tx) error) (*Tx, error) {
	return w.transaction(ctx, began, body, func(tx *Tx) (leave func(), err error) {
		if len(tx.appended) == 0 {
			return func() {}, nil
		}
		if !w.head.enter() {
			return nil, errTogether
		}
		return w.leave, nil
	})
}

// alone runs a body in a transaction of its own, whoever else changes the head.
func (w *shared) alone(ctx context.Context, began time.Time, body func(*Tx) error) (*Tx, error) {
	return w.transaction(ctx, began, body, func(*Tx) (func(), error) { return func() {}, nil })
}

// transaction runs a body in one transaction; what is left when it has ended well is done
// if enter lets it. The caller's context ends the wait for a connection, and nothing
// after that: then the transaction is returned, also where it fails.
func (w *shared) transaction(ctx context.Context, began time.Time, body func(*Tx) error, enter func(*Tx) (leave func(), err error)) (tx *Tx, err error) {
	wait, cancel := context.WithDeadline(ctx, began.Add(writeFor))
	conn, err := w.s.read.Conn(wait)
	cancel()
	if err != nil {
		return nil, err
	}
	defer func() { w.release(conn, err) }()
	detached := context.WithoutCancel(ctx)
	whole, done := context.WithDeadline(detached, began.Add(commitFor))
	defer done()
	run, done := context.WithDeadline(detached, began.Add(writeFor))
	defer done()
	writing := &sharedWriting{w: w, ctx: run, whole: whole, conn: conn}
	defer writing.rollback()
	tx = &Tx{Reader: Reader{run: writing}, s: w.s, now: w.s.clock.Now()}
	if err := w.contained(tx, body); err != nil {
		return tx, err
	}
	leave, err := enter(tx)
	if err != nil {
		return tx, err
	}
	defer leave()
	if err := finish(tx); err != nil {
		return tx, err
	}
	return tx, writing.commit()
}

// release gives a connection back to the pool. One on which the database was lost is
// closed instead: it may lead to a server that takes no writes any more. Where the
// database stood still, what waits in the pool leads there as well.
func (w *shared) release(conn *sql.Conn, err error) {
	if lost, _ := w.engine.Lost(err); lost {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		w.suspect(err)
	}
	_ = conn.Close() // whether it goes back or not, the transaction is over
}

// suspect closes the idle connections where one did not answer in time, at most once in
// a while: it may have been the load.
func (w *shared) suspect(err error) {
	if !errors.Is(err, context.DeadlineExceeded) {
		return
	}
	now := time.Now()
	last := w.suspected.Load()
	if last != nil && now.Sub(*last) < clockEvery || !w.suspected.CompareAndSwap(last, &now) {
		return
	}
	idle := w.s.read.Stats().MaxOpenConnections
	w.s.read.SetMaxIdleConns(-1)
	w.s.read.SetMaxIdleConns(idle)
}

// contained runs a body; its panic becomes its error.
func (w *shared) contained(tx *Tx, body func(*Tx) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.s.log.Error("a transaction panicked and was rolled back", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			err = fmt.Errorf("store: transaction panicked: %v", p)
		}
	}()
	return body(tx)
}

// sharedWriting runs statements in a transaction, which begins with the first of them:
// a body that only says what is to be written when it has ended has cost nothing if it
// then waits for others.
type sharedWriting struct {
	w          *shared
	ctx, whole context.Context
	conn       *sql.Conn
	tx         *sql.Tx
	err        error // the transaction did not begin
}

func (r *sharedWriting) begin() error {
	if r.tx == nil && r.err == nil {
		r.tx, r.err = r.conn.BeginTx(r.whole, nil)
	}
	return r.err
}

func (r *sharedWriting) commit() error {
	if r.tx == nil {
		return r.err
	}
	if err := r.tx.Commit(); err != nil {
		return &commitError{err}
	}
	return nil
}

// rollback is nothing after a commit.
func (r *sharedWriting) rollback() {
	if r.tx != nil {
		_ = r.tx.Rollback()
	}
}

func (r *sharedWriting) query(query string, args []any) (*sql.Rows, error) {
	if err := r.begin(); err != nil {
		return nil, err
	}
	return r.tx.QueryContext(r.ctx, r.w.rebind(query), numbers(args)...)
}

func (r *sharedWriting) exec(query string, args []any) (sql.Result, error) {
	if err := r.begin(); err != nil {
		return nil, err
	}
	return r.tx.ExecContext(r.ctx, r.w.rebind(query), numbers(args)...)
}

// numbers turns truth into 1 and 0, as which it is kept.
func numbers(args []any) []any {
	for i, a := range args {
		switch a {
		case true:
			args[i] = 1
		case false:
			args[i] = 0
		}
	}
	return args
}

// sharedReading runs queries on a pool. One that met a connection which is gone is
// run once more, on another; one that the database rolled back for the sake of a
// transaction, as it does where they are serializable, is run again.
type sharedReading struct {
	w   *shared
	ctx context.Context
	db  *sql.DB
}

func (r sharedReading) query(query string, args []any) (*sql.Rows, error) {
	ctx, cancel := context.WithTimeout(r.ctx, readFor)
	for try := 1; ; try++ {
		rows, err := r.db.QueryContext(ctx, r.w.rebind(query), numbers(args)...)
		if err == nil {
			context.AfterFunc(r.ctx, cancel) // the rows are read under it
			return rows, nil
		}
		lost, _ := r.w.engine.Lost(err)
		r.w.suspect(err)
		switch {
		case errors.Is(r.ctx.Err(), context.Canceled):
		case lost && try == 1 && ctx.Err() == nil, r.w.s.engine.Retryable(err) && ctx.Err() == nil:
			continue
		case lost:
			err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		cancel()
		return nil, err
	}
}

func (sharedReading) exec(string, []any) (sql.Result, error) {
	return nil, errors.New("store: a Reader changes nothing")
}

// moment is the database's time at a moment of this process's monotonic clock. It is
// no later than the database's own: it was read before the moment.
type moment struct{ database, here time.Time }

// Now is the database's time: what it was at the last look, and what has passed since
// on the monotonic clock. A clock of this machine that is set changes nothing.
func (w *shared) Now() time.Time {
	m := w.time.Load()
	return m.database.Add(time.Since(m.here))
}

// keepTime looks at the database's clock now and then, until close.
func (w *shared) keepTime(ctx context.Context) error {
	if err := w.lookAtClock(ctx); err != nil {
		return err
	}
	w.s.clock = w
	ctx, w.cancel = context.WithCancel(context.Background())
	w.wg.Go(func() {
		t := time.NewTicker(clockEvery)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				// Without an answer time goes on as it did.
				_ = w.lookAtClock(ctx)
			}
		}
	})
	return nil
}

func (w *shared) lookAtClock(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, clockBound)
	defer cancel()
	var ms int64
	if err := w.looks.QueryRowContext(ctx, w.engine.Clock()).Scan(&ms); err != nil {
		w.suspect(err)
		return err
	}
	m := &moment{time.UnixMilli(ms), time.Now()}
	if had := w.time.Load(); had != nil {
		// Never back: another server may have taken over, with another clock.
		if now := had.database.Add(m.here.Sub(had.here)); m.database.Before(now) {
			m.database = now
		}
	}
	w.time.Store(m)
	return nil
}
