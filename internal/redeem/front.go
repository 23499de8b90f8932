package redeem

import (
	"time"

	"github.com/jeton-auth/jeton/internal/claims"
	"github.com/jeton-auth/jeton/internal/grant"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/tokens"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

// Lifetime is that of the access token which a grant gives at the authorization endpoint.
func (i *Issuer) Lifetime(client *store.Client, d *store.GrantDetails) (time.Duration, *oauth.Error) {
	t, refusal := i.choose(client, i.still(client, d), web.Params{})
	return t.lifetime, refusal
}

// Front makes the tokens that go out with an authorization response (OpenID Connect Core
// §3.2.2.5, §3.3.2.5), as of the grant's creation. They hang on the grant as those of the
// token endpoint do.
func (i *Issuer) Front(client *store.Client, g *store.Grant, f tokens.Front) (out tokens.Fronted, err error) {
	t, refusal := i.choose(client, i.still(client, &g.Details), web.Params{})
	if refusal != nil && f.Access {
		return out, refusal
	}
	if f.Access {
		access := i.access(client, g, &t)
		access.Rev = f.Head
		var expires time.Time
		if out.AccessToken, expires, err = i.Minter.Access(g.CreatedAt, access); err != nil {
			return tokens.Fronted{}, err
		}
		out.ExpiresIn, out.Scope = int64(expires.Sub(g.CreatedAt)/time.Second), oauth.JoinScope(t.scopes)
	}
	if f.ID {
		id := i.id(client, g)
		id.Nonce, id.AccessToken, id.Code = f.Nonce, out.AccessToken, f.Code
		scopes, asked := i.still(client, &g.Details).identity, claims.Still(client, g.Details.Claims.IDToken)
		if id.Claims = claims.IDToken(&g.User, scopes, asked); f.Alone {
			id.Claims = claims.IDTokenAlone(&g.User, scopes, asked)
		}
		out.IDToken, err = i.Minter.ID(g.CreatedAt, id)
	}
	return out, err
}

// access is the access token of a grant for a target.
func (i *Issuer) access(client *store.Client, g *store.Grant, t *target) tokens.Access {
	a := tokens.Access{
		Subject: i.Names.For(client, g.Subject), ClientID: g.Client, Audience: t.audience, Scopes: t.scopes,
		Handle: grant.Handle(g.ID), Details: t.details,
		AuthTime: g.Details.AuthTime, ACR: g.Details.ACR, AMR: g.Details.AMR,
		Format: t.format, Alg: t.alg, Lifetime: t.lifetime,
	}
	if t.has(oauth.ScopeRoles) {
		a.Roles = g.User.Roles
	}
	if t.has(oauth.ScopeGroups) {
		a.Groups = g.User.Groups
	}
	return a
}

// id is the ID token of a grant, without what goes out beside it.
func (i *Issuer) id(client *store.Client, g *store.Grant) tokens.ID {
	return tokens.ID{
		Subject: i.Names.For(client, g.Subject), ClientID: g.Client,
		AuthTime: g.Details.AuthTime, ACR: g.Details.ACR, AMR: g.Details.AMR, SID: sid(g), Alg: client.IDTokenAlg,
	}
}
