package verify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/dpop"
	"github.com/jeton-auth/jeton/oauth/feed"
	"github.com/jeton-auth/jeton/oauth/mtls"
)

// Verifier judges the access tokens of one issuer for one API. It is safe for
// concurrent use.
type Verifier struct {
	issuer       string
	audience     []string
	algs         []oauth.Alg
	exp          int64 // leeway in seconds, as the next two
	nbf          int64
	iat          int64
	clock        clock
	log          *slog.Logger
	keys         *keyring
	introspect   *introspector // nil without Introspection
	feed         *follower     // nil without Feed
	policy       Policy
	confirmer    *introspector // of the policy Introspect
	cache        *cache        // nil if nothing is kept
	watched      *watchlist
	hooks        Hooks
	gone         atomic.Uint64 // how often the feed told that a key was removed
	headers      headers
	certificates mtls.Source
	resource     Resource
	public       string      // the address under which clients call the API; empty: the request says it
	nonces       dpop.Nonces // that proofs must have; nil: none
	proofs       *usedProofs
	// What every challenge of a scheme begins with.
	challenge, proofChallenge string
}

// New makes a Verifier for the tokens of issuer, an https URL that must equal
// their iss exactly (plain http is for loopback hosts alone). It reads the
// issuer's metadata (OpenID Connect Discovery or RFC 8414) and keys, within ctx,
// follows its feed of revocations if Feed is among the options, and fails when one
// of these can't be had, unless Lazy is among the options; after that it keeps them
// fresh in the background until Close.
func New(ctx context.Context, issuer string, opts ...Option) (*Verifier, error) {
	c, err := newConfig(issuer, opts)
	if err != nil {
		return nil, err
	}
	v := &Verifier{
		issuer: issuer, audience: c.audience, algs: c.algs,
		exp: seconds(c.exp), nbf: seconds(c.nbf), iat: seconds(c.iat),
		clock: c.clock, log: c.log, policy: c.policy, cache: newCache(c.cacheBytes), watched: newWatchlist(), hooks: c.hooks,
		certificates: c.certificates, public: c.public, nonces: c.nonces, proofs: newUsedProofs(),
	}
	if err := v.describe(c.resource); err != nil {
		return nil, err
	}
	if v.keys, err = newKeyring(c); err != nil {
		return nil, err
	}
	v.keys.changed = func() { v.watched.sweep(v) }
	v.introspect = newIntrospector(c.introspect, v.keys)
	if v.feed = newFollower(c, v.keys); v.feed != nil {
		v.follow(c)
	}
	if err := v.begin(ctx, c); err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

// follow prepares to follow the feed.
func (v *Verifier) follow(c *config) {
	v.feed.told = func(entries []feed.Entry) {
		// Any opaque token may have been sealed by the key.
		if slices.ContainsFunc(entries, func(e feed.Entry) bool { return e.Kind == feed.Key }) {
			v.gone.Add(1)
		}
		v.watched.revoked(v, entries)
	}
	v.feed.stale = func() {
		if v.policy == Refuse {
			v.watched.sweep(v)
		}
	}
	if v.policy == Introspect {
		if v.confirmer = v.introspect; v.confirmer == nil {
			v.confirmer = newIntrospector(c.asked, v.keys)
		}
	}
}

// begin starts the background work, and waits until tokens can be judged.
func (v *Verifier) begin(ctx context.Context, c *config) error {
	var wait time.Duration
	if !c.lazy {
		if err := v.keys.first(ctx, c.introspect != nil || v.confirmer != nil); err != nil {
			return err
		}
		wait = early(v.keys.now.Load().wait)
	}
	v.keys.wg.Go(func() { v.keys.keep(wait) })
	if v.feed == nil {
		return nil
	}
	v.keys.wg.Go(v.feed.run)
	v.keys.wg.Go(v.feed.tend)
	if c.lazy {
		return nil
	}
	return v.feed.first(ctx)
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// Close stops the background work. The Verifier must not be used afterwards.
func (v *Verifier) Close() {
	v.keys.close()
	v.watched.close()
}

// Principal is who a verified access token speaks for. It may be shared: read it
// only.
type Principal struct {
	Claims
	// KeyID is the id of the key that signed the token, empty for one that the
	// issuer vouched for by introspection.
	KeyID string

	sight *sighting // nil if no Verifier made it
}

// Verify judges a bearer token for this API. Errors are *oauth.Error: with the
// code invalid_token for a token that is refused, and temporarily_unavailable,
// wrapping ErrUnavailable, when it can't be judged. A token that is bound to a key is
// refused: VerifyRequest takes those. Scopes are left to Check.
func (v *Verifier) Verify(ctx context.Context, token string) (*Principal, error) {
	return v.verify(ctx, token, shown{scheme: oauth.TokenTypeBearer})
}

func (v *Verifier) verify(ctx context.Context, token string, by shown) (*Principal, error) {
	m := v.clock()
	if s := v.cache.get(token); s != nil && v.keys.holds(s.keys, m) {
		err := v.sight(ctx, s, token, m, by)
		if v.hooks.Token != nil {
			v.hooks.Token(outcome(TokenSeen, err))
		}
		if err != nil {
			return nil, err
		}
		return &s.principal, nil
	}
	p, err := v.firstSight(ctx, token, by)
	if v.hooks.Token != nil {
		v.hooks.Token(outcome(TokenFirstSight, err))
	}
	return p, err
}

func (v *Verifier) firstSight(ctx context.Context, token string, by shown) (*Principal, error) {
	if len(token) > MaxToken {
		return nil, errTooLong
	}
	if !isCompact(token) {
		return v.opaque(ctx, token, by)
	}
	s, err := v.authentic(ctx, token)
	if err != nil {
		return nil, err
	}
	if err := v.sight(ctx, s, token, v.clock(), by); err != nil {
		return nil, err
	}
	v.cache.put(token, s)
	return &s.principal, nil
}

// authentic checks all about a JWT that time can't change: its signature, and
// that it is an access token of the issuer for this API with the claims that RFC
// 9068 §2.2 requires. What it returns may be remembered for as long as the key
// is published; admit judges the rest each time.
func (v *Verifier) authentic(ctx context.Context, token string) (*sighting, error) {
	t, err := split(token)
	if err != nil {
		return nil, err
	}
	h, known := v.headers.known(t.header())
	if !known {
		if h, err = parseHeader(t.header()); err != nil {
			return nil, err
		}
		if err := h.mustBe(oauth.TypAccessToken); err != nil {
			return nil, err
		}
		if !slices.Contains(v.algs, h.alg) {
			return nil, invalid("The token's alg is not accepted here.")
		}
	}
	key, generation, err := v.keys.key(ctx, h.kid)
	if err != nil {
		return nil, unavailable(err)
	}
	payload, err := t.verify(h, key)
	if err != nil {
		return nil, err
	}
	if !known {
		v.headers.keep(t.header(), h)
	}
	seen := &sighting{by: v, keys: generation}
	p := &seen.principal
	p.KeyID, p.sight = key.ID, seen
	if err := p.decode(payload); err != nil {
		return nil, invalid("The token's claims set %v.", err)
	}
	switch {
	case p.Issuer != v.issuer:
		return nil, errIssuer
	case p.Subject == "" || p.ClientID == "" || p.ID == "" || p.Expiry == 0 || p.IssuedAt == 0:
		return nil, invalid("The token lacks a claim that an access token must have: iss, exp, aud, sub, client_id, iat and jti.")
	}
	if err := v.meant(&p.Claims); err != nil {
		return nil, err
	}
	seen.name(v)
	return seen, nil
}

var errIssuer = invalid("The token is from another issuer.")

// meant refuses a token for other APIs.
func (v *Verifier) meant(c *Claims) error {
	for _, id := range c.Audience {
		if slices.Contains(v.audience, id) {
			return nil
		}
	}
	return invalid("The token is meant for another API; ask for one with resource=%s.", v.audience[0])
}

// unavailable translates an error of asking the issuer: a refusal stays one, the
// rest is ErrUnavailable with its cause.
func unavailable(err error) error {
	if refusal := (*oauth.Error)(nil); errors.As(err, &refusal) {
		return err
	}
	return &oauth.Error{
		Code:        oauth.TemporarilyUnavailable,
		Description: "The token can't be checked at the moment. Try again with the same token.",
		Cause:       fmt.Errorf("%w: %w", ErrUnavailable, err),
	}
}
