package verify

import (
	"net/http"
	"net/netip"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/mtls"
)

// shown is how a token came, as far as that decides whether it may be used.
type shown struct {
	scheme  string        // of the Authorization header: Bearer or DPoP, in this spelling
	request *http.Request // nil: it is not known
}

// VerifyRequest judges the token of a request, as Verify does, and that the request shows
// the key that the token is bound to: of one with cnf x5t#S256 the client's certificate
// (RFC 8705 §3), of one with cnf jkt, which comes under the scheme DPoP, a proof for this
// request (RFC 9449 §7). Errors then have the codes invalid_dpop_proof and use_dpop_nonce
// too. A request without a token has the error invalid_token.
//
// A proof is good for about a minute, and once in this process. Other nodes of the API
// can't know: within that minute a proof that was stolen with its request would be taken
// once by each of them, for the same method and address.
func (v *Verifier) VerifyRequest(r *http.Request) (*Principal, error) {
	scheme, token, err := presented(r.Header)
	if err != nil {
		return nil, err
	}
	if token == "" {
		return nil, errNoToken
	}
	return v.verify(r.Context(), token, shown{scheme, r})
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
func (v *Verifier) bound(c *Claims, token string, by shown) error {
	proof := by.scheme == oauth.TokenTypeDPoP
	if c.Confirmation == nil && !proof {
		return nil
	}
	var cnf oauth.Confirmation
	if c.Confirmation != nil {
		cnf = *c.Confirmation
	}
	switch {
	case proof && cnf.JKT == "":
		return errNotBound
	case by.request == nil, cnf == oauth.Confirmation{}, cnf.JKT != "" && !proof:
		return errBound
	}
	if cnf.X5TS256 != "" {
		if err := v.certified(cnf.X5TS256, by.request); err != nil {
			return err
		}
	}
	if proof {
		return v.proved(cnf.JKT, token, by.request)
	}
	return nil
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
	errNotBound      = invalid("The token is not bound to a DPoP key, so it can't be used with the scheme DPoP.")
	errNoCertificate = invalid("The token is bound to a certificate, and the request came without one.")
	errCertificate   = invalid("The token is bound to another certificate than that of the request.")
)
