package spec

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jeton-auth/jeton/oauth"
)

var orders = Resource{ID: "https://api.example.com", Scopes: []string{"orders:read"}}

var known = Resources{
	orders.WithDefaults(),
	Resource{ID: "urn:example:stock", Scopes: []string{"stock:read", "orders:read"}}.WithDefaults(),
}

func shop() Client {
	return Client{
		ID:                     "shop-web",
		AuthMethod:             oauth.ClientSecretBasic,
		RedirectURIs:           []string{"https://shop.example.com/callback"},
		PostLogoutRedirectURIs: []string{"https://shop.example.com/"},
		GrantTypes:             []oauth.GrantType{oauth.AuthorizationCode, oauth.RefreshToken},
		Scopes:                 []string{"openid", "offline_access", "orders:read"},
		Resources:              []string{orders.ID},
		RequirePKCE:            new(false),
		RefreshToken:           RefreshToken{Grace: new(Duration(time.Second))},
	}
}

func TestClientDefaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   Client
		want Client
	}{
		{
			"public",
			Client{ID: "spa", AuthMethod: oauth.NoAuth, GrantTypes: []oauth.GrantType{oauth.AuthorizationCode}},
			Client{
				ID: "spa", AuthMethod: oauth.NoAuth, GrantTypes: []oauth.GrantType{oauth.AuthorizationCode},
				Scopes: []string{"openid"}, IDTokenAlg: oauth.RS256, SubjectType: oauth.SubjectPublic,
				RefreshToken: RefreshToken{DefaultIdle, DefaultAbsolute, RotateAlways, new(DefaultGracePublic)},
			},
		},
		{
			"service",
			Client{ID: "job", AuthMethod: oauth.ClientSecretPost, GrantTypes: []oauth.GrantType{oauth.ClientCredentials}},
			Client{
				ID: "job", AuthMethod: oauth.ClientSecretPost, GrantTypes: []oauth.GrantType{oauth.ClientCredentials},
				IDTokenAlg: oauth.RS256, SubjectType: oauth.SubjectPublic,
				RefreshToken: RefreshToken{DefaultIdle, DefaultAbsolute, RotateAlways, new(DefaultGraceConfidential)},
			},
		},
		{
			"what is written stays",
			Client{
				AuthMethod: oauth.NoAuth, GrantTypes: []oauth.GrantType{oauth.AuthorizationCode}, Scopes: []string{}, IDTokenAlg: oauth.ES256,
				RefreshToken: RefreshToken{Duration(time.Hour), Duration(2 * time.Hour), RotateNever, new(Duration(0))},
			},
			Client{
				AuthMethod: oauth.NoAuth, GrantTypes: []oauth.GrantType{oauth.AuthorizationCode}, Scopes: []string{}, IDTokenAlg: oauth.ES256, SubjectType: oauth.SubjectPublic,
				RefreshToken: RefreshToken{Duration(time.Hour), Duration(2 * time.Hour), RotateNever, new(Duration(0))},
			},
		},
		{
			"the two lifetimes give way to each other",
			Client{AuthMethod: oauth.NoAuth, RefreshToken: RefreshToken{Absolute: Duration(time.Hour)}},
			Client{
				AuthMethod: oauth.NoAuth, IDTokenAlg: oauth.RS256, SubjectType: oauth.SubjectPublic,
				RefreshToken: RefreshToken{Duration(time.Hour), Duration(time.Hour), RotateAlways, new(DefaultGracePublic)},
			},
		},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, tt.in.WithDefaults()); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
	long := Client{RefreshToken: RefreshToken{Idle: Duration(9000 * time.Hour)}}.WithDefaults()
	if long.RefreshToken.Absolute != Duration(9000*time.Hour) {
		t.Errorf("absolute %s is shorter than idle", long.RefreshToken.Absolute)
	}
}

func TestDefaultsShareNothing(t *testing.T) {
	t.Parallel()
	in := shop()
	c := in.WithDefaults()
	for _, list := range [][]string{c.RedirectURIs, c.PostLogoutRedirectURIs, c.Scopes, c.Resources} {
		list[0] = "changed"
	}
	c.GrantTypes[0] = "changed"
	*c.RequirePKCE = true
	*c.RefreshToken.Grace = 0
	if diff := cmp.Diff(shop(), in); diff != "" {
		t.Error(diff)
	}
	r := orders.WithDefaults()
	r.Scopes[0] = "changed"
	if orders.Scopes[0] == "changed" {
		t.Error("the resource's scopes are shared")
	}
}

func TestInferResources(t *testing.T) {
	t.Parallel()
	known := slices.Concat(known, known) // a mistake of the file must not become one of the client
	tests := []struct{ scopes, resources, want []string }{
		{nil, nil, nil},
		{[]string{"openid", "nope"}, nil, nil},
		{[]string{"openid", "stock:read"}, nil, []string{"urn:example:stock"}},
		{[]string{"stock:read", "orders:read"}, nil, []string{orders.ID, "urn:example:stock"}},
		{[]string{"stock:read"}, []string{orders.ID}, []string{orders.ID}},
		{[]string{"stock:read"}, []string{}, []string{}},
	}
	for _, tt := range tests {
		c := Client{Scopes: tt.scopes, Resources: tt.resources}.InferResources(known)
		if diff := cmp.Diff(tt.want, c.Resources); diff != "" {
			t.Errorf("%q, %q: %s", tt.scopes, tt.resources, diff)
		}
	}
}

func TestResourceDefaults(t *testing.T) {
	t.Parallel()
	want := Resource{ID: "urn:x", Name: "urn:x", AccessToken: AccessToken{FormatJWT, Duration(5 * time.Minute), oauth.ES256}}
	if diff := cmp.Diff(want, Resource{ID: "urn:x"}.WithDefaults()); diff != "" {
		t.Error(diff)
	}
}

func TestClientValidate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		change func(*Client)
		want   string // "field: part of the message"; empty: valid
	}{
		{func(c *Client) {}, ""},
		{func(c *Client) { c.ID = "" }, "id: is required"},
		{func(c *Client) { c.ID = "a b" }, "id: \"a b\" holds a space"},
		{func(c *Client) { c.ID = "caf\u00e9" }, "id: \"caf\u00e9\" holds"},
		{func(c *Client) { c.ID = "a\x7f" }, "id: \"a\\x7f\" holds"},
		{func(c *Client) { c.ID = strings.Repeat("a", 255) }, ""},
		{func(c *Client) { c.ID = strings.Repeat("a", 256) }, "id: is longer than 255"},
		{func(c *Client) { c.ID = orders.ID }, "id: is also the id of a resource"},
		{func(c *Client) { c.ID = "u_" + strings.Repeat("aZ9_-", 5)[:22] }, "id: has the form of a user's id"},
		{func(c *Client) { c.ID = "u_" + strings.Repeat("a", 21) }, ""},
		{func(c *Client) { c.ID = "u_" + strings.Repeat("a", 23) }, ""},
		{func(c *Client) { c.ID = "u_" + strings.Repeat("a.", 11) }, ""},
		{func(c *Client) { c.ID = "U_" + strings.Repeat("a", 22) }, ""},
		{func(c *Client) { c.Name = "a\nb" }, "name: holds control characters"},
		{func(c *Client) { c.Name = "\u202egro.elpmaxe" }, "name: holds control characters"},
		{func(c *Client) { c.Name = strings.Repeat("\u00e9", 201) }, "name: is longer than 200"},
		{func(c *Client) { c.AuthMethod = "" }, "auth_method: is required: write client_secret_basic, client_secret_post, private_key_jwt, tls_client_auth, self_signed_tls_client_auth or none"},
		{func(c *Client) { c.AuthMethod = "basic" }, `auth_method: "basic" is not supported: write client_secret_basic`},
		{func(c *Client) { c.GrantTypes, c.Scopes = nil, nil }, "grant_types: is required: write a list of authorization_code, refresh_token, client_credentials, implicit or urn:ietf:params:oauth:grant-type:device_code"},
		{func(c *Client) { c.GrantTypes = append(c.GrantTypes, "password") }, `grant_types[2]: "password" is not supported`},
		{func(c *Client) { c.GrantTypes = append(c.GrantTypes, oauth.RefreshToken) }, "grant_types[2]: stands in the list twice"},
		{func(c *Client) { c.GrantTypes = []oauth.GrantType{oauth.RefreshToken} }, ""},
		{func(c *Client) { public(c); c.GrantTypes = append(c.GrantTypes, oauth.ClientCredentials) }, "grant_types[2]: client_credentials is only"},
		{func(c *Client) { c.GrantTypes = append(c.GrantTypes, oauth.ClientCredentials) }, ""},
		{func(c *Client) { c.GrantTypes = append(c.GrantTypes, "device_code") }, ""},
		{func(c *Client) { c.GrantTypes = append(c.GrantTypes, "device_code", oauth.DeviceCode) }, "grant_types[3]: stands in the list twice"},
		{func(c *Client) { c.RedirectURIs = nil }, ""},
		{func(c *Client) { c.GrantTypes = []oauth.GrantType{oauth.ClientCredentials} }, ""},
		{func(c *Client) {
			c.GrantTypes = []oauth.GrantType{oauth.ClientCredentials}
			c.RedirectURIs[0] = "http://x.example/"
		}, "redirect_uris[0]: must use https"},
		{func(c *Client) { c.RedirectURIs = append(c.RedirectURIs, c.RedirectURIs[0]) }, "redirect_uris[1]: stands in the list twice"},
		{func(c *Client) { c.RedirectURIs = append(c.RedirectURIs, "http://x.example/") }, "redirect_uris[1]: must use https"},
		{func(c *Client) { c.RedirectURIs[0] = "com.example.app:/cb" }, "redirect_uris[0]: the scheme"},
		{func(c *Client) { public(c); c.RedirectURIs[0] = "com.example.app:/cb" }, ""},
		{func(c *Client) { c.PostLogoutRedirectURIs[0] = "/bye" }, "post_logout_redirect_uris[0]: is relative"},
		{func(c *Client) { c.PostLogoutRedirectURIs[0] += "?state=1" }, "post_logout_redirect_uris[0]: has the parameter state"},
		{func(c *Client) { c.PostLogoutRedirectURIs[0] += "?code=1" }, ""},
		{func(c *Client) { c.Scopes = append(c.Scopes, "a b") }, `scopes[3]: "a b" is not a scope`},
		{func(c *Client) { c.Scopes = append(c.Scopes, "openid") }, "scopes[3]: stands in the list twice"},
		{func(c *Client) { c.Scopes = append(c.Scopes, "nope") }, `scopes[3]: "nope" is not a known scope`},
		{func(c *Client) { c.Scopes = append(c.Scopes, "stock:read") }, `scopes[3]: "stock:read" is a scope of "urn:example:stock"`},
		{func(c *Client) { c.GrantTypes = c.GrantTypes[:1] }, ""},
		{func(c *Client) { c.Resources = nil }, `scopes[2]: "orders:read" is a scope of "https://api.example.com"`},
		{func(c *Client) { c.Resources = append(c.Resources, "https://none.example") }, `resources[1]: "https://none.example" is not a declared resource`},
		{func(c *Client) { c.Resources = append(c.Resources, orders.ID) }, "resources[1]: stands in the list twice"},
		{func(c *Client) { c.AuthMethod = oauth.NoAuth }, "require_pkce: may be false only"},
		{func(c *Client) { c.Scopes = make([]string, MaxList+1) }, "scopes: has more than 1000 entries"},
		{func(c *Client) { c.RedirectURIs = make([]string, MaxList+1) }, "redirect_uris: has more than 1000 entries"},
		{func(c *Client) { c.IDTokenAlg = "none" }, `id_token_alg: "none" is not supported: write ES256, ES384, EdDSA, RS256 or PS256`},
		{func(c *Client) { c.IDTokenAlg = "HS256" }, `id_token_alg: "HS256"`},
		{func(c *Client) { c.RefreshToken.Rotate = "sometimes" }, `refresh_token.rotate: "sometimes" is not supported: write always or never`},
		{func(c *Client) { c.RefreshToken.Idle, c.RefreshToken.Absolute = 2e12, 1e12 }, "refresh_token.idle: 33m20s is longer than refresh_token.absolute (16m40s)"},
		{func(c *Client) { c.RefreshToken.Absolute = MaxAbsolute + 1 }, "refresh_token.absolute: 87600h0m0.000000001s is out of bounds: write 1s to 87600h"},
		{func(c *Client) { c.RefreshToken.Idle = 1 }, "refresh_token.idle: 1ns is out of bounds"},
		{func(c *Client) { *c.RefreshToken.Grace = MaxGrace }, ""},
		{func(c *Client) { *c.RefreshToken.Grace = MaxGrace + 1 }, "refresh_token.grace: 5m0.000000001s is out of bounds: write 0s to 5m"},
	}
	for _, tt := range tests {
		c := shop()
		tt.change(&c)
		expect(t, c.WithDefaults().Validate(known), tt.want)
	}
}

func public(c *Client) { c.AuthMethod, c.RequirePKCE = oauth.NoAuth, nil }

func TestResourceValidate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		change func(*Resource)
		want   string
	}{
		{func(r *Resource) {}, ""},
		{func(r *Resource) { r.ID = "urn:example:api" }, ""},
		{func(r *Resource) { r.ID = "http://localhost:8081" }, ""},
		{func(r *Resource) { r.ID = "" }, "id: is required"},
		{func(r *Resource) { r.ID = "orders" }, "id: must be an absolute URI"},
		{func(r *Resource) { r.ID = "//api.example.com" }, "id: must be an absolute URI"},
		{func(r *Resource) { r.ID = "https:///x" }, "id: must be an absolute URI"},
		{func(r *Resource) { r.ID = "https://api.example.com:x" }, "id: must be an absolute URI"},
		{func(r *Resource) { r.ID += "#x" }, "id: must not have a fragment"},
		{func(r *Resource) { r.ID = "https://u:p@api.example.com" }, "id: must not hold a user name"},
		{func(r *Resource) { r.ID += "/a b" }, "id: "},
		{func(r *Resource) { r.Name = "\x00" }, "name: holds control characters"},
		{func(r *Resource) { r.Scopes = []string{"openid"} }, `scopes[0]: "openid" is a scope of the issuer itself`},
		{func(r *Resource) { r.Scopes = []string{"a", "a"} }, "scopes[1]: stands in the list twice"},
		{func(r *Resource) { r.Scopes = []string{`a"`} }, `scopes[0]: "a\"" is not a scope`},
		{func(r *Resource) { r.Scopes = make([]string, MaxList+1) }, "scopes: has more than 1000 entries"},
		{func(r *Resource) { r.AccessToken.Format = "paseto" }, `access_token.format: "paseto" is not supported: write jwt or opaque`},
		{func(r *Resource) { r.AccessToken.Lifetime = MinLifetime - 1 }, "access_token.lifetime: 9.999999999s is out of bounds: write 10s to 24h"},
		{func(r *Resource) { r.AccessToken.Lifetime = MaxLifetime }, ""},
		{func(r *Resource) { r.AccessToken.Lifetime = MaxLifetime + 1 }, "access_token.lifetime: 24h0m0.000000001s is out of bounds"},
		{func(r *Resource) { r.AccessToken.Alg = "none" }, `access_token.alg: "none" is not supported`},
	}
	for _, tt := range tests {
		r := orders
		tt.change(&r)
		expect(t, r.WithDefaults().Validate(), tt.want)
	}
}

func expect(t *testing.T, got []Problem, want string) {
	t.Helper()
	switch {
	case want == "" && len(got) > 0:
		t.Errorf("want no problem, got %q", got)
	case want != "" && (len(got) != 1 || !strings.HasPrefix(got[0].String(), want)):
		t.Errorf("got %q, want one problem: %q", got, want)
	}
}

func TestQuoteIsOneShortLine(t *testing.T) {
	t.Parallel()
	if got := quote("a\nb"); got != `"a\nb"` {
		t.Error(got)
	}
	if got := quote(strings.Repeat("a", 1000)); len(got) > 90 {
		t.Error(got)
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"90d": "2160h", "0d": "0s", "10s": "10s", "5m": "5m", "90m": "1h30m", "1h1s": "1h0m1s", "1h30m10s": "1h30m10s", "300ms": "300ms", "0": "0s", "20h10m": "20h10m",
	} {
		d, err := ParseDuration(in)
		if err != nil || d.String() != want {
			t.Errorf("%q: got %s, %v; want %s", in, d, err, want)
		}
		if again, err := ParseDuration(d.String()); err != nil || again != d {
			t.Errorf("%s reads as %s, %v", d, again, err)
		}
	}
	for _, in := range []string{"", "5", "d", "-1s", "-1d", "1.5d", "36501d", "-106752d", "99999999999999999999d", "1w", "1h d"} {
		if d, err := ParseDuration(in); err == nil {
			t.Errorf("%q: got %s", in, d)
		}
	}
	var d Duration
	if err := d.UnmarshalText([]byte("720h")); err != nil || d.Std() != 720*time.Hour {
		t.Error(d, err)
	}
	if b, err := d.MarshalText(); err != nil || string(b) != "720h" {
		t.Error(string(b), err)
	}
}
