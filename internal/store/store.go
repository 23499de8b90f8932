// Package store keeps Jeton's records in an SQL database: one SQL text for every
// engine, a record's type and its SQL side by side. It is concrete on purpose:
// the embedded engine runs inside the process, so tests use the real thing.
//
// Reading goes through a Reader, changing through Write, whose body gets a *Tx
// and no context: a body is repeatable, and no caller's impatience can cut a
// transaction that others share. On an engine with one writer the bodies that
// wait are committed together. Memory follows the database: what a body hands to
// Tx.AfterCommit runs after its commit is durable and before Write returns.
//
// Times are kept as Unix milliseconds; zero stands for "never". They come from
// the database's clock: Tx.Now and Store.Now.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jeton-auth/jeton/internal/clock"
)

// Engine is a database that Jeton can live in.
type Engine interface {
	// Open gives a pool of connections for reading, and for writing too unless
	// the engine is a SingleWriter.
	Open(dsn string) (*sql.DB, error)
	// Migrations holds the files NNN_name.sql, each applied once and in order.
	Migrations() fs.FS
	// Retryable tells whether a transaction that failed with err may be run again.
	Retryable(err error) bool
	// Conflict tells whether err says that a unique key exists already.
	Conflict(err error) bool
}

// SingleWriter is an Engine in which one connection writes at a time. Store then
// commits the bodies that wait together, in one transaction.
type SingleWriter interface {
	OpenWriter(dsn string) (*sql.DB, error)
}

// Shared is an Engine that many nodes use at once, each writing over many
// connections.
type Shared interface {
	// Rebind gives a query, whose parameters are question marks, in the engine's form.
	Rebind(query string) string
	// Lost tells whether err says that the database could not be asked, or did not
	// answer. unsent is true where it certainly did nothing.
	Lost(err error) (lost, unsent bool)
	// Clock is a query for the database's clock in Unix milliseconds.
	Clock() string
}

// ErrNotFound says that no such record exists.
var ErrNotFound = errors.New("store: no such record")

// ErrConflict says that a record with this key exists already. A body that meets it must
// return it: a shared database takes nothing more in that transaction.
var ErrConflict = errors.New("store: the record exists already")

// ErrClosed says that the store was closed before the transaction began.
var ErrClosed = errors.New("store: closed")

// ErrUnavailable says that the database could not be asked, or did not answer in
// time. What was to be written is there or not: nobody can tell.
var ErrUnavailable = errors.New("store: the database is not available")

// Store is an open database. It is safe for concurrent use.
type Store struct {
	engine Engine
	clock  clock.Clock
	log    *slog.Logger
	read   *sql.DB
	write  interface {
		do(ctx context.Context, body func(*Tx) error) error
		close() error
	}
	shared *shared  // nil with a single writer
	stmts  sync.Map // query text → *sql.Stmt on read
	noted  atomic.Uint64
	schema Schema // as Open left it
	Outage Outages
}

// Open opens the database, applies the migrations that it lacks and starts the
// writer. Close ends it. Where c is nil the engine is Shared, and time is the
// database's own.
func Open(ctx context.Context, engine Engine, dsn string, c clock.Clock, log *slog.Logger) (*Store, error) {
	db, err := engine.Open(dsn)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{engine: engine, clock: c, log: log, read: db}
	switch e := engine.(type) {
	case SingleWriter:
		wdb, err := e.OpenWriter(dsn)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open store: %w", err), db.Close())
		}
		if s.write, err = newWriter(ctx, s, wdb); err != nil {
			return nil, errors.Join(fmt.Errorf("open store: %w", err), wdb.Close(), db.Close())
		}
	case Shared:
		looks, err := engine.Open(dsn)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open store: %w", err), db.Close())
		}
		s.shared = newShared(s, e, looks)
		s.write = s.shared
		if c == nil {
			if err := s.shared.keepTime(ctx); err != nil {
				return nil, errors.Join(fmt.Errorf("open store: %w", err), s.Close())
			}
		}
	default:
		return nil, errors.Join(errors.New("open store: the engine has neither a single writer nor many"), db.Close())
	}
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close waits for the transactions that have begun and closes the database.
func (s *Store) Close() error {
	werr := s.write.close()
	return errors.Join(werr, s.read.Close())
}

// Shared tells whether other nodes may use the same database: then what memory holds
// may be behind.
func (s *Store) Shared() bool { return s.shared != nil }

// Now is the time by the database's clock. With an embedded engine that is the
// process's own.
func (s *Store) Now() time.Time { return s.clock.Now() }

// Write runs body in a transaction and returns when it is durable, or has left no
// trace. Where the transaction cannot be decided it may run body more than once.
// A ctx that ends before body began stops it; later it is ignored.
func (s *Store) Write(ctx context.Context, body func(*Tx) error) error {
	return s.write.do(ctx, body)
}

// WriteOne is Write for a body of one statement at most: where nodes share the
// database it is sent without a BEGIN and a COMMIT around it.
func (s *Store) WriteOne(ctx context.Context, body func(*Tx) error) error {
	if s.shared != nil {
		return s.shared.keepTrying(ctx, time.Now(), s.shared.single, body)
	}
	return s.write.do(ctx, body)
}

// Read gives a Reader over committed rows.
func (s *Store) Read(ctx context.Context) Reader {
	if s.shared != nil {
		return Reader{run: sharedReading{s.shared, ctx, s.read}}
	}
	return Reader{run: reading{s, ctx}}
}

// Look is Read for what tells a node where the others are. It has connections of its
// own: writes that wait for each other take all others.
func (s *Store) Look(ctx context.Context) Reader {
	if s.shared != nil {
		return Reader{run: sharedReading{s.shared, ctx, s.shared.looks}}
	}
	return s.Read(ctx)
}

// Ping tells whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	return s.read.QueryRowContext(ctx, "SELECT 1").Scan(&one)
}

// Reader reads records: committed ones, or within a Tx its own writes as well.
type Reader struct{ run runner }

// runner runs one statement.
type runner interface {
	query(query string, args []any) (*sql.Rows, error)
	exec(query string, args []any) (sql.Result, error)
}

// reading runs queries on the pool. The statements are point reads of an embedded
// database: they are over before a cancellation could reach them, so the context
// is looked at once, before.
type reading struct {
	s   *Store
	ctx context.Context
}

func (r reading) query(query string, args []any) (*sql.Rows, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	st, err := r.s.prepared(query)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(context.Background(), args...)
}

func (reading) exec(string, []any) (sql.Result, error) {
	return nil, errors.New("store: a Reader changes nothing")
}

func (s *Store) prepared(query string) (*sql.Stmt, error) {
	if st, ok := s.stmts.Load(query); ok {
		return st.(*sql.Stmt), nil
	}
	st, err := s.read.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if had, loaded := s.stmts.LoadOrStore(query, st); loaded {
		st.Close()
		return had.(*sql.Stmt), nil
	}
	return st, nil
}

// Tx is a transaction under way. It must not outlive its body.
type Tx struct {
	Reader
	s        *Store
	now      time.Time
	after    []func()
	events   [][]any // rows of audit, and
	appended []*Revocation
	numbered []func() error // what is left to do when the body has ended: see finish
}

// Now is the transaction's time by the database's clock.
func (tx *Tx) Now() time.Time { return tx.now }

// AfterCommit has f run once the transaction is durable, before Write returns. f
// runs on the writer's goroutine and must be quick; it is dropped when the
// transaction is rolled back.
func (tx *Tx) AfterCommit(f func()) { tx.after = append(tx.after, f) }

// change runs a statement and returns how many rows it changed.
func (tx *Tx) change(query string, args ...any) (int64, error) {
	if err := good(args); err != nil {
		return 0, err
	}
	res, err := tx.run.exec(query, args)
	if err != nil {
		if tx.s.engine.Conflict(err) {
			return 0, ErrConflict
		}
		return 0, fmt.Errorf("store: %w", err)
	}
	return res.RowsAffected()
}

// one changes exactly one row, or returns ErrNotFound.
func (tx *Tx) one(query string, args ...any) error {
	n, err := tx.change(query, args...)
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

// scanner is a *sql.Rows at a row.
type scanner interface{ Scan(dest ...any) error }

// get reads at most one row into a T.
func get[T any](r Reader, scan func(scanner) (T, error), query string, args ...any) (T, error) {
	var none T
	if err := good(args); err != nil {
		return none, err
	}
	rows, err := r.run.query(query, args)
	if err != nil {
		return none, fmt.Errorf("store: %w", err)
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return none, fmt.Errorf("store: %w", err)
		}
		return none, ErrNotFound
	}
	v, err := scan(rows)
	if err != nil {
		return none, fmt.Errorf("store: %w", err)
	}
	return v, nil
}

// list reads every row into a T.
func list[T any](r Reader, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	if err := good(args); err != nil {
		return nil, err
	}
	rows, err := r.run.query(query, args)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		all = append(all, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return all, nil
}

// scanOne reads a row of a single column.
func scanOne[T any](row scanner) (v T, err error) {
	err = row.Scan(&v)
	return v, err
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
