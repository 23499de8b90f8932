package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jeton-auth/jeton/oauth"
)

// Requirement is what an API asks of a token beyond its being valid: Scopes, ACR
// or MaxAge.
type Requirement func(*requirements)

type requirements struct {
	scopes []string
	acrs   []string
	aged   bool
	maxAge time.Duration
}

// Scopes requires every one of these scopes. It panics if one is not a single
// scope-token of RFC 6749 §3.3.
func Scopes(scopes ...string) Requirement {
	for _, s := range scopes {
		if !oauth.ValidScope(s) {
			panic(fmt.Sprintf("verify: %q is not one scope; give each scope as an argument of its own, without spaces and quotes", s))
		}
	}
	return func(r *requirements) { r.scopes = append(r.scopes, scopes...) }
}

// ACR requires that the person authenticated in one of these classes (the acr
// claim, RFC 9470 §4), the preferred one first.
func ACR(classes ...string) Requirement {
	return func(r *requirements) { r.acrs = append(r.acrs, classes...) }
}

// MaxAge requires that the person authenticated no longer than d ago (the
// auth_time claim, RFC 9470 §4), in whole seconds.
func MaxAge(d time.Duration) Requirement {
	return func(r *requirements) {
		if !r.aged || d < r.maxAge {
			r.aged, r.maxAge = true, d
		}
	}
}

func newRequirements(needs []Requirement) requirements {
	var r requirements
	for _, need := range needs {
		need(&r)
	}
	return r
}

// Check tells whether a principal meets the requirements. Errors are *oauth.Error
// with the code insufficient_scope or oauth.InsufficientUserAuth.
func (v *Verifier) Check(p *Principal, needs ...Requirement) error {
	r := newRequirements(needs)
	return v.check(p, &r)
}

func (v *Verifier) check(p *Principal, r *requirements) error {
	for _, s := range r.scopes {
		if !p.HasScope(s) {
			return oauth.Refuse(oauth.InsufficientScope, "The token lacks a scope; this needs: %s.", oauth.JoinScope(r.scopes))
		}
	}
	if len(r.acrs) > 0 && (p.ACR == "" || !slices.Contains(r.acrs, p.ACR)) {
		return oauth.Refuse(oauth.InsufficientUserAuth, "This needs a stronger authentication; authorize again with acr_values=%s.", strings.Join(r.acrs, " "))
	}
	if r.aged && (p.AuthTime == 0 || v.unix(v.clock())-p.AuthTime > seconds(r.maxAge)) {
		return oauth.Refuse(oauth.InsufficientUserAuth, "This needs a recent authentication; authorize again with max_age=%d.", seconds(r.maxAge))
	}
	return nil
}

type principalKey struct{}

// NewContext is ctx with the principal, as the middleware makes it. It also lets
// a test call a handler without a token.
func NewContext(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalFrom is the principal that the middleware verified, or nil if ctx is
// not from a request that went through it.
func PrincipalFrom(ctx context.Context) *Principal {
	p, _ := ctx.Value(principalKey{}).(*Principal)
	return p
}
