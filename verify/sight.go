package verify

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// sight judges what has to be judged at each sight of a token that is authentic,
// whether it comes from the cache or was just verified.
func (v *Verifier) sight(ctx context.Context, s *sighting, token string, m moment, by shown) error {
	if err := v.admit(&s.principal.Claims, v.unix(m)); err != nil {
		return err
	}
	if err := v.bound(&s.principal.Claims, token, by); err != nil {
		return err
	}
	if v.feed != nil {
		if err := v.known(ctx, s, token, m); err != nil {
			return err
		}
	}
	if v.introspect != nil && v.introspect.each {
		if _, err := v.introspect.ask(ctx, v, token, v.introspect.ttl); err != nil {
			return unavailable(err)
		}
	}
	return nil
}

// admit judges a token's times, by a leeway each.
func (v *Verifier) admit(c *Claims, now int64) error {
	switch {
	case c.Expiry != 0 && now >= c.Expiry+v.exp:
		return errExpired
	case c.NotBefore > now+v.nbf:
		return errEarly
	case c.IssuedAt > now+v.iat:
		return errFuture
	}
	return nil
}

var (
	errExpired = invalid("The token has expired.")
	errEarly   = invalid("The token is not valid yet.")
	errFuture  = invalid("The token was issued in the future: a clock is wrong, here or at the issuer.")
	errRevoked = invalid("The token was revoked.")
	errStale   = errors.New("what is known of revocations is too old")
)

// known judges a token by what is known of revocations, and by the policy if that is
// too old. What is known to be revoked is revoked however old the rest is.
func (v *Verifier) known(ctx context.Context, s *sighting, token string, m moment) error {
	switch {
	case v.feed.view.Revoked(&s.names):
		return errRevoked
	case v.feed.fresh(m):
		return nil
	case v.policy == Introspect:
		if v.introspect != nil && v.introspect.each {
			return nil // is asked anyway
		}
		if err := v.confirmer.confirm(ctx, v, token); err != nil {
			return unavailable(err)
		}
		return nil
	case v.policy > 0 && v.unix(m)-s.principal.IssuedAt < int64(time.Duration(v.policy)/time.Second):
		return nil
	}
	return unavailable(errStale)
}

// good tells whether a token that was taken would be taken again, without asking
// anybody.
func (v *Verifier) good(s *sighting) bool {
	m := v.clock()
	if v.admit(&s.principal.Claims, v.unix(m)) != nil {
		return false
	}
	if id := s.principal.KeyID; id != "" {
		p := v.keys.now.Load()
		if _, ok := p.keys.Key(id); !ok {
			return false
		}
	} else if s.gone != v.gone.Load() {
		return false
	}
	return v.feed == nil || !v.feed.view.Revoked(&s.names) && (v.policy != Refuse || v.feed.fresh(m))
}

// unix is the second by which the times in tokens are judged.
func (v *Verifier) unix(m moment) int64 {
	if v.feed == nil {
		return m.unix
	}
	return v.feed.unix(m)
}

// name hashes what the token answers to.
func (s *sighting) name(v *Verifier) {
	if v.feed == nil {
		return
	}
	p := &s.principal
	s.names.Set(feed.Claims{
		ID: p.ID, SessionID: p.SessionID, Subject: p.Subject, ClientID: p.ClientID, KeyID: p.KeyID,
		IssuedAt: p.IssuedAt, Rev: p.Rev, HasRev: p.HasRev,
	})
}

// opaque judges a token that only its issuer can read. An answer that was kept counts
// for as long as the feed, if one is followed, has nothing against it; while what is
// known is too old it counts for a moment alone.
func (v *Verifier) opaque(ctx context.Context, token string, by shown) (*Principal, error) {
	if v.introspect == nil || !isB64Token(token) {
		return nil, errNotJWS
	}
	m, ttl := v.clock(), v.introspect.ttl
	if v.feed != nil && !v.feed.fresh(m) {
		ttl = min(ttl, staleTTL)
	}
	s, err := v.introspect.ask(ctx, v, token, ttl)
	if err != nil {
		return nil, unavailable(err)
	}
	if v.feed != nil && v.feed.view.Revoked(&s.names) {
		return nil, errRevoked
	}
	claims := &s.principal.Claims
	var tokenType string
	if raw, ok := claims.Raw("token_type"); ok {
		tokenType = strings.Trim(string(raw), `"`)
	}
	switch {
	case claims.Issuer != "" && claims.Issuer != v.issuer: // RFC 7662 §2.2: optional, as the next
		return nil, errIssuer
	case strings.EqualFold(tokenType, oauth.TokenTypeDPoP):
		if claims.Confirmation == nil || claims.Confirmation.JKT == "" {
			return nil, invalid("The token is bound to a DPoP key that its issuer does not name.")
		}
	case tokenType != "" && !strings.EqualFold(tokenType, oauth.TokenTypeBearer):
		return nil, invalid("The token is neither a bearer token nor bound to a DPoP key.")
	}
	switch {
	case claims.Subject == "" && claims.ClientID == "":
		return nil, invalid("The token speaks for nobody: neither sub nor client_id is known.")
	}
	if err := v.meant(claims); err != nil {
		return nil, err
	}
	if err := v.admit(claims, v.unix(v.clock())); err != nil {
		return nil, err
	}
	if err := v.bound(claims, token, by); err != nil {
		return nil, err
	}
	return &s.principal, nil
}
