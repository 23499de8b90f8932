package server

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/verify"
)

const jwtAnswer = "application/token-introspection+jwt"

func (i *issuer) introspect(as caller, accept, token string) reply {
	i.t.Helper()
	v := url.Values{"token": {token}}
	r := httptest.NewRequest(http.MethodPost, "/introspect", nil)
	as(r, v)
	r.Body = io.NopCloser(strings.NewReader(v.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", accept)
	return i.do(r)
}

// answer checks a signed answer and returns its claims.
func (i *issuer) answer(r reply, typ string) map[string]any {
	i.t.Helper()
	if r.status != 200 || r.header.Get("Content-Type") != jwtAnswer || r.header.Get("Cache-Control") != "no-store" {
		i.t.Fatalf("%d %v %s", r.status, r.header, r.body)
	}
	claims, _, err := verify.Signed(string(r.body), typ, i.ring.Key)
	if err != nil {
		i.t.Fatal(err)
	}
	return reply{body: claims}.json(i.t)
}

// Who accepts a signed answer gets what the plain one says, signed, for itself
// (RFC 9701 §5).
func TestSignedIntrospection(t *testing.T) {
	t.Parallel()
	i := start(t)
	r := i.login()
	access, refresh := r.str(t, "access_token"), r.str(t, "refresh_token")
	for name, c := range map[string]struct {
		as     caller
		id     string
		alg    string
		token  string
		active bool
	}{
		"an API":                    {asAPI, api, "ES256", access, true},
		"another API":               {basic(vaultAPI, vaultSecret), vaultAPI, "ES256", access, false},
		"an API, nonsense":          {asAPI, api, "ES256", "nonsense", false},
		"an API, a refresh token":   {asAPI, api, "ES256", refresh, false},
		"a client":                  {shop, "shop-web", "RS256", access, true},
		"a client, a refresh token": {shop, "shop-web", "RS256", refresh, true},
		"another client":            {other, "other-web", "RS256", access, false},
	} {
		plain := i.introspect(c.as, "application/json", c.token)
		if plain.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %v", name, plain.header)
		}
		signed := i.introspect(c.as, "application/json;q=0.5, Application/Token-Introspection+JWT", c.token)
		want := map[string]any{
			"iss": "http://localhost:8080", "aud": c.id, "iat": float64(i.clock.Now().Unix()), "token_introspection": plain.json(t),
		}
		if diff := cmp.Diff(want, i.answer(signed, oauth.TypIntrospection)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if plain.json(t)["active"] != c.active {
			t.Errorf("%s: %s", name, plain.body)
		}
		head, _, _ := strings.Cut(string(signed.body), ".")
		if got := payload(t, "."+head+"."); got["alg"] != c.alg || got["typ"] != "token-introspection+jwt" || got["kid"] == nil {
			t.Errorf("%s: header %v", name, got)
		}
		// It is no token, wherever somebody presents it as one.
		if i.active(string(signed.body)) {
			t.Errorf("%s: the answer is active as an access token", name)
		}
		i.userinfo(string(signed.body)).want(t, 401, oauth.InvalidToken)
	}
	for _, accept := range []string{"", "*/*", "application/*", "application/jwt", jwtAnswer + ";q=0", "text/plain;" + jwtAnswer} {
		if got := i.introspect(asAPI, accept, access); got.header.Get("Content-Type") != "application/json" || got.json(t)["active"] != true {
			t.Errorf("%q: %v", accept, got.header)
		}
	}
	// A refusal is what it always was.
	i.introspect(basic(api, vaultSecret), jwtAnswer, access).want(t, 401, oauth.InvalidClient)
	algs := i.do(httptest.NewRequest(http.MethodGet, "/.well-known/openid-configuration", nil)).json(t)["introspection_signing_alg_values_supported"].([]any)
	if !slices.Equal(algs, []any{"RS256", "ES256"}) {
		t.Error(algs)
	}
	i.post("/revoke", shop, "token", access).want(t, 200, "")
	if got := i.answer(i.introspect(asAPI, jwtAnswer, access), oauth.TypIntrospection)["token_introspection"]; !cmp.Equal(got, map[string]any{"active": false}) {
		t.Errorf("a revoked token: %v", got)
	}
}

// An opaque token and a JWT are described alike, member by member.
func TestOpaqueAndJWTAlike(t *testing.T) {
	t.Parallel()
	i := start(t)
	a := readOrders("shop-web", callback)
	a.scopes = []string{oauth.ScopeOpenID, oauth.ScopeRoles, oauth.ScopeOfflineAccess}
	a.resources = []store.GrantedResource{{ID: api, Scopes: []string{"orders:read"}}, {ID: vaultAPI, Scopes: []string{"vault:open"}}}
	r := i.redeem(shop, i.code(a), callback, "resource", api).want(t, 200, "")
	jwt := r.str(t, "access_token")
	opaque := i.refresh(shop, r.str(t, "refresh_token"), "resource", vaultAPI).want(t, 200, "").str(t, "access_token")
	if strings.Count(jwt, ".") != 2 || !strings.HasPrefix(opaque, "jta_") {
		t.Fatalf("%.20s, %.20s", jwt, opaque)
	}
	one, two := i.post("/introspect", asAPI, "token", jwt).json(t), i.post("/introspect", basic(vaultAPI, vaultSecret), "token", opaque).json(t)
	for name, want := range map[string][2]any{"aud": {api, vaultAPI}, "scope": {"orders:read", "vault:open"}} {
		if one[name] != want[0] || two[name] != want[1] {
			t.Errorf("%s: %v and %v", name, one[name], two[name])
		}
	}
	for _, m := range []map[string]any{one, two} {
		if m["jti"] == nil || m["exp"] == nil {
			t.Errorf("jti or exp is missing: %v", m)
		}
		// These are the token's own.
		for _, name := range []string{"aud", "scope", "jti", "exp"} {
			m[name] = nil
		}
	}
	if diff := cmp.Diff(one, two); diff != "" {
		t.Error(diff)
	}
}
