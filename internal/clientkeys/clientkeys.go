// Package clientkeys finds the public keys of a client, which stand in its declaration
// or where it publishes them, and checks what it signed: assertions and request objects.
package clientkeys

import (
	"context"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/fetch"
	"github.com/jeton-auth/jeton/internal/recent"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/jwks"
)

// How long fetched keys are kept. A kid that is not among them has them fetched again,
// but no more often than Least.
const (
	Usual = 10 * time.Minute
	Least = 10 * time.Second
	Most  = 24 * time.Hour
)

// cacheBytes bounds what is kept of all clients.
const cacheBytes = 8 << 20

// MaxJWS bounds what is signed, in octets as sent.
const MaxJWS = 32 << 10

// Keys finds clients' keys. It is safe for concurrent use.
type Keys struct {
	fetch *fetch.Client
	clock clock.Clock
	kept  *recent.Cache[string, kept]
	mu    sync.Mutex
	under map[string]*sync.Mutex // one fetch of an address at a time
}

type kept struct {
	set   []jwks.Key
	err   error
	at    time.Time
	until time.Time
}

// New makes a Keys that fetches by f.
func New(f *fetch.Client, c clock.Clock) *Keys {
	return &Keys{fetch: f, clock: c, kept: recent.New[string, kept](cacheBytes), under: map[string]*sync.Mutex{}}
}

// Errors of Verify, in words that the client's developer may read.
var (
	ErrForm      = errors.New("is not a JWS in compact form, signed by an algorithm that is allowed here")
	ErrNoKey     = errors.New("names a key that the client did not register: check kid, alg, and jwks or jwks_uri")
	ErrSignature = errors.New("has a wrong signature")
	ErrFetch     = errors.New("could not be checked, since jwks_uri did not give the client's keys")
)

// Signed is what a client signed: its header's typ, and the octets of its payload, not
// yet judged.
type Signed struct {
	Typ     string
	Alg     oauth.Alg
	Payload []byte
}

// Verify checks a compact JWS by the keys of a client. Of a header nothing counts but
// alg, kid and typ; one with crit is refused. Without kid the client must have a single
// key of that algorithm.
func (k *Keys) Verify(ctx context.Context, c *store.Client, compact string, algs []oauth.Alg) (Signed, error) {
	if len(compact) > MaxJWS || strings.Count(compact, ".") != 2 || !canonical(compact) {
		return Signed{}, ErrForm
	}
	allowed := make([]jose.SignatureAlgorithm, len(algs))
	for i, a := range algs {
		allowed[i] = jose.SignatureAlgorithm(a)
	}
	jws, err := jose.ParseSignedCompact(compact, allowed)
	if err != nil || len(jws.Signatures) != 1 {
		return Signed{}, ErrForm
	}
	h := jws.Signatures[0].Protected
	if _, crit := h.ExtraHeaders["crit"]; crit {
		return Signed{}, ErrForm
	}
	key, err := k.find(ctx, c, h.KeyID, oauth.Alg(h.Algorithm))
	if err != nil {
		return Signed{}, err
	}
	payload, err := jws.Verify(key.Public)
	if err != nil {
		return Signed{}, ErrSignature
	}
	typ, _ := h.ExtraHeaders[jose.HeaderType].(string)
	return Signed{Typ: typ, Alg: key.Alg, Payload: payload}, nil
}

// canonical tells whether the segments are base64url in the one spelling that encodes
// their octets, without line ends or loose bits (RFC 7515 §2).
func canonical(compact string) bool {
	for segment := range strings.SplitSeq(compact, ".") {
		b, err := base64.RawURLEncoding.Strict().DecodeString(segment)
		if err != nil || base64.RawURLEncoding.EncodeToString(b) != segment {
			return false
		}
	}
	return true
}

func (k *Keys) find(ctx context.Context, c *store.Client, kid string, alg oauth.Alg) (jwks.Key, error) {
	set, fetched, err := k.set(ctx, c, 0)
	if err != nil {
		return jwks.Key{}, err
	}
	key, err := choose(set, kid, alg)
	if err == nil || !fetched {
		return key, err
	}
	if set, _, err = k.set(ctx, c, Least); err != nil {
		return jwks.Key{}, err
	}
	return choose(set, kid, alg)
}

func choose(set []jwks.Key, kid string, alg oauth.Alg) (jwks.Key, error) {
	fits := slices.DeleteFunc(slices.Clone(set), func(k jwks.Key) bool { return k.Alg != alg || kid != "" && k.ID != kid })
	if len(fits) != 1 {
		return jwks.Key{}, ErrNoKey
	}
	return fits[0], nil
}

// Has tells whether a public key is one of the client's.
func (k *Keys) Has(ctx context.Context, c *store.Client, pub crypto.PublicKey) (bool, error) {
	has := func(key jwks.Key) bool {
		own, ok := key.Public.(interface{ Equal(crypto.PublicKey) bool })
		return ok && own.Equal(pub)
	}
	set, fetched, err := k.set(ctx, c, 0)
	if err == nil && fetched && !slices.ContainsFunc(set, has) {
		set, _, err = k.set(ctx, c, Least)
	}
	return slices.ContainsFunc(set, has), err
}

// set is the keys of a client; fetched ones are no older than notOlder if that is not
// zero.
func (k *Keys) set(ctx context.Context, c *store.Client, notOlder time.Duration) (set []jwks.Key, fetched bool, err error) {
	if c.JWKSURI == "" {
		if c.JWKS == "" {
			return nil, false, ErrNoKey
		}
		set, err = k.inline(string(c.JWKS))
		return set, false, err
	}
	set, err = k.fetched(ctx, c.JWKSURI, notOlder)
	return set, true, err
}

// inline reads a declared document once.
func (k *Keys) inline(doc string) ([]jwks.Key, error) {
	if had, ok := k.kept.Get(doc); ok {
		return had.set, had.err
	}
	set, err := jwks.ParseClient([]byte(doc))
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrNoKey, err)
	}
	k.kept.Put(doc, kept{set: set, err: err}, 2*len(doc)+512)
	return set, err
}

func (k *Keys) fetched(ctx context.Context, uri string, notOlder time.Duration) ([]jwks.Key, error) {
	// What is known needs no turn: strangers, for whose kid others are fetched, hold nobody up.
	if had, ok := k.kept.Get(uri); ok && notOlder == 0 && k.clock.Now().Before(had.until) {
		return had.set, had.err
	}
	lock := k.lock(uri)
	lock.Lock()
	defer lock.Unlock()
	now := k.clock.Now()
	had, ok := k.kept.Get(uri)
	ok = ok && now.Before(had.until)
	if ok && (notOlder == 0 || now.Sub(had.at) < notOlder) {
		return had.set, had.err
	}
	next := kept{at: now, until: now.Add(Least)}
	// Others wait for the answer: who asked first and goes away must not spoil it.
	a, err := k.fetch.Get(context.WithoutCancel(ctx), uri, "application/jwk-set+json, application/json")
	if err == nil {
		next.set, err = jwks.ParseClient(a.Body)
	}
	if err != nil && ok && had.err == nil {
		next = had // still good, only not fresher
		next.at = now
	} else if err != nil {
		next.err = fmt.Errorf("%w: %w", ErrFetch, err)
	} else if next.until = now.Add(Usual); a.MaxAge > 0 {
		next.until = now.Add(min(max(a.MaxAge, time.Minute), Most))
	}
	k.kept.Put(uri, next, 2*len(a.Body)+len(uri)+512)
	return next.set, next.err
}

func (k *Keys) lock(uri string) *sync.Mutex {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.under[uri] == nil {
		if len(k.under) > 4096 {
			clear(k.under)
		}
		k.under[uri] = &sync.Mutex{}
	}
	return k.under[uri]
}
