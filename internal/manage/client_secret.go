package manage

import (
	"context"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/store"
)

// MaxOverlap bounds how long the secret before the present one may be taken.
const MaxOverlap = 90 * 24 * time.Hour

// NewClientSecret gives a client a new secret. The old one is taken for as long as overlap
// says, so that the client's instances can change one by one; with 0 it is dead at once.
// The one before that is dead in any case.
func (m *Manager) NewClientSecret(ctx context.Context, by audit.Origin, id string, overlap time.Duration) (secret.Text, error) {
	row, err := m.withSecret(id)
	if err != nil {
		return "", err
	}
	if overlap < 0 || overlap > MaxOverlap {
		return "", invalid("an overlap of %s is out of bounds: give 0 to %d hours", overlap, int(MaxOverlap.Hours()))
	}
	made := secret.Random()
	old := row.SecretHash
	row.SecretHash, row.OldSecretHash, row.OldSecretUntil = secret.Hash(made.Reveal()), nil, time.Time{}
	if overlap > 0 {
		row.OldSecretHash, row.OldSecretUntil = old, m.Store.Now().Add(overlap)
	}
	return made, m.putClient(ctx, by, row)
}

// EndOldSecret kills the secret before the present one at once.
func (m *Manager) EndOldSecret(ctx context.Context, by audit.Origin, id string) error {
	row, err := m.withSecret(id)
	if err != nil {
		return err
	}
	if !row.Overlaps(m.Store.Now()) {
		return invalid("client %q has one secret alone", id)
	}
	row.OldSecretHash, row.OldSecretUntil = nil, time.Time{}
	return m.putClient(ctx, by, row)
}

// withSecret is a copy of a client whose secret is ours to change.
func (m *Manager) withSecret(id string) (store.Client, error) {
	c, ok := m.Directory.Client(id)
	switch {
	case !ok:
		return store.Client{}, &Missing{"client", id}
	case !c.AuthMethod.HasSecret():
		return store.Client{}, invalid("client %q has no secret: it authenticates by %s", id, c.AuthMethod)
	case c.Source == store.SourceConfig:
		return store.Client{}, invalid("client %q is declared in the configuration: change its secret there; old_secret keeps the old one for a while", id)
	}
	return *c, nil
}
