package authorize

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

func TestParse(t *testing.T) {
	t.Parallel()
	f := open(t)
	many := func(uri string) []string { return []string{"client_id", "many", "redirect_uri", uri} }
	const toClient, page = true, false
	tests := []struct {
		pairs  []string
		want   oauth.ErrorCode // empty: the request is good
		client bool            // the refusal goes to the client
	}{
		{nil, "", false},

		// Cases 1 to 5: without a verified address there is a page.
		{[]string{"client_id", ""}, oauth.InvalidRequest, page},
		{[]string{"client_id", "nobody"}, oauth.InvalidClient, page},
		{[]string{"client_id", "off"}, oauth.UnauthorizedClient, page},
		{[]string{"redirect_uri", callback + "/"}, oauth.InvalidRequest, page},
		{[]string{"redirect_uri", callback + "?x"}, oauth.InvalidRequest, page},
		{[]string{"redirect_uri", callback + "#x"}, oauth.InvalidRequest, page},
		{[]string{"redirect_uri", callback + "/../callback"}, oauth.InvalidRequest, page},
		{[]string{"redirect_uri", "https://SHOP.example.com/callback"}, oauth.InvalidRequest, page},
		{[]string{"redirect_uri", "https://shop.example.com:443/callback"}, oauth.InvalidRequest, page},
		{[]string{"redirect_uri", "https://shop.example.com/%63allback"}, oauth.InvalidRequest, page},
		{[]string{"redirect_uri", "https://shop.example.com@evil.example/callback"}, oauth.InvalidRequest, page},
		{[]string{"redirect_uri", "https://evil.example/"}, oauth.InvalidRequest, page},
		{[]string{"redirect_uri", "javascript:alert(1)"}, oauth.InvalidRequest, page},
		{[]string{"response_mode", "query"}, "", page},
		{[]string{"response_mode", "web_message"}, oauth.InvalidRequest, page},
		{many("https://shop.example.com/a"), "", page},
		{many("https://shop.example.com/b?x=1"), "", page},
		{many("https://shop.example.com/b"), oauth.InvalidRequest, page},
		{many("http://localhost:3000/cb"), "", page},
		{many("http://localhost:4711/cb"), "", page},
		{many("http://127.0.0.1:4711/cb"), "", page},
		{many("http://127.0.0.1/cb"), "", page},
		{many("http://127.0.0.2:4711/cb"), oauth.InvalidRequest, page},
		{many("http://localhost:80@evil.example/cb"), oauth.InvalidRequest, page},
		{many("http://localhost:80%40evil.example/cb"), oauth.InvalidRequest, page},
		{many("http://127.0.0.1:4711/cb/"), oauth.InvalidRequest, page},
		{many("https://localhost:4711/cb"), oauth.InvalidRequest, page},
		{many("com.example.app:/cb"), "", page},
		{many("com.example.app://cb"), oauth.InvalidRequest, page},

		// redirect_uri may be left out where one is registered, but not with openid.
		{[]string{"client_id", "one", "redirect_uri", "", "scope", "orders:read"}, "", page},
		{[]string{"client_id", "one", "redirect_uri", ""}, oauth.InvalidRequest, page},
		{[]string{"client_id", "many", "redirect_uri", "", "scope", "orders:read"}, oauth.InvalidRequest, page},

		{[]string{"state", strings.Repeat("s", 2049)}, oauth.InvalidRequest, toClient},
		{[]string{"state", "\xff"}, oauth.InvalidRequest, toClient},
		{[]string{"nonce", strings.Repeat("n", 2049)}, oauth.InvalidRequest, toClient},
		{[]string{"request", "eyJ"}, oauth.RequestNotSupported, toClient},
		{[]string{"request_uri", "https://evil.example/"}, oauth.RequestURINotSupported, toClient},
		{[]string{"registration", "{}"}, oauth.RegistrationNotSupp, toClient},
		{[]string{"response_type", ""}, oauth.InvalidRequest, toClient},
		{[]string{"response_type", "token"}, oauth.UnsupportedResponseType, toClient},
		{[]string{"response_type", "code id_token"}, oauth.UnsupportedResponseType, toClient},
		{[]string{"response_type", "CODE"}, oauth.UnsupportedResponseType, toClient},
		{[]string{"client_id", "robot"}, oauth.UnauthorizedClient, toClient},

		// Case 6: S256 alone.
		{[]string{"code_challenge", "", "code_challenge_method", ""}, oauth.InvalidRequest, toClient},
		{[]string{"code_challenge", ""}, oauth.InvalidRequest, toClient},
		{[]string{"code_challenge_method", ""}, oauth.InvalidRequest, toClient},
		{[]string{"code_challenge_method", "plain"}, oauth.InvalidRequest, toClient},
		{[]string{"code_challenge_method", "s256"}, oauth.InvalidRequest, toClient},
		{[]string{"code_challenge", challenge + "="}, oauth.InvalidRequest, toClient},
		{[]string{"code_challenge", challenge[1:]}, oauth.InvalidRequest, toClient},
		{[]string{"code_challenge", challenge[:42] + "\n" + challenge[42:]}, oauth.InvalidRequest, toClient},
		{[]string{"code_challenge", "+" + challenge[1:]}, oauth.InvalidRequest, toClient},
		{append(many("https://shop.example.com/a"), "code_challenge", "", "code_challenge_method", ""), "", page},
		{append(many("https://shop.example.com/a"), "code_challenge", ""), oauth.InvalidRequest, toClient},

		{[]string{"scope", "openid email offline_access orders:read"}, "", page},
		{[]string{"scope", "openid what:ever made_up"}, "", page},
		{[]string{"scope", "what:ever"}, oauth.InvalidScope, toClient},
		{[]string{"scope", "openid profile"}, oauth.InvalidScope, toClient},
		{[]string{"scope", "openid foreign:read"}, oauth.InvalidScope, toClient},
		{[]string{"scope", "openid \"x\""}, oauth.InvalidScope, toClient},
		{[]string{"scope", "openid " + strings.Repeat("x", 9000)}, oauth.InvalidScope, toClient},
		{[]string{"client_id", "one", "scope", "openid offline_access"}, oauth.InvalidScope, toClient},
		{[]string{"client_id", "one", "scope", "openid email"}, oauth.InvalidScope, toClient},

		{[]string{"resource", orders}, "", page},
		{[]string{"resource", foreign}, oauth.InvalidTarget, toClient},
		{[]string{"resource", orders + "/"}, oauth.InvalidTarget, toClient},
		{[]string{"resource", orders, "scope", "openid vault:open"}, "", page},
		{[]string{"resource", vault, "scope", "openid vault:open"}, "", page},

		{[]string{"prompt", "none"}, "", page},
		{[]string{"prompt", "login consent"}, "", page},
		{[]string{"prompt", "none login"}, oauth.InvalidRequest, toClient},
		{[]string{"prompt", "none none"}, "", page},
		{[]string{"prompt", "create"}, oauth.InvalidRequest, toClient},
		{[]string{"max_age", "0"}, "", page},
		{[]string{"max_age", "-1"}, oauth.InvalidRequest, toClient},
		{[]string{"max_age", "1.5"}, oauth.InvalidRequest, toClient},
		{[]string{"max_age", "99999999999"}, oauth.InvalidRequest, toClient},
		{[]string{"login_hint", strings.Repeat("l", 2049)}, oauth.InvalidRequest, toClient},
		{[]string{"id_token_hint", "hint:u_ada"}, "", page},
		{[]string{"id_token_hint", "made up"}, oauth.InvalidRequest, toClient},
		{[]string{"id_token_hint", "hint:" + strings.Repeat("x", 20_000)}, oauth.InvalidRequest, toClient},
		{[]string{"claims", `{"userinfo":{"email":null},"id_token":{"sub":{"value":"u_ada"},"acr":{"essential":true}},"x":1}`}, "", page},
		{[]string{"claims", `null`}, "", page},
		{[]string{"claims", `{"userinfo":`}, oauth.InvalidRequest, toClient},
		{[]string{"claims", `[]`}, oauth.InvalidRequest, toClient},
		{[]string{"claims", `{"userinfo":{"email":7}}`}, oauth.InvalidRequest, toClient},
		{[]string{"claims", `{"id_token":{"sub":{"value":{"a":1}}}}`}, oauth.InvalidRequest, toClient},
		{[]string{"claims", strings.Repeat("[", 4000)}, oauth.InvalidRequest, toClient},
		{[]string{"claims", strings.Repeat(" ", 4097)}, oauth.InvalidRequest, toClient},
		{[]string{"acr_values", "urn:x urn:y"}, "", page},
		{[]string{"acr_values", strings.Repeat("a", 1025)}, oauth.InvalidRequest, toClient},
		{[]string{"ui_locales", "de fr"}, "", page},
		{[]string{"display", "popup", "unheard_of", "1"}, "", page},
	}
	for _, tt := range tests {
		parsed, refusal := f.Parse(request(tt.pairs...))
		switch {
		case tt.want == "" && refusal != nil:
			t.Errorf("%.200q: refused: %v", tt.pairs, refusal)
		case tt.want != "" && (refusal == nil || refusal.Code != tt.want || refusal.Description == ""):
			t.Errorf("%.200q: %v, want %s", tt.pairs, refusal, tt.want)
		case tt.want != "" && (parsed.To != nil) != tt.client:
			t.Errorf("%.200q: goes to the client: %v", tt.pairs, parsed.To != nil)
		}
	}
}

func TestParsedRequest(t *testing.T) {
	t.Parallel()
	f := open(t)
	parsed, refusal := f.Parse(request(
		"scope", "orders:read openid unknown email openid vault:open", "nonce", "n", "prompt", "login consent login", "max_age", "3600",
		"login_hint", "ada", "id_token_hint", "hint:u_ada", "acr_values", "a b", "ui_locales", "de",
		"claims", `{"userinfo":{"email":{"essential":true},"phone_number":null,"made_up":null},"id_token":{"auth_time":null}}`))
	if refusal != nil {
		t.Fatal(refusal)
	}
	want := store.AuthorizationRequest{
		Client: "shop", RedirectURI: callback, RedirectURISent: true, ResponseType: "code", ResponseMode: "query", State: "s t&te", Nonce: "n", Challenge: challenge,
		Scopes: []string{"openid", "email"},
		// orders:read is declared by both APIs of the client.
		Resources: []store.GrantedResource{{ID: orders, Scopes: []string{"orders:read"}}, {ID: vault, Scopes: []string{"orders:read", "vault:open"}}},
		Prompt:    []string{"login", "consent"}, MaxAge: new(int64(3600)), LoginHint: "ada", IDTokenHint: "u_ada",
		ACRValues: []string{"a", "b"}, UILocales: "de",
		Claims: store.ClaimsRequest{
			UserInfo: map[string]*store.ClaimRequest{"email": {Essential: true}},
			IDToken:  map[string]*store.ClaimRequest{"auth_time": nil},
		},
	}
	if diff := cmp.Diff(want, parsed.Request); diff != "" {
		t.Error(diff)
	}
}

func TestResources(t *testing.T) {
	t.Parallel()
	f := open(t)
	type granted = store.GrantedResource
	tests := []struct {
		name     string
		values   url.Values
		identity []string
		apis     []granted
		asked    bool
	}{
		{"from the scopes", url.Values{"scope": {"orders:write"}}, nil, []granted{{ID: orders, Scopes: []string{"orders:write"}}}, false},
		{"asked for", url.Values{"scope": {"openid orders:read"}, "resource": {vault}}, []string{"openid"}, []granted{{ID: vault, Scopes: []string{"orders:read"}}}, true},
		{"asked for twice", url.Values{"scope": {"openid"}, "resource": {vault, orders, vault, ""}}, []string{"openid"}, []granted{{ID: vault}, {ID: orders}}, true},
		{"all, where scope is absent", url.Values{}, nil, []granted{
			{ID: orders, Scopes: []string{"orders:read", "orders:write"}}, {ID: vault, Scopes: []string{"orders:read", "vault:open"}},
		}, false},
		{"all of the API asked for", url.Values{"resource": {vault}}, nil, []granted{{ID: vault, Scopes: []string{"orders:read", "vault:open"}}}, true},
	}
	for _, tt := range tests {
		v := params("scope", "")
		for name, values := range tt.values {
			v[name] = values
		}
		parsed, refusal := f.Parse(web.NewParams(v))
		if refusal != nil {
			t.Errorf("%s: %v", tt.name, refusal)
			continue
		}
		r := parsed.Request
		if diff := cmp.Diff(tt.apis, r.Resources); diff != "" || !slices.Equal(r.Scopes, tt.identity) || r.ResourceAsked != tt.asked {
			t.Errorf("%s: %v %v %s", tt.name, r.Scopes, r.ResourceAsked, diff)
		}
	}
	v := params()
	for range 21 {
		v.Add("resource", orders)
	}
	if _, refusal := f.Parse(web.NewParams(v)); refusal == nil || refusal.Code != oauth.InvalidTarget {
		t.Errorf("21 resources: %v", refusal)
	}
}

// Case 7: iss and state stand in every answer; the registered URI stays as it is.
func TestAnswers(t *testing.T) {
	t.Parallel()
	f := open(t)
	client, _ := f.Directory.Client("many")
	for _, tt := range []struct{ uri, state, want string }{
		{"https://shop.example.com/a", "", "https://shop.example.com/a?code=jtc_1&iss=https%3A%2F%2Fid.example.com"},
		{"https://shop.example.com/a", "a b&c=d#e\r\n", "https://shop.example.com/a?code=jtc_1&iss=https%3A%2F%2Fid.example.com&state=a+b%26c%3Dd%23e%0D%0A"},
		{"https://shop.example.com/b?x=1", "s", "https://shop.example.com/b?x=1&code=jtc_1&iss=https%3A%2F%2Fid.example.com&state=s"},
		{"http://127.0.0.1:99/cb", "s", "http://127.0.0.1:99/cb?code=jtc_1&iss=https%3A%2F%2Fid.example.com&state=s"},
		{"com.example.app:/cb", "s", "com.example.app:/cb?code=jtc_1&iss=https%3A%2F%2Fid.example.com&state=s"},
	} {
		to, refusal := returnAddress(issuer, client, tt.uri, oauth.ResponseCode, "", tt.state)
		if refusal != nil {
			t.Fatal(refusal)
		}
		if got := to.answer(url.Values{"code": {"jtc_1"}}).Location(); got != tt.want {
			t.Errorf("%s\nwant %s", got, tt.want)
		}
	}
	to, _ := returnAddress(issuer, client, "https://shop.example.com/a", oauth.ResponseCode, "", "s")
	got := to.refuse(oauth.Refuse(oauth.InvalidScope, "the \"scope\" \\ is\nwröng")).Location()
	u, err := url.Parse(got)
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{"error": {"invalid_scope"}, "error_description": {"the 'scope' ' is?wr?ng"}, "iss": {issuer}, "state": {"s"}}
	if diff := cmp.Diff(want, u.Query()); diff != "" {
		t.Error(diff)
	}
	if to.Origin() != "https://shop.example.com" || to.Host() != "shop.example.com" {
		t.Error(to.Origin(), to.Host())
	}
}

// No input gets past the checks: whatever comes out has the client's own redirect URI
// and nothing that the client may not have.
func FuzzParse(f *testing.F) {
	fix := open(f)
	f.Add("client_id=shop&redirect_uri=" + url.QueryEscape(callback) + "&response_type=code&scope=openid+orders:read&code_challenge_method=S256&code_challenge=" + challenge)
	f.Add(params("claims", `{"id_token":{"acr":{"essential":true,"values":["x"]}}}`, "prompt", "none", "max_age", "1").Encode())
	f.Add(params("response_mode", "form_post.jwt", "response_type", "token id_token code", "nonce", "n").Encode())
	f.Add(params("response_mode", "query.jwt", "response_type", "id_token").Encode())
	f.Add(params("client_id", "many", "redirect_uri", "http://localhost:80@evil.example/cb").Encode())
	f.Add("client_id=third&resource=" + url.QueryEscape(orders) + "&redirect_uri=" + url.QueryEscape(callback) + "&response_type=code")
	f.Fuzz(func(t *testing.T, query string) {
		v, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		parsed, refusal := fix.Parse(web.NewParams(v))
		if parsed.To == nil {
			if refusal == nil {
				t.Fatal("neither refused nor with an address")
			}
			return
		}
		answer := parsed.To.answer(url.Values{"code": {"x"}})
		if refusal != nil {
			answer = parsed.To.refuse(refusal)
		}
		location := answer.to.location(answer.params) // where a form would be posted, as well
		registered := slices.ContainsFunc(parsed.Client.RedirectURIs, func(uri string) bool {
			return strings.HasPrefix(location, uri) || strings.HasPrefix(uri, "http://") && strings.HasPrefix(location, uri[:len("http://127.0.0.1")])
		})
		if u, err := url.Parse(location); !registered || err != nil || u.User != nil || strings.ContainsAny(location, "\r\n \"<>\\") {
			t.Fatalf("answer to %q", location)
		}
		if to := answer.to; givesTokens(oauth.ParseResponseType(v.Get("response_type"))) && (to.mode == oauth.ModeQuery || to.mode == oauth.ModeQueryJWT) {
			t.Fatalf("tokens by %s", to.mode)
		}
		if refusal != nil {
			return
		}
		held := slices.Clone(parsed.Request.Scopes)
		for _, api := range parsed.Request.Resources {
			held = append(held, api.Scopes...)
			if !slices.Contains(parsed.Client.Resources, api.ID) {
				t.Fatalf("resource %q", api.ID)
			}
		}
		for _, scope := range held {
			if !slices.Contains(parsed.Client.Scopes, scope) {
				t.Fatalf("scope %q", scope)
			}
		}
	})
}
