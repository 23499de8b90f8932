package server

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/oauth"
)

// refused opens an address at which no response may be sent off with a code.
func (p *probe) refused(c party, target string, want oauth.ErrorCode) {
	p.t.Helper()
	r, left := p.browser().page(target)
	if left == "" {
		if r.status != http.StatusBadRequest || !bytes.Contains(r.body, []byte(want)) {
			p.t.Errorf("%s: %d %.1000s, want %s", c.ID, r.status, r.body, want)
		}
		return
	}
	if got, _ := p.response(c, r, left); got.Get("error") != string(want) || got.Get("code") != "" {
		p.t.Errorf("%s: %v, want %s", c.ID, got, want)
	}
}

func (p *probe) checkGrantTypes(v any) {
	list := words(p, v)
	want := []oauth.GrantType{oauth.AuthorizationCode, oauth.RefreshToken, oauth.ClientCredentials, oauth.DeviceCode}
	if len(p.profile().ResponseTypes()) > 1 {
		want = append(want, oauth.Implicit)
	}
	same(p, "grant types", list, want)
	c := p.anyOf()
	for _, g := range list {
		switch oauth.GrantType(g) {
		case oauth.AuthorizationCode, oauth.RefreshToken:
			token := p.tokens(c).str(p.t, "refresh_token")
			p.send(c, "/token", "grant_type", "refresh_token", "refresh_token", token).want(p.t, http.StatusOK, "")
		case oauth.ClientCredentials:
			p.send(c, "/token", "grant_type", g, "scope", "orders:read").want(p.t, http.StatusOK, "")
		case oauth.Implicit:
			if got, how := p.ask(p.unbound(), "response_type", "id_token"); got.Get("id_token") == "" || how != "fragment" {
				p.t.Errorf("implicit gives %v by %s", got, how)
			}
		case oauth.DeviceCode:
			p.device(c)
		}
	}
	p.send(c, "/token", "grant_type", "password").want(p.t, http.StatusBadRequest, oauth.UnsupportedGrantType)
}

// device goes through the device flow (RFC 8628).
func (p *probe) device(c party) {
	p.t.Helper()
	endpoint, _ := p.doc["device_authorization_endpoint"].(string)
	r := p.send(c, strings.TrimPrefix(endpoint, discoveryIssuer), "scope", "openid orders:read").want(p.t, http.StatusOK, "")
	poll := func() reply {
		return p.send(c, "/token", "grant_type", string(oauth.DeviceCode), "device_code", r.str(p.t, "device_code"))
	}
	poll().want(p.t, http.StatusBadRequest, oauth.AuthorizationPending)
	s := p.browser()
	page, left := s.page(strings.TrimPrefix(r.str(p.t, "verification_uri_complete"), discoveryIssuer))
	for range 3 {
		page, left = s.through(page, left)
		if _, v := fields(page.body); v.Has("user_code") {
			page, left = s.submit(page, "continue", "1")
		}
	}
	if left != "" || page.status != http.StatusOK {
		p.t.Errorf("the device's pages lead to %q, %d", left, page.status)
	}
	p.clock.Advance(6e9)
	poll().want(p.t, http.StatusOK, "")
}

func (p *probe) checkResponseTypes(v any) {
	list := words(p, v)
	same(p, "response types", list, p.profile().ResponseTypes())
	c := p.unbound()
	for _, t := range spec.ResponseTypes {
		if !slices.Contains(list, string(t)) {
			v := p.request(c, "response_type", string(t))
			if c.RequireSignedRequest {
				v = url.Values{"client_id": {c.ID}, "request": {p.object(c, v)}}
			}
			if c.RequirePAR {
				if r := p.push(c, v); r.status != http.StatusBadRequest {
					p.t.Errorf("%s is pushed: %d %s", t, r.status, r.body)
				}
			} else {
				p.refused(c, "/authorize?"+v.Encode(), oauth.UnsupportedResponseType)
			}
			continue
		}
		got, how := p.ask(c, "response_type", string(t))
		for word, name := range map[string]string{"code": "code", "id_token": "id_token", "token": "access_token"} {
			if want := slices.Contains(strings.Fields(string(t)), word); got.Has(name) != want {
				p.t.Errorf("%s: %s is there: %t", t, name, !want)
			}
		}
		if t != oauth.ResponseCode && how != "fragment" {
			p.t.Errorf("%s comes by %s", t, how)
		}
		if id := got.Get("id_token"); id != "" {
			p.verified(id)
		}
	}
}

func (p *probe) checkResponseModes(v any) {
	list := words(p, v)
	same(p, "response modes", list, p.profile().ResponseModes())
	c := p.anyOf()
	for _, m := range spec.ResponseModes {
		if !slices.Contains(list, string(m)) {
			v := p.request(c, "response_mode", string(m))
			if c.RequireSignedRequest {
				v = url.Values{"client_id": {c.ID}, "request": {p.object(c, v)}}
			}
			if r := p.push(c, v); r.status != http.StatusBadRequest {
				p.t.Errorf("%s: %d %s", m, r.status, r.body)
			}
			continue
		}
		want := map[oauth.ResponseMode]string{oauth.ModeJWT: "query.jwt"}[m]
		if want == "" {
			want = string(m)
		}
		got, how := p.ask(c, "response_mode", string(m))
		if how, _, _ = strings.Cut(how, " "); how != want || got.Get("code") == "" {
			p.t.Errorf("%s: the response comes by %s: %v", m, how, got)
		}
	}
}

func (p *probe) checkChallenges(v any) {
	same(p, "methods", words(p, v), []string{"S256"})
	c := p.anyOf()
	got, _ := p.ask(c)
	p.send(c, "/token", "grant_type", "authorization_code", "code", got.Get("code"), "redirect_uri", c.RedirectURIs[0], "code_verifier", strings.Repeat("x", 43)).
		want(p.t, http.StatusBadRequest, oauth.InvalidGrant)
	for _, change := range [][]string{
		{"code_challenge_method", "plain", "code_challenge", testVerifier},
		{"code_challenge_method", ""}, // plain, by the standard's default
	} {
		v := p.request(c, change...)
		if c.RequireSignedRequest {
			v = url.Values{"client_id": {c.ID}, "request": {p.object(c, v)}}
		}
		p.push(c, v).want(p.t, http.StatusBadRequest, oauth.InvalidRequest)
	}
}

func (p *probe) checkOnlyPushed(v any) {
	if v != true || !p.profile().FAPI() {
		p.t.Errorf("it is %v", v)
	}
	for _, c := range p.clients {
		p.refused(c, "/authorize?"+p.request(c).Encode(), oauth.InvalidRequest)
	}
}

func (p *probe) checkOnlySigned(v any) {
	if v != true || !p.profile().MessageSigning() {
		p.t.Errorf("it is %v", v)
	}
	for _, c := range p.clients {
		if r := p.push(c, p.request(c)); r.status != http.StatusBadRequest {
			p.t.Errorf("%s: a request that is not signed: %d %s", c.ID, r.status, r.body)
		}
	}
}

func (p *probe) checkRequestParameter(v any) {
	if v != true {
		p.t.Errorf("it is %v", v)
	}
	c := p.anyOf()
	c.RequireSignedRequest = true
	if got, _ := p.ask(c); got.Get("code") == "" {
		p.t.Errorf("a request object is answered with %v", got)
	}
}

// checkRequestURI has a request object fetched where its client registered it; under
// FAPI 2.0 nobody did, since requests are pushed.
func (p *probe) checkRequestURI(v any) {
	if v != !p.profile().FAPI() {
		p.t.Errorf("it is %v", v)
	}
	c := p.anyOf()
	if c.RequirePAR {
		return
	}
	p.hosted.Store(p.object(c, p.request(c)))
	r, left := p.browser().page("/authorize?" + url.Values{"client_id": {c.ID}, "request_uri": {c.RequestURIs[0]}}.Encode())
	if left != "" || !bytes.Contains(r.body, []byte(`id="login"`)) {
		p.t.Errorf("a request object by reference leads to %q, %d %.500s", left, r.status, r.body)
	}
}

func (p *probe) checkRegisteredURIs(v any) {
	if v != true {
		p.t.Errorf("it is %v", v)
	}
	c := p.anyOf()
	p.hosted.Store(p.object(c, p.request(c)))
	unknown := p.request(c)
	unknown.Set("request_uri", c.RequestURIs[0]+"?x=1")
	p.refused(c, "/authorize?"+unknown.Encode(), oauth.InvalidRequestURI)
}

func (p *probe) checkRequestAlgs(v any) {
	list := words(p, v)
	same(p, "algorithms", list, p.profile().SigningAlgs())
	for _, a := range spec.Algs {
		c := p.anyOf()
		v := url.Values{"client_id": {c.ID}, "request": {p.object(c.by(a), p.request(c))}}
		if r := p.push(c, v); slices.Contains(list, string(a)) {
			r.want(p.t, http.StatusCreated, "")
		} else {
			r.want(p.t, http.StatusBadRequest, oauth.InvalidRequestObject)
		}
	}
}

func (p *probe) checkDetails(v any) {
	same(p, "types", words(p, v), []string{"payment_initiation"})
	const details = `[{"type":"payment_initiation","instructedAmount":{"currency":"EUR","amount":"1.00"}}]`
	r := p.tokens(p.anyOf(), "authorization_details", details)
	if got := textOf(r.json(p.t)["authorization_details"]); !strings.Contains(got, "payment_initiation") {
		p.t.Errorf("the answer has authorization_details %s", got)
	}
}

// checkIss: probe.response looks at iss of every response; here at that of an error.
func (p *probe) checkIss(v any) {
	if v != true {
		p.t.Errorf("it is %v", v)
	}
	c := p.anyOf()
	r, left := p.browser().page(p.target(c, p.request(c, "prompt", "none")))
	if got, _ := p.response(c, r, left); got.Get("error") != string(oauth.LoginRequired) {
		p.t.Errorf("the response is %v", got)
	}
}

func (p *probe) checkResponseAlgs(v any) {
	var got []string
	for _, c := range p.clients {
		_, how := p.ask(c, "response_mode", "jwt")
		_, alg, _ := strings.Cut(how, " ")
		if c.ResponseAlg != "" && alg != string(c.ResponseAlg) {
			p.t.Errorf("%s: the response is signed by %s", c.ID, alg)
		}
		if !slices.Contains(got, alg) {
			got = append(got, alg)
		}
	}
	same(p, "algorithms", got, words(p, v))
}

func (p *probe) checkPrompts(v any) {
	same(p, "prompts", words(p, v), []string{"none", "login", "consent", "select_account"})
	c := p.clients[thirdParty]
	s := p.browser()
	p.askIn(s, c) // logged in
	if got, _ := p.askIn(s, c, "prompt", "none"); got.Get("code") == "" {
		p.t.Errorf("none: %v", got)
	}
	for prompt, field := range map[string]string{"login": `id="login"`, "consent": `id="allow"`, "select_account": `id="login"`} {
		if r, left := s.page(p.target(c, p.request(c, "prompt", prompt))); left != "" || !bytes.Contains(r.body, []byte(field)) {
			p.t.Errorf("%s leads to %q, %.300s", prompt, left, r.body)
		}
	}
}

func (p *probe) checkLocales(v any) {
	for _, lang := range words(p, v) {
		r, _ := p.browser().page(p.target(p.anyOf(), p.request(p.anyOf(), "ui_locales", lang)))
		if !bytes.Contains(r.body, []byte(`<html lang="`+lang+`"`)) {
			p.t.Errorf("%s: the page is not in it: %.200s", lang, r.body)
		}
	}
}
