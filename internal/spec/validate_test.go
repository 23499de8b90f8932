package spec

import (
	"strings"
	"testing"

	"github.com/jeton-auth/jeton/oauth"
)

func TestClientAuthentication(t *testing.T) {
	t.Parallel()
	const ecKey = `{"keys":[{"kty":"EC","crv":"P-256","kid":"1","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`
	const rsaKey = `{"keys":[{"kty":"RSA","kid":"1","e":"AQAB","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}]}`
	tests := []struct {
		change func(*Client)
		want   string
	}{
		{func(c *Client) {}, ""},
		{func(c *Client) { c.JWKS = ecKey }, ""},
		{func(c *Client) { c.JWKS = rsaKey }, ""},
		{func(c *Client) { c.JWKS, c.AuthMethod = rsaKey, oauth.SelfSignedTLS }, ""},
		{func(c *Client) { c.JWKS, c.JWKSURI = "", "https://bank.example.com/jwks" }, ""},
		{func(c *Client) { c.JWKS, c.JWKSURI = "", "http://127.0.0.1:8080/jwks" }, ""},
		{func(c *Client) { c.JWKS, c.JWKSURI = "", "http://bank.example.com/jwks" }, "jwks_uri: must use https"},
		{func(c *Client) { c.JWKS, c.JWKSURI = "", "https://bank.example.com/jwks#1" }, "jwks_uri: must not have a fragment"},
		{func(c *Client) { c.JWKS, c.JWKSURI = "", "com.example.bank:/jwks" }, "jwks_uri: must be an https URL"},
		{func(c *Client) { c.JWKSURI = "https://bank.example.com/jwks" }, "jwks_uri: excludes jwks"},
		{func(c *Client) { c.JWKS = "" }, "jwks: or jwks_uri is required"},
		{func(c *Client) { c.JWKS = "{" }, "jwks: cannot be read"},
		{func(c *Client) { c.JWKS = `{"keys":[{"kty":"oct","kid":"1"}]}` }, "jwks: holds no key that can be used"},
		{func(c *Client) { c.JWKS = JWKS(strings.TrimSuffix(edKey, "]}") + `,{"kty":"RSA","use":"enc"}]}`) }, ""},
		{func(c *Client) { c.JWKS = JWKS(strings.TrimSuffix(edKey, "]}") + `,{"kty":"RSA"}]}`) }, "jwks: cannot be read"},
		{func(c *Client) { c.AuthMethod, c.JWKS = oauth.SelfSignedTLS, "" }, "jwks: or jwks_uri is required"},
		{func(c *Client) { c.AuthMethod = oauth.TLSClientAuth }, "tls_client_auth_subject_dn: is required"},
		{func(c *Client) { c.AuthMethod, c.TLSSubjectDN = oauth.TLSClientAuth, "CN=bank" }, ""},
		{func(c *Client) { c.AuthMethod, c.TLSSubjectDN = oauth.TLSClientAuth, "bank" }, `tls_client_auth_subject_dn: "bank" is not`},
		{func(c *Client) { c.TLSSubjectDN = "CN=bank" }, "tls_client_auth_subject_dn: has no use"},
		{func(c *Client) { c.DPoPBound, c.MTLSBound = true, true }, "mtls_bound: excludes dpop_bound"},
		{func(c *Client) { c.Profile = "fapi1" }, `profile: "fapi1" is not supported`},
	}
	for _, tt := range tests {
		c := bank("")
		tt.change(&c)
		expect(t, c.WithDefaults().Validate(known), tt.want)
	}
}

func TestRequestsAndResponses(t *testing.T) {
	t.Parallel()
	types := func(types ...oauth.ResponseType) func(*Client) { return func(c *Client) { c.ResponseTypes = types } }
	modes := func(c *Client, modes ...oauth.ResponseMode) { c.ResponseModes = modes }
	tests := []struct {
		change func(*Client)
		want   string
	}{
		{types(ResponseTypes...), ""},
		{func(c *Client) { types(oauth.ResponseIDToken, oauth.ResponseCodeToken)(c); c.DPoPBound = true }, "response_types[1]: code token gives an access token that no key"},
		{types("token"), `response_types[0]: "token" is not supported`},
		{types(oauth.ResponseCode, oauth.ResponseCode), "response_types[1]: stands in the list twice"},
		{func(c *Client) {
			c.GrantTypes, c.ResponseTypes = []oauth.GrantType{oauth.Implicit}, []oauth.ResponseType{oauth.ResponseIDToken}
		}, ""},
		{func(c *Client) {
			c.GrantTypes, c.ResponseTypes = []oauth.GrantType{oauth.Implicit}, []oauth.ResponseType{oauth.ResponseCodeToken}
		}, "response_types[0]: code token gives a code"},
		{func(c *Client) { c.GrantTypes = append(c.GrantTypes, oauth.Implicit) }, "grant_types[2]: implicit has no use"},
		{func(c *Client) {
			c.Scopes, c.ResponseTypes = []string{"profile"}, []oauth.ResponseType{oauth.ResponseIDToken}
		}, "response_types[0]: id_token gives an ID token"},
		{func(c *Client) { types(oauth.ResponseIDToken)(c); modes(c, oauth.ModeQuery, oauth.ModeQueryJWT) }, "response_modes: has none for response type"},
		{func(c *Client) { types(oauth.ResponseIDToken)(c); modes(c, oauth.ModeQuery, oauth.ModeJWT) }, ""},
		{func(c *Client) { types(oauth.ResponseCode)(c); modes(c, oauth.ModeQuery) }, ""},
		{func(c *Client) { modes(c, "web_message") }, `response_modes[0]: "web_message" is not supported`},
		{func(c *Client) { c.ResponseAlg = "none" }, `authorization_signed_response_alg: "none"`},
		{func(c *Client) { c.UserinfoAlg = "none" }, `userinfo_alg: "none"`},
		{func(c *Client) { c.RequestURIs = []string{"https://bank.example.com/r#" + "x"} }, ""},
		{func(c *Client) { c.RequestURIs = []string{"http://bank.example.com/r"} }, "request_uris[0]: must use https"},
		{func(c *Client) { c.RequestURIs = []string{"https://b.example/r", "https://b.example/r"} }, "request_uris[1]: stands in the list twice"},
		{func(c *Client) { c.AuthMethod, c.JWKS, c.RequireSignedRequest = oauth.NoAuth, "", true }, "require_signed_request: needs the keys"},
		{func(c *Client) { c.AuthorizationDetailsTypes = []string{"payment", ""} }, `authorization_details_types[1]: "" is not a type`},
		{func(c *Client) { c.ResponseModes = make([]oauth.ResponseMode, MaxList+1) }, "response_modes: has more than 1000"},
	}
	for _, tt := range tests {
		c := bank("")
		tt.change(&c)
		expect(t, c.WithDefaults().Validate(known), tt.want)
	}
}

func TestSubjectsAndLogouts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		change func(*Client)
		want   string
	}{
		{func(c *Client) { c.SubjectType = oauth.SubjectPairwise }, ""},
		{func(c *Client) { c.SubjectType = "private" }, `subject_type: "private" is not supported: write public or pairwise`},
		{func(c *Client) {
			c.SubjectType, c.RedirectURIs = oauth.SubjectPairwise, append(c.RedirectURIs, "https://other.example.com/")
		}, "sector_identifier_uri: is required"},
		{func(c *Client) { c.SubjectType, c.RedirectURIs = oauth.SubjectPairwise, nil }, "sector_identifier_uri: is required"},
		{func(c *Client) {
			c.SubjectType, c.SectorIdentifierURI = oauth.SubjectPairwise, "https://example.com/sector.json"
			c.RedirectURIs = append(c.RedirectURIs, "https://other.example.com/")
		}, ""},
		{func(c *Client) {
			c.SubjectType, c.SectorIdentifierURI = oauth.SubjectPairwise, "http://example.com/sector.json"
		}, "sector_identifier_uri: must use https"},
		{func(c *Client) { c.SectorIdentifierURI = "https://example.com/sector.json" }, "sector_identifier_uri: has no use"},
		{func(c *Client) { c.BackchannelLogoutURI = "https://anywhere.example/logout" }, ""},
		{func(c *Client) { c.BackchannelLogoutURI = "https://anywhere.example/logout#x" }, "backchannel_logout_uri: must not have a fragment"},
		{func(c *Client) { c.FrontchannelLogoutURI = "https://bank.example.com/logout?x=1" }, ""},
		{func(c *Client) { c.FrontchannelLogoutURI = "https://bank.example.com:443/logout" }, ""},
		{func(c *Client) { c.FrontchannelLogoutURI = "https://bank.example.com/logout?iss=1" }, "frontchannel_logout_uri: has the parameter iss"},
		{func(c *Client) { c.FrontchannelLogoutURI = "https://bank.example.com:8443/logout" }, "frontchannel_logout_uri: must have the scheme, host and port"},
		{func(c *Client) { c.FrontchannelLogoutURI = "https://bank.example.com.evil.example/logout" }, "frontchannel_logout_uri: must have the scheme, host and port"},
	}
	for _, tt := range tests {
		c := bank("")
		tt.change(&c)
		expect(t, c.WithDefaults().Validate(known), tt.want)
	}
}
