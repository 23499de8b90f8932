// Package manage holds each act of administration once: the configuration file, the
// command line and every API call the same functions, and each act is audited in the
// transaction that does it.
package manage

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/directory"
	"github.com/jeton-auth/jeton/internal/grant"
	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/password"
	"github.com/jeton-auth/jeton/internal/revoke"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/subject"
	"github.com/jeton-auth/jeton/internal/tokens"
)

// Manager administers one issuer.
type Manager struct {
	Store     *store.Store
	Audit     *audit.Log
	Directory *directory.Directory
	Ring      *keys.Ring
	Revoked   *revoke.Log
	Grants    *grant.Grants
	Reader    *tokens.Reader
	Revoker   *tokens.Revoker
	Names     *subject.Names
	Hasher    *password.Hasher
	Log       *slog.Logger
	// Product is a word that no password may be made of, besides the person's own.
	Product string
	// Issuer is the issuer's identifier: no resource may stand for it or below it.
	Issuer string
	// Profile is that of clients that name none, Certificates whether those of TLS clients
	// arrive.
	Profile      spec.Profile
	Certificates bool
}

// Invalid says that what was asked can't be done as it was asked; its text tells what
// to change.
type Invalid struct{ Text string }

func (e *Invalid) Error() string { return e.Text }

func invalid(format string, args ...any) error { return &Invalid{fmt.Sprintf(format, args...)} }

// problems turns what spec found into one error.
func problems(found []spec.Problem) error {
	if len(found) == 0 {
		return nil
	}
	lines := make([]string, len(found))
	for i, p := range found {
		lines[i] = p.Field + ": " + p.Message
	}
	return &Invalid{strings.Join(lines, "\n")}
}

// known turns the store's errors about keys into the caller's terms.
func known(err error, what, id string) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return &Missing{what, id}
	case errors.Is(err, store.ErrConflict):
		return invalid("a %s %q exists already", what, id)
	}
	return err
}

// Missing says that what was named does not exist.
type Missing struct{ What, ID string }

func (e *Missing) Error() string { return fmt.Sprintf("there is no %s %q", e.What, e.ID) }

// knownResources are the resources that there are, as a client's validation asks for them.
func (m *Manager) knownResources() spec.Resources {
	all := m.Directory.Resources()
	out := make(spec.Resources, len(all))
	for i, r := range all {
		out[i] = r.Resource
	}
	return out
}
