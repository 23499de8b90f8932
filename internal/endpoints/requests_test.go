package endpoints_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/jeton-auth/jeton/internal/password"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/jwks"
)

const bankClients = `
issuer: ISSUER
behind_proxy: {trusted: [10.0.0.0/8]}
store: sqlite:jeton.db
key_encryption_key: env:KEK
resources:
  - {id: https://api.example.com, name: Orders API, scopes: [orders:read], introspection_secret: env:SECRET}
  - {id: https://pay.example.com, name: Payments, scopes: [pay], introspection_secret: env:SECRET, access_token: {format: opaque}}
clients:
  - id: bank
    name: Bank app
    auth_method: client_secret_basic
    secret: env:SECRET
    redirect_uris: [https://shop.example.com/callback]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, offline_access, orders:read, pay]
    resources: [https://api.example.com, https://pay.example.com]
    require_par: true
    authorization_details_types: [payment_initiation, account]
  - id: signer
    auth_method: client_secret_basic
    secret: env:SECRET
    redirect_uris: [https://shop.example.com/callback]
    grant_types: [authorization_code, client_credentials]
    scopes: [openid, orders:read]
    resources: [https://api.example.com]
    first_party: true
    request_uris: [https://shop.example.com/request]
    authorization_details_types: [account]
    jwks: JWKS
users:
  - {email: ada@example.com, name: Ada Lovelace, password: env:PASSWORD}
`

// bank is an issuer with clients that push and sign, and the key of the one that signs.
type bank struct {
	*site
	signer jose.Signer
}

func startBank(t *testing.T) bank {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := jwks.New("one", oauth.ES256, &key.PublicKey)
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
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "one").WithType("oauth-authz-req+jwt"))
	if err != nil {
		t.Fatal(err)
	}
	hasher := password.New(password.Params{Memory: 8, Iterations: 1, Parallelism: 1}, 2, 64)
	return bank{startConfig(t, "https://id.example.com", strings.Replace(bankClients, "JWKS", string(doc), 1), hasher), signer}
}

// object signs an authorization request.
func (b bank) object(params url.Values, pairs ...any) string {
	b.t.Helper()
	now := b.clock.Now().Unix()
	claims := map[string]any{"iss": params.Get("client_id"), "aud": b.issuer, "exp": now + 60}
	for name := range params {
		claims[name] = params.Get(name)
	}
	for i := 0; i < len(pairs); i += 2 {
		claims[pairs[i].(string)] = pairs[i+1]
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		b.t.Fatal(err)
	}
	jws, err := b.signer.Sign(payload)
	if err != nil {
		b.t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

// call posts a form as a client, or as an API, and returns the status and the answer.
func (s *site) call(path, as string, form url.Values) (int, http.Header, map[string]any) {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodPost, s.issuer+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(as), secretText)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	var out map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		s.t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Code, w.Header(), out
}

// push pushes a request and returns its request_uri.
func (s *site) push(client string, form url.Values) string {
	s.t.Helper()
	status, header, out := s.call("/par", client, form)
	uri, _ := out["request_uri"].(string)
	if status != http.StatusCreated || header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(uri, "urn:ietf:params:oauth:request_uri:") || out["expires_in"] != 300.0 {
		s.t.Fatalf("%d %v %v", status, header, out)
	}
	return uri
}

func byURI(client, uri string) string {
	return "/authorize?" + values("client_id", client, "request_uri", uri).Encode()
}

// as is a request of another client, with more parameters.
func as(client string, pairs ...string) url.Values {
	v := authorize(pairs...)
	v.Set("client_id", client)
	return v
}

// A request is pushed, allowed in detail, and redeemed for tokens of which each API gets
// what is for it (RFC 9126, RFC 9396, RFC 8707).
func TestPushedWithDetails(t *testing.T) {
	t.Parallel()
	s := startBank(t)
	b := s.browser()
	details := `[{"type":"payment_initiation","locations":["https://pay.example.com"],"actions":["initiate","cancel"],"instructedAmount":{"currency":"EUR","amount":"123.50"},"creditor":"<b>Merchant</b>"},` +
		`{"type":"account","locations":["https://api.example.com"],"datatypes":["balance"],"identifier":"DE-42"},{"type":"account","privileges":["all"]}]`
	request := as("bank", "scope", "openid offline_access", "authorization_details", details, "nonce", "n")
	uri := s.push("bank", request)

	login := b.get(b.get(byURI("bank", uri)).to("/login?flow=")).want(http.StatusOK)
	_ = b.get(byURI("bank", uri)).to("/login?flow=") // loaded again
	page := b.get(b.submit(login, 0, "username", "ada@example.com", "password", password1, "login", "1").to("/consent?flow=")).want(http.StatusOK)
	for _, said := range []string{
		"payment_initiation", "initiate", "cancel", "amount: 123.50, currency: EUR", "&lt;b&gt;Merchant&lt;/b&gt;",
		"https://pay.example.com", "balance", "DE-42", "all", "Payments", "Orders API", "Which data",
	} {
		if !strings.Contains(page.body, said) {
			t.Errorf("the consent page does not say %q: %s", said, page.body)
		}
	}
	answer := b.submit(page, 0, "allow", "1").client(callback)
	if answer.Get("state") != "st" || answer.Get("iss") != s.issuer {
		t.Errorf("%v", answer)
	}
	// Once answered, request_uri is over; the client hears of it.
	if again := b.get(byURI("bank", uri)).client(callback); again.Get("error") != "invalid_request_uri" || again.Get("state") != "st" {
		t.Errorf("%v", again)
	}

	token := func(pairs ...string) (int, map[string]any) {
		status, _, out := s.call("/token", "bank", values(pairs...))
		return status, out
	}
	redeem := []string{"grant_type", "authorization_code", "code", answer.Get("code"), "redirect_uri", callback, "code_verifier", verifier}
	// Two APIs are located; which one is the token for?
	if status, out := token(redeem...); status != 400 || out["error"] != "invalid_target" {
		t.Fatalf("%d %v", status, out)
	}
	status, out := token(append(redeem, "resource", "https://pay.example.com")...)
	if status != http.StatusOK {
		t.Fatalf("%d %v", status, out)
	}
	var granted []map[string]any
	if err := json.Unmarshal([]byte(details), &granted); err != nil {
		t.Fatal(err)
	}
	asAny := func(which ...int) (all []any) {
		for _, k := range which {
			all = append(all, granted[k])
		}
		return all
	}
	if diff := cmp.Diff(any(asAny(0, 2)), out["authorization_details"]); diff != "" {
		t.Error(diff)
	}
	_, _, seen := s.call("/introspect", "https://pay.example.com", values("token", out["access_token"].(string)))
	if diff := cmp.Diff(any(asAny(0, 2)), seen["authorization_details"]); diff != "" || seen["active"] != true {
		t.Error(seen["active"], diff)
	}
	refresh := out["refresh_token"].(string)
	_, _, seen = s.call("/introspect", "bank", values("token", refresh))
	if diff := cmp.Diff(any(asAny(0, 1, 2)), seen["authorization_details"]); diff != "" {
		t.Error(diff)
	}
	// Narrowed, and never widened.
	status, out = token("grant_type", "refresh_token", "refresh_token", refresh, "resource", "https://api.example.com", "authorization_details", `[{"type":"account","locations":["https://api.example.com"],"datatypes":["balance"],"identifier":"DE-42"}]`)
	if diff := cmp.Diff(any(asAny(1)), out["authorization_details"]); status != http.StatusOK || diff != "" {
		t.Fatal(status, out, diff)
	}
	if claims := claimsOf(t, out["access_token"].(string)); !cmp.Equal(claims["authorization_details"], any(asAny(1))) || claims["aud"] != "https://api.example.com" {
		t.Errorf("%v", claims)
	}
	refresh = out["refresh_token"].(string)
	for _, more := range []string{
		`[{"type":"account","locations":["https://api.example.com"],"datatypes":["balance","transactions"],"identifier":"DE-42"}]`,
		`[{"type":"account","locations":["https://api.example.com"],"datatypes":["balance"],"identifier":"DE-43"}]`,
		`[{"type":"payment_initiation","locations":["https://pay.example.com"],"actions":["initiate"],"instructedAmount":{"currency":"EUR","amount":"999"},"creditor":"<b>Merchant</b>"}]`,
		`[{"type":"other"}]`, `{}`, `x`,
	} {
		if status, out := token("grant_type", "refresh_token", "refresh_token", refresh, "resource", "https://api.example.com", "authorization_details", more); status != 400 || out["error"] != "invalid_authorization_details" {
			t.Errorf("%s: %d %v", more, status, out)
		}
	}

	// Consent that was given does not cover the next details, nor even the same ones.
	silent := s.push("bank", as("bank", "scope", "openid offline_access", "authorization_details", details, "prompt", "none"))
	if out := b.get(byURI("bank", silent)).client(callback); out.Get("error") != "consent_required" {
		t.Errorf("%v", out)
	}
	b.get(byURI("bank", s.push("bank", as("bank", "scope", "openid offline_access", "authorization_details", details)))).to("/consent?flow=")
	if out := b.get(byURI("bank", s.push("bank", as("bank", "scope", "openid offline_access", "prompt", "none")))).client(callback); !out.Has("code") {
		t.Errorf("without details: %v", out)
	}
}

// A detail that is for one API stays so, however a token request narrows it.
func TestNarrowedDetailsKeepTheirAPI(t *testing.T) {
	t.Parallel()
	s := startBank(t)
	b := s.browser()
	details := `[{"type":"account","locations":["https://pay.example.com","https://branch.example.com"]},{"type":"account","locations":["https://api.example.com"]}]`
	login := b.get(b.get(byURI("bank", s.push("bank", as("bank", "authorization_details", details)))).to("/login?flow=")).want(http.StatusOK)
	page := b.get(b.submit(login, 0, "username", "ada@example.com", "password", password1, "login", "1").to("/consent?flow=")).want(http.StatusOK)
	code := b.submit(page, 0, "allow", "1").client(callback).Get("code")
	for _, step := range []struct {
		locations string
		status    int
	}{{`"https://branch.example.com"`, http.StatusBadRequest}, {`"https://pay.example.com"`, http.StatusOK}} {
		status, _, out := s.call("/token", "bank", values("grant_type", "authorization_code", "code", code, "redirect_uri", callback, "code_verifier", verifier,
			"resource", "https://api.example.com", "authorization_details", `[{"type":"account","locations":[`+step.locations+`]}]`))
		if status != step.status || out["authorization_details"] != nil {
			t.Errorf("%s: %d %v", step.locations, status, out)
		}
	}
}

func claimsOf(t *testing.T, token string) (claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", token)
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestPARAnswers(t *testing.T) {
	t.Parallel()
	s := startBank(t)
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodHead} {
		r := httptest.NewRequest(method, s.issuer+"/par?"+as("bank").Encode(), nil)
		r.SetBasicAuth("bank", secretText)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "POST, OPTIONS" {
			t.Errorf("%s: %d %v", method, w.Code, w.Header())
		}
	}
	for name, tt := range map[string]struct {
		client string
		form   url.Values
		status int
		want   string
	}{
		"another secret's client": {"nobody", as("bank"), 400, "invalid_request"},
		"unknown client":          {"nobody", as("nobody"), 401, "invalid_client"},
		"request_uri":             {"bank", as("bank", "request_uri", "urn:x"), 400, "invalid_request"},
		"unregistered redirect":   {"bank", as("bank", "redirect_uri", callback+"x"), 400, "invalid_request"},
		"scope":                   {"bank", as("bank", "scope", "openid nonsense email"), 400, "invalid_scope"},
		"twice":                   {"bank", func() url.Values { v := as("bank"); v.Add("state", "2"); return v }(), 400, "invalid_request"},
		"details":                 {"bank", as("bank", "authorization_details", `[{"type":"tax"}]`), 400, "invalid_authorization_details"},
		"no keys":                 {"bank", values("request", "a.b.c"), 400, "request_not_supported"},
		"bad object":              {"signer", values("request", s.object(as("signer"))+"A"), 400, "invalid_request_object"},
		"object of another":       {"signer", values("request", s.object(as("bank"))), 400, "invalid_request_object"},
		"late object":             {"signer", values("request", s.object(as("signer"), "exp", s.clock.Now().Unix())), 400, "invalid_request_object"},
	} {
		status, header, out := s.call("/par", tt.client, tt.form)
		if status != tt.status || out["error"] != tt.want || out["error_description"] == "" || out["request_uri"] != nil || header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
	// Without PAR the client hears that it must.
	if out := s.browser().get("/authorize?" + as("bank").Encode()).client(callback); out.Get("error") != "invalid_request" || out.Get("state") != "st" {
		t.Errorf("%v", out)
	}
	// A request_uri of nobody, or of somebody else, is a page.
	uri := s.push("bank", as("bank"))
	for _, target := range []string{byURI("signer", uri), byURI("bank", uri+"x"), byURI("bank", "urn:ietf:params:oauth:request_uri:"), byURI("nobody", uri)} {
		s.browser().get(target).want(http.StatusBadRequest)
	}
	if page := s.browser().get(byURI("signer", uri)); !strings.Contains(page.body, "invalid_request_uri") {
		t.Errorf("%s", page.body)
	}
	s.clock.Advance(5 * time.Minute)
	if out := s.browser().get(byURI("bank", uri)).client(callback); out.Get("error") != "invalid_request_uri" {
		t.Errorf("%v", out)
	}
}

// A signed request goes by value, by POST from another site, and in a push.
func TestSignedRequests(t *testing.T) {
	t.Parallel()
	s := startBank(t)
	object := s.object(as("signer", "state", "inside", "scope", "openid"))
	evil := values("client_id", "signer", "request", object, "redirect_uri", "https://evil.example/", "state", "outside", "response_type", "code")

	b := s.browser()
	page := b.get(b.get("/authorize?" + evil.Encode()).to("/login?flow=")).want(http.StatusOK)
	answer := b.submit(page, 0, "username", "ada@example.com", "password", password1, "login", "1").client(callback)
	if answer.Get("state") != "inside" || !answer.Has("code") {
		t.Errorf("%v", answer)
	}
	foreign := b.with("Origin", "https://evil.example").with("Sec-Fetch-Site", "cross-site")
	if answer := b.get(foreign.do(http.MethodPost, "/authorize", evil).to("/authorize?flow=")).client(callback); answer.Get("state") != "inside" || !answer.Has("code") {
		t.Errorf("posted: %v", answer)
	}
	uri := s.push("signer", values("request", object, "state", "outside"))
	if answer := b.get(foreign.do(http.MethodPost, "/authorize", values("client_id", "signer", "request_uri", uri)).to("/authorize?flow=")).client(callback); answer.Get("state") != "inside" || !answer.Has("code") {
		t.Errorf("pushed and posted: %v", answer)
	}
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + strings.Split(object, ".")[1] + "."
	if answer := b.get("/authorize?" + values("client_id", "signer", "request", none, "redirect_uri", callback).Encode()).client(callback); answer.Get("error") != "request_not_supported" {
		t.Errorf("none: %v", answer)
	}
	if answer := b.get("/authorize?" + values("client_id", "signer", "request", object+"A", "redirect_uri", callback).Encode()).client(callback); answer.Get("error") != "invalid_request_object" {
		t.Errorf("broken: %v", answer)
	}
	b.get("/authorize?" + values("client_id", "signer", "request", object+"A", "redirect_uri", "https://evil.example/").Encode()).want(http.StatusBadRequest)
	if answer := b.get("/authorize?" + values("client_id", "signer", "request_uri", "https://shop.example.com/other").Encode()).client(callback); answer.Get("error") != "invalid_request_uri" {
		t.Errorf("not registered: %v", answer)
	}
	b.get("/authorize?" + values("client_id", "signer", "request", object).Encode() + "&request=x").want(http.StatusBadRequest)
}

// A client may ask for details in its own name.
func TestOwnDetails(t *testing.T) {
	t.Parallel()
	s := startBank(t)
	own := func(details string) (int, map[string]any) {
		status, _, out := s.call("/token", "signer", values("grant_type", "client_credentials", "authorization_details", details))
		return status, out
	}
	status, out := own(`[{"type":"account","actions":["list"]}]`)
	want := []any{map[string]any{"type": "account", "actions": []any{"list"}}}
	if diff := cmp.Diff(any(want), out["authorization_details"]); status != http.StatusOK || diff != "" || !cmp.Equal(claimsOf(t, out["access_token"].(string))["authorization_details"], any(want)) {
		t.Fatal(status, out, diff)
	}
	for _, bad := range []string{`[{"type":"payment_initiation"}]`, `[]`, `[{"type":"account"`} {
		if status, out := own(bad); status != 400 || out["error"] != "invalid_authorization_details" {
			t.Errorf("%s: %d %v", bad, status, out)
		}
	}
	if status, _, out := s.call("/token", "signer", values("grant_type", "client_credentials")); status != http.StatusOK || out["authorization_details"] != nil {
		t.Errorf("%d %v", status, out)
	}
}

// What clients may do with requests is announced, and what none may is not.
func TestRequestMetadata(t *testing.T) {
	t.Parallel()
	read := func(s *site) (doc map[string]any) {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, s.issuer+"/.well-known/openid-configuration", nil))
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		return doc
	}
	doc := read(startBank(t).site)
	if doc["pushed_authorization_request_endpoint"] != "https://id.example.com/par" || doc["request_parameter_supported"] != true ||
		doc["request_uri_parameter_supported"] != true || doc["require_request_uri_registration"] != true {
		t.Errorf("%v", doc)
	}
	if diff := cmp.Diff(any([]any{"account", "payment_initiation"}), doc["authorization_details_types_supported"]); diff != "" {
		t.Error(diff)
	}
	if algs, _ := doc["request_object_signing_alg_values_supported"].([]any); !slices.Contains(algs, any("ES256")) || slices.Contains(algs, any("none")) {
		t.Errorf("%v", algs)
	}
	doc = read(start(t))
	if doc["request_parameter_supported"] != false || doc["request_uri_parameter_supported"] != false {
		t.Errorf("%v", doc)
	}
	for _, absent := range []string{"require_request_uri_registration", "request_object_signing_alg_values_supported", "authorization_details_types_supported", "require_pushed_authorization_requests", "require_signed_request_object"} {
		if v, there := doc[absent]; there {
			t.Errorf("%s is %v, though nothing is configured", absent, v)
		}
	}
}
