package endpoints_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/jeton-auth/jeton/internal/password"
	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/dpop"
	"github.com/jeton-auth/jeton/oauth/jwks"
)

const fapiConfig = `
issuer: https://id.example.com
profile: fapi2
behind_proxy: {trusted: [10.0.0.0/8]}
store: sqlite:jeton.db
key_encryption_key: env:KEK
resources:
  - {id: https://api.example.com, scopes: [accounts]}
clients:
  - id: app
    auth_method: private_key_jwt
    jwks: JWKS
    redirect_uris: [https://app.example.com/callback]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, offline_access, accounts]
    resources: [https://api.example.com]
    first_party: true
  - id: other
    auth_method: private_key_jwt
    jwks: OTHER
    redirect_uris: [https://app.example.com/callback]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid]
    first_party: true
  - id: signing
    profile: fapi2-message-signing
    auth_method: private_key_jwt
    jwks: SIGNING
    redirect_uris: [https://app.example.com/callback]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, accounts]
    resources: [https://api.example.com]
    first_party: true
users:
  - {email: ada@example.com, password: env:PASSWORD}
`

const appCallback = "https://app.example.com/callback"

// app is a client that keeps FAPI 2.0: it signs its assertions and requests, and proves its
// key.
type app struct {
	*site
	id     string
	signer jose.Signer
	prover *dpop.Prover
}

func startFAPI(t *testing.T) (mine, other app) {
	t.Helper()
	mine, other, _ = startSigning(t)
	return mine, other
}

// startSigning has a client besides that keeps FAPI 2.0 Message Signing.
func startSigning(t *testing.T) (mine, other, signing app) {
	t.Helper()
	config := fapiConfig
	make := func(id, mark string) app {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		public, err := jwks.New(id, oauth.ES256, &key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		set, err := jwks.NewSet(public)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := json.Marshal(set)
		if err != nil {
			t.Fatal(err)
		}
		config = strings.Replace(config, mark, string(doc), 1)
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", id))
		if err != nil {
			t.Fatal(err)
		}
		prover, err := dpop.NewProver(key, oauth.ES256)
		if err != nil {
			t.Fatal(err)
		}
		return app{id: id, signer: signer, prover: prover}
	}
	mine, other, signing = make("app", "JWKS"), make("other", "OTHER"), make("signing", "SIGNING")
	mine.site = startConfig(t, "https://id.example.com", config, password.New(password.Params{Memory: 8, Iterations: 1, Parallelism: 1}, 2, 64))
	other.site, signing.site = mine.site, mine.site
	return mine, other, signing
}

func (a app) sign(claims map[string]any) string {
	a.t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		a.t.Fatal(err)
	}
	jws, err := a.signer.Sign(payload)
	if err != nil {
		a.t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		a.t.Fatal(err)
	}
	return text
}

// send posts a form with an assertion of its own, and with a proof.
func (a app) send(path string, form url.Values) (int, map[string]any) {
	a.t.Helper()
	now := a.clock.Now()
	form = maps.Clone(form)
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	form.Set("client_assertion", a.sign(map[string]any{
		"iss": a.id, "sub": a.id, "aud": a.issuer, "jti": secret.ID(), "iat": now.Unix(), "exp": now.Unix() + 60,
	}))
	r := httptest.NewRequest(http.MethodPost, a.issuer+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := a.prover.Sign(r, "", "", now); err != nil {
		a.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, r)
	var out map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		a.t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Code, out
}

func (a app) request(pairs ...string) url.Values {
	v := authorize(append([]string{"redirect_uri", appCallback}, pairs...)...)
	v.Set("client_id", a.id)
	return v
}

// object are the claims of a request object.
func (a app) object(request url.Values) map[string]any {
	now := a.clock.Now().Unix()
	claims := map[string]any{"iss": a.id, "aud": []string{"https://x.example", a.issuer}, "nbf": now + 8, "exp": now + 300}
	for name := range request {
		claims[name] = request.Get(name)
	}
	return claims
}

func (a app) push(form url.Values) string {
	a.t.Helper()
	status, out := a.send("/par", form)
	uri, _ := out["request_uri"].(string)
	if status != http.StatusCreated || uri == "" {
		a.t.Fatalf("%d %v", status, out)
	}
	return uri
}

func (a app) userinfo(token string) int {
	a.t.Helper()
	r := httptest.NewRequest(http.MethodGet, a.issuer+"/userinfo", nil)
	if err := a.prover.Sign(r, token, "", a.clock.Now()); err != nil {
		a.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, r)
	return w.Code
}

// FAPI 2.0 Security Profile, from the push to the refresh.
func TestFAPI2(t *testing.T) {
	t.Parallel()
	a, other := startFAPI(t)
	b := a.browser()
	answer := func(uri string) url.Values {
		t.Helper()
		page := b.get(b.get(byURI(a.id, uri)).to("/login?flow=")).want(http.StatusOK)
		return b.submit(page, 0, "username", "ada@example.com", "password", password1, "login", "1").client(appCallback)
	}
	got := answer(a.push(a.request("scope", "openid offline_access accounts", "nonce", "n")))
	if got.Get("iss") != a.issuer || got.Get("state") != "st" {
		t.Fatalf("%v", got)
	}
	form := values("grant_type", "authorization_code", "code", got.Get("code"), "redirect_uri", appCallback, "code_verifier", verifier)
	if status, out := other.send("/token", form); status != 400 || out["error"] != "invalid_grant" {
		t.Errorf("another client's: %d %v", status, out)
	}
	status, out := a.send("/token", form)
	if status != http.StatusOK || out["token_type"] != "DPoP" || out["id_token"] == nil {
		t.Fatalf("%d %v", status, out)
	}
	access := out["access_token"].(string)
	if cnf, _ := claimsOf(t, access)["cnf"].(map[string]any); cnf["jkt"] != a.prover.JKT() {
		t.Errorf("cnf is %v", cnf)
	}
	if status := a.userinfo(access); status != http.StatusOK {
		t.Errorf("userinfo: %d", status)
	}
	if status := other.userinfo(access); status != http.StatusUnauthorized {
		t.Errorf("userinfo by another key: %d", status)
	}
	refresh := values("grant_type", "refresh_token", "refresh_token", out["refresh_token"].(string))
	for range 2 { // it doesn't rotate
		a.clock.Advance(30 * time.Second)
		if status, out := a.send("/token", refresh); status != http.StatusOK || out["refresh_token"] != nil && out["refresh_token"] != refresh.Get("refresh_token") {
			t.Fatalf("%d %v", status, out)
		}
	}
	// A code that is used twice ends all.
	got = b.get(byURI(a.id, a.push(a.request("nonce", "n2")))).client(appCallback)
	form.Set("code", got.Get("code"))
	_, out = a.send("/token", form)
	if status, again := a.send("/token", form); status != 400 || again["error"] != "invalid_grant" {
		t.Errorf("%d %v", status, again)
	}
	if status := a.userinfo(out["access_token"].(string)); status != http.StatusUnauthorized {
		t.Errorf("after its code was used again: %d", status)
	}
	// Nothing goes without a push, and one client's push is no other's.
	if got := b.get("/authorize?" + a.request().Encode()).client(appCallback); got.Get("error") != "invalid_request" {
		t.Errorf("%v", got)
	}
	b.get(byURI("other", a.push(a.request()))).want(http.StatusBadRequest)
	// What was signed may be pushed too.
	claims := a.object(a.request("state", "signed"))
	if got := b.get(byURI(a.id, a.push(values("request", a.sign(claims))))).client(appCallback); got.Get("state") != "signed" || !got.Has("code") {
		t.Errorf("%v", got)
	}
	if status, out := a.send("/par", values("request", other.sign(claims))); status != 400 || out["error"] != "invalid_request_object" {
		t.Errorf("%d %v", status, out)
	}
}

// FAPI 2.0 Message Signing: what goes to the issuer and what comes back is signed.
func TestFAPI2MessageSigning(t *testing.T) {
	t.Parallel()
	_, _, a := startSigning(t)
	b := a.browser()
	if status, out := a.send("/par", a.request()); status != 400 || out["error"] != "invalid_request" {
		t.Errorf("unsigned: %d %v", status, out)
	}
	for _, member := range []string{"iss", "aud", "exp", "nbf"} {
		claims := a.object(a.request())
		delete(claims, member)
		if status, out := a.send("/par", values("request", a.sign(claims))); status != 400 || out["error"] != "invalid_request_object" {
			t.Errorf("without %s: %d %v", member, status, out)
		}
	}
	// response reads what the client gets: a JWT and nothing else, in the query.
	response := func(a answer) map[string]any {
		t.Helper()
		got := a.client(appCallback)
		if len(got) != 1 || !got.Has("response") {
			t.Fatalf("%v", got)
		}
		return claimsOf(t, got.Get("response"))
	}
	uri := a.push(values("request", a.sign(a.object(a.request("nonce", "n", "scope", "openid accounts")))))
	page := b.get(b.get(byURI(a.id, uri)).to("/login?flow=")).want(http.StatusOK)
	got := response(b.submit(page, 0, "username", "ada@example.com", "password", password1, "login", "1"))
	if got["iss"] != a.issuer || got["aud"] != a.id || got["state"] != "st" || got["exp"] == nil {
		t.Errorf("%v", got)
	}
	form := values("grant_type", "authorization_code", "code", got["code"].(string), "redirect_uri", appCallback, "code_verifier", verifier)
	status, out := a.send("/token", form)
	if status != http.StatusOK || out["token_type"] != "DPoP" || a.userinfo(out["access_token"].(string)) != http.StatusOK {
		t.Fatalf("%d %v", status, out)
	}
	// Refusals are signed too.
	if got := response(b.get(byURI(a.id, uri))); got["error"] != "invalid_request_uri" || got["state"] != "st" || got["iss"] != a.issuer {
		t.Errorf("again: %v", got)
	}
	if got := response(b.get("/authorize?" + a.request().Encode())); got["error"] != "invalid_request" || got["state"] != "st" {
		t.Errorf("not pushed: %v", got)
	}
	if got := response(b.get("/authorize?" + a.request("request", "a.b.c").Encode())); got["error"] != "invalid_request_object" {
		t.Errorf("a broken object: %v", got)
	}
}
