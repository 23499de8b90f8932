package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/config"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/store/postgres"
	"github.com/jeton-auth/jeton/internal/store/sqlite"
)

const sqliteScheme = "sqlite:"

// engine is the one that a configuration's store names, with its DSN.
func engine(name string) (store.Engine, string) {
	if path, ok := strings.CutPrefix(name, sqliteScheme); ok {
		return &sqlite.Engine{}, path
	}
	return &postgres.Engine{}, name
}

// OpenStore opens the database that a configuration's store names, without a server on
// it. ErrInUse: a server runs on an embedded one. Only where create is true may there
// be none yet.
func OpenStore(ctx context.Context, name string, create bool, log *slog.Logger) (st *store.Store, end func() error, err error) {
	e, dsn := engine(name)
	var c clock.Clock
	if _, embedded := e.(store.SingleWriter); embedded {
		if _, err := os.Stat(dsn); err != nil && !create {
			return nil, nil, fmt.Errorf("there is no database %s: %w", dsn, err)
		}
		c = clock.NewSteady(clock.System{})
	}
	if st, err = store.Open(ctx, e, dsn, c, log); err != nil {
		return nil, nil, errors.Join(err, closeEngine(e))
	}
	return st, func() error { return errors.Join(st.Close(), closeEngine(e)) }, nil
}

// closeEngine releases what an engine holds besides its pools.
func closeEngine(e store.Engine) error {
	if c, ok := e.(interface{ Close() error }); ok {
		return c.Close()
	}
	return nil
}

// ErrInUse says that another process has the embedded database open.
var ErrInUse = sqlite.ErrInUse

// errShared says that a command needs no running server.
var errShared = errors.New("the database is shared: a command opens it beside the servers")

// SocketPath is where a running server hears commands; with a shared database they
// need none, and the error says so.
func SocketPath(c *config.Config) (string, error) {
	path, ok := strings.CutPrefix(c.Store, sqliteScheme)
	if !ok {
		return "", errShared
	}
	return filepath.Join(filepath.Dir(path), "jeton.sock"), nil
}
