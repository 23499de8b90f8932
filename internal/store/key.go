package store

import "time"

// Key is one key of the ring, or one random root of MAC or AEAD keys.
type Key struct {
	ID        string // kid of a signing key
	Number    int64  // short id of a root, named in the tokens made with it
	Purpose   string
	Alg       string
	State     string
	Public    []byte // PKIX, for signing keys
	Sealed    []byte // private key or root, sealed under the key-encryption key
	CreatedAt time.Time
	ActiveAt  time.Time // when it began to sign
	RetiredAt time.Time // when it ceased to
}

// Keys reads the whole ring, oldest first.
func (r Reader) Keys() ([]Key, error) {
	return list(r, func(row scanner) (k Key, err error) {
		var created, active, retired int64
		err = row.Scan(&k.ID, &k.Number, &k.Purpose, &k.Alg, &k.State, &k.Public, &k.Sealed, &created, &active, &retired)
		k.CreatedAt, k.ActiveAt, k.RetiredAt = fromMillis(created), fromMillis(active), fromMillis(retired)
		return k, err
	}, `SELECT id, number, purpose, alg, state, public, sealed, created_at, active_at, retired_at FROM keys ORDER BY created_at, id`)
}

// CreateKey adds a key.
func (tx *Tx) CreateKey(k Key) error {
	_, err := tx.change(`INSERT INTO keys (id, number, purpose, alg, state, public, sealed, created_at, active_at, retired_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		k.ID, k.Number, k.Purpose, k.Alg, k.State, notNil(k.Public), k.Sealed, millis(tx.now), millis(k.ActiveAt), millis(k.RetiredAt))
	return err
}

// MoveKey changes a key's state and the times that go with it.
func (tx *Tx) MoveKey(id, state string, activeAt, retiredAt time.Time) error {
	return tx.one(`UPDATE keys SET state = ?, active_at = ?, retired_at = ? WHERE id = ?`, state, millis(activeAt), millis(retiredAt), id)
}

// DeleteKey removes a key for good.
func (tx *Tx) DeleteKey(id string) error {
	return tx.one(`DELETE FROM keys WHERE id = ?`, id)
}
