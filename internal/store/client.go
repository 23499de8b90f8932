package store

import (
	"encoding/json"
	"time"

	"github.com/jeton-auth/jeton/internal/spec"
)

// Source says where a client or resource was declared. Applying a configuration
// file changes only what came from one.
type Source string

const (
	SourceConfig  Source = "config"
	SourceAPI     Source = "api"
	SourceBuiltin Source = "builtin" // every issuer has it; it has no row
)

// Client is a registered client with what the issuer keeps about it.
type Client struct {
	spec.Client
	SecretHash []byte // SHA-256; empty for public clients
	// OldSecretHash is that of the secret before, while one replaces the other: it is taken
	// too until OldSecretUntil, or without an end where that is zero. Empty: none is.
	OldSecretHash  []byte
	OldSecretUntil time.Time
	Source         Source
	Disabled       bool
	Cutoff         int64 // grants with a lower rev are dead
	// Generation is a part of the handle of the client's own tokens. It begins at the
	// head and never passes it, so that a later client of the same id has none of its.
	Generation int64
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// Overlaps tells whether the secret before the present one is taken too.
func (c *Client) Overlaps(now time.Time) bool {
	return len(c.OldSecretHash) > 0 && (c.OldSecretUntil.IsZero() || now.Before(c.OldSecretUntil))
}

const clientColumns = `SELECT id, spec, secret_hash, old_secret_hash, old_secret_until, source, disabled, cutoff, generation, created_at, updated_at FROM clients`

func scanClient(row scanner) (c Client, err error) {
	var id, text string
	var created, updated, until int64
	if err := row.Scan(&id, &text, &c.SecretHash, &c.OldSecretHash, &until, &c.Source, &c.Disabled, &c.Cutoff, &c.Generation, &created, &updated); err != nil {
		return c, err
	}
	c.CreatedAt, c.UpdatedAt, c.OldSecretUntil = fromMillis(created), fromMillis(updated), fromMillis(until)
	return c, json.Unmarshal([]byte(text), &c.Client)
}

// Client reads one client.
func (r Reader) Client(id string) (Client, error) {
	return get(r, scanClient, clientColumns+` WHERE id = ?`, id)
}

// Clients reads all clients, by id.
func (r Reader) Clients() ([]Client, error) {
	return list(r, scanClient, clientColumns+` ORDER BY id`)
}

// PutClient creates the client or replaces its declaration and secrets; its
// cutoff, generation, creation time and whether it is disabled stay. A new client takes over
// nothing from one that had its id before: what has a lower rev than the head is dead.
func (tx *Tx) PutClient(c Client) error {
	text, err := json.Marshal(c.Client)
	if err != nil {
		return err
	}
	_, err = tx.change(`INSERT INTO clients (id, spec, secret_hash, old_secret_hash, old_secret_until, source, disabled, cutoff, generation, created_at, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, coalesce((SELECT head FROM issuer), 0), coalesce((SELECT head FROM issuer), 0), ?, ?)
		ON CONFLICT (id) DO UPDATE SET spec = excluded.spec, secret_hash = excluded.secret_hash,
			old_secret_hash = excluded.old_secret_hash, old_secret_until = excluded.old_secret_until,
			source = excluded.source, updated_at = excluded.updated_at`,
		c.ID, string(text), notNil(c.SecretHash), notNil(c.OldSecretHash), millis(c.OldSecretUntil), c.Source, c.Disabled, millis(tx.now), millis(tx.now))
	return err
}

// DisableClient switches a client off or on.
func (tx *Tx) DisableClient(id string, disabled bool) error {
	return tx.one(`UPDATE clients SET disabled = ?, updated_at = ? WHERE id = ?`, disabled, millis(tx.now), id)
}

// CutOffClient makes every grant and token of the client with a rev under n dead.
func (tx *Tx) CutOffClient(id string, n int64) error {
	return tx.one(`UPDATE clients SET cutoff = CASE WHEN cutoff > ? THEN cutoff ELSE ? END WHERE id = ?`, n, n, id)
}

// RenewClient gives the client's own tokens another handle than that of a generation,
// from now on. A revocation of the handle before belongs in the same transaction. won
// is false when the client is gone or has another generation.
func (tx *Tx) RenewClient(id string, generation int64) (won bool, err error) {
	n, err := tx.change(`UPDATE clients SET generation = generation + 1 WHERE id = ? AND generation = ?`, id, generation)
	return n == 1, err
}

// DeleteClient removes a client.
func (tx *Tx) DeleteClient(id string) error {
	return tx.one(`DELETE FROM clients WHERE id = ?`, id)
}

// Resource is a protected API with what the issuer keeps about it.
type Resource struct {
	spec.Resource
	SecretHash []byte // SHA-256; empty: the API may not introspect
	Source     Source
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

const resourceColumns = `SELECT id, spec, secret_hash, source, created_at, updated_at FROM resources`

func scanResource(row scanner) (r Resource, err error) {
	var id, text string
	var created, updated int64
	if err := row.Scan(&id, &text, &r.SecretHash, &r.Source, &created, &updated); err != nil {
		return r, err
	}
	r.CreatedAt, r.UpdatedAt = fromMillis(created), fromMillis(updated)
	return r, json.Unmarshal([]byte(text), &r.Resource)
}

// Resources reads all resources, by id.
func (r Reader) Resources() ([]Resource, error) {
	return list(r, scanResource, resourceColumns+` ORDER BY id`)
}

// Resource reads one resource.
func (r Reader) Resource(id string) (Resource, error) {
	return get(r, scanResource, resourceColumns+` WHERE id = ?`, id)
}

// PutResource creates the resource or replaces its declaration and secret. The
// issuer remembers the longest lifetime its tokens ever had.
func (tx *Tx) PutResource(r Resource) error {
	text, err := json.Marshal(r.Resource)
	if err != nil {
		return err
	}
	lifetime := r.AccessToken.Lifetime.Std().Milliseconds()
	if _, err := tx.change(`UPDATE issuer SET longest = ? WHERE longest < ?`, lifetime, lifetime); err != nil {
		return err
	}
	_, err = tx.change(`INSERT INTO resources (id, spec, secret_hash, source, created_at, updated_at)
		VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET spec = excluded.spec, secret_hash = excluded.secret_hash,
			source = excluded.source, updated_at = excluded.updated_at`,
		r.ID, string(text), notNil(r.SecretHash), r.Source, millis(tx.now), millis(tx.now))
	return err
}

// DeleteResource removes a resource.
func (tx *Tx) DeleteResource(id string) error {
	return tx.one(`DELETE FROM resources WHERE id = ?`, id)
}

// notNil keeps an empty blob from becoming NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
