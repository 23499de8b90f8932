package spec

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jeton-auth/jeton/oauth"
)

const edKey = `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`

// bank is a client that any profile but oauth21's rule for public ones lets pass.
func bank(p Profile) Client {
	return Client{
		ID: "bank", Profile: p, AuthMethod: oauth.PrivateKeyJWT, JWKS: edKey, RedirectURIs: []string{"https://bank.example.com/callback"},
		GrantTypes: []oauth.GrantType{oauth.AuthorizationCode, oauth.RefreshToken}, Scopes: []string{"openid"},
	}
}

func TestProfileSetsWhatIsAbsent(t *testing.T) {
	t.Parallel()
	type set struct {
		DPoP, MTLS, PAR, Signed bool
		Rotate                  Rotate
		Alg                     oauth.Alg
		Modes                   []oauth.ResponseMode
	}
	jwt := []oauth.ResponseMode{oauth.ModeJWT, oauth.ModeQueryJWT, oauth.ModeFragmentJWT, oauth.ModeFormPostJWT}
	for _, tt := range []struct {
		profile Profile
		change  func(*Client)
		want    set
	}{
		{"", nil, set{Rotate: RotateNever, Alg: oauth.RS256}},
		{ProfileOIDC, nil, set{Rotate: RotateNever, Alg: oauth.RS256}},
		{ProfileOAuth21, nil, set{Rotate: RotateNever, Alg: oauth.RS256}},
		{ProfileFAPI2, nil, set{DPoP: true, PAR: true, Rotate: RotateNever, Alg: oauth.ES256}},
		{ProfileFAPI2, func(c *Client) { c.MTLSBound, c.IDTokenAlg = true, oauth.PS256 }, set{MTLS: true, PAR: true, Rotate: RotateNever, Alg: oauth.PS256}},
		{ProfileFAPI2Signing, nil, set{DPoP: true, PAR: true, Signed: true, Rotate: RotateNever, Alg: oauth.ES256, Modes: jwt}},
		{ProfileFAPI2Signing, func(c *Client) { c.ResponseModes = jwt[1:2] }, set{DPoP: true, PAR: true, Signed: true, Rotate: RotateNever, Alg: oauth.ES256, Modes: jwt[1:2]}},
	} {
		c := bank(tt.profile)
		if tt.change != nil {
			tt.change(&c)
		}
		c = c.WithDefaults()
		got := set{c.DPoPBound, c.MTLSBound, c.RequirePAR, c.RequireSignedRequest, c.RefreshToken.Rotate, c.IDTokenAlg, c.ResponseModes}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.profile, diff)
		}
		expect(t, c.Validate(known), "")
	}
}

// Each rule of a profile is broken once, by a client that its profile lets pass
// otherwise; and under oidc nobody minds.
func TestProfileRefusesContradictions(t *testing.T) {
	t.Parallel()
	api := Resource{ID: "https://rsa.example.com", AccessToken: AccessToken{Alg: oauth.RS256}}.WithDefaults()
	known := append(slices.Clone(known), api)
	const rs256 = `{"keys":[{"kty":"RSA","kid":"1","alg":"RS256","e":"AQAB","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}]}`
	tests := []struct {
		profile Profile
		change  func(*Client)
		field   string
		clause  string
	}{
		{ProfileFAPI2, func(c *Client) { c.AuthMethod = oauth.NoAuth }, "auth_method", "FAPI 2.0 Security Profile 5.3.2.1 item 3"},
		{ProfileFAPI2, func(c *Client) { c.AuthMethod = oauth.ClientSecretBasic }, "auth_method", "FAPI 2.0 Security Profile 5.3.2.1 item 6"},
		{ProfileFAPI2, func(c *Client) { c.DPoPBound = false }, "dpop_bound", "FAPI 2.0 Security Profile 5.3.2.1 item 4"},
		{ProfileFAPI2, func(c *Client) { c.RefreshToken.Rotate = RotateAlways }, "refresh_token.rotate", "FAPI 2.0 Security Profile 5.3.2.1 item 9"},
		{ProfileFAPI2, func(c *Client) { c.ResponseTypes = []oauth.ResponseType{oauth.ResponseCodeIDToken} }, "response_types[0]", "FAPI 2.0 Security Profile 5.3.2.2 item 1"},
		{ProfileFAPI2, func(c *Client) { c.RequirePAR = false }, "require_par", "FAPI 2.0 Security Profile 5.3.2.2 item 3"},
		{ProfileFAPI2, func(c *Client) { c.RequirePKCE = new(false) }, "require_pkce", "FAPI 2.0 Security Profile 5.3.2.2 item 5"},
		{ProfileFAPI2, func(c *Client) { c.IDTokenAlg = oauth.RS256 }, "id_token_alg", "FAPI 2.0 Security Profile 5.4.1 item 1"},
		{ProfileFAPI2, func(c *Client) { c.UserinfoAlg = oauth.ES384 }, "userinfo_alg", "FAPI 2.0 Security Profile 5.4.1 item 1"},
		{ProfileFAPI2, func(c *Client) { c.ResponseAlg = oauth.RS256 }, "authorization_signed_response_alg", "FAPI 2.0 Security Profile 5.4.1 item 1"},
		{ProfileFAPI2, func(c *Client) { c.Resources = []string{api.ID} }, "resources[0]", "FAPI 2.0 Security Profile 5.4.1 item 1"},
		{ProfileFAPI2, func(c *Client) { c.JWKS = rs256 }, "jwks", "FAPI 2.0 Security Profile 5.4.1 item 1"},
		{ProfileFAPI2Signing, func(c *Client) { c.RequireSignedRequest = false }, "require_signed_request", "FAPI 2.0 Message Signing 5.3.1 item 1"},
		{ProfileFAPI2Signing, func(c *Client) { c.AuthMethod, c.TLSSubjectDN, c.JWKS = oauth.TLSClientAuth, "CN=bank", "" }, "jwks", "FAPI 2.0 Message Signing 5.3.1 item 1"},
		{ProfileFAPI2Signing, func(c *Client) { c.ResponseModes = []oauth.ResponseMode{oauth.ModeQuery} }, "response_modes[0]", "FAPI 2.0 Message Signing 5.4.1 item 1"},
		{ProfileOAuth21, func(c *Client) { c.RequirePKCE = new(false) }, "require_pkce", "OAuth 2.1 4.1.1"},
		{ProfileOAuth21, func(c *Client) { c.ResponseTypes = []oauth.ResponseType{oauth.ResponseIDTokenToken} }, "response_types[0]", "OAuth 2.1 10.1"},
		{ProfileOAuth21, func(c *Client) { c.ResponseTypes = []oauth.ResponseType{oauth.ResponseCodeIDToken} }, "response_types[0]", "OAuth 2.1 4.1.1"},
		{ProfileOAuth21, func(c *Client) { c.AuthMethod, c.RefreshToken.Rotate = oauth.NoAuth, RotateNever }, "refresh_token.rotate", "OAuth 2.1 4.3.1"},
	}
	for _, tt := range tests {
		c := bank(tt.profile).WithDefaults()
		tt.change(&c)
		got := c.Validate(known)
		if len(got) != 1 || got[0].Field != tt.field || !strings.HasSuffix(got[0].Message, "("+tt.clause+")") || !strings.HasPrefix(got[0].Message, "breaks profile "+string(tt.profile)+": ") {
			t.Errorf("%s, %s: got %q, want one problem by %s", tt.profile, tt.field, got, tt.clause)
		}
		c = bank(ProfileOIDC).WithDefaults()
		tt.change(&c)
		expect(t, c.Validate(known), "")
	}
}

// What a profile lets through it knows itself.
func TestProfileLists(t *testing.T) {
	t.Parallel()
	for _, p := range append([]Profile{""}, Profiles...) {
		if p.FAPI() && (slices.Contains(p.SigningAlgs(), oauth.RS256) || slices.Contains(p.SigningAlgs(), oauth.ES384)) {
			t.Errorf("%s allows %v", p, p.SigningAlgs())
		}
		if p.FAPI() && slices.ContainsFunc(p.AuthMethods(), func(m oauth.AuthMethod) bool { return m.HasSecret() || !m.Confidential() }) {
			t.Errorf("%s allows %v", p, p.AuthMethods())
		}
		if got, want := p.MessageSigning(), len(p.Locks()) == 2; got != want {
			t.Errorf("%s has %v", p, p.Locks())
		}
		// The lists are the caller's own.
		p.SigningAlgs()[0], p.AuthMethods()[0], p.ResponseTypes()[0], p.ResponseModes()[0] = "", "", "", ""
		if slices.Contains(p.SigningAlgs(), "") || slices.Contains(p.AuthMethods(), "") || slices.Contains(p.ResponseTypes(), "") || slices.Contains(p.ResponseModes(), "") {
			t.Errorf("the lists of %s are shared", p)
		}
	}
}
