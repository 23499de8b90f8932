package clientauth

import (
	"context"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// SecretPost is client_secret_post (RFC 6749 §2.3.1).
type SecretPost struct{ Clock clock.Clock }

// Name is the method's registered name.
func (SecretPost) Name() oauth.AuthMethod { return oauth.ClientSecretPost }

// Presented is true where the body holds a secret.
func (SecretPost) Presented(r Request) (string, bool, *oauth.Error) {
	if !r.Params.Has("client_secret") {
		return "", false, nil
	}
	id := r.Params.Get("client_id")
	if id == "" {
		return "", false, oauth.Refuse(oauth.InvalidClient, "client_secret was sent without client_id")
	}
	return id, true, nil
}

// Check compares the secret with the client's.
func (m SecretPost) Check(_ context.Context, r Request, c *store.Client) error {
	return known(c, m.Clock.Now(), func(hash []byte) bool { return secret.Matches(hash, r.Params.Get("client_secret")) })
}
