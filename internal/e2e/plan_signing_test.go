package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/jeton-auth/jeton/oauth"
)

// TestPlanFAPI2MessageSigning is the plan of FAPI 2.0 Message Signing: signed requests
// that are pushed, and signed responses.
func TestPlanFAPI2MessageSigning(t *testing.T) {
	t.Parallel()
	i := start(t, secure, withBanks("bank", "fapi2-message-signing", "other", "fapi2-message-signing"))
	for name, module := range map[string]func(*testing.T, *bank){
		"happy-flow":                planSignedHappy,
		"request-object":            planObjects,
		"user-rejects":              planSignedDenied,
		"request-object-outside":    planOutside,
		"unsigned-request-at-par":   planUnsignedPush,
		"refresh-and-introspection": planRefreshSigned,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := i.in(t).bank("bank", 0)
			b.signs = true
			module(t, b)
		})
	}
}

// response opens a signed authorization response (JARM §2.1).
func (b *bank) response(t *testing.T, on page) map[string]any {
	t.Helper()
	q := on.at.Query()
	if on.status != http.StatusSeeOther || q.Get("response") == "" || len(q) != 1 {
		t.Fatalf("the answer %d is at %s, want a response alone", on.status, on.at)
	}
	var set jose.JSONWebKeySet
	keys := b.get("/jwks").want(http.StatusOK, "")
	if err := json.Unmarshal([]byte(keys.body), &set); err != nil {
		t.Fatal(err)
	}
	parsed, err := jwt.ParseSigned(q.Get("response"), []jose.SignatureAlgorithm{jose.PS256})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := parsed.Claims(set, &got); err != nil {
		t.Fatal(err)
	}
	exp, _ := got["exp"].(float64)
	if got["iss"] != b.url || got["aud"] != b.id || exp <= float64(time.Now().Unix()) || exp > float64(time.Now().Add(10*time.Minute).Unix()) {
		t.Errorf("the response says %v", got)
	}
	return got
}

func planSignedHappy(t *testing.T, b *bank) {
	for _, mode := range []string{"jwt", ""} {
		r := b.asking("response_mode", mode)
		p := b.ada()
		got := b.response(t, p.through(b.open(p, b.push(t, r).want(http.StatusCreated, "").str("request_uri"))))
		if got["state"] != r.Get("state") {
			t.Errorf("the response says %v", got)
		}
		code, _ := got["code"].(string)
		answer := b.redeemCode(t, r, code, proving(b.as(t), b.tokenProof(t))).want(http.StatusOK, "")
		if payload(t, answer.str("id_token"))["nonce"] != r.Get("nonce") {
			t.Error("the nonce did not come back")
		}
	}
}

func planSignedDenied(t *testing.T, b *bank) {
	r := b.asking("response_mode", "jwt", "prompt", "consent")
	p := b.ada()
	on := p.logIn(b.open(p, b.push(t, r).want(http.StatusCreated, "").str("request_uri")))
	if got := b.response(t, p.submit(on, "deny")); got["error"] != "access_denied" || got["state"] != r.Get("state") {
		t.Errorf("the response says %v", got)
	}
}

// planObjects pushes request objects, good ones and bad ones.
func planObjects(t *testing.T, b *bank) {
	now := time.Now().Unix()
	typ := "oauth-authz-req+jwt"
	rs := signer{b.key.key, jose.RS256, "one"}
	r := b.asking()
	for name, c := range map[string]struct {
		object string
		good   bool
	}{
		"nothing wrong":            {b.key.jwt(t, typ, b.object(r, nil)), true},
		"without typ":              {b.key.jwt(t, "", b.object(r, nil)), true},
		"typ JWT":                  {b.key.jwt(t, "JWT", b.object(r, nil)), true},
		"aud in an array":          {b.key.jwt(t, typ, b.object(r, claims{"aud": []string{b.url, "https://else.example.com"}})), true},
		"nbf 8 s ahead":            {b.key.jwt(t, typ, b.object(r, claims{"nbf": now + 8})), true},
		"iat 8 s ahead":            {b.key.jwt(t, typ, b.object(r, claims{"iat": now + 8})), true},
		"nbf 70 s ahead":           {b.key.jwt(t, typ, b.object(r, claims{"nbf": now + 70})), false},
		"nbf 70 minutes ago":       {b.key.jwt(t, typ, b.object(r, claims{"nbf": now - 70*60})), false},
		"without nbf":              {b.key.jwt(t, typ, b.object(r, claims{"nbf": nil})), false},
		"without exp":              {b.key.jwt(t, typ, b.object(r, claims{"exp": nil})), false},
		"exp 70 minutes after nbf": {b.key.jwt(t, typ, b.object(r, claims{"exp": now + 70*60})), false},
		"exp over":                 {b.key.jwt(t, typ, b.object(r, claims{"exp": now - 300, "nbf": now - 600})), false},
		"without aud":              {b.key.jwt(t, typ, b.object(r, claims{"aud": nil})), false},
		"another aud":              {b.key.jwt(t, typ, b.object(r, claims{"aud": "https://else.example.com"})), false},
		"without iss":              {b.key.jwt(t, typ, b.object(r, claims{"iss": nil})), false},
		"another iss":              {b.key.jwt(t, typ, b.object(r, claims{"iss": "other"})), false},
		"another client_id":        {b.key.jwt(t, typ, b.object(r, claims{"client_id": "other"})), false},
		"a request_uri in it":      {b.key.jwt(t, typ, b.object(r, claims{"request_uri": "https://else.example.com/r"})), false},
		"a request in it":          {b.key.jwt(t, typ, b.object(r, claims{"request": "x"})), false},
		"another's key":            {newSigner(jose.PS256, "one").jwt(t, typ, b.object(r, nil)), false},
		"RS256":                    {rs.jwt(t, typ, b.object(r, nil)), false},
		"none":                     {unsigned(t, b.object(r, nil)), false},
		"typ of an access token":   {b.key.jwt(t, "at+jwt", b.object(r, nil)), false},
		"garbage":                  {"garbage", false},
	} {
		got := b.post("/par", b.as(t), "client_id", b.id, "request", c.object)
		if c.good && got.status != http.StatusCreated || !c.good && (got.status != http.StatusBadRequest || !strings.HasPrefix(got.str("error"), "invalid_request")) {
			t.Errorf("an object with %s: %d %s", name, got.status, got.body)
		}
	}
}

// planOutside sends parameters beside the object, which don't count.
func planOutside(t *testing.T, b *bank) {
	inside := b.asking("state", "")
	object := b.key.jwt(t, "oauth-authz-req+jwt", b.object(inside, claims{"nonce": "inside"}))
	uri := b.post("/par", b.as(t), "client_id", b.id, "request", object, "state", "outside", "nonce", "outside", "scope", "openid profile").want(http.StatusCreated, "").str("request_uri")
	p := b.ada()
	got := b.response(t, p.through(b.open(p, uri)))
	if got["state"] != nil {
		t.Errorf("the state from outside came back: %v", got)
	}
	code, _ := got["code"].(string)
	answer := b.redeemCode(t, inside, code, proving(b.as(t), b.tokenProof(t))).want(http.StatusOK, "")
	if payload(t, answer.str("id_token"))["nonce"] != "inside" || strings.Contains(answer.str("scope"), "profile") {
		t.Errorf("the answer is %s", answer.body)
	}
}

func planUnsignedPush(t *testing.T, b *bank) {
	b.signs = false
	if got := b.push(t, b.asking()); got.status != http.StatusBadRequest || !strings.HasPrefix(got.str("error"), "invalid_request") {
		t.Errorf("a request without an object: %d %s", got.status, got.body)
	}
	b.post("/par", nobody, "client_id", b.id, "request", "x").want(http.StatusUnauthorized, oauth.InvalidClient)
}

func planRefreshSigned(t *testing.T, b *bank) {
	r := b.asking()
	p := b.ada()
	code, _ := b.response(t, p.through(b.open(p, b.push(t, r).want(http.StatusCreated, "").str("request_uri"))))["code"].(string)
	got := b.redeemCode(t, r, code, proving(b.as(t), b.tokenProof(t))).want(http.StatusOK, "")
	b.post("/token", proving(b.as(t), b.tokenProof(t)), "grant_type", "refresh_token", "refresh_token", got.refresh()).want(http.StatusOK, "")
	about := b.post("/introspect", b.as(t), "token", got.access()).want(http.StatusOK, "").json()
	if about["active"] != true || about["cnf"] == nil || about["token_type"] != "DPoP" {
		t.Errorf("introspection says %v", about)
	}
}
