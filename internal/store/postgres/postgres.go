// Package postgres is the engine for databases that speak PostgreSQL's protocol and
// that many nodes share. It needs no extension, trigger, advisory lock or LISTEN,
// so that CockroachDB, YugabyteDB and Citus serve too.
package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Engine is a store.Engine and store.Shared. The DSN is a postgres:// URL; besides
// what libpq knows, it may have pool_max_conns, and several hosts.
type Engine struct{}

// Settings of every connection, unless the URL has its own.
var settings = map[string]string{
	"application_name":  "jeton",
	"statement_timeout": "10s",
	"lock_timeout":      "4s",
	// A node that stands still, or is cut off, in the middle of a transaction keeps what it
	// locked from the others: the head of the revocation log, for one.
	"idle_in_transaction_session_timeout": "2s",
	"synchronous_commit":                  "on",
}

const (
	// connectTimeout is for each host: of two, one that is silent must leave time for the
	// other within what a request waits.
	connectTimeout = 1500 * time.Millisecond
	startTimeout   = 10 * time.Second
	maxLifetime    = 30 * time.Minute
	maxIdle        = 5 * time.Minute
	poolMax        = "pool_max_conns"
)

// Open gives the pool, for reading and writing: its connections are to a server that
// takes writes. A server that acknowledges what is not durable is refused.
func (e *Engine) Open(dsn string) (*sql.DB, error) {
	c, conns, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	db := stdlib.OpenDB(*c)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	db.SetConnMaxLifetime(maxLifetime)
	db.SetConnMaxIdleTime(maxIdle)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := durable(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func parse(dsn string) (c *pgx.ConnConfig, conns int, err error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, 0, errors.New("postgres: store is not a URL such as postgres://jeton@db.example.com/jeton") // the text may hold a password
	}
	conns = max(16, 8*runtime.GOMAXPROCS(0))
	q := u.Query()
	if text := q.Get(poolMax); text != "" {
		if conns, err = strconv.Atoi(text); err != nil || conns < 2 || conns > 1000 {
			return nil, 0, fmt.Errorf("postgres: %s is not a number from 2 to 1000", poolMax)
		}
		q.Del(poolMax)
		u.RawQuery = q.Encode()
	}
	if c, err = pgx.ParseConfig(u.String()); err != nil {
		return nil, 0, fmt.Errorf("postgres: %w", err) // pgconn leaves the password out
	}
	for name, value := range settings {
		if _, ok := c.RuntimeParams[name]; !ok {
			c.RuntimeParams[name] = value
		}
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	if c.ValidateConnect == nil {
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	return c, conns, nil
}

// durable refuses a server that acknowledges commits before they are on a disk.
func durable(ctx context.Context, db *sql.DB) error {
	var is string
	if err := db.QueryRowContext(ctx, "SHOW synchronous_commit").Scan(&is); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	if is == "off" {
		return errors.New("postgres: synchronous_commit is off: an acknowledged revocation could be lost. Take it out of the URL, or set it to on for this database's user")
	}
	return nil
}

// Migrations holds the schema.
func (*Engine) Migrations() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the embedded directory is part of the program
	}
	return sub
}

// Rebind numbers the parameters.
func (*Engine) Rebind(query string) string {
	var b strings.Builder
	n := 0
	for {
		before, rest, found := strings.Cut(query, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		n++
		b.WriteString("$" + strconv.Itoa(n))
		query = rest
	}
}

// Clock is the database's clock in Unix milliseconds.
func (*Engine) Clock() string {
	return `SELECT CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS bigint)`
}

// SQLSTATE codes (PostgreSQL documentation, appendix A).
const (
	uniqueViolation      = "23505"
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	lockNotAvailable     = "55P03"
	idleTransaction      = "25P03"
)

func code(err error) string {
	var pe *pgconn.PgError
	if !errors.As(err, &pe) {
		return ""
	}
	return pe.Code
}

// Retryable is true where the transaction was rolled back for the sake of another.
func (*Engine) Retryable(err error) bool {
	c := code(err)
	return c == serializationFailure || c == deadlockDetected || c == lockNotAvailable
}

// Conflict is true where a unique or primary key exists already.
func (*Engine) Conflict(err error) bool { return code(err) == uniqueViolation }

// Lost tells whether the database could not be asked, or did not answer.
func (*Engine) Lost(err error) (lost, unsent bool) {
	var ce *pgconn.ConnectError
	switch {
	case err == nil:
		return false, false
	case pgconn.SafeToRetry(err), errors.As(err, &ce), errors.Is(err, driver.ErrBadConn):
		return true, true
	}
	switch c := code(err); {
	case c == idleTransaction: // rolled back, and the connection closed
		return true, true
	case strings.HasPrefix(c, "08"), strings.HasPrefix(c, "57P"), c == "57014", c == "25006", strings.HasPrefix(c, "53"), c == "58030":
		// Connections, shutdown, timeout, a standby, no resources, an I/O error.
		return true, c == "57P03" || c == "53300"
	case c != "":
		return false, false
	}
	var ne net.Error
	return errors.As(err, &ne) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, sql.ErrConnDone), false
}
