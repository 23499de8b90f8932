package manage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/config"
	"github.com/jeton-auth/jeton/internal/password"
	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/store"
)

// Apply makes the declared clients, resources and users true. What is as declared is
// not written; what an earlier file declared and this one does not goes; what was
// created otherwise stays. Users are created if absent and never overwritten.
func (m *Manager) Apply(ctx context.Context, c *config.Config) error {
	by := audit.Origin{Actor: "configuration"}
	for _, r := range c.Resources {
		row := store.Resource{Resource: r.Resource, Source: store.SourceConfig, SecretHash: hashOf(r.IntrospectionSecret)}
		if now, ok := m.Directory.Resource(r.ID); ok && same(now.Resource, r.Resource) && now.Source == row.Source && bytes.Equal(now.SecretHash, row.SecretHash) {
			continue
		}
		if err := m.putResource(ctx, by, row); err != nil {
			return err
		}
	}
	for _, cl := range c.Clients {
		row := store.Client{Client: cl.Client, Source: store.SourceConfig, SecretHash: hashOf(cl.Secret), OldSecretHash: hashOf(cl.OldSecret)}
		if now, ok := m.Directory.Client(cl.ID); ok && same(now.Client, cl.Client) && now.Source == row.Source && bytes.Equal(now.SecretHash, row.SecretHash) && bytes.Equal(now.OldSecretHash, row.OldSecretHash) {
			continue
		}
		if err := m.putClient(ctx, by, row); err != nil {
			return err
		}
	}
	if err := m.removeUndeclared(ctx, by, c); err != nil {
		return err
	}
	if err := m.keepKeys(ctx); err != nil {
		return err
	}
	for _, u := range c.Users {
		if err := m.seed(ctx, by, u); err != nil {
			return err
		}
	}
	return nil
}

func (m *Manager) removeUndeclared(ctx context.Context, by audit.Origin, c *config.Config) error {
	declared := map[string]bool{}
	for _, cl := range c.Clients {
		declared[cl.ID] = true
	}
	for _, cl := range m.Directory.Clients() {
		if cl.Source == store.SourceConfig && !declared[cl.ID] {
			if err := gone(m.DeleteClient(ctx, by, cl.ID)); err != nil {
				return err
			}
		}
	}
	clear(declared)
	for _, r := range c.Resources {
		declared[r.ID] = true
	}
	for _, r := range m.Directory.Resources() {
		if r.Source == store.SourceConfig && !declared[r.ID] {
			if err := gone(m.DeleteResource(ctx, by, r.ID)); err != nil {
				return err
			}
		}
	}
	return nil
}

// gone is nil also where another node, with the same file, was first.
func gone(err error) error {
	var missing *Missing
	if errors.As(err, &missing) {
		return nil
	}
	return err
}

func (m *Manager) seed(ctx context.Context, by audit.Origin, u config.User) error {
	_, err := m.Store.Read(ctx).UserByLogin(u.Email)
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	claims := maps.Clone(u.Claims)
	if u.Username != "" {
		if claims == nil {
			claims = map[string]any{}
		}
		claims["preferred_username"] = u.Username
	}
	row := store.User{
		ID: store.NewSubject(), Email: u.Email, EmailVerified: u.EmailVerified, Name: u.Name,
		Roles: u.Roles, Groups: u.Groups, Claims: claims,
	}
	if text := u.Password.Reveal(); text != "" {
		// Its length was checked with the file. What is easy to guess is the operator's
		// own choice: it is told, not refused.
		if err := password.Check(text, m.Product, u.Email, u.Name); err != nil {
			m.Log.Warn("the password of a declared user is easy to guess", slog.String("email", u.Email), slog.String("advice", err.Error()))
		}
		if row.Password, err = m.Hasher.Hash(ctx, text); err != nil {
			return err
		}
	}
	err = m.addUser(ctx, by, &row)
	if errors.Is(err, store.ErrConflict) {
		return nil // another node that starts now was first
	}
	return err
}

func hashOf(s secret.Text) []byte {
	if s == "" {
		return nil
	}
	return secret.Hash(s.Reveal())
}

// same compares two declarations as they would be stored.
func same(a, b any) bool {
	x, xerr := json.Marshal(a)
	y, yerr := json.Marshal(b)
	return xerr == nil && yerr == nil && bytes.Equal(x, y)
}
