package redeem

import (
	"context"
	"slices"

	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/tokens"
	"github.com/jeton-auth/jeton/oauth"
)

// ClientCredentials gives a client a token of its own (RFC 6749 §4.4). It reads and
// writes no row.
type ClientCredentials struct{ *Issuer }

// Name is the grant type's wire word.
func (ClientCredentials) Name() oauth.GrantType { return oauth.ClientCredentials }

// Redeem issues an access token whose subject is the client.
func (i ClientCredentials) Redeem(_ context.Context, r Request) (Issued, error) {
	if !r.Client.Confidential() {
		return Issued{}, oauth.Refuse(oauth.UnauthorizedClient, "client_credentials is for clients that hold a secret")
	}
	h := i.own(r.Client)
	var refusal *oauth.Error
	if h.details, refusal = ownDetails(r.Client, r.Params); refusal != nil {
		return Issued{}, refusal
	}
	t, refusal := i.choose(r.Client, h, r.Params)
	if refusal != nil {
		return Issued{}, refusal
	}
	now := i.Store.Now()
	token, expires, err := i.Minter.Access(now, tokens.Access{
		Subject: r.Client.ID, ClientID: r.Client.ID, Audience: t.audience, Scopes: t.scopes,
		Handle: tokens.ClientHandle(r.Client.ID, r.Client.Generation), Rev: r.Head, Details: t.details,
		Format: t.format, Alg: t.alg, Lifetime: t.lifetime, Confirmation: r.Confirmation,
	})
	if err != nil {
		return Issued{}, err
	}
	return Issued{AccessToken: token, TokenType: r.tokenType(), ExpiresIn: expires.Unix() - now.Unix(), Scope: oauth.JoinScope(t.scopes), Details: t.details}, nil
}

// own is what a client holds for itself: its scopes at its resources. The issuer's
// own scopes speak of a person, and there is none.
func (i *Issuer) own(c *store.Client) holding {
	var h holding
	for _, id := range c.Resources {
		res, ok := i.Directory.Resource(id)
		if !ok {
			continue
		}
		held := keep(res.Scopes, func(s string) bool { return slices.Contains(c.Scopes, s) })
		h.resources = append(h.resources, store.GrantedResource{ID: id, Scopes: held})
	}
	return h
}
