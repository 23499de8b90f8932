package server

import (
	"errors"
	"path/filepath"
	"strings"

	"github.com/jeton-auth/jeton/internal/config"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/store/postgres"
	"github.com/jeton-auth/jeton/internal/store/sqlite"
)

const sqliteScheme = "sqlite:"

// engine is the one that a configuration's store names, with its DSN.
func engine(c *config.Config) (store.Engine, string) {
	if path, ok := strings.CutPrefix(c.Store, sqliteScheme); ok {
		return &sqlite.Engine{}, path
	}
	return &postgres.Engine{}, c.Store
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
