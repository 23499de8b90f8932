package config

import (
	"crypto/x509"
	"encoding/pem"
	"net/url"
	"regexp"
	"strings"

	"github.com/jeton-auth/jeton/internal/spec"
)

// checkTransport holds the rules about who ends TLS. u is the issuer.
func (r *reader) checkTransport(c *Config, u *url.URL) {
	if c.TLS != nil {
		r.checkTLS(c.TLS)
		r.checkAuthorities("tls.client_ca", c.TLS.ClientCA)
		if c.TLS.ClientAuth != "" {
			r.oneOf("tls.client_auth", c.TLS.ClientAuth, ClientAuthRequest)
		}
	}
	if p := c.BehindProxy; p != nil {
		r.checkAuthorities("behind_proxy.client_ca", p.ClientCA)
		if len(p.ClientCA) > 0 && p.ClientCertHeader == "" {
			r.add("behind_proxy.client_ca", "has no use without client_cert_header: write the header in which the proxy sends on a client's certificate")
		}
		if len(p.Trusted) == 0 {
			r.add("behind_proxy.trusted", "is required: write the networks of your proxies, as in [10.0.0.0/8]")
		}
		if h := p.ClientCertHeader; h != "" && (len(h) > 100 || !headerName.MatchString(h)) {
			r.add("behind_proxy.client_cert_header", "%s is not the name of a header: write for instance X-Client-Cert", quote(h))
		} else if h != "" && spoken[strings.ToLower(h)] {
			r.add("behind_proxy.client_cert_header", "%s means something else: write a name of its own, for instance X-Client-Cert", quote(h))
		}
	}
	switch {
	case c.TLS != nil && c.BehindProxy != nil:
		r.add("behind_proxy", "excludes tls: keep tls if Jeton itself ends TLS, behind_proxy if a proxy does")
	case c.TLS == nil && c.BehindProxy == nil && !r.bad["issuer"] && !spec.Loopback(u.Hostname()):
		r.add("", "tls or behind_proxy is required, unless the issuer's host is localhost, 127.0.0.1 or [::1]: write tls: {cert: file:…, key: file:…} or behind_proxy: {trusted: [10.0.0.0/8]}")
	}
}

// headerName is a token (RFC 9110 §5.1), as far as header names go.
var headerName = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

// spoken are headers that any client may send and that are read for what they are.
var spoken = map[string]bool{
	"authorization": true, "cookie": true, "dpop": true, "host": true, "content-type": true, "content-length": true, "accept": true,
	"x-forwarded-for": true, "x-forwarded-proto": true, "x-forwarded-host": true, "forwarded": true, "user-agent": true, "origin": true,
}

func (r *reader) checkOutbound(o Outbound) { r.checkAuthorities("outbound.ca", o.CA) }

// checkAuthorities reports PEM text, if there is any, without a certificate that can be
// read.
func (r *reader) checkAuthorities(path string, data []byte) {
	if len(data) == 0 {
		return
	}
	if !hasPEM(data, "CERTIFICATE") {
		r.add(path, "holds no PEM certificate: it begins with -----BEGIN CERTIFICATE-----")
		return
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			r.add(path, "holds a certificate that cannot be read (%s): write it again", strings.TrimPrefix(err.Error(), "x509: "))
		}
	}
}

// Certificates tells whether the certificates of TLS clients arrive here.
func (c *Config) Certificates() bool {
	return c.TLS != nil && (len(c.TLS.ClientCA) > 0 || c.TLS.ClientAuth != "") ||
		c.BehindProxy != nil && c.BehindProxy.ClientCertHeader != ""
}
