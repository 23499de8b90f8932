package verify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/jwks"
)

// Verifier judges the access tokens of one issuer for one API. It is safe for
// concurrent use.
type Verifier struct {
	issuer     string
	audience   []string
	algs       []oauth.Alg
	exp        int64 // leeway in seconds, as the next two
	nbf        int64
	iat        int64
	now        func() time.Time
	log        *slog.Logger
	keys       *keyring
	introspect *introspector // nil without Introspection
	headers    headers
	resource   Resource
	challenge  string // what every challenge begins with
}

// New makes a Verifier for the tokens of issuer, an https URL that must equal
// their iss exactly (plain http is for loopback hosts alone). It reads the
// issuer's metadata (OpenID Connect Discovery or RFC 8414) and keys, within ctx,
// and fails when they can't be had, unless Lazy is among the options; after that
// it keeps them fresh in the background until Close.
func New(ctx context.Context, issuer string, opts ...Option) (*Verifier, error) {
	c, err := newConfig(issuer, opts)
	if err != nil {
		return nil, err
	}
	v := &Verifier{
		issuer: issuer, audience: c.audience, algs: c.algs,
		exp: seconds(c.exp), nbf: seconds(c.nbf), iat: seconds(c.iat),
		now: c.now, log: c.log,
	}
	if err := v.describe(c.resource); err != nil {
		return nil, err
	}
	keys, err := newKeyring(c)
	if err != nil {
		return nil, err
	}
	v.keys, v.introspect = keys, newIntrospector(c.introspect, keys)
	var wait time.Duration
	if !c.lazy {
		if err := keys.first(ctx, c.introspect != nil); err != nil {
			keys.close()
			return nil, err
		}
		wait = early(keys.now.Load().wait)
	}
	keys.wg.Go(func() { keys.keep(wait) })
	return v, nil
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// Close stops the background work. The Verifier must not be used afterwards.
func (v *Verifier) Close() { v.keys.close() }

// Principal is who a verified access token speaks for. It may be shared: read it
// only.
type Principal struct {
	Claims
	// KeyID is the id of the key that signed the token, empty for one that the
	// issuer vouched for by introspection.
	KeyID string
}

// Verify judges a bearer token for this API. Errors are *oauth.Error: with the
// code invalid_token for a token that is refused, and temporarily_unavailable,
// wrapping ErrUnavailable, when it can't be judged. Scopes are left to Check.
func (v *Verifier) Verify(ctx context.Context, token string) (*Principal, error) {
	if len(token) > MaxToken {
		return nil, errTooLong
	}
	if !isCompact(token) {
		return v.opaque(ctx, token)
	}
	p, err := v.authentic(ctx, token)
	if err != nil {
		return nil, err
	}
	if err := v.admit(&p.Claims); err != nil {
		return nil, err
	}
	if v.introspect != nil && v.introspect.each {
		if _, err := v.introspect.ask(ctx, token); err != nil {
			return nil, unavailable(err)
		}
	}
	return p, nil
}

// authentic checks all about a JWT that time can't change: its signature, and
// that it is an access token of the issuer for this API with the claims that RFC
// 9068 §2.2 requires. What it returns may be remembered for as long as the key
// is published; admit judges the rest each time.
func (v *Verifier) authentic(ctx context.Context, token string) (*Principal, error) {
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
	key, err := v.keys.key(ctx, h.kid)
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
	p := &Principal{KeyID: key.ID}
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
	return p, nil
}

// opaque judges a token that only its issuer can read.
func (v *Verifier) opaque(ctx context.Context, token string) (*Principal, error) {
	if v.introspect == nil || token == "" {
		return nil, errNotJWS
	}
	claims, err := v.introspect.ask(ctx, token)
	if err != nil {
		return nil, unavailable(err)
	}
	var tokenType string
	if raw, ok := claims.Raw("token_type"); ok {
		tokenType = strings.Trim(string(raw), `"`)
	}
	switch {
	case claims.Issuer != "" && claims.Issuer != v.issuer: // RFC 7662 §2.2: optional, as the next
		return nil, errIssuer
	case tokenType != "" && !strings.EqualFold(tokenType, oauth.TokenTypeBearer):
		return nil, invalid("The token is not a bearer token.")
	case claims.Subject == "" && claims.ClientID == "":
		return nil, invalid("The token speaks for nobody: neither sub nor client_id is known.")
	}
	if err := v.meant(claims); err != nil {
		return nil, err
	}
	if err := v.admit(claims); err != nil {
		return nil, err
	}
	return &Principal{Claims: *claims}, nil
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

// admit judges what has to be judged at each sight of a token: its times, by a
// leeway each, and that it comes as it must. A key-bound token without proof of
// its key is a stolen one.
func (v *Verifier) admit(c *Claims) error {
	now := v.now().Unix()
	switch {
	case c.Expiry != 0 && now >= c.Expiry+v.exp:
		return invalid("The token has expired.")
	case c.NotBefore > now+v.nbf:
		return invalid("The token is not valid yet.")
	case c.IssuedAt > now+v.iat:
		return invalid("The token was issued in the future: a clock is wrong, here or at the issuer.")
	case c.Confirmation != nil:
		return invalid("The token is bound to a key, so it can't be used as a bearer token.")
	}
	return nil
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

// first is the fetch that New waits for.
func (k *keyring) first(ctx context.Context, introspects bool) error {
	if err := k.refresh(ctx, 0); err != nil {
		return fmt.Errorf("verify: the issuer can't be used: %w", err)
	}
	switch p := k.now.Load(); {
	case len(p.keys.Keys()) == 0:
		return fmt.Errorf("verify: the issuer can't be used: %s: %w", p.jwksURI, jwks.ErrNoKey)
	case introspects && p.introspection == "":
		return errNoEndpoint
	}
	return nil
}

// headers remembers the header segments of verified tokens, of which an issuer
// uses very few: one for each key. Nothing enters but with a right signature, so
// strangers can't fill it.
type headers struct {
	mu  sync.Mutex
	all atomic.Pointer[map[string]header]
}

const maxHeaders = 32

func (hs *headers) known(segment string) (header, bool) {
	if all := hs.all.Load(); all != nil {
		h, ok := (*all)[segment]
		return h, ok
	}
	return header{}, false
}

func (hs *headers) keep(segment string, h header) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	next := map[string]header{}
	if all := hs.all.Load(); all != nil && len(*all) < maxHeaders {
		next = maps.Clone(*all)
	}
	next[strings.Clone(segment)] = h
	hs.all.Store(&next)
}
