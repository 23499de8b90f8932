package spec

import (
	"slices"
	"strings"

	"github.com/jeton-auth/jeton/oauth"
)

// holds tells whether word is one of those of the response type t.
func holds(t oauth.ResponseType, word string) bool {
	return slices.Contains(strings.Fields(string(t)), word)
}

// implicit tells whether t gives out tokens at the authorization endpoint.
func implicit(t oauth.ResponseType) bool { return t != oauth.ResponseCode }

// fits tells whether a response of type t may go by mode m: what holds tokens never
// stands in a query (OAuth 2.0 Multiple Response Type Encoding Practices §3.0, JARM
// §2.3.1).
func fits(t oauth.ResponseType, m oauth.ResponseMode) bool {
	return !implicit(t) || m != oauth.ModeQuery && m != oauth.ModeQueryJWT
}

// validateResponses holds the rules about what the client may be answered, and how.
func (c Client) validateResponses(p *problems) {
	unique(p, "response_types", c.ResponseTypes)
	known := true
	for i, t := range c.ResponseTypes {
		field := at("response_types", i)
		switch {
		case !oneOf(p, field, t, ResponseTypes):
			known = false
		case holds(t, "code") && !c.MayUse(oauth.AuthorizationCode):
			p.add(field, "%s gives a code, for which the client lacks the grant type: add authorization_code to grant_types", t)
		case holds(t, "token") && (c.DPoPBound || c.MTLSBound):
			p.add(field, "%s gives an access token that no key is bound to: remove it, or dpop_bound and mtls_bound", t)
		case holds(t, "id_token") && !slices.Contains(c.Scopes, oauth.ScopeOpenID):
			p.add(field, "%s gives an ID token: add openid to scopes", t)
		}
	}
	unique(p, "response_modes", c.ResponseModes)
	for i, m := range c.ResponseModes {
		known = oneOf(p, at("response_modes", i), m, ResponseModes) && known
	}
	if known && len(c.ResponseModes) > 0 {
		c.everyTypeFits(p)
	}
	if c.ResponseAlg != "" {
		oneOf(p, "authorization_signed_response_alg", c.ResponseAlg, Algs)
	}
	if c.UserinfoAlg != "" {
		oneOf(p, "userinfo_alg", c.UserinfoAlg, Algs)
	}
}

// everyTypeFits reports a response type that no mode of the client can carry.
func (c Client) everyTypeFits(p *problems) {
	for _, t := range c.ResponseTypes {
		if !slices.ContainsFunc(c.ResponseModes, func(m oauth.ResponseMode) bool { return fits(t, m) }) {
			p.add("response_modes", "has none for response type %s, whose tokens never stand in a query: add fragment or form_post", quote(string(t)))
			return
		}
	}
}
