package spec

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/jeton-auth/jeton/internal/dn"
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
	switch subject := c.TLSSubjectDN; {
	case c.AuthMethod == oauth.TLSClientAuth && subject == "":
		p.add("tls_client_auth_subject_dn", "is required with auth_method tls_client_auth: write the subject of the client's certificate, for instance CN=shop,O=Example")
	case c.AuthMethod != oauth.TLSClientAuth && subject != "":
		p.add("tls_client_auth_subject_dn", "has no use with auth_method %s: remove it, or write auth_method: tls_client_auth", c.AuthMethod)
	case subject != "":
		if _, err := dn.Parse(subject); err != nil {
			p.add("tls_client_auth_subject_dn", "%s is not a distinguished name, since it %s: write it as RFC 4514 does, for instance CN=shop,O=Example", quote(subject), err)
		}
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

// validateKeys refuses a set of which nothing can be used, which otherwise would only show
// when the client logs in.
func (c Client) validateKeys(p *problems) {
	if c.JWKS == "" {
		return
	}
	if _, err := jwks.ParseClient([]byte(c.JWKS)); errors.Is(err, jwks.ErrNoKey) {
		p.add("jwks", "holds no key that can be used: each is of a kind that an algorithm of %s knows", list(Algs))
	} else if err != nil {
		p.add("jwks", "cannot be read: %s", strings.TrimPrefix(err.Error(), "jwks: "))
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
