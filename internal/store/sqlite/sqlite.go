// Package sqlite is the embedded engine: SQLite compiled to Go, in WAL mode, with
// every acknowledged write synced to the disk. One process owns the file; it
// holds a lock beside it for as long as it is open.
package sqlite

import (
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrInUse says that another process has the database open.
var ErrInUse = errors.New("another jeton process has this database open")

// Engine is a store.Engine and store.SingleWriter. The DSN is the file's path.
// An Engine opens one database; make another for the next.
type Engine struct {
	lock *os.File
}

const readers = 4

// Open gives the pool that reads.
func (e *Engine) Open(path string) (*sql.DB, error) {
	if err := e.acquire(path); err != nil {
		return nil, err
	}
	db, err := open(path, "query_only(1)", "cache_size(-1024)")
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	db.SetMaxOpenConns(readers)
	db.SetMaxIdleConns(readers)
	return db, nil
}

// OpenWriter gives the one connection that writes.
func (e *Engine) OpenWriter(path string) (*sql.DB, error) {
	db, err := open(path, "journal_mode(WAL)", "synchronous(FULL)", "cache_size(-8192)", "wal_autocheckpoint(4000)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	var mode string
	if err := db.QueryRow("PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		return nil, errors.Join(fmt.Errorf("sqlite: %s does not take WAL mode (it has %q); put it on a local disk", path, mode), err, db.Close())
	}
	return db, nil
}

// Close releases the lock; the pools are closed by whoever opened them.
func (e *Engine) Close() error {
	if e.lock == nil {
		return nil
	}
	err := e.lock.Close()
	e.lock = nil
	return err
}

// Migrations holds the schema.
func (*Engine) Migrations() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the embedded directory is part of the program
	}
	return sub
}

// Retryable is true where another connection held a lock.
func (*Engine) Retryable(err error) bool {
	c := code(err)
	return c == lib.SQLITE_BUSY || c == lib.SQLITE_LOCKED
}

// Conflict is true where a unique or primary key exists already.
func (*Engine) Conflict(err error) bool {
	var se *sqlite.Error
	return errors.As(err, &se) && (se.Code() == lib.SQLITE_CONSTRAINT_PRIMARYKEY || se.Code() == lib.SQLITE_CONSTRAINT_UNIQUE)
}

// code is the primary result code.
func code(err error) int {
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return 0
	}
	return se.Code() & 0xff
}

func open(path string, pragmas ...string) (*sql.DB, error) {
	q := url.Values{"_pragma": append([]string{"busy_timeout(5000)"}, pragmas...)}
	return sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
}

// acquire takes the lock beside the database, making the directory if need be.
func (e *Engine) acquire(path string) error {
	if e.lock != nil {
		return errors.New("sqlite: this engine has a database open already")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	if err := lockFile(f); err != nil {
		return errors.Join(fmt.Errorf("sqlite: %s: %w", path, ErrInUse), f.Close())
	}
	// The database holds hashes and sealed keys: it is its owner's alone.
	db, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return errors.Join(fmt.Errorf("sqlite: %w", err), f.Close())
	}
	e.lock = f
	return db.Close()
}
