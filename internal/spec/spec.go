// Package spec says what a client and a resource are, and validates them: once,
// for the configuration file, the command line and the API alike.
package spec

import (
	"cmp"
	"slices"

	"github.com/jeton-auth/jeton/oauth"
)

// Client is a registered client (RFC 7591 §2). Its secret is not part of it: the
// store keeps only the hash.
type Client struct {
	ID                     string            `yaml:"id" json:"id"`
	Name                   string            `yaml:"name" json:"name,omitempty"`
	AuthMethod             oauth.AuthMethod  `yaml:"auth_method" json:"auth_method"`
	RedirectURIs           []string          `yaml:"redirect_uris" json:"redirect_uris,omitempty"`
	PostLogoutRedirectURIs []string          `yaml:"post_logout_redirect_uris" json:"post_logout_redirect_uris,omitempty"`
	GrantTypes             []oauth.GrantType `yaml:"grant_types" json:"grant_types"`
	// Scopes are what the client may be granted, at most.
	Scopes []string `yaml:"scopes" json:"scopes,omitempty"`
	// Resources are the identifiers of the resources it may ask tokens for: when
	// absent, those that InferResources fills in.
	Resources []string `yaml:"resources" json:"resources,omitempty"`
	// FirstParty clients get no consent page.
	FirstParty bool `yaml:"first_party" json:"first_party,omitempty"`
	// RequirePKCE is true when absent; false is for confidential clients only.
	RequirePKCE  *bool        `yaml:"require_pkce" json:"require_pkce,omitempty"`
	RefreshToken RefreshToken `yaml:"refresh_token" json:"refresh_token,omitzero"`
	// IDTokenAlg signs the client's ID tokens: RS256 when absent.
	IDTokenAlg oauth.Alg `yaml:"id_token_alg" json:"id_token_alg,omitempty"`
	// UserinfoAnyAudience lets access tokens for other audiences read userinfo,
	// for software that knows only one token.
	UserinfoAnyAudience bool `yaml:"userinfo_any_audience" json:"userinfo_any_audience,omitempty"`

	// Profile is the set of rules that the client keeps: the server's when absent.
	Profile Profile `yaml:"profile" json:"profile,omitempty"`
	// JWKS are the client's public keys (RFC 7517 §5), JWKSURI where they are published.
	// A client has one of them at most.
	JWKS    JWKS   `yaml:"jwks" json:"jwks,omitempty"`
	JWKSURI string `yaml:"jwks_uri" json:"jwks_uri,omitempty"`
	// TLSSubjectDN is the subject of the certificate of tls_client_auth (RFC 4514).
	TLSSubjectDN string `yaml:"tls_client_auth_subject_dn" json:"tls_client_auth_subject_dn,omitempty"`
	// DPoPBound and MTLSBound demand that every access token be bound to a key.
	DPoPBound bool `yaml:"dpop_bound" json:"dpop_bound,omitempty"`
	MTLSBound bool `yaml:"mtls_bound" json:"mtls_bound,omitempty"`
	// RequirePAR takes authorization requests that were pushed alone (RFC 9126 §6),
	// RequireSignedRequest those in a request object alone (RFC 9101 §10.5).
	RequirePAR           bool `yaml:"require_par" json:"require_par,omitempty"`
	RequireSignedRequest bool `yaml:"require_signed_request" json:"require_signed_request,omitempty"`
	// RequestURIs are the places from which request objects are fetched.
	RequestURIs []string `yaml:"request_uris" json:"request_uris,omitempty"`
	// ResponseTypes are code alone when absent; ResponseModes all that fit.
	ResponseTypes []oauth.ResponseType `yaml:"response_types" json:"response_types,omitempty"`
	ResponseModes []oauth.ResponseMode `yaml:"response_modes" json:"response_modes,omitempty"`
	// ResponseAlg signs responses in a JWT (JARM §3): IDTokenAlg when absent.
	ResponseAlg oauth.Alg `yaml:"authorization_signed_response_alg" json:"authorization_signed_response_alg,omitempty"`
	// UserinfoAlg signs userinfo; absent: it is plain JSON.
	UserinfoAlg oauth.Alg `yaml:"userinfo_alg" json:"userinfo_alg,omitempty"`
	// AuthorizationDetailsTypes are the types of authorization_details that the client may
	// ask for (RFC 9396 §10).
	AuthorizationDetailsTypes []string          `yaml:"authorization_details_types" json:"authorization_details_types,omitempty"`
	SubjectType               oauth.SubjectType `yaml:"subject_type" json:"subject_type,omitempty"`
	// SectorIdentifierURI lists the redirect URIs of a sector (OpenID Connect Core §8.1).
	SectorIdentifierURI   string `yaml:"sector_identifier_uri" json:"sector_identifier_uri,omitempty"`
	BackchannelLogoutURI  string `yaml:"backchannel_logout_uri" json:"backchannel_logout_uri,omitempty"`
	FrontchannelLogoutURI string `yaml:"frontchannel_logout_uri" json:"frontchannel_logout_uri,omitempty"`
}

// JWKS is a JWK Set as JSON text; empty: none.
type JWKS string

// MarshalJSON writes the document itself.
func (j JWKS) MarshalJSON() ([]byte, error) {
	if j == "" {
		return []byte("null"), nil
	}
	return []byte(j), nil
}

// UnmarshalJSON keeps the document as it is.
func (j *JWKS) UnmarshalJSON(b []byte) error {
	*j = ""
	if string(b) != "null" {
		*j = JWKS(b)
	}
	return nil
}

// RefreshToken says how a client's refresh tokens live. A zero field takes the
// default that WithDefaults fills in.
type RefreshToken struct {
	Idle     Duration  `yaml:"idle" json:"idle,omitzero"`
	Absolute Duration  `yaml:"absolute" json:"absolute,omitzero"`
	Rotate   Rotate    `yaml:"rotate" json:"rotate,omitempty"`
	Grace    *Duration `yaml:"grace" json:"grace,omitempty"`
}

// Rotate says whether a refresh token changes at each use.
type Rotate string

const (
	RotateAlways Rotate = "always"
	RotateNever  Rotate = "never"
)

// Resource is a protected API (RFC 8707 §2).
type Resource struct {
	ID          string      `yaml:"id" json:"id"`
	Name        string      `yaml:"name" json:"name,omitempty"`
	Scopes      []string    `yaml:"scopes" json:"scopes,omitempty"`
	AccessToken AccessToken `yaml:"access_token" json:"access_token,omitzero"`
}

// AccessToken says how access tokens for a resource are made.
type AccessToken struct {
	Format   Format    `yaml:"format" json:"format,omitempty"`
	Lifetime Duration  `yaml:"lifetime" json:"lifetime,omitzero"`
	Alg      oauth.Alg `yaml:"alg" json:"alg,omitempty"`
}

// Builtin are the resources that every issuer has without declaring them: its
// revocation feed.
func Builtin(issuer string) Resources {
	return Resources{Resource{
		ID: oauth.FeedResource(issuer), Name: "Revocation feed", Scopes: []string{oauth.ScopeFeed},
	}.WithDefaults()}
}

// Format is the form of an access token.
type Format string

const (
	FormatJWT    Format = "jwt"
	FormatOpaque Format = "opaque"
)

// Confidential tells whether the client holds a credential.
func (c *Client) Confidential() bool { return c.AuthMethod.Confidential() }

// PKCERequired tells whether an authorization request must carry a challenge.
func (c *Client) PKCERequired() bool {
	return c.RequirePKCE == nil || *c.RequirePKCE || !c.Confidential()
}

// MayUse tells whether the client registered grant type g.
func (c *Client) MayUse(g oauth.GrantType) bool { return slices.Contains(c.GrantTypes, g) }

// MayRespond tells whether the client may ask for response type t.
func (c *Client) MayRespond(t oauth.ResponseType) bool {
	if len(c.ResponseTypes) == 0 {
		return t == oauth.ResponseCode && c.MayUse(oauth.AuthorizationCode)
	}
	return slices.Contains(c.ResponseTypes, t)
}

// ResponseAlgorithm signs the client's responses in a JWT.
func (c *Client) ResponseAlgorithm() oauth.Alg { return cmp.Or(c.ResponseAlg, c.IDTokenAlg) }

// Pairwise tells whether the client knows people by names of its own (OpenID Connect
// Core §8).
func (c *Client) Pairwise() bool { return c.SubjectType == oauth.SubjectPairwise }

// DisplayName is what people are shown: the name, or the id where there is none.
func (c *Client) DisplayName() string {
	if c.Name != "" {
		return c.Name
	}
	return c.ID
}
