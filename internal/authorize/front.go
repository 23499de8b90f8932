package authorize

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/tokens"
	"github.com/jeton-auth/jeton/oauth"
)

// Front makes the tokens that go out with an authorization response.
type Front interface {
	// Lifetime is that of the access token which a grant gives there.
	Lifetime(*store.Client, *store.GrantDetails) (time.Duration, *oauth.Error)
	// Front makes tokens of a grant, as of its creation.
	Front(*store.Client, *store.Grant, tokens.Front) (tokens.Fronted, error)
}

// granted is what a request asks a grant to hold, without the login.
func granted(r *store.AuthorizationRequest) store.GrantDetails {
	return store.GrantDetails{
		Scopes: r.Scopes, Resources: r.Resources, ResourceAsked: r.ResourceAsked, Claims: r.Claims,
		AuthorizationDetails: r.Details,
	}
}

// withTokens adds to an answer the tokens of the grant that it tells of. The grant is
// durable by now: a signature never makes others wait for the database, and if it fails,
// nothing of the grant was given out. The grant's rev is older than the session that was
// read, so that whatever ended meanwhile reaches these tokens.
func (p *Pending) withTokens(ctx context.Context, out Outcome) (Outcome, error) {
	made := out.Answer.made
	g, err := p.flows.Store.Read(ctx).Grant(made.ID)
	if errors.Is(err, store.ErrNotFound) || err == nil && !g.Live() {
		refusal := oauth.Refuse(oauth.LoginRequired, "the login was ended while it was answered")
		return Outcome{Step: Step{Do: Refuse, Refusal: refusal}, Answer: p.To.refuse(refusal), Cookie: out.Cookie}, nil
	}
	if err != nil {
		return Outcome{}, err
	}
	v, t := out.Answer.params, p.Request.Type()
	got, err := p.flows.Front.Front(p.Client, &g, tokens.Front{
		Head: g.Rev, Nonce: p.Request.Nonce, Code: v.Get("code"),
		Access: gives(t, wordToken), ID: gives(t, wordIDToken), Alone: t == oauth.ResponseIDToken,
	})
	if err != nil {
		return Outcome{}, err
	}
	if got.AccessToken != "" {
		v.Set("access_token", got.AccessToken)
		v.Set("token_type", oauth.TokenTypeBearer)
		v.Set("expires_in", strconv.FormatInt(got.ExpiresIn, 10))
		v.Set("scope", got.Scope)
	}
	if got.IDToken != "" {
		v.Set("id_token", got.IDToken)
	}
	return out, nil
}
