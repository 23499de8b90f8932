package spec

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jeton-auth/jeton/oauth"
)

// What is supported, in the order in which messages and documents list it.
var (
	AuthMethods   = []oauth.AuthMethod{oauth.ClientSecretBasic, oauth.ClientSecretPost, oauth.PrivateKeyJWT, oauth.TLSClientAuth, oauth.SelfSignedTLS, oauth.NoAuth}
	GrantTypes    = []oauth.GrantType{oauth.AuthorizationCode, oauth.RefreshToken, oauth.ClientCredentials, oauth.Implicit, oauth.DeviceCode}
	ResponseTypes = []oauth.ResponseType{oauth.ResponseCode, oauth.ResponseIDToken, oauth.ResponseIDTokenToken, oauth.ResponseCodeIDToken, oauth.ResponseCodeToken, oauth.ResponseCodeIDTokenToken}
	ResponseModes = []oauth.ResponseMode{oauth.ModeQuery, oauth.ModeFragment, oauth.ModeFormPost, oauth.ModeJWT, oauth.ModeQueryJWT, oauth.ModeFragmentJWT, oauth.ModeFormPostJWT}
	SubjectTypes  = []oauth.SubjectType{oauth.SubjectPublic, oauth.SubjectPairwise}
	Profiles      = []Profile{ProfileOIDC, ProfileOAuth21, ProfileFAPI2, ProfileFAPI2Signing}
	Algs          = []oauth.Alg{oauth.ES256, oauth.ES384, oauth.EdDSA, oauth.RS256, oauth.PS256}
	Formats       = []Format{FormatJWT, FormatOpaque}
	Rotations     = []Rotate{RotateAlways, RotateNever}
)

// Bounds of the settings.
const (
	MaxID       = 255 // characters of a client or resource id
	MaxName     = 200 // characters of a name
	MaxURI      = 2000
	MaxList     = 1000 // entries of a list
	MinLifetime = Duration(10 * time.Second)
	MaxLifetime = Duration(24 * time.Hour) // revocation entries outlive every token
	MaxAbsolute = Duration(10 * 365 * 24 * time.Hour)
	MaxGrace    = Duration(5 * time.Minute)
)

// Problem is one thing wrong with a client or resource. Field is its path, as in
// "redirect_uris[1]" or "refresh_token.idle"; Message says what to write instead.
type Problem struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

func (p Problem) String() string { return p.Field + ": " + p.Message }

// Resources are all resources that there are.
type Resources []Resource

// Find is the resource with the identifier id.
func (rs Resources) Find(id string) (Resource, bool) {
	if i := slices.IndexFunc(rs, func(r Resource) bool { return r.ID == id }); i >= 0 {
		return rs[i], true
	}
	return Resource{}, false
}

// WithScope are the identifiers of the resources that declare scope.
func (rs Resources) WithScope(scope string) []string {
	var ids []string
	for _, r := range rs {
		if slices.Contains(r.Scopes, scope) {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// subject is the form of a user's identifier. A token of client_credentials has the
// client's id in its place (RFC 9068 §2.2), and no API may take one for the other.
var subject = regexp.MustCompile(`^u_[A-Za-z0-9_-]{22}$`)

// Validate lists everything wrong with a client that has its defaults, given the
// resources that there are. It is nil when nothing is.
func (c Client) Validate(known Resources) []Problem {
	var p problems
	if c.tooLong(&p) {
		return p
	}
	if p.id(c.ID, "shop-web") {
		if _, taken := known.Find(c.ID); taken {
			p.add("id", "is also the id of a resource: choose another")
		} else if subject.MatchString(c.ID) {
			p.add("id", "has the form of a user's id, u_ and 22 characters: choose another")
		}
	}
	p.name(c.Name)
	if c.Profile != "" {
		oneOf(&p, "profile", c.Profile, Profiles)
	}
	c.validateAuth(&p)
	c.validateGrantTypes(&p)
	c.validateURIs(&p)
	c.validateRequests(&p)
	c.validateResponses(&p)
	c.validateSubject(&p)
	c.validateLogout(&p)

	unique(&p, "resources", c.Resources)
	for i, id := range c.Resources {
		if _, ok := known.Find(id); !ok {
			p.add(at("resources", i), "%s is not a declared resource: declare it under resources, or correct the id", quote(id))
		}
	}
	c.validateScopes(&p, known)

	if c.RequirePKCE != nil && !*c.RequirePKCE && !c.Confidential() {
		p.add("require_pkce", "may be false only for a confidential client: remove it")
	}
	oneOf(&p, "id_token_alg", c.IDTokenAlg, Algs)

	c.validateRefresh(&p)
	if len(p) == 0 {
		c.validateProfile(&p, known)
	}
	return p
}

// tooLong reports a list that nobody writes by hand, before each entry gives a problem.
func (c Client) tooLong(p *problems) bool {
	return p.tooLong("grant_types", len(c.GrantTypes)) || p.tooLong("redirect_uris", len(c.RedirectURIs)) ||
		p.tooLong("post_logout_redirect_uris", len(c.PostLogoutRedirectURIs)) ||
		p.tooLong("scopes", len(c.Scopes)) || p.tooLong("resources", len(c.Resources)) ||
		p.tooLong("request_uris", len(c.RequestURIs)) || p.tooLong("response_types", len(c.ResponseTypes)) ||
		p.tooLong("response_modes", len(c.ResponseModes)) ||
		p.tooLong("authorization_details_types", len(c.AuthorizationDetailsTypes))
}

func (c Client) validateRefresh(p *problems) {
	r := c.RefreshToken
	oneOf(p, "refresh_token.rotate", r.Rotate, Rotations)
	p.between("refresh_token.absolute", r.Absolute, Duration(time.Second), MaxAbsolute)
	if p.between("refresh_token.idle", r.Idle, Duration(time.Second), MaxAbsolute) && r.Idle > r.Absolute {
		p.add("refresh_token.idle", "%s is longer than refresh_token.absolute (%s): write at most that", r.Idle, r.Absolute)
	}
	if r.Grace != nil {
		p.between("refresh_token.grace", *r.Grace, 0, MaxGrace)
	}
}

func (c Client) validateGrantTypes(p *problems) {
	if len(c.GrantTypes) == 0 {
		p.add("grant_types", "is required: write a list of %s", list(GrantTypes))
	}
	unique(p, "grant_types", c.GrantTypes)
	for i, g := range c.GrantTypes {
		field := at("grant_types", i)
		if !oneOf(p, field, g, GrantTypes) {
			continue
		}
		switch {
		case g == oauth.ClientCredentials && !c.Confidential():
			p.add(field, "client_credentials is only for a client with a secret: give it one, or remove the grant type")
		case g == oauth.Implicit && !slices.ContainsFunc(c.ResponseTypes, implicit):
			p.add(field, "implicit has no use without response_types that name what it is given, such as id_token: write them, or remove the grant type")
		}
	}
}

func (c Client) validateURIs(p *problems) {
	unique(p, "redirect_uris", c.RedirectURIs)
	for i, uri := range c.RedirectURIs {
		p.uri(at("redirect_uris", i), uri, c.Confidential(), responseParameters)
	}
	unique(p, "post_logout_redirect_uris", c.PostLogoutRedirectURIs)
	for i, uri := range c.PostLogoutRedirectURIs {
		p.uri(at("post_logout_redirect_uris", i), uri, c.Confidential(), logoutParameters)
	}
}

func (c Client) validateScopes(p *problems, known Resources) {
	unique(p, "scopes", c.Scopes)
	for i, s := range c.Scopes {
		field := at("scopes", i)
		owners := known.WithScope(s)
		switch {
		case !oauth.ValidScope(s):
			p.add(field, "%s is not a scope: %s", quote(s), scopeRule)
		case slices.Contains(oauth.IdentityScopes, s):
		case len(owners) == 0:
			p.add(field, "%s is not a known scope: write one of %s, or declare it under the scopes of a resource", quote(s), list(oauth.IdentityScopes))
		case !slices.ContainsFunc(owners, func(id string) bool { return slices.Contains(c.Resources, id) }):
			p.add(field, "%s is a scope of %s: add that to the client's resources", quote(s), quote(owners[0]))
		}
	}
}

// Validate lists everything wrong with a resource that has its defaults. It is
// nil when nothing is.
func (r Resource) Validate() []Problem {
	var p problems
	if p.tooLong("scopes", len(r.Scopes)) {
		return p
	}
	if p.id(r.ID, "https://api.example.com") {
		u, err := url.Parse(r.ID)
		switch {
		case strings.Contains(r.ID, "#"):
			p.add("id", "must not have a fragment: remove # and what follows") // RFC 8707 §2
		case err != nil || u.Scheme == "" || u.Opaque == "" && u.Host == "":
			p.add("id", "must be an absolute URI: write for instance https://api.example.com")
		case u.User != nil:
			p.add("id", "must not hold a user name or password: remove what stands before the @")
		}
	}
	p.name(r.Name)
	unique(&p, "scopes", r.Scopes)
	for i, s := range r.Scopes {
		switch {
		case !oauth.ValidScope(s):
			p.add(at("scopes", i), "%s is not a scope: %s", quote(s), scopeRule)
		case slices.Contains(oauth.IdentityScopes, s), s == oauth.ScopeFeed:
			p.add(at("scopes", i), "%s is a scope of the issuer itself: choose another name", quote(s))
		}
	}
	oneOf(&p, "access_token.format", r.AccessToken.Format, Formats)
	p.between("access_token.lifetime", r.AccessToken.Lifetime, MinLifetime, MaxLifetime)
	oneOf(&p, "access_token.alg", r.AccessToken.Alg, Algs)
	return p
}

const scopeRule = `write printable ASCII without spaces, " and \`

type problems []Problem

func (p *problems) add(field, format string, args ...any) {
	*p = append(*p, Problem{field, fmt.Sprintf(format, args...)})
}

func (p *problems) tooLong(field string, n int) bool {
	if n > MaxList {
		p.add(field, "has more than %d entries", MaxList)
	}
	return n > MaxList
}

func (p *problems) id(id, example string) bool {
	switch {
	case id == "":
		p.add("id", "is required: write for instance %s", example)
	case len(id) > MaxID:
		p.add("id", "is longer than %d characters", MaxID)
	case !visibleASCII(id):
		p.add("id", "%s holds a space or a character outside printable ASCII: write it without", quote(id))
	default:
		return true
	}
	return false
}

// name refuses what could disturb the page, terminal or log that shows it.
func (p *problems) name(name string) {
	disturbs := func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }
	switch {
	case utf8.RuneCountInString(name) > MaxName:
		p.add("name", "is longer than %d characters", MaxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, disturbs):
		p.add("name", "holds control characters: write plain text")
	}
}

func (p *problems) between(field string, d, least, most Duration) bool {
	if d < least || d > most {
		p.add(field, "%s is out of bounds: write %s to %s", d, least, most)
		return false
	}
	return true
}

// oneOf reports a value that is absent or not among the supported ones.
func oneOf[T ~string](p *problems, field string, v T, supported []T) bool {
	if slices.Contains(supported, v) {
		return true
	}
	if v == "" {
		p.add(field, "is required: write %s", list(supported))
	} else {
		p.add(field, "%s is not supported: write %s", quote(string(v)), list(supported))
	}
	return false
}

func unique[T ~string](p *problems, field string, values []T) {
	seen := make(map[T]bool, len(values))
	for i, v := range values {
		if seen[v] {
			p.add(at(field, i), "stands in the list twice: remove one")
		}
		seen[v] = true
	}
}

func at(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }

// list writes "a, b or c".
func list[T ~string](words []T) string {
	var b strings.Builder
	for i, w := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(string(w))
	}
	return b.String()
}

// quote writes a foreign value on one line, cut where it is long.
func quote(s string) string {
	if len(s) > 80 {
		return fmt.Sprintf("%.80q…", s)
	}
	return fmt.Sprintf("%q", s)
}

func visibleASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
