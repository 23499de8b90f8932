package verify

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/mtls"
)

// shown is how a token came, as far as that decides whether it may be used.
type shown struct {
	scheme  string        // of the Authorization header
	request *http.Request // nil: it is not known
}

// VerifyRequest judges the token of a request, as Verify does, and that the request shows
// the key that the token is bound to: of one with cnf x5t#S256 the client's certificate
// (RFC 8705 §3). A request without a token has the error invalid_token too.
func (v *Verifier) VerifyRequest(r *http.Request) (*Principal, error) {
	token, err := bearer(r.Header)
	if err != nil {
		return nil, err
	}
	if token == "" {
		return nil, errNoToken
	}
	return v.verify(r.Context(), token, shown{oauth.TokenTypeBearer, r})
}

// CertificateHeader takes the certificate of a client from a header that a proxy sets, if
// the direct peer is in one of the trusted networks; it may be in any form that
// mtls.ParseHeader reads. From everybody else, and without this option, it is that of the
// TLS connection. The proxy must remove what a client wrote into that header itself.
func CertificateHeader(name string, trusted ...netip.Prefix) Option {
	return func(c *config) { c.certificates = mtls.Source{Header: name, Trusted: trusted} }
}

// bound refuses a token that is bound to a key which the request does not show: it is a
// stolen one.
func (v *Verifier) bound(c *Claims, by shown) error {
	if c.Confirmation == nil {
		return nil
	}
	cnf := *c.Confirmation
	if cnf.JKT != "" || cnf.X5TS256 == "" || !strings.EqualFold(by.scheme, oauth.TokenTypeBearer) || by.request == nil {
		return errBound
	}
	return v.certified(cnf.X5TS256, by.request)
}

// certified checks the certificate that a token is bound to (RFC 8705 §3).
func (v *Verifier) certified(thumbprint string, r *http.Request) error {
	chain, err := v.certificates.Certificates(r)
	if err != nil || len(chain) == 0 {
		return errNoCertificate
	}
	if mtls.Thumbprint(chain[0]) != thumbprint {
		return errCertificate
	}
	return nil
}

var (
	errNoToken       = invalid("The request has no access token.")
	errBound         = invalid("The token is bound to a key, so it can't be used as a bearer token.")
	errNoCertificate = invalid("The token is bound to a certificate, and the request came without one.")
	errCertificate   = invalid("The token is bound to another certificate than that of the request.")
)
