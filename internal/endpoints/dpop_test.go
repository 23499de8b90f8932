package endpoints_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/dpop"
)

func newProver(t *testing.T) *dpop.Prover {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p, err := dpop.NewProver(key, oauth.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// proved posts a form as the shop, with a proof if there is a prover.
func (s *site) proved(p *dpop.Prover, path string, form url.Values) (int, map[string]any) {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodPost, s.issuer+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("shop", secretText)
	if p != nil {
		if err := p.Sign(r, "", "", s.clock.Now()); err != nil {
			s.t.Fatal(err)
		}
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	var out map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		s.t.Fatalf("%d %s", w.Code, w.Body)
	}
	if p != nil && w.Header().Get(dpop.NonceHeader) == "" {
		s.t.Errorf("%s: no nonce in %v", path, w.Header())
	}
	return w.Code, out
}

// RFC 9449 §10: the code is bound to the key that the authorization request named, by
// dpop_jkt or by the proof of a push, and its tokens to the same.
func TestCodesOfAKey(t *testing.T) {
	t.Parallel()
	s := start(t)
	p, thief := newProver(t), newProver(t)
	redeem := func(by *dpop.Prover, code string) (int, map[string]any) {
		return s.proved(by, "/token", values("grant_type", "authorization_code", "code", code, "redirect_uri", callback, "code_verifier", verifier))
	}
	push := func(by *dpop.Prover, pairs ...string) string {
		status, out := s.proved(by, "/par", authorize(pairs...))
		uri, _ := out["request_uri"].(string)
		if status != http.StatusCreated || uri == "" {
			t.Fatalf("%d %v", status, out)
		}
		return uri
	}
	for name, begin := range map[string]func() []string{
		"dpop_jkt":                  func() []string { return []string{"dpop_jkt", p.JKT()} },
		"pushed with a proof":       func() []string { return []string{"request_uri", push(p)} },
		"pushed with dpop_jkt":      func() []string { return []string{"request_uri", push(nil, "dpop_jkt", p.JKT())} },
		"pushed with both":          func() []string { return []string{"request_uri", push(p, "dpop_jkt", p.JKT())} },
		"pushed, and named besides": func() []string { return []string{"request_uri", push(p), "dpop_jkt", thief.JKT()} },
	} {
		b := s.browser()
		code := b.login("ada", begin()...).client(callback).Get("code")
		for _, by := range []*dpop.Prover{nil, thief} {
			if status, out := redeem(by, code); status != 400 || out["error"] != "invalid_grant" {
				t.Errorf("%s: without the key: %d %v", name, status, out)
			}
		}
		if status, out := redeem(p, code); status != 200 || out["token_type"] != "DPoP" {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
	// A code of no key is bound when it is redeemed.
	code := s.browser().login("ada").client(callback).Get("code")
	if status, out := redeem(thief, code); status != 200 || out["token_type"] != "DPoP" {
		t.Errorf("%d %v", status, out)
	}
}

func TestPushedWithAnotherKey(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := newProver(t)
	for name, jkt := range map[string]string{"another key's": newProver(t).JKT(), "none": "thumbprint", "longer": p.JKT() + "A"} {
		if status, out := s.proved(p, "/par", authorize("dpop_jkt", jkt)); status != 400 || out["error"] != "invalid_request" {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
	if q := s.browser().authorize("dpop_jkt", "thumbprint").client(callback); q.Get("error") != "invalid_request" {
		t.Errorf("%v", q)
	}
	// A proof for another endpoint proves nothing here.
	r := httptest.NewRequest(http.MethodPost, s.issuer+"/par", strings.NewReader(authorize().Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("shop", secretText)
	proof, err := p.Proof(dpop.Claims{Method: http.MethodPost, URL: s.issuer + "/token", Now: s.clock.Now()})
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(dpop.Header, proof)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	if w.Code != 400 || !strings.Contains(w.Body.String(), "invalid_dpop_proof") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// FAPI 2.0 Security Profile 5.4.1: RS256 proves nothing, at the token endpoint and at
// userinfo, even by the key that the token is bound to. A refresh may come with a new key.
func TestFAPIProofs(t *testing.T) {
	t.Parallel()
	a, _ := startFAPI(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	by := func(alg oauth.Alg) app {
		p, err := dpop.NewProver(key, alg)
		if err != nil {
			t.Fatal(err)
		}
		with := a
		with.prover = p
		return with
	}
	good, bad := by(oauth.PS256), by(oauth.RS256)
	b := a.browser()
	page := b.get(b.get(byURI(a.id, good.push(a.request("scope", "openid offline_access", "nonce", "n")))).to("/login?flow=")).want(http.StatusOK)
	got := b.submit(page, 0, "username", "ada@example.com", "password", password1, "login", "1").client(appCallback)
	form := values("grant_type", "authorization_code", "code", got.Get("code"), "redirect_uri", appCallback, "code_verifier", verifier)
	if status, out := bad.send("/token", form); status != 400 || out["error"] != "invalid_dpop_proof" {
		t.Errorf("%d %v", status, out)
	}
	if status, out := bad.send("/par", a.request()); status != 400 || out["error"] != "invalid_dpop_proof" {
		t.Errorf("%d %v", status, out)
	}
	status, out := good.send("/token", form)
	if status != http.StatusOK {
		t.Fatalf("%d %v", status, out)
	}
	access := out["access_token"].(string)
	if status := bad.userinfo(access); status != http.StatusUnauthorized {
		t.Errorf("userinfo by RS256: %d", status)
	}
	if status := good.userinfo(access); status != http.StatusOK {
		t.Errorf("userinfo by PS256: %d", status)
	}
	next := a
	next.prover = newProver(t)
	status, again := next.send("/token", values("grant_type", "refresh_token", "refresh_token", out["refresh_token"].(string)))
	if status != http.StatusOK || next.userinfo(again["access_token"].(string)) != http.StatusOK {
		t.Errorf("%d %v", status, again)
	}
	if status := good.userinfo(again["access_token"].(string)); status != http.StatusUnauthorized {
		t.Errorf("the new token by the old key: %d", status)
	}
	var doc map[string]any
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/.well-known/openid-configuration", nil))
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if algs, _ := doc["dpop_signing_alg_values_supported"].([]any); len(algs) != 3 || slices.Contains(algs, any("RS256")) {
		t.Errorf("%v", doc["dpop_signing_alg_values_supported"])
	}
}
