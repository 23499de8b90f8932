package clientauth

import (
	"context"

	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// None is for public clients, which only say who they are (RFC 6749 §3.2.1). What
// they may do rests on PKCE and the redirect URI.
type None struct{}

// Name is the method's registered name.
func (None) Name() oauth.AuthMethod { return oauth.NoAuth }

// Presented is true where client_id stands alone.
func (None) Presented(r Request) (string, bool, *oauth.Error) {
	if !r.bare() {
		return "", false, nil
	}
	id := r.Params.Get("client_id")
	return id, id != "", nil
}

// Check has nothing to check: Client sees to it that the client registered none.
func (None) Check(context.Context, Request, *store.Client) error { return nil }
