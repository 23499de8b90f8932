// Package spec says what a client and a resource are, and validates them: once,
// for the configuration file, the command line and the API alike.
package spec

import (
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

// DisplayName is what people are shown: the name, or the id where there is none.
func (c *Client) DisplayName() string {
	if c.Name != "" {
		return c.Name
	}
	return c.ID
}
