// Package limit slows down guessing. It counts failures in the store, so that a
// restart forgives nothing and every node counts the same, by the generic cell
// rate algorithm: one number for each key, however many failures.
//
// Success is not counted. A login is limited by its peer and by account and peer
// together; never by the account alone, or a stranger could lock its owner out.
package limit

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/store"
)

// Rule allows Burst failures at once, and from then on one more each Every.
type Rule struct {
	Burst int
	Every time.Duration
}

// Key is what failures are counted against. Name says whose they are and for
// what, as "login-peer:198.51.100.7/32"; a name is always used with the same Rule.
type Key struct {
	Name string
	Rule Rule
}

// Limiter counts failures. It is safe for concurrent use.
type Limiter struct {
	log *audit.Log
	st  *store.Store
}

// New makes a Limiter that counts in st.
func New(log *audit.Log, st *store.Store) *Limiter { return &Limiter{log, st} }

// Check tells how long the caller must be refused before all of the keys admit
// another attempt; zero: not at all. It reads only. Attempts that are judged side
// by side have all passed it: ask CheckTx again before one of them succeeds.
func (l *Limiter) Check(ctx context.Context, now time.Time, keys ...Key) (retryAfter time.Duration, err error) {
	return check(l.st.Read(ctx), now, keys)
}

// CheckTx is Check within the transaction that records a success. A right guess
// among too many counts for nothing when it is refused here.
func (l *Limiter) CheckTx(tx *store.Tx, keys ...Key) (retryAfter time.Duration, err error) {
	return check(tx.Reader, tx.Now(), keys)
}

func check(r store.Reader, now time.Time, keys []Key) (retryAfter time.Duration, err error) {
	for _, k := range keys {
		spent, err := spentUntil(r.Attempt, k)
		if err != nil {
			return 0, err
		}
		// A key with Burst failures against it is spent Burst times Every ahead.
		allowed := now.Add(time.Duration(k.Rule.Burst-1) * k.Rule.Every)
		retryAfter = max(retryAfter, spent.Sub(allowed))
	}
	return retryAfter, nil
}

// Fail counts one failure against each key.
func (l *Limiter) Fail(ctx context.Context, keys ...Key) error {
	return l.log.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		return audit.Event{Type: audit.Housekeeping}, l.FailTx(tx, keys...)
	})
}

// FailTx counts one failure against each key, in the transaction that records
// the failure.
func (l *Limiter) FailTx(tx *store.Tx, keys ...Key) error {
	for _, k := range keys {
		spent, err := spentUntil(tx.LockAttempt, k)
		if err != nil {
			return err
		}
		if spent.Before(tx.Now()) {
			spent = tx.Now()
		}
		if err := tx.PutAttempt(k.id(), spent.Add(k.Rule.Every)); err != nil {
			return err
		}
	}
	return nil
}

// ForgetTx forgives the failures counted against the keys, in the transaction that
// records the success. Give it the key of account and peer together: who knows one
// password must not be able to clear the peer's failures at all others.
func (l *Limiter) ForgetTx(tx *store.Tx, keys ...Key) error {
	for _, k := range keys {
		spent, err := spentUntil(tx.Attempt, k)
		if err != nil {
			return err
		}
		if !spent.After(tx.Now()) {
			continue
		}
		if err := tx.PutAttempt(k.id(), tx.Now()); err != nil {
			return err
		}
	}
	return nil
}

// spentUntil is the key's theoretical arrival time, read in one of the store's ways.
func spentUntil(read func(string) (time.Time, error), k Key) (time.Time, error) {
	if k.Name == "" || k.Rule.Burst < 1 || k.Rule.Every < time.Millisecond {
		return time.Time{}, fmt.Errorf("limit: %+v is no rule: it needs a name, a burst of at least 1 and an interval of at least 1ms", k.Rule)
	}
	spent, err := read(k.id())
	if errors.Is(err, store.ErrNotFound) {
		return time.Time{}, nil
	}
	return spent, err
}

// id is how the key stands in the database: a hash, because people type anything
// into the field for their name, their password too.
func (k Key) id() string {
	h := sha256.Sum256([]byte(k.Name))
	return base64.RawURLEncoding.EncodeToString(h[:])
}

// Peer names who an address belongs to, as far as an address can tell: one IPv4
// address, or the /64 that is the smallest an IPv6 customer gets.
func Peer(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	prefix, err := addr.Prefix(bits)
	if err != nil || !prefix.IsValid() {
		return "unknown" // no address: all of them share one limit
	}
	return prefix.String()
}
