// Package password keeps passwords as argon2id hashes and judges new ones. The
// memory and processor time that hashing may take at once is bounded, so that a
// flood of logins waits or is turned away, and a name that nobody has costs as
// much as one that somebody has.
package password

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"github.com/jeton-auth/jeton/internal/secret"
)

// Params are the costs of one argon2id hash (RFC 9106 §3.1).
type Params struct {
	Memory      uint32 // KiB
	Iterations  uint32
	Parallelism uint8
}

// Default is what OWASP's Password Storage Cheat Sheet recommends.
var Default = Params{Memory: 19456, Iterations: 2, Parallelism: 1}

const (
	saltLength = 16
	keyLength  = 32
)

// ErrBusy says that as many hashes wait as may wait. Answer 503 with Retry-After.
var ErrBusy = errors.New("password: too many passwords are being checked; try again in a moment")

// Hasher makes and verifies hashes, a bounded number at once. It is safe for
// concurrent use.
type Hasher struct {
	params  Params
	slots   chan struct{}
	queue   int64
	waiting atomic.Int64
	key     func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte
}

// New makes a Hasher that runs at most concurrent hashes at once, while at most
// queue callers wait. New hashes cost p; the zero Params stand for Default.
func New(p Params, concurrent, queue int) *Hasher {
	if p == (Params{}) {
		p = Default
	}
	return &Hasher{params: p, slots: make(chan struct{}, max(concurrent, 1)), queue: int64(queue), key: argon2.IDKey}
}

// Hash is the PHC string of a password, which Check should have passed. The
// errors are ErrTooLong, ErrNotText, ErrBusy and ctx's own.
func (h *Hasher) Hash(ctx context.Context, password string) (phc string, err error) {
	text, err := normal(password)
	if err != nil {
		return "", err
	}
	made := hash{Params: h.params, salt: secret.Bytes(saltLength), key: make([]byte, keyLength)}
	if made.key, err = h.derive(ctx, text, made); err != nil {
		return "", err
	}
	return made.String(), nil
}

// Verify tells whether the password is the one that phc was made of, and whether
// it should be hashed anew because its costs are no longer the ones in force. An
// empty phc, for an unknown user or one without a password, takes the same work
// and gives false. An error that is neither ErrBusy nor ctx's own says that phc is
// no hash that can be used here; it took the same work too.
func (h *Hasher) Verify(ctx context.Context, phc, password string) (ok, rehash bool, err error) {
	// What stands in for a hash that is not there: any salt and key will do, as
	// the outcome is settled.
	stored := hash{Params: h.params, salt: make([]byte, saltLength), key: make([]byte, keyLength)}
	known := phc != ""
	var bad error
	if known {
		if parsed, err := parse(phc); err != nil {
			known, bad = false, err
		} else {
			stored = parsed
		}
	}
	text, err := normal(password)
	if err != nil {
		known = false
	}
	key, err := h.derive(ctx, text, stored)
	if err != nil {
		return false, false, err
	}
	ok = subtle.ConstantTimeCompare(key, stored.key) == 1 && known
	return ok, ok && !stored.current(h.params), bad
}

// derive waits for a slot and computes the key that text has under like's costs
// and salt.
func (h *Hasher) derive(ctx context.Context, text []byte, like hash) ([]byte, error) {
	if err := h.enter(ctx); err != nil {
		return nil, err
	}
	defer func() { <-h.slots }()
	return h.key(text, like.salt, like.Iterations, like.Memory, like.Parallelism, uint32(len(like.key))), nil
}

func (h *Hasher) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case h.slots <- struct{}{}:
		return nil
	default:
	}
	defer h.waiting.Add(-1)
	if h.waiting.Add(1) > h.queue {
		return ErrBusy
	}
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// normal is the one form in which a password is measured and hashed: Unicode NFC
// (NIST SP 800-63B-4 §3.1.1.2), whatever keyboard typed it.
func normal(password string) ([]byte, error) {
	const expansion = 3 // NFC shortens a text to a third of its octets at most
	if len(password) > expansion*MaxBytes {
		return nil, ErrTooLong
	}
	if !utf8.ValidString(password) {
		return nil, ErrNotText
	}
	text := norm.NFC.Bytes([]byte(password))
	if len(text) > MaxBytes {
		return nil, ErrTooLong
	}
	return text, nil
}

// current tells whether a hash is as strong as one made now would be.
func (h hash) current(p Params) bool {
	return h.Params == p && len(h.salt) >= saltLength && len(h.key) >= keyLength
}

func (h hash) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.Memory, h.Iterations, h.Parallelism,
		b64.EncodeToString(h.salt), b64.EncodeToString(h.key))
}
