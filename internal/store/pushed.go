package store

import (
	"encoding/json"
	"time"
)

// Pushed is an authorization request that its client pushed (RFC 9126 §2). It is used
// when a flow that began with it is answered, and kept a while longer.
type Pushed struct {
	Key       []byte // hash of what its request_uri ends with
	Request   AuthorizationRequest
	Used      bool
	ExpiresAt time.Time // no flow begins with it any more
	KeptUntil time.Time // no flow that began with it is left
}

// Pushed reads a pushed request, used and expired ones too.
func (r Reader) Pushed(key []byte) (Pushed, error) {
	return get(r, func(row scanner) (p Pushed, err error) {
		var request string
		var expires, kept int64
		if err := row.Scan(&p.Key, &request, &p.Used, &expires, &kept); err != nil {
			return p, err
		}
		p.ExpiresAt, p.KeptUntil = fromMillis(expires), fromMillis(kept)
		return p, json.Unmarshal([]byte(request), &p.Request)
	}, `SELECT key, request, used <> 0, expires_at, kept_until FROM pushed_requests WHERE key = ?`, key)
}

// CreatePushed adds a pushed request.
func (tx *Tx) CreatePushed(p Pushed) error {
	request, err := json.Marshal(p.Request)
	if err != nil {
		return err
	}
	_, err = tx.change(`INSERT INTO pushed_requests (key, client, request, used, expires_at, kept_until) VALUES (?, ?, ?, 0, ?, ?)`,
		p.Key, p.Request.Client, string(request), millis(p.ExpiresAt), millis(p.KeptUntil))
	return err
}

// UsePushed notes that a flow which began with a pushed request is answered. won is
// false when another one was before.
func (tx *Tx) UsePushed(key []byte) (won bool, err error) {
	n, err := tx.change(`UPDATE pushed_requests SET used = 1 WHERE key = ? AND used = 0`, key)
	return n == 1, err
}

// PurgePushed removes up to limit pushed requests that no flow needs any more.
func (tx *Tx) PurgePushed(limit int) (int64, error) {
	return tx.change(`DELETE FROM pushed_requests WHERE key IN (SELECT key FROM pushed_requests WHERE kept_until < ? LIMIT ?)`, millis(tx.now), limit)
}
