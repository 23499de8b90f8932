// Package oauth holds the words of the OAuth 2.0 and OpenID Connect standards:
// grant types, client authentication methods, error codes, signature
// algorithms, token types and claim names. Each wire word is written once, as
// the constant itself, and everything else in Jeton refers to it.
package oauth

import (
	"slices"
	"strings"
)

// GrantType is a value of the grant_type parameter (RFC 6749 §4).
type GrantType string

const (
	AuthorizationCode GrantType = "authorization_code"
	RefreshToken      GrantType = "refresh_token"
	ClientCredentials GrantType = "client_credentials"
	Implicit          GrantType = "implicit"                                     // without a token request: RFC 7591 §2
	DeviceCode        GrantType = "urn:ietf:params:oauth:grant-type:device_code" // RFC 8628 §3.4
)

// ResponseType is a value of the response_type parameter, its words sorted as the
// standard writes them (OAuth 2.0 Multiple Response Type Encoding Practices §5).
type ResponseType string

const (
	ResponseCode             ResponseType = "code"
	ResponseIDToken          ResponseType = "id_token"
	ResponseIDTokenToken     ResponseType = "id_token token"
	ResponseCodeIDToken      ResponseType = "code id_token"
	ResponseCodeToken        ResponseType = "code token"
	ResponseCodeIDTokenToken ResponseType = "code id_token token"
)

// ParseResponseType is a response type with its words in the order in which the standard
// writes them; they may come in any (RFC 6749 §3.1.1). Words that are unknown or stand twice
// stay, so that the whole is no type that anybody may have.
func ParseResponseType(raw string) ResponseType {
	words := strings.Fields(raw)
	slices.Sort(words) // code, id_token, token
	return ResponseType(strings.Join(words, " "))
}

// ResponseMode is a value of the response_mode parameter.
type ResponseMode string

const (
	ModeQuery       ResponseMode = "query"
	ModeFragment    ResponseMode = "fragment"
	ModeFormPost    ResponseMode = "form_post"
	ModeJWT         ResponseMode = "jwt" // JARM §2.3.4: the default of the response type
	ModeQueryJWT    ResponseMode = "query.jwt"
	ModeFragmentJWT ResponseMode = "fragment.jwt"
	ModeFormPostJWT ResponseMode = "form_post.jwt"
)

// SubjectType is a value of subject_type (OpenID Connect Core §8).
type SubjectType string

const (
	SubjectPublic   SubjectType = "public"
	SubjectPairwise SubjectType = "pairwise"
)

// Confirmation names the key that a token is bound to (RFC 7800 §3). The zero
// Confirmation binds to nothing.
type Confirmation struct {
	JKT     string `json:"jkt,omitempty"`      // thumbprint of a DPoP key, RFC 9449 §6.1
	X5TS256 string `json:"x5t#S256,omitempty"` // SHA-256 of a certificate, RFC 8705 §3.1
}

// AuthMethod is a client authentication method as registered in
// token_endpoint_auth_method (RFC 7591 §2).
type AuthMethod string

const (
	ClientSecretBasic AuthMethod = "client_secret_basic"
	ClientSecretPost  AuthMethod = "client_secret_post"
	PrivateKeyJWT     AuthMethod = "private_key_jwt"             // OpenID Connect Core §9
	TLSClientAuth     AuthMethod = "tls_client_auth"             // RFC 8705 §2.1
	SelfSignedTLS     AuthMethod = "self_signed_tls_client_auth" // RFC 8705 §2.2
	NoAuth            AuthMethod = "none"
)

// HasSecret tells whether m shows a secret that the issuer shares.
func (m AuthMethod) HasSecret() bool { return m == ClientSecretBasic || m == ClientSecretPost }

// Confidential tells whether a client that authenticates by m holds a
// credential (RFC 6749 §2.1).
func (m AuthMethod) Confidential() bool { return m != NoAuth }

// Alg is a JWS algorithm name (RFC 7518 §3.1, RFC 8037 §3.1).
type Alg string

const (
	RS256 Alg = "RS256"
	PS256 Alg = "PS256"
	ES256 Alg = "ES256"
	ES384 Alg = "ES384"
	EdDSA Alg = "EdDSA"
)

// Values of the JOSE typ header. One kind of token never stands in for another
// (RFC 8725 §3.11).
const (
	TypAccessToken = "at+jwt"     // RFC 9068 §2.1
	TypJWT         = "JWT"        // RFC 7519 §5.1: signed userinfo and responses
	TypIDToken     = TypJWT       // OpenID Connect Core §2
	TypLogoutToken = "logout+jwt" // OpenID Connect Back-Channel Logout §2.4

	TypDPoP          = "dpop+jwt"                // RFC 9449 §4.2
	TypRequestObject = "oauth-authz-req+jwt"     // RFC 9101 §10.8
	TypIntrospection = "token-introspection+jwt" // RFC 9701 §5
)

// Scopes with a meaning of their own (OpenID Connect Core §5.4 and §11).
const (
	ScopeOpenID        = "openid"
	ScopeProfile       = "profile"
	ScopeEmail         = "email"
	ScopeAddress       = "address"
	ScopePhone         = "phone"
	ScopeOfflineAccess = "offline_access"
	ScopeRoles         = "roles"
	ScopeGroups        = "groups"
)

// ScopeFeed allows to follow the issuer's revocation feed. It is a scope of the
// resource FeedResource.
const ScopeFeed = "jeton:feed"

// FeedResource is the identifier of an issuer's revocation feed (RFC 8707), and its
// address.
func FeedResource(issuer string) string { return issuer + "/revocations" }

// IdentityScopes are the scopes that the issuer itself answers, in the order in
// which discovery lists them.
var IdentityScopes = []string{
	ScopeOpenID, ScopeProfile, ScopeEmail, ScopeAddress, ScopePhone,
	ScopeOfflineAccess, ScopeRoles, ScopeGroups,
}

// Values of token_type in a token response (RFC 6749 §7.1).
const (
	TokenTypeBearer = "Bearer"
	TokenTypeDPoP   = "DPoP" // RFC 9449 §5
)

// EventBackchannelLogout is the member of events in a logout token (OpenID Connect
// Back-Channel Logout §2.4).
const EventBackchannelLogout = "http://schemas.openid.net/event/backchannel-logout"

// AssertionJWTBearer is the client_assertion_type of a JWT (RFC 7523 §2.2).
const AssertionJWTBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// RequestURIPrefix begins a request_uri that the issuer itself gave out (RFC 9126 §2.2).
const RequestURIPrefix = "urn:ietf:params:oauth:request_uri:"

// TokenTypeHint values of RFC 7009 §2.1.
const (
	HintAccessToken  = "access_token"
	HintRefreshToken = "refresh_token"
)

// Prompt values of OpenID Connect Core §3.1.2.1.
const (
	PromptNone          = "none"
	PromptLogin         = "login"
	PromptConsent       = "consent"
	PromptSelectAccount = "select_account"
)

// CodeChallengeS256 is the only PKCE method accepted (RFC 7636 §4.3).
const CodeChallengeS256 = "S256"
