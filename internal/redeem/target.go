package redeem

import (
	"slices"
	"time"

	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/tokens"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

// target is what one access token is for: at most one API, with the scopes that the
// client asked for among those it holds.
type target struct {
	audience []string
	scopes   []string // of the access token
	identity []string // the issuer's own scopes among those asked for
	details  []oauth.AuthorizationDetail
	openID   bool // an ID token goes out too
	format   spec.Format
	alg      oauth.Alg
	lifetime time.Duration
}

func (t *target) has(scope string) bool { return slices.Contains(t.identity, scope) }

// Tokens that are for the issuer alone (userinfo) are made like this.
const (
	ownAlg      = oauth.ES256
	ownLifetime = 5 * time.Minute
)

// holding is what a client may have tokens for: scopes of the issuer, and resources
// with the scopes of each.
type holding struct {
	identity  []string
	resources []store.GrantedResource
	details   []oauth.AuthorizationDetail
	// named tells that the resources were asked for by name already, so that the
	// issuer is not an audience besides them.
	named bool
}

// still cuts a grant down to what its client may have today and its resources still
// know.
func (i *Issuer) still(client *store.Client, d *store.GrantDetails) holding {
	h := holding{named: d.ResourceAsked, details: stillDetails(client, d.AuthorizationDetails)}
	for _, s := range d.Scopes {
		if slices.Contains(client.Scopes, s) {
			h.identity = append(h.identity, s)
		}
	}
	for _, granted := range d.Resources {
		res, ok := i.Directory.Resource(granted.ID)
		if !ok || !slices.Contains(client.Resources, granted.ID) {
			continue
		}
		var scopes []string
		for _, s := range granted.Scopes {
			if slices.Contains(res.Scopes, s) && slices.Contains(client.Scopes, s) {
				scopes = append(scopes, s)
			}
		}
		h.resources = append(h.resources, store.GrantedResource{ID: granted.ID, Scopes: scopes})
	}
	return h
}

// narrow decides what the token of a grant is for (TOKENS §3): the resource asked
// for, or the one that the scopes name.
func (i *Issuer) narrow(client *store.Client, g *store.Grant, p web.Params) (target, *oauth.Error) {
	return i.choose(client, i.still(client, &g.Details), p)
}

func (i *Issuer) choose(client *store.Client, h holding, p web.Params) (target, *oauth.Error) {
	asked, ok := oauth.ParseScope(p.Get("scope"))
	if !ok {
		return target{}, oauth.Refuse(oauth.InvalidScope, "scope holds a character that no scope has")
	}
	refusal := within(h, asked)
	if refusal != nil {
		return target{}, refusal
	}
	known := func(id string) bool { _, ok := i.Directory.Resource(id); return ok }
	if h.details, refusal = narrowDetails(h.details, p, known); refusal != nil {
		return target{}, refusal
	}
	wanted := func(s string) bool { return len(asked) == 0 || slices.Contains(asked, s) }
	t := target{identity: keep(h.identity, wanted), alg: ownAlg, lifetime: ownLifetime, format: spec.FormatJWT}
	t.openID = slices.Contains(t.identity, oauth.ScopeOpenID)

	api, refusal := h.api(p, len(asked) > 0, wanted)
	if refusal != nil {
		return target{}, refusal
	}
	named := h.named || len(p.All("resource")) > 0
	if api != nil {
		res, ok := i.Directory.Resource(api.ID)
		if !ok {
			return target{}, oauth.Refuse(oauth.InvalidTarget, "the resource is no longer known here")
		}
		t.audience = []string{res.ID}
		t.format, t.alg, t.lifetime = res.AccessToken.Format, res.AccessToken.Alg, res.AccessToken.Lifetime.Std()
		if t.format == spec.FormatJWT && !slices.Contains(client.Profile.SigningAlgs(), t.alg) {
			// It was another when the client was declared.
			return target{}, oauth.Refuse(oauth.InvalidTarget, "the resource's access tokens are signed by %s, which the client's profile does not allow", t.alg)
		}
		if !named {
			t.scopes = slices.Clone(t.identity)
		}
		t.scopes = append(t.scopes, keep(api.Scopes, wanted)...)
	} else {
		t.scopes = t.identity
	}
	if t.openID && !named || api == nil && t.openID {
		t.audience = append(t.audience, i.Minter.Issuer())
	}
	if len(t.audience) == 0 {
		return target{}, oauth.Refuse(oauth.InvalidTarget, "nothing says which API the token is for: send resource, or a scope of the API")
	}
	t.details = tokens.DetailsFor(h.details, t.audience, known)
	return t, nil
}

// within refuses scopes that the client does not hold.
func within(h holding, asked []string) *oauth.Error {
	for _, s := range asked {
		held := slices.Contains(h.identity, s)
		for _, r := range h.resources {
			held = held || slices.Contains(r.Scopes, s)
		}
		if !held {
			return oauth.Refuse(oauth.InvalidScope, "the scope %s was not granted to this client", s)
		}
	}
	return nil
}

// api is the one resource that a token is for; nil: the issuer alone.
func (h holding) api(p web.Params, scoped bool, wanted func(string) bool) (*store.GrantedResource, *oauth.Error) {
	if asked := p.All("resource"); len(asked) > 0 {
		if len(asked) > 1 {
			return nil, oauth.Refuse(oauth.InvalidTarget, "ask for one resource a token: each API has its own")
		}
		for k := range h.resources {
			if h.resources[k].ID == asked[0] {
				return &h.resources[k], nil
			}
		}
		return nil, oauth.Refuse(oauth.InvalidTarget, "this resource was not granted to this client")
	}
	var found []*store.GrantedResource
	for k := range h.resources {
		r := &h.resources[k]
		if len(keep(r.Scopes, wanted)) > 0 || !scoped && (h.named || h.located(r.ID)) {
			found = append(found, r)
		}
	}
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		return found[0], nil
	}
	return nil, oauth.Refuse(oauth.InvalidTarget, "the scopes belong to more than one API: send resource, or fewer scopes")
}

func keep(scopes []string, wanted func(string) bool) []string {
	var kept []string
	for _, s := range scopes {
		if wanted(s) {
			kept = append(kept, s)
		}
	}
	return kept
}
