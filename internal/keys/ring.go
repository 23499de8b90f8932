// Package keys is the key ring: the keys that sign tokens, and the random roots of
// the keys that authenticate refresh tokens and seal opaque ones. A signing key is
// published as next, signs as active, and as retired stays published until the
// last token that it signed is dead. There is always a next one, so that the active
// one can be changed at once. All are kept in the store, sealed under the
// key-encryption key, which only wraps.
//
// Reading the ring takes no lock; what changes it is one transaction, and memory
// follows when that is durable.
package keys

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/jwks"
)

// Purpose is what a key is for.
type Purpose string

const (
	Sign   Purpose = "sign"   // signs tokens; published
	Pepper Purpose = "pepper" // root of the MACs of codes and refresh tokens
	Seal   Purpose = "seal"   // seals opaque access tokens
	Feed   Purpose = "feed"   // signs the heartbeats of the revocation feed; published
)

// signs tells whether keys of the purpose are key pairs, whose public half is
// published.
func (p Purpose) signs() bool { return p == Sign || p == Feed }

// State is where a key stands in its life.
type State string

const (
	Next    State = "next"    // known, and not used yet
	Active  State = "active"  // in use
	Retired State = "retired" // verifies what it made
)

// Policy is the schedule of the signing keys.
type Policy struct {
	Algs          []oauth.Alg   // what the ring keeps an active key for
	Rotate        time.Duration // how long a key signs; 0: until Rotate is called
	PublishBefore time.Duration // how long it is published before that
	RetireAfter   time.Duration // and after: at least the longest token lifetime
}

func (p Policy) check() error {
	switch {
	case p.Rotate < 0 || p.PublishBefore < 0:
		return errors.New("keys: the times to rotate and to publish before can't be negative")
	case p.Rotate > 0 && p.PublishBefore >= p.Rotate:
		return fmt.Errorf("keys: a key can't be published %s before it signs when keys rotate each %s; make the first shorter", p.PublishBefore, p.Rotate)
	case p.Rotate > 0 && p.PublishBefore < CacheLifetime:
		return fmt.Errorf("keys: a key published %s before it signs is missing where the key set was cached; make it %s or more", p.PublishBefore, CacheLifetime)
	case p.RetireAfter <= 0:
		return errors.New("keys: a retired key must stay published for as long as tokens live")
	}
	return checkAlgs(p.Algs)
}

func checkAlgs(algs []oauth.Alg) error {
	for _, alg := range algs {
		if !slices.Contains(algorithms, alg) {
			return fmt.Errorf("keys: %q is no algorithm that tokens are signed with; use one of %v", alg, algorithms)
		}
	}
	return nil
}

// Root is a random secret of 32 bytes, named in what is made with it.
type Root struct {
	ID     int64
	Secret []byte
}

// String keeps the secret out of what is printed.
func (r Root) String() string { return "root " + strconv.FormatInt(r.ID, 10) }

// GoString keeps the secret out of what is printed.
func (r Root) GoString() string { return r.String() }

// MarshalText keeps the secret out of what is encoded.
func (r Root) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Ring holds the keys of one issuer. It is safe for concurrent use.
type Ring struct {
	log    *audit.Log
	vault  vault
	policy Policy
	now    atomic.Pointer[snapshot]

	mu   sync.Mutex // held by who changes the ring
	algs []oauth.Alg
}

// snapshot is the ring at one moment. It is immutable once stored.
type snapshot struct {
	generation   uint64
	entries      []*entry // oldest first
	signers      map[oauth.Alg]*Signer
	feed         *Signer
	set          jwks.Set
	json         []byte
	pepper, seal Root // the active ones
	roots        map[Purpose]map[int64]Root
}

// Open reads and unseals the ring, and does what the schedule demands; on the
// first start that makes all keys, active at once, and the next signing keys. Where
// kek does not open what is there, the error says what to do and nothing is changed.
func Open(ctx context.Context, log *audit.Log, st *store.Store, kek []byte, p Policy) (*Ring, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	v, err := newVault(kek)
	if err != nil {
		return nil, err
	}
	r := &Ring{log: log, vault: v, policy: p}
	rows, err := st.Read(ctx).Keys()
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	s, err := r.snapshot(rows)
	if err != nil {
		return nil, err
	}
	s.generation = 1
	r.now.Store(s)
	if err := r.SetAlgs(ctx, p.Algs); err != nil {
		return nil, err
	}
	return r, nil
}

// Signer is the active key of an algorithm; false: the ring keeps none for it.
func (r *Ring) Signer(alg oauth.Alg) (*Signer, bool) {
	s, ok := r.now.Load().signers[alg]
	return s, ok
}

// FeedSigner is the active key that signs the revocation feed.
func (r *Ring) FeedSigner() *Signer { return r.now.Load().feed }

// Key is the published key of tokens with an id: next, active or retired.
func (r *Ring) Key(kid string) (jwks.Key, bool) { return r.now.Load().set.Key(kid) }

// FeedKey is the published key with an id that signs the revocation feed: next, active
// or retired.
func (r *Ring) FeedKey(kid string) (jwks.Key, bool) { return r.now.Load().set.FeedKey(kid) }

// JWKS is the published set (RFC 7517 §5). The caller must not change it.
func (r *Ring) JWKS() []byte { return r.now.Load().json }

// Generation rises whenever a key comes, goes or changes its state. It counts from
// the start of the process.
func (r *Ring) Generation() uint64 { return r.now.Load().generation }

// Pepper is the active root of the MACs of codes and refresh tokens.
func (r *Ring) Pepper() Root { return r.now.Load().pepper }

// PepperByID is any pepper that a grant may name.
func (r *Ring) PepperByID(id int64) (Root, bool) { return r.now.Load().root(Pepper, id) }

// Seal is the active key that opaque access tokens are sealed with.
func (r *Ring) Seal() Root { return r.now.Load().seal }

// SealByID is a sealing key under which tokens may still be alive.
func (r *Ring) SealByID(id int64) (Root, bool) { return r.now.Load().root(Seal, id) }

func (s *snapshot) root(p Purpose, id int64) (Root, bool) {
	root, ok := s.roots[p][id]
	return root, ok
}

// Info describes a key. Times that have not come are zero.
type Info struct {
	ID        string    `json:"id"`
	Purpose   Purpose   `json:"purpose"`
	Alg       oauth.Alg `json:"alg,omitempty"`
	State     State     `json:"state"`
	CreatedAt time.Time `json:"created_at"`
	ActiveAt  time.Time `json:"active_at,omitzero"`
	RetiredAt time.Time `json:"retired_at,omitzero"`
}

// List describes all keys, oldest first.
func (r *Ring) List() []Info {
	entries := r.now.Load().entries
	all := make([]Info, len(entries))
	for i, e := range entries {
		all[i] = Info{
			ID: e.row.ID, Purpose: Purpose(e.row.Purpose), Alg: oauth.Alg(e.row.Alg), State: State(e.row.State),
			CreatedAt: e.row.CreatedAt, ActiveAt: e.row.ActiveAt, RetiredAt: e.row.RetiredAt,
		}
	}
	return all
}

// snapshot unseals rows; what the ring holds unsealed already is taken over.
func (r *Ring) snapshot(rows []store.Key) (*snapshot, error) {
	s := &snapshot{
		signers: map[oauth.Alg]*Signer{},
		roots:   map[Purpose]map[int64]Root{Pepper: {}, Seal: {}},
	}
	var failed []string
	var public, feed []jwks.Key
	for _, row := range rows {
		e, err := r.entry(row)
		if errors.Is(err, errSealed) {
			failed = append(failed, row.ID)
			continue
		}
		if err != nil {
			return nil, err
		}
		s.entries = append(s.entries, e)
		active := row.State == string(Active)
		switch Purpose(row.Purpose) {
		case Sign:
			public = append(public, e.public)
			if active {
				s.signers[e.signer.Alg] = e.signer
			}
		case Feed:
			feed = append(feed, e.public)
			if active {
				s.feed = e.signer
			}
		case Pepper:
			s.roots[Pepper][row.Number] = e.root
			if active {
				s.pepper = e.root
			}
		case Seal:
			s.roots[Seal][row.Number] = e.root
			if active {
				s.seal = e.root
			}
		}
	}
	if len(failed) > 0 && len(failed) == len(rows) {
		return nil, errors.New("keys: the key-encryption key does not open the keys in this database; set key_encryption_key to the one that they were made with. Nothing was changed")
	}
	if len(failed) > 0 {
		return nil, fmt.Errorf("keys: the key-encryption key opens other keys, but not %q: their rows were changed; restore the database from a backup. Nothing was changed", failed)
	}
	var err error
	// The feed's keys come last, for readers that take the first that fits.
	if s.set, err = jwks.NewSet(append(public, feed...)...); err != nil {
		return nil, err
	}
	if s.json, err = json.Marshal(s.set); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return s, nil
}

func (r *Ring) entry(row store.Key) (*entry, error) {
	if s := r.now.Load(); s != nil {
		for _, had := range s.entries {
			if had.row.ID == row.ID && had.row.Purpose == row.Purpose && had.row.Alg == row.Alg && had.row.Number == row.Number &&
				bytes.Equal(had.row.Sealed, row.Sealed) && bytes.Equal(had.row.Public, row.Public) {
				e := *had
				e.row = row
				return &e, nil
			}
		}
	}
	return r.vault.read(row)
}

// same tells whether two snapshots hold the same keys in the same states.
func (s *snapshot) same(other *snapshot) bool {
	return slices.EqualFunc(s.entries, other.entries, func(a, b *entry) bool {
		return a.row.ID == b.row.ID && a.row.State == b.row.State && bytes.Equal(a.row.Sealed, b.row.Sealed)
	})
}

// String names what the ring holds, and no secret.
func (r *Ring) String() string {
	return fmt.Sprintf("key ring for %v", slices.Sorted(maps.Keys(r.now.Load().signers)))
}

// GoString names what the ring holds, and no secret.
func (r *Ring) GoString() string { return r.String() }
