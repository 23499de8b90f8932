package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

const planConfig = `
  - id: relying
    auth_method: client_secret_basic
    secret: env:SHOP_SECRET
    redirect_uris: [https://rp.example.com/callback, "https://rp.example.com/callback?dummy1=lorem&dummy2=ipsum"]
    post_logout_redirect_uris: [https://rp.example.com/post_logout]
    grant_types: [authorization_code, refresh_token]
    response_types: [code, id_token, id_token token, code id_token, code token, token id_token code]
    scopes: [openid, profile, email, address, phone, offline_access]
    require_pkce: false
  - id: posting
    auth_method: client_secret_post
    secret: env:CLUB_SECRET
    redirect_uris: [https://rp2.example.com/callback]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, profile, email, address, phone, offline_access]
    require_pkce: false
`

const everyClaim = `
  - email: eve@example.com
    email_verified: true
    username: eve
    name: Eve Example
    password: env:BOB_PASSWORD
    claims:
      given_name: Eve
      family_name: Example
      middle_name: M
      nickname: eve
      profile: https://eve.example.com/
      picture: https://eve.example.com/eve.png
      website: https://eve.example.com/
      gender: female
      birthdate: 1990-01-02
      zoneinfo: Europe/Berlin
      locale: de-DE
      phone_number: "+4930123456"
      phone_number_verified: true
      address: {formatted: "1 Way", street_address: "1 Way", locality: Berlin, region: BE, postal_code: "10115", country: DE}
`

func withRelying(i *issuer, config *string) {
	*config = strings.Replace(*config, "\nusers:", planConfig+"users:", 1) + strings.TrimPrefix(everyClaim, "\n")
}

var (
	relying = app{"relying", "https://rp.example.com/callback", basic("relying", shopSecret)}
	posting = app{"posting", "https://rp2.example.com/callback", inForm("posting", clubSecret)}
)

// plain is a request as the base plans send it: without PKCE.
func (a app) plain(scope string, more ...string) request {
	return a.asking(scope, append([]string{"code_challenge", "", "code_challenge_method", ""}, more...)...)
}

func (i *issuer) eve() *person { return i.person("eve@example.com", bobPassword) }

func (p *person) redeemPlain(r request) reply {
	p.t.Helper()
	code := p.through(p.authorize(r)).answer(r).Get("code")
	return p.i.post("/token", r.app.as, "grant_type", "authorization_code", "code", code, "redirect_uri", r.app.redirect).want(http.StatusOK, "")
}

// TestPlanBasic is the plan of the OpenID Connect Core basic profile.
func TestPlanBasic(t *testing.T) {
	t.Parallel()
	i := start(t, secure, withRelying)
	for name, module := range map[string]func(*testing.T, *issuer){
		"server":              planServer,
		"scopes":              planScopes,
		"userinfo":            planUserInfo,
		"prompt-and-max-age":  planPrompt,
		"odd-requests":        planOdd,
		"code-reuse":          planReuse,
		"redirect-uri":        planRedirect,
		"request-object":      planUnsignedObject,
		"claims-and-hints":    planHints,
		"authorize-by-post":   planAuthorizePost,
		"response-modes":      planFormPost,
		"hybrid-and-implicit": planHybrid,
		"rp-initiated-logout": planLogout,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); module(t, i.in(t)) })
	}
}

func planServer(t *testing.T, i *issuer) {
	for _, a := range []app{relying, posting} {
		r := a.plain("openid")
		got := i.eve().redeemPlain(r)
		id := payload(t, got.str("id_token"))
		if id["iss"] != i.url || id["aud"] != a.id || id["nonce"] != r.Get("nonce") || id["sub"] == "" || header(t, got.str("id_token"))["alg"] != "RS256" {
			t.Errorf("the ID token says %v", id)
		}
		if got.header.Get("Cache-Control") != "no-store" || got.str("token_type") != "Bearer" {
			t.Errorf("the answer is %v %s", got.header, got.body)
		}
	}
	// A code request needs no nonce.
	got := i.eve().redeemPlain(relying.plain("openid", "nonce", ""))
	if _, there := payload(t, got.str("id_token"))["nonce"]; there {
		t.Error("there is a nonce that nobody sent")
	}
	m := i.get("/.well-known/openid-configuration").want(http.StatusOK, "").json()
	algs := fmt.Sprint(m["id_token_signing_alg_values_supported"])
	if !strings.Contains(algs, "RS256") {
		t.Errorf("the algorithms are %s", algs)
	}
}

func planScopes(t *testing.T, i *issuer) {
	for scope, want := range map[string][]string{
		"openid profile": {"name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at"},
		"openid email":   {"email", "email_verified"},
		"openid address": {"address"},
		"openid phone":   {"phone_number", "phone_number_verified"},
		"phone address email profile openid": {
			"name", "email", "email_verified", "address", "phone_number", "phone_number_verified", "updated_at",
		},
	} {
		got := i.eve().redeemPlain(relying.plain(scope))
		info := i.get("/userinfo", "Authorization", "Bearer "+got.access()).want(http.StatusOK, "").json()
		for _, name := range want {
			if info[name] == nil {
				t.Errorf("with %s userinfo lacks %s", scope, name)
			}
		}
		if info["sub"] != payload(t, got.str("id_token"))["sub"] {
			t.Errorf("userinfo is about %v", info["sub"])
		}
	}
}

func planUserInfo(t *testing.T, i *issuer) {
	access := i.eve().redeemPlain(relying.plain("openid email")).access()
	i.get("/userinfo", "Authorization", "Bearer "+access).want(http.StatusOK, "")
	bearer := func(r *http.Request, _ url.Values) { r.Header.Set("Authorization", "Bearer "+access) }
	i.post("/userinfo", bearer).want(http.StatusOK, "")
	if got := i.post("/userinfo", nobody, "access_token", access); got.status != http.StatusOK {
		t.Errorf("the token in the body: %d %s", got.status, got.body)
	}
	if got := i.post("/userinfo", bearer, "access_token", access); got.status == http.StatusOK {
		t.Error("a token sent in two ways is taken")
	}
}

func planPrompt(t *testing.T, i *issuer) {
	p := i.eve()
	r := relying.plain("openid", "prompt", "none")
	if q := p.authorize(r).answer(r); q.Get("error") != "login_required" {
		t.Errorf("prompt=none without a session: %v", q)
	}
	first := payload(t, p.redeemPlain(relying.plain("openid")).str("id_token"))
	r = relying.plain("openid", "prompt", "none")
	if q := p.authorize(r).answer(r); q.Get("code") == "" {
		t.Errorf("prompt=none with a session: %v", q)
	}
	r = relying.plain("openid", "max_age", "10000")
	if q := p.authorize(r).answer(r); q.Get("code") == "" {
		t.Errorf("max_age=10000: %v", q)
	}
	time.Sleep(1100 * time.Millisecond) // max_age and auth_time are in seconds
	for _, more := range [][]string{{"prompt", "login"}, {"max_age", "1"}} {
		r = relying.plain("openid", more...)
		on := p.authorize(r)
		if !on.has("login") {
			t.Fatalf("%v shows no login page: %d %s", more, on.status, on.at)
		}
		again := payload(t, i.post("/token", relying.as, "grant_type", "authorization_code", "code", p.through(on).answer(r).Get("code"), "redirect_uri", relying.redirect).want(http.StatusOK, "").str("id_token"))
		before, _ := first["auth_time"].(float64)
		after, _ := again["auth_time"].(float64)
		if after <= before || again["sub"] != first["sub"] {
			t.Errorf("%v: auth_time went from %v to %v", more, before, after)
		}
		first = again
		time.Sleep(1100 * time.Millisecond)
	}
}

func planOdd(t *testing.T, i *issuer) {
	for name, more := range map[string][]string{
		"an unknown parameter": {"extra", "foobar"},
		"display=page":         {"display", "page"},
		"display=popup":        {"display", "popup"},
		"ui_locales":           {"ui_locales", "se"},
		"claims_locales":       {"claims_locales", "se"},
		"acr_values":           {"acr_values", "1 2"},
		"login_hint":           {"login_hint", "eve@example.com"},
	} {
		r := relying.plain("openid", more...)
		p := i.eve()
		if q := p.through(p.authorize(r)).answer(r); q.Get("code") == "" {
			t.Errorf("%s: %v", name, q)
		}
	}
	r := relying.plain("openid", "response_type", "")
	if on := i.eve().authorize(r); on.status == http.StatusOK {
		t.Errorf("without response_type: %d %s", on.status, on.at)
	}
	// PKCE may be there.
	i.eve().tokens(relying, "openid")
}

func planReuse(t *testing.T, i *issuer) {
	p := i.eve()
	r := relying.plain("openid")
	code := p.through(p.authorize(r)).answer(r).Get("code")
	redeem := func() reply {
		return i.post("/token", relying.as, "grant_type", "authorization_code", "code", code, "redirect_uri", relying.redirect)
	}
	access := redeem().want(http.StatusOK, "").access()
	redeem().want(http.StatusBadRequest, "invalid_grant")
	if got := i.get("/userinfo", "Authorization", "Bearer "+access); got.status != http.StatusUnauthorized {
		t.Errorf("the token of a code that was used twice: %d", got.status)
	}
}

func planRedirect(t *testing.T, i *issuer) {
	for _, uri := range []string{"https://rp.example.com/callback/else", "https://rp.example.com/callback?foo=bar", "https://rp.example.com/callback?dummy1=lorem"} {
		on := i.eve().authorize(relying.plain("openid", "redirect_uri", uri))
		if on.status != http.StatusBadRequest {
			t.Errorf("%s: %d at %s", uri, on.status, on.at)
		}
	}
	withQuery := relying
	withQuery.redirect = "https://rp.example.com/callback?dummy1=lorem&dummy2=ipsum"
	r := withQuery.plain("openid")
	p := i.eve()
	q := p.through(p.authorize(r)).at.Query()
	if q.Get("code") == "" || q.Get("dummy1") != "lorem" || q.Get("dummy2") != "ipsum" {
		t.Errorf("the answer's query is %v", q)
	}
	if on := i.eve().authorize(relying.plain("openid", "redirect_uri", "")); on.status != http.StatusBadRequest {
		t.Errorf("no redirect_uri: %d at %s", on.status, on.at)
	}
}

func planUnsignedObject(t *testing.T, i *issuer) {
	r := relying.plain("openid")
	c := claims{}
	for name := range r.Values {
		c[name] = r.Get(name)
	}
	for name, more := range map[string][]string{
		"request_not_supported":     {"request", unsigned(t, c)},
		"request_uri_not_supported": {"request_uri", "https://rp.example.com/request.jwt"},
	} {
		with := relying.plain("openid", more...)
		if q := i.eve().authorize(with).answer(with); q.Get("error") != name {
			t.Errorf("%s: %v", name, q)
		}
	}
}

func planHints(t *testing.T, i *issuer) {
	p := i.eve()
	got := p.redeemPlain(relying.plain("openid", "claims", `{"userinfo":{"name":{"essential":true}},"id_token":{"email":null,"auth_time":{"essential":true}}}`))
	info := i.get("/userinfo", "Authorization", "Bearer "+got.access()).want(http.StatusOK, "").json()
	id := payload(t, got.str("id_token"))
	if info["name"] != "Eve Example" || id["email"] != "eve@example.com" || id["auth_time"] == nil {
		t.Errorf("userinfo says %v, the ID token %v", info, id)
	}
	r := relying.plain("openid", "prompt", "none", "id_token_hint", got.str("id_token"))
	if q := p.authorize(r).answer(r); q.Get("code") == "" {
		t.Errorf("a hint at who is logged in: %v", q)
	}
	ada := i.ada()
	ada.redeemPlain(relying.plain("openid"))
	r = relying.plain("openid", "prompt", "none", "id_token_hint", got.str("id_token"))
	if q := ada.authorize(r).answer(r); q.Get("error") != "login_required" {
		t.Errorf("a hint at somebody else: %v", q)
	}
	// offline_access with prompt=consent gives a refresh token, and that an ID token.
	got = p.redeemPlain(relying.plain("openid offline_access", "prompt", "consent"))
	next := i.rotate(relying, got.refresh()).want(http.StatusOK, "")
	if again := payload(t, next.str("id_token")); again["sub"] != id["sub"] || again["nonce"] != nil {
		t.Errorf("the refreshed ID token says %v", again)
	}
}

func planAuthorizePost(t *testing.T, i *issuer) {
	p := i.eve()
	r := relying.plain("openid")
	req, err := http.NewRequest(http.MethodPost, i.url+"/authorize", strings.NewReader(r.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", "https://rp.example.com")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	if q := p.through(p.send(req)).answer(r); q.Get("code") == "" {
		t.Errorf("a posted request: %v", q)
	}
}

// posted reads the answer of response_mode=form_post from its page.
func (on page) posted(r request) url.Values {
	on.t.Helper()
	f := on.form()
	if on.status != http.StatusOK || f.action != r.app.redirect || f.fields.Get("state") != r.Get("state") {
		on.t.Fatalf("the page %d posts to %s: %s", on.status, f.action, on.body)
	}
	if !strings.Contains(on.header.Get("Content-Security-Policy"), "form-action https://rp.example.com") {
		on.t.Errorf("the policy is %s", on.header.Get("Content-Security-Policy"))
	}
	return f.fields
}

func planFormPost(t *testing.T, i *issuer) {
	p := i.eve()
	r := relying.plain("openid", "response_mode", "form_post")
	q := p.through(p.authorize(r)).posted(r)
	if q.Get("code") == "" || q.Get("iss") != i.url {
		t.Errorf("the form holds %v", q)
	}
	i.post("/token", relying.as, "grant_type", "authorization_code", "code", q.Get("code"), "redirect_uri", relying.redirect).want(http.StatusOK, "")
	r = relying.plain("openid", "response_mode", "form_post", "response_type", "code id_token token")
	if q := p.through(p.authorize(r)).posted(r); q.Get("code") == "" || q.Get("id_token") == "" || q.Get("access_token") == "" {
		t.Errorf("the form holds %v", q)
	}
	r = relying.plain("openid", "response_mode", "form_post", "prompt", "none")
	if q := i.eve().authorize(r).posted(r); q.Get("error") != "login_required" {
		t.Errorf("the form holds %v", q)
	}
}

// planHybrid asks for each response type but code.
func planHybrid(t *testing.T, i *issuer) {
	half := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return base64.RawURLEncoding.EncodeToString(sum[:16])
	}
	for _, kind := range []string{"id_token", "id_token token", "token id_token", "code id_token", "code token", "code id_token token", "id_token code"} {
		r := relying.plain("openid profile", "response_type", kind)
		p := i.eve()
		on := p.through(p.authorize(r))
		q, err := url.ParseQuery(on.at.Fragment)
		if err != nil || on.at.RawQuery != "" || q.Get("state") != r.Get("state") {
			t.Errorf("%s: the answer is %s", kind, on.at)
			continue
		}
		words := strings.Fields(kind)
		for word, name := range map[string]string{"code": "code", "id_token": "id_token", "token": "access_token"} {
			if slices.Contains(words, word) != (q.Get(name) != "") {
				t.Errorf("%s: the answer has %s: %t", kind, name, q.Get(name) != "")
			}
		}
		if access := q.Get("access_token"); access != "" {
			info := i.get("/userinfo", "Authorization", "Bearer "+access).want(http.StatusOK, "")
			if q.Get("token_type") != "Bearer" || q.Get("expires_in") == "" || info.str("name") != "Eve Example" {
				t.Errorf("%s: the answer is %v, userinfo %s", kind, q, info.body)
			}
		}
		if token := q.Get("id_token"); token != "" {
			id := payload(t, token)
			if id["nonce"] != r.Get("nonce") ||
				q.Get("code") != "" && id["c_hash"] != half(q.Get("code")) ||
				q.Get("access_token") != "" && id["at_hash"] != half(q.Get("access_token")) ||
				kind == "id_token" && id["name"] != "Eve Example" {
				t.Errorf("%s: the ID token says %v", kind, id)
			}
		}
		if code := q.Get("code"); code != "" {
			got := i.post("/token", relying.as, "grant_type", "authorization_code", "code", code, "redirect_uri", relying.redirect).want(http.StatusOK, "")
			if token := q.Get("id_token"); token != "" && payload(t, token)["sub"] != payload(t, got.str("id_token"))["sub"] {
				t.Errorf("%s: two ID tokens about two people", kind)
			}
		}
	}
	for _, kind := range []string{"id_token", "code id_token"} {
		r := relying.plain("openid", "response_type", kind, "nonce", "")
		on := i.eve().authorize(r)
		if q, _ := url.ParseQuery(on.at.Fragment); q.Get("error") != "invalid_request" {
			t.Errorf("%s without nonce: %d %s", kind, on.status, on.at)
		}
	}
	// Who was not given a response type gets an error, by fragment.
	r := posting.plain("openid", "response_type", "id_token token")
	on := i.eve().authorize(r)
	if q, _ := url.ParseQuery(on.at.Fragment); q.Get("error") != "unauthorized_client" && q.Get("error") != "unsupported_response_type" {
		t.Errorf("an unregistered response type: %d %s", on.status, on.at)
	}
}

func planLogout(t *testing.T, i *issuer) {
	const back = "https://rp.example.com/post_logout"
	logout := func(p *person, more ...string) page { return p.get(i.url + "/logout?" + values(more...).Encode()) }
	p := i.eve()
	hint := p.redeemPlain(relying.plain("openid")).str("id_token")
	on := logout(p, "id_token_hint", hint, "post_logout_redirect_uri", back, "state", "s")
	if on.status == http.StatusOK && on.has("logout") {
		on = p.submit(on, "logout")
	}
	if on.at.String() != back+"?state=s" {
		t.Errorf("after the logout: %d at %s", on.status, on.at)
	}
	r := relying.plain("openid", "prompt", "none")
	if q := p.authorize(r).answer(r); q.Get("error") != "login_required" {
		t.Errorf("after the logout: %v", q)
	}
	for name, more := range map[string][]string{
		"another address":        {"id_token_hint", hint, "post_logout_redirect_uri", "https://rp.example.com/else"},
		"an address with query":  {"id_token_hint", hint, "post_logout_redirect_uri", back + "?foo=bar"},
		"a hint that is altered": {"id_token_hint", hint[:len(hint)-8] + "AAAAAAAA", "post_logout_redirect_uri", back},
		"no hint":                {"post_logout_redirect_uri", back},
		"nothing":                {},
	} {
		p := i.eve()
		p.redeemPlain(relying.plain("openid"))
		on := logout(p, more...)
		if on.status == http.StatusSeeOther {
			t.Errorf("%s: a redirect to %s", name, on.at)
		}
	}
}
