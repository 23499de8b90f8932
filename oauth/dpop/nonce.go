package dpop

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// NonceLifetime is how long a nonce is fresh. Half of it passes before a new one is
// given out to everybody, so that the same one serves many.
const NonceLifetime = 5 * time.Minute

const (
	nonceTime = 8
	nonceTag  = 16
)

// Nonces makes nonces (RFC 9449 §8) that nobody needs to remember: the time under a MAC.
// All nodes with the same key take each other's. The key is secret and has 32 random
// bytes.
type Nonces []byte

// Make is the nonce to give out now.
func (k Nonces) Make(now time.Time) string {
	return k.at(now.Truncate(NonceLifetime / 2).Unix())
}

func (k Nonces) at(unix int64) string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, nonceTime+nonceTag), uint64(unix))
	m := hmac.New(sha256.New, k)
	m.Write([]byte("dpop nonce\x00"))
	m.Write(b)
	return base64.RawURLEncoding.EncodeToString(append(b, m.Sum(nil)[:nonceTag]...))
}

// Fresh tells whether a nonce was made by the key within NonceLifetime of now.
func (k Nonces) Fresh(nonce string, now time.Time) bool {
	b, ok := raw(nonce)
	if !ok || len(b) != nonceTime+nonceTag {
		return false
	}
	made := int64(binary.BigEndian.Uint64(b))
	if !hmac.Equal([]byte(k.at(made)), []byte(nonce)) {
		return false
	}
	age := now.Sub(time.Unix(made, 0))
	// The clock of the node that made it may be a little ahead.
	return age <= NonceLifetime && age >= -NonceLifetime/2
}
