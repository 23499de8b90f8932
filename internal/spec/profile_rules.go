package spec

import (
	"cmp"
	"slices"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/jwks"
)

// Clauses that profiles are refused by, as messages name them.
const (
	fapiConfidential = "FAPI 2.0 Security Profile 5.3.2.1 item 3"
	fapiBound        = "FAPI 2.0 Security Profile 5.3.2.1 item 4"
	fapiAuth         = "FAPI 2.0 Security Profile 5.3.2.1 item 6"
	fapiNoRotation   = "FAPI 2.0 Security Profile 5.3.2.1 item 9"
	fapiCode         = "FAPI 2.0 Security Profile 5.3.2.2 item 1"
	fapiPAR          = "FAPI 2.0 Security Profile 5.3.2.2 item 3"
	fapiPKCE         = "FAPI 2.0 Security Profile 5.3.2.2 item 5"
	fapiJWT          = "FAPI 2.0 Security Profile 5.4.1 item 1"
	signedRequests   = "FAPI 2.0 Message Signing 5.3.1 item 1"
	signedResponses  = "FAPI 2.0 Message Signing 5.4.1 item 1"
	oauth21PKCE      = "OAuth 2.1 4.1.1"
	oauth21Code      = "OAuth 2.1 4.1.1"
	oauth21Implicit  = "OAuth 2.1 10.1"
	oauth21Refresh   = "OAuth 2.1 4.3.1"
)

// withProfile sets what is absent and the profile demands.
func (c Client) withProfile() Client {
	if !c.Profile.FAPI() {
		return c
	}
	if !c.MTLSBound {
		c.DPoPBound = true
	}
	c.RequirePAR = true
	c.RefreshToken.Rotate = cmp.Or(c.RefreshToken.Rotate, RotateNever)
	c.IDTokenAlg = cmp.Or(c.IDTokenAlg, oauth.ES256)
	if c.Profile.MessageSigning() {
		c.RequireSignedRequest = true
		if len(c.ResponseModes) == 0 {
			c.ResponseModes = c.Profile.ResponseModes()
		}
	}
	return c
}

// Lock is a setting that a profile turns on, and the clause that demands it.
type Lock struct{ Field, Clause string }

// Locks are the settings that may not be false under the profile. An absent one is on.
func (p Profile) Locks() []Lock {
	var locks []Lock
	if p.FAPI() {
		locks = []Lock{{"require_par", fapiPAR}}
	}
	if p.MessageSigning() {
		locks = append(locks, Lock{"require_signed_request", signedRequests})
	}
	return locks
}

// validateProfile reports what contradicts the client's profile, by the clause that it
// breaks. The client is valid otherwise.
func (c Client) validateProfile(p *problems, known Resources) {
	if c.Profile == ProfileOAuth21 {
		c.validateOAuth21(p)
	}
	if c.Profile.FAPI() {
		c.validateFAPI(p, known)
	}
	if c.Profile.MessageSigning() {
		c.validateSigning(p)
	}
}

func (p *problems) breaks(field string, profile Profile, clause, rule string) {
	p.add(field, "breaks profile %s: %s (%s)", profile, rule, clause)
}

func (c Client) validateOAuth21(p *problems) {
	c.onlyCode(p, oauth21Code, oauth21Implicit)
	if !c.PKCERequired() {
		p.breaks("require_pkce", c.Profile, oauth21PKCE, "every code is bound by PKCE; remove it")
	}
	if !c.Confidential() && c.RefreshToken.Rotate == RotateNever && !c.DPoPBound && !c.MTLSBound {
		p.breaks("refresh_token.rotate", c.Profile, oauth21Refresh, "a public client's refresh tokens are used once or bound to a key; write always, or dpop_bound: true")
	}
}

func (c Client) validateFAPI(p *problems, known Resources) {
	switch {
	case !c.Confidential():
		p.breaks("auth_method", c.Profile, fapiConfidential, "there are no public clients; write "+list(c.Profile.AuthMethods()))
	case c.AuthMethod.HasSecret():
		p.breaks("auth_method", c.Profile, fapiAuth, "a client shows its key, not a secret; write "+list(c.Profile.AuthMethods()))
	}
	if !c.DPoPBound && !c.MTLSBound {
		p.breaks("dpop_bound", c.Profile, fapiBound, "every access token is bound to a key; write dpop_bound: true or mtls_bound: true")
	}
	if !c.RequirePAR {
		p.breaks("require_par", c.Profile, fapiPAR, "every authorization request is pushed; write true, or remove it")
	}
	c.onlyCode(p, fapiCode, fapiCode)
	if !c.PKCERequired() {
		p.breaks("require_pkce", c.Profile, fapiPKCE, "every request has a PKCE challenge; remove it")
	}
	if c.RefreshToken.Rotate != RotateNever {
		p.breaks("refresh_token.rotate", c.Profile, fapiNoRotation, "refresh tokens don't rotate; write never, or remove it")
	}
	c.fapiAlgorithms(p, known)
}

// onlyCode reports each response type but code, and the grant type of those, by the
// clause that knows code alone and the one that forbids access tokens in the response.
func (c Client) onlyCode(p *problems, code, token string) {
	for i, t := range c.ResponseTypes {
		clause := code
		if holds(t, "token") {
			clause = token
		}
		if t != oauth.ResponseCode {
			p.breaks(at("response_types", i), c.Profile, clause, "code is the only response type; remove this one")
		}
	}
	if i := slices.Index(c.GrantTypes, oauth.Implicit); i >= 0 {
		p.breaks(at("grant_types", i), c.Profile, token, "code is the only response type; remove this grant type")
	}
}

func (c Client) fapiAlgorithms(p *problems, known Resources) {
	algs := c.Profile.SigningAlgs()
	rule := "JWTs are signed by " + list(algs) + " alone"
	for _, f := range []struct {
		field string
		alg   oauth.Alg
	}{
		{"id_token_alg", c.IDTokenAlg}, {"userinfo_alg", c.UserinfoAlg}, {"authorization_signed_response_alg", c.ResponseAlg},
	} {
		if f.alg != "" && !slices.Contains(algs, f.alg) {
			p.breaks(f.field, c.Profile, fapiJWT, rule+"; write one of them")
		}
	}
	for i, id := range c.Resources {
		r, _ := known.Find(id)
		if t := r.AccessToken; t.Format == FormatJWT && !slices.Contains(algs, t.Alg) {
			p.breaks(at("resources", i), c.Profile, fapiJWT, rule+", and this one's access tokens by "+string(t.Alg)+"; change the resource's access_token.alg, or remove it here")
		}
	}
	if c.AuthMethod == oauth.PrivateKeyJWT || c.RequireSignedRequest {
		c.fapiKeys(p, algs, rule)
	}
}

// fapiKeys asks for one key that the client may sign by.
func (c Client) fapiKeys(p *problems, algs []oauth.Alg, rule string) {
	set, err := jwks.ParseClient([]byte(c.JWKS))
	if err != nil {
		return // at jwks_uri, or reported
	}
	if !slices.ContainsFunc(set, func(k jwks.Key) bool { return slices.Contains(algs, k.Alg) }) {
		p.breaks("jwks", c.Profile, fapiJWT, rule+"; add a key for one of them")
	}
}

func (c Client) validateSigning(p *problems) {
	if !c.RequireSignedRequest {
		p.breaks("require_signed_request", c.Profile, signedRequests, "every request is a signed request object; write true, or remove it")
	}
	if !c.HasKeys() {
		p.breaks("jwks", c.Profile, signedRequests, "requests are signed; write the client's keys, or jwks_uri")
	}
	modes := c.Profile.ResponseModes()
	for i, m := range c.ResponseModes {
		if !slices.Contains(modes, m) {
			p.breaks(at("response_modes", i), c.Profile, signedResponses, "every response is signed; write "+list(modes))
		}
	}
}
