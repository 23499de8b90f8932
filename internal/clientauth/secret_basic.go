package clientauth

import (
	"context"
	"time"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// SecretBasic is client_secret_basic (RFC 6749 §2.3.1).
type SecretBasic struct{ Clock clock.Clock }

// Name is the method's registered name.
func (SecretBasic) Name() oauth.AuthMethod { return oauth.ClientSecretBasic }

// Presented is true for every Authorization header: another scheme is no way to
// authenticate a client here.
func (SecretBasic) Presented(r Request) (string, bool, *oauth.Error) {
	if len(r.Header["Authorization"]) == 0 {
		return "", false, nil
	}
	id, _, ok := basic(r.Header)
	if !ok {
		return "", false, oauth.Refuse(oauth.InvalidClient, "the Authorization header is not Basic with base64 of id:secret, each form-url-encoded")
	}
	return id, true, nil
}

// Check compares the secret with the client's.
func (m SecretBasic) Check(_ context.Context, r Request, c *store.Client) error {
	_, p, ok := basic(r.Header)
	if !ok {
		return ErrRefused
	}
	return known(c, m.Clock.Now(), p.matches)
}

// known tells whether what was shown is the client's secret, or the one that it replaces.
func known(c *store.Client, now time.Time, matches func(hash []byte) bool) error {
	good := matches(c.SecretHash)
	if c.Overlaps(now) {
		good = matches(c.OldSecretHash) || good
	}
	if !good {
		return ErrRefused
	}
	return nil
}
