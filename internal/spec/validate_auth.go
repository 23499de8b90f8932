package spec

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/jwks"
)

// validateAuth holds what each authentication method needs, and where the client's keys
// are.
func (c Client) validateAuth(p *problems) {
	if !oneOf(p, "auth_method", c.AuthMethod, AuthMethods) {
		return
	}
	if c.JWKS != "" && c.JWKSURI != "" {
		p.add("jwks_uri", "excludes jwks: keep one of the two") // RFC 7591 §2
	}
	c.validateKeys(p)
	if c.JWKSURI != "" {
		p.endpoint("jwks_uri", c.JWKSURI)
	}
	if c.needsKeys() && !c.HasKeys() {
		p.add("jwks", "or jwks_uri is required with auth_method %s: write the client's public keys", c.AuthMethod)
	}
	switch dn := c.TLSSubjectDN; {
	case c.AuthMethod == oauth.TLSClientAuth && dn == "":
		p.add("tls_client_auth_subject_dn", "is required with auth_method tls_client_auth: write the subject of the client's certificate, for instance CN=shop,O=Example")
	case c.AuthMethod != oauth.TLSClientAuth && dn != "":
		p.add("tls_client_auth_subject_dn", "has no use with auth_method %s: remove it, or write auth_method: tls_client_auth", c.AuthMethod)
	case dn != "" && !distinguishedName(dn):
		p.add("tls_client_auth_subject_dn", "%s is not a distinguished name: write it as RFC 4514 does, for instance CN=shop,O=Example", quote(dn))
	}
	if c.DPoPBound && c.MTLSBound {
		p.add("mtls_bound", "excludes dpop_bound, since a token is bound to one key: keep one of the two")
	}
}

// Certificates tells whether the client needs the server to see its TLS certificate.
func (c *Client) Certificates() bool {
	return c.AuthMethod == oauth.TLSClientAuth || c.AuthMethod == oauth.SelfSignedTLS || c.MTLSBound
}

// HasKeys tells whether the client registered public keys, or where they are.
func (c *Client) HasKeys() bool { return c.JWKS != "" || c.JWKSURI != "" }

func (c *Client) needsKeys() bool {
	return c.AuthMethod == oauth.PrivateKeyJWT || c.AuthMethod == oauth.SelfSignedTLS
}

// validateKeys refuses a set with a key that nobody could name or tell the algorithm of,
// which otherwise would only show when the client logs in.
func (c Client) validateKeys(p *problems) {
	if c.JWKS == "" {
		return
	}
	if _, err := jwks.Parse([]byte(c.JWKS)); errors.Is(err, jwks.ErrNoKey) {
		p.add("jwks", "holds no key that can be used: each has kty, kid and alg, and is of a kind that an algorithm of %s knows", list(Algs))
		return
	} else if err != nil {
		p.add("jwks", "cannot be read: %s", strings.TrimPrefix(err.Error(), "jwks: "))
		return
	}
	var doc struct {
		Keys []struct {
			Kty, Kid, Alg, Use string
		}
	}
	if err := json.Unmarshal([]byte(c.JWKS), &doc); err != nil {
		p.add("jwks", "is not a JWK Set (RFC 7517 §5)")
		return
	}
	for i, k := range doc.Keys {
		switch {
		case k.Use != "" && k.Use != "sig":
		case k.Kid == "":
			p.add("jwks", "key number %d has no kid: write one", i+1)
		case k.Alg == "" && k.Kty == "RSA" && c.AuthMethod != oauth.SelfSignedTLS:
			p.add("jwks", "key number %d has no alg: write PS256 or RS256, whichever the client signs by", i+1)
		}
	}
}

// endpoint reports what is wrong with the address of something that the issuer calls or
// sends a browser to: absolute, https, and without fragment. It tells whether nothing is.
func (p *problems) endpoint(field, raw string) bool {
	u, problem := parseRedirect(raw)
	if problem == "" && privateUse(u) {
		problem = "must be an https URL: write for instance https://shop.example.com/jeton"
	}
	if problem != "" {
		p.add(field, "%s", problem)
	}
	return problem == ""
}

// origin is what the same-origin rule compares of an address that has been validated.
func origin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// distinguishedName tells whether s has the form of RFC 4514 §3: types and values, none
// of them empty.
func distinguishedName(s string) bool {
	for _, part := range splitDN(s) {
		typ, value, ok := strings.Cut(part, "=")
		if !ok || !attributeType(strings.TrimSpace(typ)) || strings.TrimSpace(value) == "" || !escaped(value) {
			return false
		}
	}
	return len(s) <= MaxURI
}

// splitDN cuts at each comma and plus that no backslash hides.
func splitDN(s string) []string {
	var parts []string
	from := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case ',', '+':
			parts = append(parts, s[from:i])
			from = i + 1
		}
	}
	return append(parts, s[from:])
}

func attributeType(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-')
	})
}

// escaped tells whether what must be behind a backslash is, and nothing else.
func escaped(value string) bool {
	const special, hex = ` "#+,;<=>\`, "0123456789abcdefABCDEF"
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == 0 || strings.IndexByte(`";<>`, c) >= 0:
			return false
		case c != '\\':
		case i+1 < len(value) && strings.IndexByte(special, value[i+1]) >= 0:
			i++
		case i+2 < len(value) && strings.IndexByte(hex, value[i+1]) >= 0 && strings.IndexByte(hex, value[i+2]) >= 0:
			i += 2
		default:
			return false
		}
	}
	return true
}

// hosts are the hosts of the redirect URIs, each once; a private-use URI has an empty one.
func (c *Client) hosts() []string {
	var hosts []string
	for _, raw := range c.RedirectURIs {
		if u, err := url.Parse(raw); err == nil && !slices.Contains(hosts, u.Host) {
			hosts = append(hosts, u.Host)
		}
	}
	return hosts
}
