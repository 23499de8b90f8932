package server

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/oauth"
)

// checks call what a member of the metadata advertises.
var checks = map[string]func(p *probe, value any){
	"issuer": func(p *probe, v any) {
		if v != discoveryIssuer {
			p.t.Errorf("issuer is %v", v)
		}
	},
	"authorization_endpoint":                at("/authorize", (*probe).checkAuthorize),
	"token_endpoint":                        at("/token", func(p *probe) { p.tokens(p.anyOf()) }),
	"pushed_authorization_request_endpoint": at("/par", (*probe).checkPAR),
	"jwks_uri":                              at("/jwks", (*probe).checkJWKS),
	"userinfo_endpoint":                     at("/userinfo", (*probe).checkUserInfo),
	"revocation_endpoint":                   at("/revoke", (*probe).checkRevoke),
	"introspection_endpoint":                at("/introspect", (*probe).checkIntrospect),
	"revocation_feed_endpoint":              at("/revocations", (*probe).checkFeed),
	"end_session_endpoint":                  at("/logout", (*probe).checkLogout),
	"backchannel_logout_supported":          (*probe).checkBackchannel,
	"backchannel_logout_session_supported":  (*probe).checkBackchannel,
	"frontchannel_logout_supported":         (*probe).checkFrontchannel,
	"frontchannel_logout_session_supported": (*probe).checkFrontchannel,
	"device_authorization_endpoint":         func(p *probe, _ any) { p.device(p.anyOf()) },

	"token_endpoint_auth_methods_supported":                    (*probe).checkTokenMethods,
	"token_endpoint_auth_signing_alg_values_supported":         algsAt("/token", "grant_type", "client_credentials", "scope", "orders:read"),
	"revocation_endpoint_auth_methods_supported":               methodsAt("/revoke", "token", "unknown"),
	"revocation_endpoint_auth_signing_alg_values_supported":    algsAt("/revoke", "token", "unknown"),
	"introspection_endpoint_auth_methods_supported":            (*probe).checkIntrospectMethods,
	"introspection_endpoint_auth_signing_alg_values_supported": algsAt("/introspect", "token", "unknown"),
	"introspection_signing_alg_values_supported":               (*probe).checkIntrospectAlgs,
	"tls_client_certificate_bound_access_tokens":               (*probe).checkCertificateBound,
	"mtls_endpoint_aliases":                                    (*probe).checkAliases,
	"dpop_signing_alg_values_supported":                        (*probe).checkDPoPAlgs,

	"grant_types_supported":                          (*probe).checkGrantTypes,
	"response_types_supported":                       (*probe).checkResponseTypes,
	"response_modes_supported":                       (*probe).checkResponseModes,
	"code_challenge_methods_supported":               (*probe).checkChallenges,
	"require_pushed_authorization_requests":          (*probe).checkOnlyPushed,
	"require_signed_request_object":                  (*probe).checkOnlySigned,
	"request_parameter_supported":                    (*probe).checkRequestParameter,
	"request_uri_parameter_supported":                (*probe).checkRequestURI,
	"require_request_uri_registration":               (*probe).checkRegisteredURIs,
	"request_object_signing_alg_values_supported":    (*probe).checkRequestAlgs,
	"authorization_details_types_supported":          (*probe).checkDetails,
	"authorization_response_iss_parameter_supported": (*probe).checkIss,
	"authorization_signing_alg_values_supported":     (*probe).checkResponseAlgs,
	"prompt_values_supported":                        (*probe).checkPrompts,
	"ui_locales_supported":                           (*probe).checkLocales,

	"scopes_supported":                      (*probe).checkScopes,
	"claims_supported":                      (*probe).checkClaims,
	"claims_parameter_supported":            (*probe).checkClaimsParameter,
	"claim_types_supported":                 func(p *probe, v any) { same(p, "claim types", words(p, v), []string{"normal"}) },
	"subject_types_supported":               (*probe).checkSubjects,
	"acr_values_supported":                  (*probe).checkACRs,
	"id_token_signing_alg_values_supported": (*probe).checkIDTokenAlgs,
	"userinfo_signing_alg_values_supported": (*probe).checkUserInfoAlgs,
}

// at checks that an endpoint is where it is served, and calls it.
func at(path string, call func(*probe)) func(*probe, any) {
	return func(p *probe, v any) {
		if v != discoveryIssuer+path {
			p.t.Errorf("the endpoint is %v, want %s", v, discoveryIssuer+path)
		}
		call(p)
	}
}

func (p *probe) checkAuthorize() {
	got, how := p.ask(p.anyOf())
	if got.Get("code") == "" || !p.profile().MessageSigning() && how != "query" {
		p.t.Errorf("the response is %v by %s", got, how)
	}
}

func (p *probe) checkPAR() {
	c := p.anyOf()
	v := p.request(c)
	if c.RequireSignedRequest {
		v = url.Values{"client_id": {c.ID}, "request": {p.object(c, v)}}
	}
	r := p.push(c, v).want(p.t, http.StatusCreated, "")
	if n, _ := r.json(p.t)["expires_in"].(float64); n <= 0 || n >= 600 {
		p.t.Errorf("a pushed request lives %v s", n)
	}
	target := "/authorize?" + url.Values{"client_id": {c.ID}, "request_uri": {r.str(p.t, "request_uri")}}.Encode()
	s := p.browser()
	s.page(target) // looked at, and opened again
	re, left := s.through(s.page(target))
	if got, _ := p.response(c, re, left); got.Get("code") == "" {
		p.t.Errorf("a pushed request is answered with %v", got)
	}
	p.post("/par", nil, "client_id", c.ID).want(p.t, http.StatusUnauthorized, oauth.InvalidClient)
	if r := p.get("/par", nil); r.status != http.StatusMethodNotAllowed {
		p.t.Errorf("GET /par: %d", r.status)
	}
}

func (p *probe) checkJWKS() {
	r := p.get("/jwks", nil)
	if r.status != http.StatusOK || r.header.Get("Cache-Control") != "public, max-age=300" {
		p.t.Errorf("%d, %v", r.status, r.header)
	}
}

func (p *probe) checkUserInfo() {
	for _, c := range p.clients {
		if c.ID == thirdParty || c.UserinfoAlg != "" {
			continue // have checks of their own
		}
		if got := p.use(c, "/userinfo", p.tokens(c, "scope", "openid email").str(p.t, "access_token")).json(p.t); got["email"] != "ada@example.com" {
			p.t.Errorf("%s: userinfo is %v", c.ID, got)
		}
	}
	// In a form (RFC 6750 §2.2), unless the profile knows the header alone.
	c := p.clients[string(oauth.TLSClientAuth)]
	token := p.tokens(c, "scope", "openid email").str(p.t, "access_token")
	r := p.post("/userinfo", p.as(c), "access_token", token)
	if p.profile().FAPI() {
		r.want(p.t, http.StatusBadRequest, oauth.InvalidRequest)
	} else if r.want(p.t, http.StatusOK, "").str(p.t, "email") != "ada@example.com" {
		p.t.Errorf("userinfo is %s", r.body)
	}
}

func (p *probe) checkRevoke() {
	c := p.anyOf()
	token := p.tokens(c).str(p.t, "access_token")
	p.send(c, "/revoke", "token", token).want(p.t, http.StatusOK, "")
	if p.active(token) {
		p.t.Error("a revoked token is active")
	}
}

func (p *probe) checkIntrospect() {
	c := p.anyOf()
	if !p.active(p.tokens(c).str(p.t, "access_token")) {
		p.t.Error("a new token is not active")
	}
}

func (p *probe) checkFeed() {
	if r := p.get("/revocations", asAPI, "Accept", "application/json"); r.status != http.StatusOK {
		p.t.Errorf("%d %s", r.status, r.body)
	}
}

func (p *probe) checkLogout() {
	c := p.anyOf()
	s := p.browser()
	got, _ := p.askIn(s, c)
	hint := p.spend(c, got.Get("code")).want(p.t, http.StatusOK, "").str(p.t, "id_token")
	_, left := s.page("/logout?" + url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {c.PostLogoutRedirectURIs[0]}, "state": {"bye"}}.Encode())
	if left != c.PostLogoutRedirectURIs[0]+"?state=bye" {
		p.t.Errorf("a logout leads to %q", left)
	}
}

func (p *probe) checkTokenMethods(v any) {
	same(p, "methods", words(p, v), p.profile().AuthMethods())
	for _, m := range words(p, v) {
		c := p.clients[m]
		if c.Confidential() {
			p.send(c, "/token", "grant_type", "client_credentials", "scope", "orders:read").want(p.t, http.StatusOK, "")
		}
		p.tokens(c)
		for _, other := range p.clients {
			if other.AuthMethod == c.AuthMethod || !c.Confidential() || other.Certificates() && c.Certificates() {
				continue
			}
			other.ID = c.ID // with another's credential
			p.send(other, "/token", "grant_type", "client_credentials", "scope", "orders:read").want(p.t, http.StatusUnauthorized, oauth.InvalidClient)
		}
	}
}

// methodsAt has each method of an endpoint be taken there.
func methodsAt(path string, values ...string) func(*probe, any) {
	return func(p *probe, v any) {
		same(p, "methods", words(p, v), p.profile().AuthMethods())
		for _, m := range words(p, v) {
			p.post(path, p.as(p.clients[m]), values...).want(p.t, http.StatusOK, "")
		}
	}
}

// algsAt has client assertions of each algorithm be taken at an endpoint, and of no other.
func algsAt(path string, values ...string) func(*probe, any) {
	return func(p *probe, v any) {
		list := words(p, v)
		same(p, "algorithms", list, p.profile().SigningAlgs())
		for _, a := range spec.Algs {
			c := p.anyOf().by(a)
			c.DPoPBound = false // the proof is another matter
			as := p.as(c)
			r := p.post(path, func(r *http.Request, v url.Values) {
				as(r, v)
				if path == "/token" {
					r.Header.Set("DPoP", p.proof(p.profile().SigningAlgs()[0], http.MethodPost, path, "", ""))
				}
			}, values...)
			if slices.Contains(list, string(a)) {
				r.want(p.t, http.StatusOK, "")
			} else {
				r.want(p.t, http.StatusUnauthorized, oauth.InvalidClient)
			}
		}
	}
}

func (p *probe) checkIntrospectMethods(v any) {
	want := []oauth.AuthMethod{oauth.ClientSecretBasic, oauth.ClientSecretPost} // the resource's
	for _, m := range p.profile().AuthMethods() {
		if m.Confidential() && !slices.Contains(want, m) {
			want = append(want, m)
		}
	}
	list := words(p, v)
	same(p, "methods", list, want)
	for _, m := range list {
		if c, ok := p.clients[m]; ok {
			p.post("/introspect", p.as(c), "token", "unknown").want(p.t, http.StatusOK, "")
		}
	}
	p.post("/introspect", asAPI, "token", "unknown").want(p.t, http.StatusOK, "")
	p.post("/introspect", form(api, apiSecret), "token", "unknown").want(p.t, http.StatusOK, "")
}

// checkIntrospectAlgs collects the algorithms of the answers that callers get.
func (p *probe) checkIntrospectAlgs(v any) {
	var got []string
	callers := []caller{asAPI}
	for _, c := range p.clients {
		if c.Confidential() {
			callers = append(callers, p.as(c))
		}
	}
	for _, as := range callers {
		r := p.introspect(as, "application/token-introspection+jwt", "unknown")
		alg, _ := p.verified(string(r.body))
		if !slices.Contains(got, string(alg)) {
			got = append(got, string(alg))
		}
	}
	same(p, "algorithms", got, words(p, v))
}

func (p *probe) checkCertificateBound(v any) {
	if v != true {
		p.t.Errorf("it is %v", v)
	}
	for _, m := range []oauth.AuthMethod{oauth.TLSClientAuth, oauth.SelfSignedTLS} {
		c := p.clients[string(m)]
		token := p.tokens(c).str(p.t, "access_token")
		cnf, _ := payload(p.t, token)["cnf"].(map[string]any)
		if cnf["x5t#S256"] == nil {
			p.t.Errorf("%s: the token is bound to %v", c.ID, cnf)
		}
	}
}

func (p *probe) checkAliases(v any) {
	aliases, _ := v.(map[string]any)
	for name, alias := range aliases {
		if alias != p.doc[name] {
			p.t.Errorf("%s goes to %v, where %v is not served", name, alias, p.doc[name])
		}
	}
	if len(aliases) == 0 {
		p.t.Error("there are none")
	}
}

func (p *probe) checkDPoPAlgs(v any) {
	list := words(p, v)
	same(p, "algorithms", list, p.profile().SigningAlgs())
	for _, a := range spec.Algs {
		c := p.anyOf()
		as := p.as(c)
		r := p.post("/token", func(r *http.Request, v url.Values) {
			as(r, v)
			r.Header.Set("DPoP", p.proof(a, http.MethodPost, "/token", "", ""))
		}, "grant_type", "client_credentials", "scope", "orders:read")
		if !slices.Contains(list, string(a)) {
			r.want(p.t, http.StatusBadRequest, oauth.InvalidDPoPProof)
		} else if r.want(p.t, http.StatusOK, "").str(p.t, "token_type") != oauth.TokenTypeDPoP {
			p.t.Errorf("%s: %s", a, r.body)
		}
	}
}

// textOf is a JSON value as text.
func textOf(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return strings.TrimSpace(string(text))
}
