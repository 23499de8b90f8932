package manage

import (
	"context"
	"errors"
	"net/mail"
	"strings"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/password"
	"github.com/jeton-auth/jeton/internal/revoke"
	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// NewUser is what a user is created from.
type NewUser struct {
	Email         string         `json:"email"`
	EmailVerified bool           `json:"email_verified,omitempty"`
	Name          string         `json:"name,omitempty"`
	Password      string         `json:"password,omitempty"`
	Roles         []string       `json:"roles,omitempty"`
	Groups        []string       `json:"groups,omitempty"`
	Claims        map[string]any `json:"claims,omitempty"`
}

// CreateUser adds a user. Without a password nobody can log in as it yet.
func (m *Manager) CreateUser(ctx context.Context, by audit.Origin, n NewUser) (store.User, error) {
	n.Email = strings.TrimSpace(n.Email)
	if a, err := mail.ParseAddress(n.Email); err != nil || a.Address != n.Email {
		return store.User{}, invalid("email: %q is not an e-mail address", n.Email)
	}
	u := store.User{
		ID: store.NewSubject(), Email: n.Email, EmailVerified: n.EmailVerified, Name: n.Name,
		Roles: n.Roles, Groups: n.Groups, Claims: n.Claims,
	}
	if n.Password != "" {
		var err error
		if u.Password, err = m.hash(ctx, u, n.Password); err != nil {
			return u, err
		}
	}
	err := m.addUser(ctx, by, &u)
	return u, known(err, "user", u.Email)
}

func (m *Manager) addUser(ctx context.Context, by audit.Origin, u *store.User) error {
	return m.Audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		now := tx.Now().Truncate(time.Millisecond) // as it is kept
		u.CreatedAt, u.UpdatedAt = now, now
		return audit.Event{Type: audit.UserCreated, Subject: u.ID, Origin: by}, tx.CreateUser(*u)
	})
}

func (m *Manager) hash(ctx context.Context, u store.User, text string) (string, error) {
	if err := password.Check(text, m.Product, u.Email, u.Name); err != nil {
		return "", invalid("password: %s", err)
	}
	return m.Hasher.Hash(ctx, text)
}

// FindUser reads a user by subject or e-mail address.
func (m *Manager) FindUser(ctx context.Context, name string) (store.User, error) {
	u, err := m.Store.Read(ctx).User(name)
	if errors.Is(err, store.ErrNotFound) {
		u, err = m.Store.Read(ctx).UserByLogin(name)
	}
	return u, known(err, "user", name)
}

// SetPassword gives a user another password and ends all their sessions and grants.
func (m *Manager) SetPassword(ctx context.Context, by audit.Origin, name, text string) error {
	u, err := m.FindUser(ctx, name)
	if err != nil {
		return err
	}
	phc, err := m.hash(ctx, u, text)
	if err != nil {
		return err
	}
	return m.change(ctx, by, u.ID, audit.PasswordSet, "password_set", func(u *store.User) { u.Password = phc })
}

// GeneratePassword makes a password that Check accepts, for an account whose owner
// will be told it once.
func GeneratePassword() secret.Text { return secret.Text(secret.Random().Reveal()[:24]) }

// DisableUser switches a user off, with every session, grant and token, or on again:
// what they held before stays dead.
func (m *Manager) DisableUser(ctx context.Context, by audit.Origin, name string, disabled bool) error {
	u, err := m.FindUser(ctx, name)
	if err != nil {
		return err
	}
	if !disabled {
		return m.change(ctx, by, u.ID, audit.UserEnabled, "", func(u *store.User) { u.Disabled = false })
	}
	return m.change(ctx, by, u.ID, audit.UserDisabled, "user_disabled", func(u *store.User) { u.Disabled = true })
}

// change updates a user as they are in the transaction. With a cause it also cuts off
// all that the user holds.
func (m *Manager) change(ctx context.Context, by audit.Origin, subject string, t audit.Type, cause string, f func(*store.User)) error {
	err := m.Audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		e := audit.Event{Type: t, Subject: subject, Origin: by}
		if err := tx.LockUser(subject); err != nil {
			return e, err
		}
		u, err := tx.User(subject)
		if err != nil {
			return e, err
		}
		f(&u)
		if err := tx.UpdateUser(u); err != nil || cause == "" {
			return e, err
		}
		return e, m.cutOff(tx, subject, cause)
	})
	return known(err, "user", subject)
}

// cutOff kills everything that a subject holds.
func (m *Manager) cutOff(tx *store.Tx, subject, cause string) error {
	if err := tx.LockUser(subject); err != nil {
		return err
	}
	ended, err := tx.DeleteSessionsOf(subject)
	if err != nil {
		return err
	}
	if err := m.Grants.SessionsEnded(tx, ended...); err != nil {
		return err
	}
	cutoffs := []revoke.Entry{{Kind: feed.Subject, Value: subject}}
	for _, name := range m.Names.All(m.Directory.Clients(), subject) {
		cutoffs = append(cutoffs, revoke.Entry{Kind: feed.Subject, Value: name}) // as access tokens of pairwise clients have it
	}
	return m.Revoked.Add(tx, cause, cutoffs...)
}

// DeleteUser removes a user with all that they hold. The subject is never used again.
func (m *Manager) DeleteUser(ctx context.Context, by audit.Origin, name string) error {
	u, err := m.FindUser(ctx, name)
	if err != nil {
		return err
	}
	err = m.Audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		e := audit.Event{Type: audit.UserDeleted, Subject: u.ID, Origin: by}
		if err := m.cutOff(tx, u.ID, "user_deleted"); err != nil {
			return e, err
		}
		return e, errors.Join(tx.DeleteConsents(u.ID, ""), tx.DeleteUser(u.ID))
	})
	return known(err, "user", name)
}
