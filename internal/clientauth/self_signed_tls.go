package clientauth

import (
	"context"
	"errors"

	"github.com/jeton-auth/jeton/internal/clientkeys"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// SelfSignedTLS is self_signed_tls_client_auth (RFC 8705 §2.2): a certificate for one of
// the keys that the client registered. Who signed it, and for how long, is of no account:
// it is the key that counts.
type SelfSignedTLS struct{ Keys *clientkeys.Keys }

// Name is the method's registered name.
func (SelfSignedTLS) Name() oauth.AuthMethod { return oauth.SelfSignedTLS }

// Presented is true where client_id stands alone and the connection has a certificate.
func (SelfSignedTLS) Presented(r Request) (string, bool, *oauth.Error) { return certified(r) }

// Check looks for the certificate's key among the client's.
func (m SelfSignedTLS) Check(ctx context.Context, r Request, c *store.Client) error {
	if c.AuthMethod != oauth.SelfSignedTLS || len(r.Certificates) == 0 {
		return ErrRefused
	}
	has, err := m.Keys.Has(ctx, c, r.Certificates[0].PublicKey)
	if errors.Is(err, clientkeys.ErrFetch) {
		refusal := refused()
		refusal.Cause = err
		return refusal
	}
	if err != nil || !has {
		return ErrRefused
	}
	return nil
}
