// Package mtls reads the certificate that a client showed, from the TLS connection or
// from the header of a proxy at which TLS ended, and names it as RFC 8705 §3.1 does.
package mtls

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/jeton-auth/jeton/oauth"
)

// MaxHeader bounds a certificate header, in octets.
const MaxHeader = 32 << 10

// maxChain bounds how many certificates are read of one client.
const maxChain = 8

// Source says where clients' certificates come from. The zero Source reads them from
// TLS connections to this server.
type Source struct {
	// Header is where proxies put the certificate: "" where there are none that do.
	Header string
	// Trusted are the networks of these proxies. The header counts from a direct peer
	// in one of them alone.
	Trusted []netip.Prefix
}

// ErrHeader says that a trusted proxy sent a header in no form that is known here.
var ErrHeader = errors.New("mtls: the header of the proxy holds no certificate in PEM, URL-encoded PEM, or base64 of DER")

// Certificates are those that the client of a request showed, its own first; none where
// it showed none. Nothing is verified but that the client holds the first one's key. The
// certificate by which a trusted proxy connects is never taken for its client's.
func (s Source) Certificates(r *http.Request) ([]*x509.Certificate, error) {
	if s.Header != "" && s.trusts(r.RemoteAddr) {
		switch values := r.Header.Values(s.Header); {
		case len(values) == 0:
			return nil, nil
		case len(values) > 1: // one of them is the client's own writing
			return nil, ErrHeader
		default:
			return ParseHeader(values[0])
		}
	}
	if r.TLS == nil {
		return nil, nil
	}
	return r.TLS.PeerCertificates, nil
}

func (s Source) trusts(remote string) bool {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	a := peer.Addr().Unmap()
	for _, p := range s.Trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// ParseHeader reads the certificate in a proxy's header, and those that follow it:
//
//   - PEM that is URL-encoded, as nginx's $ssl_client_escaped_cert and Envoy write it;
//   - PEM whose lines are joined by spaces or tabs, or by nothing, as Apache does;
//   - base64 of DER, as HAProxy, Traefik and others do;
//   - the same between colons (RFC 9440 §2.1).
//
// An empty header, and one that says that there is no certificate ("(null)"), are none.
func ParseHeader(value string) ([]*x509.Certificate, error) {
	value = strings.TrimSpace(value)
	switch {
	case value == "" || value == "(null)" || value == "-" || value == "::":
		return nil, nil
	case len(value) > MaxHeader:
		return nil, ErrHeader
	}
	if strings.Contains(value, "%") {
		// Not QueryUnescape: the plus signs are of base64.
		plain, err := url.PathUnescape(value)
		if err != nil {
			return nil, ErrHeader
		}
		value = plain
	}
	if strings.HasPrefix(value, "-----") {
		return parsePEM(value)
	}
	if len(value) > 1 && value[0] == ':' && value[len(value)-1] == ':' {
		value = value[1 : len(value)-1]
	}
	c, err := parseDER(value)
	if err != nil {
		return nil, err
	}
	return []*x509.Certificate{c}, nil
}

const (
	beginPEM = "-----BEGIN CERTIFICATE-----"
	endPEM   = "-----END CERTIFICATE-----"
)

// parsePEM reads blocks whose lines may be joined in any way.
func parsePEM(s string) (chain []*x509.Certificate, err error) {
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		body, ok := strings.CutPrefix(s, beginPEM)
		if !ok || len(chain) == maxChain {
			return nil, ErrHeader
		}
		if body, s, ok = strings.Cut(body, endPEM); !ok {
			return nil, ErrHeader
		}
		c, err := parseDER(strings.Join(strings.Fields(body), ""))
		if err != nil {
			return nil, err
		}
		chain = append(chain, c)
	}
	return chain, nil
}

func parseDER(text string) (*x509.Certificate, error) {
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, ErrHeader
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, ErrHeader
	}
	return c, nil
}

// Header is the value by which a proxy sends a certificate on: URL-encoded PEM.
func Header(c *x509.Certificate) string {
	return url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})))
}

// Thumbprint names a certificate (RFC 8705 §3.1).
func Thumbprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Confirm binds to the first of the certificates that a client showed; with none, to
// nothing.
func Confirm(shown []*x509.Certificate) oauth.Confirmation {
	if len(shown) == 0 {
		return oauth.Confirmation{}
	}
	return oauth.Confirmation{X5TS256: Thumbprint(shown[0])}
}
