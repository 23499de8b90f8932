// Package oauth holds the words of the OAuth 2.0 and OpenID Connect standards:
// grant types, client authentication methods, error codes, signature
// algorithms, token types and claim names. Each wire word is written once, as
// the constant itself, and everything else in Jeton refers to it.
package oauth

// GrantType is a value of the grant_type parameter (RFC 6749 §4).
type GrantType string

const (
	AuthorizationCode GrantType = "authorization_code"
	RefreshToken      GrantType = "refresh_token"
	ClientCredentials GrantType = "client_credentials"
)

// AuthMethod is a client authentication method as registered in
// token_endpoint_auth_method (RFC 7591 §2).
type AuthMethod string

const (
	ClientSecretBasic AuthMethod = "client_secret_basic"
	ClientSecretPost  AuthMethod = "client_secret_post"
	NoAuth            AuthMethod = "none"
)

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
	TypIDToken     = "JWT"        // OpenID Connect Core §2
	TypLogoutToken = "logout+jwt" // OpenID Connect Back-Channel Logout §2.4

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

// TokenType is a value of token_type in a token response (RFC 6749 §7.1).
const TokenTypeBearer = "Bearer"

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
