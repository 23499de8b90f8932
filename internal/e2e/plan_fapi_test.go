package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/oauth"
)

// TestPlanFAPI2 is the plan of the FAPI 2.0 Security Profile with private_key_jwt and
// DPoP, module by module.
func TestPlanFAPI2(t *testing.T) {
	t.Parallel()
	i := start(t, secure, withBanks("bank", "fapi2", "other", "fapi2"))
	for name, module := range map[string]func(*testing.T, *bank){
		"happy-flow":                       planHappy,
		"client-assertion":                 planAssertions,
		"dpop-negative-tests":              planProofs,
		"dpop-at-the-resource":             planResource,
		"par-request-uri":                  planRequestURI,
		"par-refusals":                     planPush,
		"pkce":                             planPKCE,
		"code-bound-and-used-once":         planCode,
		"user-rejects-authentication":      planDenied,
		"access-token-type-case":           planScheme,
		"refresh-token":                    planRefresh,
		"long-nonce-and-state":             planLong,
		"parameters-beside-request-object": planBeside,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			module(t, i.in(t).bank("bank", 0))
		})
	}
}

func planHappy(t *testing.T, b *bank) {
	m := b.get("/.well-known/openid-configuration").want(http.StatusOK, "").json()
	for _, name := range []string{"pushed_authorization_request_endpoint", "dpop_signing_alg_values_supported", "token_endpoint_auth_signing_alg_values_supported"} {
		if m[name] == nil {
			t.Errorf("the metadata lacks %s", name)
		}
	}
	r := b.asking()
	pushed := b.push(t, r).want(http.StatusCreated, "").json()
	if lives, _ := pushed["expires_in"].(float64); lives < 5 || lives >= 600 {
		t.Errorf("a pushed request lives %v seconds", pushed["expires_in"])
	}
	if uri, _ := pushed["request_uri"].(string); !strings.HasPrefix(uri, "urn:ietf:params:oauth:request_uri:") || len(uri) < len("urn:ietf:params:oauth:request_uri:")+22 {
		t.Errorf("request_uri %q", uri)
	}
	code := b.code(t, r)
	got := b.redeemCode(t, r, code, proving(b.as(t), b.tokenProof(t))).want(http.StatusOK, "")
	if got.str("token_type") != "DPoP" {
		t.Errorf("token_type %q", got.str("token_type"))
	}
	id := payload(t, got.str("id_token"))
	if header(t, got.str("id_token"))["alg"] != "PS256" || id["nonce"] != r.Get("nonce") || id["aud"] != b.id || id["iss"] != b.url {
		t.Errorf("the ID token says %v", id)
	}
	if payload(t, got.access())["cnf"] == nil {
		t.Error("the access token is bound to nothing")
	}
	info := b.userinfo("DPoP "+got.access(), b.dpop.proof(t, "GET", b.url+"/userinfo", got.access(), nil)).want(http.StatusOK, "")
	if info.str("sub") != id["sub"] {
		t.Errorf("userinfo says %s", info.body)
	}
}

// planAssertions sends assertions, good ones and bad ones.
func planAssertions(t *testing.T, b *bank) {
	now := time.Now().Unix()
	foreign := newSigner(jose.PS256, "one")
	rs := signer{b.key.key, jose.RS256, "one"}
	for name, c := range map[string]struct {
		assertion string
		good      bool
	}{
		"issuer as aud":                {b.key.jwt(t, "JWT", b.assertion()), true},
		"without typ":                  {b.key.jwt(t, "", b.assertion()), true},
		"iat 8 s ahead":                {b.key.jwt(t, "JWT", b.assertion().but(claims{"iat": now + 8})), true},
		"nbf 8 s ahead":                {b.key.jwt(t, "JWT", b.assertion().but(claims{"nbf": now + 8})), true},
		"without iat":                  {b.key.jwt(t, "JWT", b.assertion().but(claims{"iat": nil})), true},
		"iat 70 s ahead":               {b.key.jwt(t, "JWT", b.assertion().but(claims{"iat": now + 70, "exp": now + 130})), false},
		"nbf 70 s ahead":               {b.key.jwt(t, "JWT", b.assertion().but(claims{"nbf": now + 70, "exp": now + 130})), false},
		"exp five minutes ago":         {b.key.jwt(t, "JWT", b.assertion().but(claims{"exp": now - 300})), false},
		"without exp":                  {b.key.jwt(t, "JWT", b.assertion().but(claims{"exp": nil})), false},
		"without jti":                  {b.key.jwt(t, "JWT", b.assertion().but(claims{"jti": nil})), false},
		"without sub":                  {b.key.jwt(t, "JWT", b.assertion().but(claims{"sub": nil})), false},
		"without iss":                  {b.key.jwt(t, "JWT", b.assertion().but(claims{"iss": nil})), false},
		"without aud":                  {b.key.jwt(t, "JWT", b.assertion().but(claims{"aud": nil})), false},
		"token endpoint as aud":        {b.key.jwt(t, "JWT", b.assertion().but(claims{"aud": b.url + "/token"})), false},
		"PAR endpoint as aud":          {b.key.jwt(t, "JWT", b.assertion().but(claims{"aud": b.url + "/par"})), false},
		"array as aud":                 {b.key.jwt(t, "JWT", b.assertion().but(claims{"aud": []string{b.url}})), false},
		"two audiences":                {b.key.jwt(t, "JWT", b.assertion().but(claims{"aud": []string{b.url, "https://else.example.com"}})), false},
		"another issuer as aud":        {b.key.jwt(t, "JWT", b.assertion().but(claims{"aud": "https://else.example.com"})), false},
		"another sub":                  {b.key.jwt(t, "JWT", b.assertion().but(claims{"sub": "other"})), false},
		"another client":               {b.key.jwt(t, "JWT", b.assertion().but(claims{"sub": "other", "iss": "other"})), false},
		"RS256":                        {rs.jwt(t, "JWT", b.assertion()), false},
		"none":                         {unsigned(t, b.assertion()), false},
		"another's key":                {foreign.jwt(t, "JWT", b.assertion()), false},
		"a request object for another": {b.key.jwt(t, "oauth-authz-req+jwt", b.assertion()), false},
	} {
		r := b.asking()
		pairs := []string{}
		for name := range r.Values {
			pairs = append(pairs, name, r.Get(name))
		}
		got := b.post("/par", asserting(c.assertion), pairs...)
		if c.good && got.status != http.StatusCreated || !c.good && (got.status != http.StatusUnauthorized || got.str("error") != "invalid_client") {
			t.Errorf("an assertion with %s: %d %s", name, got.status, got.body)
		}
		if again := b.post("/par", asserting(c.assertion), pairs...); again.status == http.StatusCreated {
			t.Errorf("an assertion with %s is good a second time", name)
		}
	}
	got := b.post("/par", nobody, "client_id", b.id, "response_type", "code")
	if got.status != http.StatusUnauthorized {
		t.Errorf("without an assertion: %d %s", got.status, got.body)
	}
}

// planProofs sends proofs to the token endpoint; none of them spends the code.
func planProofs(t *testing.T, b *bank) {
	r := b.asking()
	code := b.code(t, r)
	now := time.Now().Unix()
	at := b.url + "/token"
	private := jose.JSONWebKey{Key: b.dpop.key, Algorithm: "ES256"}
	for name, proof := range map[string]string{
		"without jti":        b.dpop.proof(t, "POST", at, "", claims{"jti": nil}),
		"without htm":        b.dpop.proof(t, "POST", at, "", claims{"htm": nil}),
		"without htu":        b.dpop.proof(t, "POST", at, "", claims{"htu": nil}),
		"without iat":        b.dpop.proof(t, "POST", at, "", claims{"iat": nil}),
		"another method":     b.dpop.proof(t, "GET", at, "", nil),
		"another address":    b.dpop.proof(t, "POST", b.url+"/par", "", nil),
		"another host":       b.dpop.proof(t, "POST", "https://else.example.com/token", "", nil),
		"iat two minutes on": b.dpop.proof(t, "POST", at, "", claims{"iat": now + 120}),
		"iat an hour ago":    b.dpop.proof(t, "POST", at, "", claims{"iat": now - 3600}),
		"typ JWT":            b.dpop.proof(t, "POST", at, "", nil, claims{"typ": "JWT"}),
		"without typ":        b.dpop.proof(t, "POST", at, "", nil, claims{"typ": ""}),
		"without jwk":        b.dpop.proof(t, "POST", at, "", nil, claims{"jwk": nil}),
		"a private key":      b.dpop.proof(t, "POST", at, "", nil, claims{"jwk": private}),
		"another key":        b.dpop.proof(t, "POST", at, "", nil, claims{"jwk": newSigner(jose.ES256, "").public()}),
		"RS256":              signer{b.key.key, jose.RS256, ""}.proof(t, "POST", at, "", nil),
		"garbage":            "garbage",
		"an unknown nonce":   b.dpop.proof(t, "POST", at, "", claims{"nonce": "made-up"}),
	} {
		got := b.redeemCode(t, r, code, proving(b.as(t), proof))
		if got.status != http.StatusBadRequest || got.str("error") != "invalid_dpop_proof" && got.str("error") != "use_dpop_nonce" {
			t.Errorf("a proof with %s: %d %s", name, got.status, got.body)
		}
	}
	if got := b.redeemCode(t, r, code, proving(proving(b.as(t), b.tokenProof(t)), b.tokenProof(t))); got.status != http.StatusBadRequest {
		t.Errorf("two proofs: %d %s", got.status, got.body)
	}
	if got := b.redeemCode(t, r, code, b.as(t)); got.status != http.StatusBadRequest {
		t.Errorf("no proof: %d %s", got.status, got.body)
	}
	// The query and fragment of htu don't count, nor does the case of the host.
	proof := b.dpop.proof(t, "POST", strings.Replace(at, "localhost", "LOCALHOST", 1)+"?a=b#c", "", claims{"iat": now - 8})
	b.redeemCode(t, r, code, proving(b.as(t), proof)).want(http.StatusOK, "")
	got := b.post("/token", proving(b.as(t), proof), "grant_type", "refresh_token", "refresh_token", "x")
	if got.str("error") != "invalid_dpop_proof" && got.str("error") != "use_dpop_nonce" {
		t.Errorf("a proof that was used before: %d %s", got.status, got.body)
	}
}

func (b *bank) tokens(t *testing.T) reply {
	t.Helper()
	r := b.asking()
	return b.redeemCode(t, r, b.code(t, r), proving(b.as(t), b.tokenProof(t))).want(http.StatusOK, "")
}

func planResource(t *testing.T, b *bank) {
	access := b.tokens(t).access()
	at := b.url + "/userinfo"
	now := time.Now().Unix()
	proof := func(over claims) string { return b.dpop.proof(t, "GET", at, access, over) }
	for name, got := range map[string]reply{
		"under Bearer":         b.userinfo("Bearer " + access),
		"Bearer with a proof":  b.userinfo("Bearer "+access, proof(nil)),
		"without a proof":      b.userinfo("DPoP " + access),
		"without ath":          b.userinfo("DPoP "+access, proof(claims{"ath": nil})),
		"another ath":          b.userinfo("DPoP "+access, proof(claims{"ath": "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"})),
		"another key":          b.userinfo("DPoP "+access, newSigner(jose.ES256, "").proof(t, "GET", at, access, nil)),
		"another method":       b.userinfo("DPoP "+access, b.dpop.proof(t, "POST", at, access, nil)),
		"another address":      b.userinfo("DPoP "+access, b.dpop.proof(t, "GET", b.url+"/token", access, nil)),
		"iat two minutes on":   b.userinfo("DPoP "+access, proof(claims{"iat": now + 120})),
		"two proofs":           b.userinfo("DPoP "+access, proof(nil), proof(nil)),
		"a token that is none": b.userinfo("DPoP x", proof(nil)),
	} {
		if got.status != http.StatusUnauthorized && got.status != http.StatusBadRequest || !strings.Contains(got.header.Get("WWW-Authenticate")+got.body, "invalid_") {
			t.Errorf("%s: %d %q %s", name, got.status, got.header.Values("WWW-Authenticate"), got.body)
		}
	}
	p := proof(nil)
	b.userinfo("DPoP "+access, p).want(http.StatusOK, "")
	if got := b.userinfo("DPoP "+access, p); got.status == http.StatusOK {
		t.Error("a proof is good a second time")
	}
}

func planScheme(t *testing.T, b *bank) {
	access := b.tokens(t).access()
	for _, scheme := range []string{"DPoP", "dpop", "DPOP"} {
		b.userinfo(scheme+" "+access, b.dpop.proof(t, "GET", b.url+"/userinfo", access, nil)).want(http.StatusOK, "")
	}
}

// planRequestURI looks at whose a pushed request is, and when it is over.
func planRequestURI(t *testing.T, b *bank) {
	r := b.asking()
	uri := b.push(t, r).want(http.StatusCreated, "").str("request_uri")
	p := b.ada()
	other := b.bank("other", 1)
	if on := other.open(p, uri); on.status == http.StatusOK && on.has("login") {
		t.Error("another client opens the request")
	}
	for range 3 { // reloaded before login
		if on := b.open(p, uri); !on.has("login") {
			t.Fatalf("no login page: %d %s", on.status, on.body)
		}
	}
	on := p.through(b.open(p, uri))
	if on.answer(r).Get("code") == "" {
		t.Fatalf("no code: %s", on.at)
	}
	on = b.open(p, uri)
	if on.status == http.StatusSeeOther && on.at.Query().Get("code") != "" {
		t.Error("a pushed request is good a second time")
	}
	on = b.open(p, "urn:ietf:params:oauth:request_uri:"+secret.ID())
	if on.status != http.StatusBadRequest {
		t.Errorf("an unknown request_uri: %d", on.status)
	}
	// FAPI 2.0 takes no request that was not pushed.
	on = p.authorize(b.asking())
	if on.status == http.StatusOK && on.has("login") || on.at.Query().Get("code") != "" {
		t.Error("a request that was not pushed is taken")
	}
}

func planPush(t *testing.T, b *bank) {
	for name, c := range map[string]struct {
		change []string
		code   oauth.ErrorCode
	}{
		"a request_uri":          {[]string{"request_uri", "urn:ietf:params:oauth:request_uri:x"}, oauth.InvalidRequest},
		"no response_type":       {[]string{"response_type", ""}, oauth.InvalidRequest},
		"another response_type":  {[]string{"response_type", "token"}, ""},
		"a hybrid response_type": {[]string{"response_type", "code id_token"}, ""},
		"no redirect_uri":        {[]string{"redirect_uri", ""}, oauth.InvalidRequest},
		"another redirect_uri":   {[]string{"redirect_uri", "https://else.example.com/callback"}, oauth.InvalidRequest},
		"a scope unregistered":   {[]string{"scope", "openid orders:write"}, oauth.InvalidScope},
		"another's client_id":    {[]string{"client_id", "other"}, ""},
	} {
		got := b.push(t, b.asking(c.change...))
		if got.status != http.StatusBadRequest && got.status != http.StatusUnauthorized || c.code != "" && got.str("error") != string(c.code) {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	for _, path := range []string{"/par"} {
		if got := b.get(path); got.status != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d", path, got.status)
		}
	}
}

func planPKCE(t *testing.T, b *bank) {
	for name, change := range map[string][]string{
		"none":      {"code_challenge", "", "code_challenge_method", ""},
		"no method": {"code_challenge_method", ""},
		"plain":     {"code_challenge_method", "plain"},
	} {
		if got := b.push(t, b.asking(change...)); got.status != http.StatusBadRequest || got.str("error") != "invalid_request" {
			t.Errorf("PKCE %s: %d %s", name, got.status, got.body)
		}
	}
	r := b.asking()
	code := b.code(t, r)
	for _, verifier := range []string{"", secret.Random().Reveal()} {
		wrong := r
		wrong.verifier = verifier
		if got := b.redeemCode(t, wrong, code, proving(b.as(t), b.tokenProof(t))); got.status != http.StatusBadRequest || got.str("error") != "invalid_grant" {
			t.Errorf("the verifier %q: %d %s", verifier, got.status, got.body)
		}
	}
	b.redeemCode(t, r, code, proving(b.as(t), b.tokenProof(t))).want(http.StatusOK, "")
}

func planCode(t *testing.T, b *bank) {
	r := b.asking()
	code := b.code(t, r)
	other := b.bank("other", 1)
	got := other.post("/token", proving(other.as(t), other.tokenProof(t)), "grant_type", "authorization_code", "code", code, "redirect_uri", b.redirect, "code_verifier", r.verifier)
	got.want(http.StatusBadRequest, oauth.InvalidGrant)
	access := b.redeemCode(t, r, code, proving(b.as(t), b.tokenProof(t))).want(http.StatusOK, "").access()
	b.redeemCode(t, r, code, proving(b.as(t), b.tokenProof(t))).want(http.StatusBadRequest, oauth.InvalidGrant)
	if got := b.userinfo("DPoP "+access, b.dpop.proof(t, "GET", b.url+"/userinfo", access, nil)); got.status != http.StatusUnauthorized {
		t.Errorf("the token of a code that was used again: %d", got.status)
	}
	// dpop_jkt binds the code to a key from the beginning (RFC 9449 §10).
	r = b.asking("dpop_jkt", "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I")
	code = b.code(t, r)
	b.redeemCode(t, r, code, proving(b.as(t), b.tokenProof(t))).want(http.StatusBadRequest, oauth.InvalidGrant)
}

func planDenied(t *testing.T, b *bank) {
	r := b.asking("prompt", "consent")
	p := b.ada()
	on := b.open(p, b.push(t, r).want(http.StatusCreated, "").str("request_uri"))
	on = p.submit(on, "login", "username", p.email, "password", p.password)
	on = p.submit(on, "deny")
	if q := on.answer(r); q.Get("error") != "access_denied" || q.Get("iss") != b.url || q.Get("code") != "" {
		t.Errorf("the answer is %s", on.at)
	}
}

// planRefresh presents a refresh token again, with another DPoP key each time.
func planRefresh(t *testing.T, b *bank) {
	got := b.tokens(t)
	refresh := got.refresh()
	for range 3 {
		b.dpop = newSigner(jose.ES256, "")
		next := b.post("/token", proving(b.as(t), b.tokenProof(t)), "grant_type", "refresh_token", "refresh_token", refresh).want(http.StatusOK, "")
		if again := next.refresh(); again != "" && again != refresh {
			t.Fatal("the refresh token rotates")
		}
		b.userinfo("DPoP "+next.access(), b.dpop.proof(t, "GET", b.url+"/userinfo", next.access(), nil)).want(http.StatusOK, "")
	}
	other := b.bank("other", 1)
	other.post("/token", proving(other.as(t), other.tokenProof(t)), "grant_type", "refresh_token", "refresh_token", refresh).want(http.StatusBadRequest, oauth.InvalidGrant)
	got = b.post("/token", b.as(t), "grant_type", "refresh_token", "refresh_token", refresh)
	if got.status != http.StatusBadRequest {
		t.Errorf("a refresh without a proof: %d %s", got.status, got.body)
	}
}

func planLong(t *testing.T, b *bank) {
	r := b.asking("state", strings.Repeat("s", 128), "nonce", strings.Repeat("n", 128))
	code := b.code(t, r)
	got := b.redeemCode(t, r, code, proving(b.as(t), b.tokenProof(t))).want(http.StatusOK, "")
	if payload(t, got.str("id_token"))["nonce"] != r.Get("nonce") {
		t.Error("the nonce did not come back")
	}
}

// planBeside puts parameters beside the pushed ones: they don't count.
func planBeside(t *testing.T, b *bank) {
	r := b.asking()
	uri := b.push(t, r).want(http.StatusCreated, "").str("request_uri")
	p := b.ada()
	on := p.get(b.url + "/authorize?" + values("client_id", b.id, "request_uri", uri, "state", "else", "nonce", "else", "scope", "openid profile", "redirect_uri", "https://else.example.com/").Encode())
	on = p.through(on)
	code := on.answer(r).Get("code")
	got := b.redeemCode(t, r, code, proving(b.as(t), b.tokenProof(t))).want(http.StatusOK, "")
	if payload(t, got.str("id_token"))["nonce"] != r.Get("nonce") || strings.Contains(got.str("scope"), "profile") {
		t.Errorf("the answer is %s", got.body)
	}
}
