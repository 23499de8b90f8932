package endpoints_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jeton-auth/jeton/internal/password"
)

const responseClients = `
issuer: ISSUER
behind_proxy: {trusted: [10.0.0.0/8]}
store: sqlite:jeton.db
key_encryption_key: env:KEK
sessions: {idle: 1h, absolute: 10h}
resources:
  - {id: https://api.example.com, scopes: [orders:read], introspection_secret: env:SECRET}
  - {id: https://pay.example.com, scopes: [pay]}
clients:
  - {id: all, COMMON, grant_types: [authorization_code, refresh_token, implicit], response_types: [code, id_token, id_token token, code id_token, code token, code id_token token]}
  - {id: shop, COMMON, grant_types: [authorization_code]}
  - {id: formal, COMMON, grant_types: [authorization_code], response_modes: [form_post, jwt], authorization_signed_response_alg: PS256}
  - {id: signed, COMMON, grant_types: [authorization_code], userinfo_alg: ES256}
  - {id: pair, COMMON, grant_types: [authorization_code, refresh_token], subject_type: pairwise}
users:
  - {email: ada@example.com, email_verified: true, name: Ada Lovelace, password: env:PASSWORD}
  - {email: bob@example.com, password: env:PASSWORD}
`

const commonClient = `auth_method: client_secret_basic, secret: env:SECRET, redirect_uris: [https://shop.example.com/callback],
     scopes: [openid, email, offline_access, orders:read, pay], resources: [https://api.example.com, https://pay.example.com], require_pkce: false, first_party: true`

func startResponses(t *testing.T) *site {
	t.Helper()
	text := strings.ReplaceAll(responseClients, "COMMON", commonClient)
	return startConfig(t, "https://id.example.com", text, password.New(password.Params{Memory: 8, Iterations: 1, Parallelism: 1}, 2, 64))
}

// fragment is the answer that a client gets in a fragment.
func (a answer) fragment() url.Values {
	a.t.Helper()
	_, raw, found := strings.Cut(a.to(callback), "#")
	v, err := url.ParseQuery(raw)
	if err != nil || !found {
		a.t.Fatalf("%v %s", err, a.header.Get("Location"))
	}
	return v
}

// posted is the answer on a page whose form takes it to the client.
func (a answer) posted() url.Values {
	a.t.Helper()
	if a.status != http.StatusOK || a.header.Get("Cache-Control") != "no-store" || a.header.Get("Location") != "" {
		a.t.Fatalf("%d %v", a.status, a.header)
	}
	if csp := a.header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action https://shop.example.com;") || !strings.Contains(csp, "script-src 'self';") {
		a.t.Errorf("policy %s", csp)
	}
	if strings.Count(a.body, "<form") != 1 || strings.Count(a.body, "<script") != 1 || !strings.Contains(a.body, `action="`+callback+`"`) || !strings.Contains(a.body, `<button type="submit" id="continue"`) {
		a.t.Fatalf("the page is %s", a.body)
	}
	v := url.Values{}
	for _, input := range inputTag.FindAllString(a.body, -1) {
		m := map[string]string{}
		for _, pair := range attribute.FindAllStringSubmatch(input, -1) {
			m[pair[1]] = html.UnescapeString(pair[2])
		}
		if m["type"] != "hidden" {
			a.t.Errorf("the input %s", input)
		}
		v.Add(m["name"], m["value"])
	}
	return v
}

func half(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

func (s *site) info(method, token string) (int, http.Header, string) {
	s.t.Helper()
	r := httptest.NewRequest(method, s.issuer+"/userinfo", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w.Code, w.Header(), w.Body.String()
}

// bare is a request of a client without PKCE.
func bare(client string, pairs ...string) []string {
	return append([]string{"client_id", client, "code_challenge", "", "code_challenge_method", "", "nonce", "n-1", "scope", "openid email"}, pairs...)
}

// Each response type gives exactly what it names, bound together by hashes, and its words
// come in any order.
func TestResponseTypes(t *testing.T) {
	t.Parallel()
	s := startResponses(t)
	for _, words := range []string{"id_token", "token id_token", "id_token code", "token code", "token id_token code"} {
		t.Run(words, func(t *testing.T) {
			b := s.browser()
			got := b.login("ada", bare("all", "response_type", words)...).fragment()
			if got.Get("state") != "st" || got.Get("iss") != s.issuer {
				t.Errorf("%v", got)
			}
			want := strings.Fields(words)
			names := map[string]string{"code": "code", "id_token": "id_token", "token": "access_token"}
			for word, name := range names {
				if slices.Contains(want, word) != got.Has(name) {
					t.Errorf("%s is there: %v", name, got.Has(name))
				}
			}
			if access := got.Get("access_token"); access != "" {
				if got.Get("token_type") != "Bearer" || got.Get("expires_in") != "300" || got.Get("scope") != "openid email" {
					t.Errorf("%v", got)
				}
				if status, _, body := s.info("GET", access); status != http.StatusOK || !strings.Contains(body, "ada@example.com") {
					t.Errorf("userinfo: %d %s", status, body)
				}
			}
			if id := got.Get("id_token"); id != "" {
				claims := claimsOf(t, id)
				wantCode, wantToken := "", ""
				if got.Has("code") {
					wantCode = half(got.Get("code"))
				}
				if got.Has("access_token") {
					wantToken = half(got.Get("access_token"))
				}
				c, _ := claims["c_hash"].(string)
				a, _ := claims["at_hash"].(string)
				if c != wantCode || a != wantToken || claims["nonce"] != "n-1" || claims["aud"] != "all" || claims["sid"] == nil {
					t.Errorf("%v", claims)
				}
				if _, has := claims["email"]; has != (words == "id_token") {
					t.Errorf("email in the ID token of %s: %v", words, has)
				}
			}
			if !got.Has("code") {
				return
			}
			form := values("grant_type", "authorization_code", "code", got.Get("code"), "redirect_uri", callback)
			status, _, out := s.call("/token", "all", form)
			if status != http.StatusOK || out["refresh_token"] == nil || claimsOf(t, out["id_token"].(string))["nonce"] != "n-1" {
				t.Fatalf("%d %v", status, out)
			}
			if status, _, out := s.call("/token", "all", form); status != http.StatusBadRequest || out["error"] != "invalid_grant" {
				t.Errorf("the code again: %d %v", status, out)
			}
			for _, token := range []string{out["access_token"].(string), got.Get("access_token")} {
				if status, _, _ := s.info("GET", token); token != "" && status != http.StatusUnauthorized {
					t.Errorf("a token of a code that was used twice: %d", status)
				}
			}
		})
	}
}

// The token of an implicit grant is revoked by itself and dies with its session; the rows
// go when nothing needs them.
func TestImplicitGrantEnds(t *testing.T) {
	t.Parallel()
	s := startResponses(t)
	b := s.browser()
	ask := bare("all", "response_type", "id_token token")
	first := b.login("ada", ask...).fragment().Get("access_token")
	second := b.authorize(ask...).fragment()
	alive := func(token string) bool {
		status, _, _ := s.info("GET", token)
		return status == http.StatusOK
	}
	if r := httptest.NewRecorder(); true {
		req := httptest.NewRequest(http.MethodPost, s.issuer+"/revoke", strings.NewReader(values("token", first).Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.SetBasicAuth("all", secretText)
		s.Handler().ServeHTTP(r, req)
		if r.Code != http.StatusOK || alive(first) || !alive(second.Get("access_token")) {
			t.Errorf("%d: the first is %v, the second %v", r.Code, alive(first), alive(second.Get("access_token")))
		}
	}
	s.clock.Advance(4 * time.Minute)
	if !alive(second.Get("access_token")) {
		t.Error("the token died before its time")
	}
	b.get(b.path("/logout?" + values("id_token_hint", second.Get("id_token")).Encode()))
	if alive(second.Get("access_token")) {
		t.Error("the token outlives its session")
	}
}

// Grants without a code, which any site may have the browser make, are bounded apart: they
// never end one that is in use.
func TestImplicitGrantsLeaveOthers(t *testing.T) {
	t.Parallel()
	s := startResponses(t)
	b := s.browser()
	held := b.redeem("all", b.login("ada", "client_id", "all", "scope", "openid offline_access").client(callback))
	ask := bare("all", "response_type", "id_token token", "prompt", "none")
	first := b.authorize(ask...).fragment().Get("access_token")
	for range 50 {
		s.clock.Advance(time.Second)
		b.authorize(ask...).fragment()
	}
	for token, want := range map[string]int{first: http.StatusUnauthorized, held["access_token"].(string): http.StatusOK} {
		if status, _, _ := s.info("GET", token); status != want {
			t.Errorf("userinfo: %d, want %d", status, want)
		}
	}
}

// Tokens never stand in a query, only who was given a type has it, an ID token needs its
// nonce, and a refusal goes where the answer would.
func TestResponseTypesRefused(t *testing.T) {
	t.Parallel()
	s := startResponses(t)
	b := s.browser()
	for _, tt := range []struct {
		want     string
		fragment bool
		pairs    []string
	}{
		{"invalid_request", true, bare("all", "response_type", "code id_token", "response_mode", "query")},
		{"invalid_request", true, bare("all", "response_type", "id_token", "nonce", "")},
		{"invalid_request", true, bare("all", "response_type", "code id_token token", "nonce", "")},
		{"invalid_scope", true, bare("all", "response_type", "id_token", "scope", "orders:read")},
		{"invalid_target", true, bare("all", "response_type", "code token", "scope", "orders:read pay")},
		{"unauthorized_client", true, bare("shop", "response_type", "code id_token")},
		{"unsupported_response_type", true, bare("all", "response_type", "token")},
		{"unsupported_response_type", true, bare("all", "response_type", "id_token id_token")},
		{"unsupported_response_type", false, bare("all", "response_type", "none")},
		{"invalid_request", false, bare("all", "response_type", "")},
		{"login_required", true, bare("all", "response_type", "id_token", "prompt", "none")},
	} {
		a := b.authorize(tt.pairs...)
		var got url.Values
		if tt.fragment {
			got = a.fragment()
		} else {
			got = a.client(callback)
		}
		if got.Get("error") != tt.want || got.Get("state") != "st" || got.Get("iss") != s.issuer || got.Has("code") || got.Has("id_token") {
			t.Errorf("%q: %v", tt.pairs, got)
		}
	}
	jwt := b.authorize(bare("all", "response_type", "id_token", "response_mode", "query.jwt")...).fragment().Get("response")
	if claimsOf(t, jwt)["error"] != "invalid_request" {
		t.Errorf("query.jwt: %v", claimsOf(t, jwt))
	}
	if got := b.login("ada", bare("shop", "nonce", "")...).client(callback); !got.Has("code") {
		t.Errorf("a code without nonce: %v", got)
	}
	if got := b.authorize(bare("all", "response_type", "code token", "nonce", "")...).fragment(); !got.Has("access_token") || !got.Has("code") {
		t.Errorf("code token without nonce: %v", got)
	}
}

// Every mode carries the same answer; in a JWT nothing stands beside it.
func TestResponseModes(t *testing.T) {
	t.Parallel()
	s := startResponses(t)
	b := s.browser()
	b.login("ada", bare("shop")...).client(callback)
	const odd = `"><script>alert(1)</script> & st`
	for mode, read := range map[string]func(answer) url.Values{
		"query":         func(a answer) url.Values { return a.client(callback) },
		"fragment":      answer.fragment,
		"form_post":     answer.posted,
		"jwt":           func(a answer) url.Values { return a.client(callback) },
		"query.jwt":     func(a answer) url.Values { return a.client(callback) },
		"fragment.jwt":  answer.fragment,
		"form_post.jwt": answer.posted,
	} {
		for _, refused := range []bool{false, true} {
			pairs := bare("shop", "response_mode", mode, "state", odd)
			if refused {
				pairs = append(pairs, "scope", "orders:write openid roles")
			}
			got := read(b.authorize(pairs...))
			if strings.HasSuffix(mode, "jwt") {
				if len(got) != 1 || !got.Has("response") {
					t.Fatalf("%s: %v", mode, got)
				}
				claims := claimsOf(t, got.Get("response"))
				now := float64(s.clock.Now().Unix())
				if exp, _ := claims["exp"].(float64); exp <= now || exp > now+600 || claims["aud"] != "shop" || claims["sub"] != nil {
					t.Errorf("%s: %v", mode, claims)
				}
				header, _ := base64.RawURLEncoding.DecodeString(strings.Split(got.Get("response"), ".")[0])
				if !strings.Contains(string(header), `"RS256"`) || !strings.Contains(string(header), `"typ":"JWT"`) {
					t.Errorf("%s: signed as %s", mode, header)
				}
				got = url.Values{}
				for name, v := range claims {
					if text, ok := v.(string); ok {
						got.Set(name, text)
					}
				}
			}
			if got.Get("state") != odd || got.Get("iss") != s.issuer || got.Has("code") == refused || got.Has("error") != refused {
				t.Errorf("%s, refused %v: %v", mode, refused, got)
			}
		}
	}
	// What the client did not register is refused by a page, and its default is its own.
	for _, mode := range []string{"query", "fragment", "form_post.jwt", "query.jwt2", "web_message"} {
		a := b.authorize(bare("formal", "response_mode", mode)...)
		if a.status != http.StatusBadRequest || a.header.Get("Location") != "" {
			t.Errorf("%s: %d %v", mode, a.status, a.header)
		}
	}
	if got := b.authorize(bare("formal")...).posted(); !got.Has("code") {
		t.Errorf("the default: %v", got)
	}
	for _, mode := range []string{"jwt", "query.jwt"} {
		response := b.authorize(bare("formal", "response_mode", mode)...).client(callback).Get("response")
		header, _ := base64.RawURLEncoding.DecodeString(strings.Split(response, ".")[0])
		if !strings.Contains(string(header), `"PS256"`) {
			t.Errorf("%s: signed as %s", mode, header)
		}
	}
}

// The mode survives the login, and the answer is posted by whoever logs in or says no.
func TestResponseModeSurvives(t *testing.T) {
	t.Parallel()
	s := startResponses(t)
	b := s.browser()
	if got := b.login("ada", bare("shop", "response_mode", "form_post")...).posted(); !got.Has("code") || got.Get("state") != "st" {
		t.Errorf("%v", got)
	}
	page := s.browser().post(s.path("/authorize"), flat(authorize(bare("shop", "response_mode", "form_post", "prompt", "none")...))...)
	if page.status != http.StatusSeeOther {
		t.Fatalf("%d %s", page.status, page.body)
	}
	if got := b.get(page.header.Get("Location")).posted(); !got.Has("code") && got.Get("error") != "login_required" {
		t.Errorf("%v", got)
	}
}

func flat(v url.Values) (pairs []string) {
	for name := range v {
		pairs = append(pairs, name, v.Get(name))
	}
	return pairs
}

// Userinfo comes signed to who registered for it, and takes its token in each place where
// one may stand.
func TestSignedUserInfo(t *testing.T) {
	t.Parallel()
	s := startResponses(t)
	b := s.browser()
	code := b.login("ada", bare("signed")...).client(callback).Get("code")
	_, _, out := s.call("/token", "signed", values("grant_type", "authorization_code", "code", code, "redirect_uri", callback))
	access := out["access_token"].(string)
	for _, method := range []string{"GET", "POST"} {
		status, header, body := s.info(method, access)
		if status != http.StatusOK || header.Get("Content-Type") != "application/jwt" {
			t.Fatalf("%s: %d %v", method, status, header)
		}
		claims := claimsOf(t, body)
		if claims["iss"] != s.issuer || claims["aud"] != "signed" || claims["sub"] != claimsOf(t, out["id_token"].(string))["sub"] || claims["email"] != "ada@example.com" {
			t.Errorf("%s: %v", method, claims)
		}
		if got := b.authorize(bare("signed", "id_token_hint", body)...).client(callback); got.Get("error") != "invalid_request" {
			t.Errorf("userinfo stands in for an ID token: %v", got)
		}
	}
	r := httptest.NewRequest(http.MethodPost, s.issuer+"/userinfo", strings.NewReader(values("access_token", access).Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/jwt" {
		t.Errorf("in the form: %d %s", w.Code, w.Body)
	}
}

// A pairwise client knows a person by one name, everywhere, and no other client knows it.
func TestPairwise(t *testing.T) {
	t.Parallel()
	s := startResponses(t)
	b := s.browser()
	code := b.login("ada", bare("pair", "scope", "openid offline_access orders:read")...).client(callback).Get("code")
	_, _, out := s.call("/token", "pair", values("grant_type", "authorization_code", "code", code, "redirect_uri", callback))
	id := out["id_token"].(string)
	name := claimsOf(t, id)["sub"].(string)
	public := b.authorize(bare("shop")...).client(callback).Get("code")
	_, _, other := s.call("/token", "shop", values("grant_type", "authorization_code", "code", public, "redirect_uri", callback))
	real := claimsOf(t, other["id_token"].(string))["sub"].(string)
	if name == real || len(name) != 43 {
		t.Errorf("the names are %q and %q", name, real)
	}
	for what, text := range map[string]string{"access token": mustJSON(t, claimsOf(t, out["access_token"].(string))), "ID token": mustJSON(t, claimsOf(t, id))} {
		if strings.Contains(text, real) {
			t.Errorf("the %s tells the name that others know: %s", what, text)
		}
	}
	if sub := claimsOf(t, out["access_token"].(string))["sub"]; sub != name {
		t.Errorf("the access token is of %v", sub)
	}
	_, _, body := s.info("GET", out["access_token"].(string))
	var info map[string]any
	if err := json.Unmarshal([]byte(body), &info); err != nil || info["sub"] != name {
		t.Errorf("userinfo: %s", body)
	}
	for _, token := range []string{"access_token", "refresh_token"} {
		if _, _, got := s.call("/introspect", "pair", values("token", out[token].(string))); got["active"] != true || got["sub"] != name {
			t.Errorf("%s: %v", token, got)
		}
	}
	_, _, again := s.call("/token", "pair", values("grant_type", "refresh_token", "refresh_token", out["refresh_token"].(string)))
	if claimsOf(t, again["id_token"].(string))["sub"] != name {
		t.Errorf("refreshed: %v", again)
	}
	// Hints name the person by the client's name, and by no other.
	for hint, want := range map[string]string{id: "code", other["id_token"].(string): "error"} {
		if got := b.authorize(bare("pair", "prompt", "none", "id_token_hint", hint)...).client(callback); !got.Has(want) {
			t.Errorf("a hint: %v, want %s", got, want)
		}
	}
	for sub, want := range map[string]string{name: "code", real: "error"} {
		asked := `{"id_token":{"sub":{"value":"` + sub + `"}}}`
		if got := b.authorize(bare("pair", "prompt", "none", "claims", asked)...).client(callback); !got.Has(want) {
			t.Errorf("claims for %s: %v, want %s", sub, got, want)
		}
	}
	if got := s.browser().login("bob", bare("pair", "id_token_hint", id)...).client(callback); got.Get("error") != "login_required" {
		t.Errorf("somebody else than the hint names: %v", got)
	}
}

// The metadata list what is there.
func TestResponseMetadata(t *testing.T) {
	t.Parallel()
	type doc struct {
		Types    []string `json:"response_types_supported"`
		Modes    []string `json:"response_modes_supported"`
		Subjects []string `json:"subject_types_supported"`
		UserInfo []string `json:"userinfo_signing_alg_values_supported"`
		Response []string `json:"authorization_signing_alg_values_supported"`
	}
	modes := []string{"query", "fragment", "form_post", "jwt", "query.jwt", "fragment.jwt", "form_post.jwt"}
	for name, tt := range map[string]struct {
		s    *site
		want doc
	}{
		"all":   {startResponses(t), doc{[]string{"code", "id_token", "id_token token", "code id_token", "code token", "code id_token token"}, modes, []string{"public", "pairwise"}, []string{"ES256"}, []string{"PS256", "RS256"}}},
		"plain": {start(t), doc{[]string{"code"}, modes, []string{"public"}, nil, []string{"RS256"}}},
	} {
		var got doc
		if err := json.Unmarshal([]byte(tt.s.browser().get("/.well-known/openid-configuration").body), &got); err != nil {
			t.Fatal(err)
		}
		slices.Sort(got.Response)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
