package redeem

import (
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// bound refuses a public client's refresh token without the key that it was bound to with
// the code (RFC 9449 §5, RFC 8705 §4). A confidential client's is bound by how it
// authenticates: it may come with a new key, and the access token is bound to that.
func bound(r Request, g *store.Grant) *oauth.Error {
	key := g.Details.Confirmation
	if key == (oauth.Confirmation{}) || key == r.Confirmation || r.Client.Confidential() {
		return nil
	}
	if key.X5TS256 != "" {
		return oauth.Refuse(oauth.InvalidGrant, "the refresh token is bound to a certificate, and the request came without it")
	}
	return oauth.Refuse(oauth.InvalidGrant, "the refresh token is bound to a DPoP key, and the request has no proof of it")
}
