package clientauth

import (
	"context"
	"crypto/x509"

	"github.com/jeton-auth/jeton/internal/dn"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// TLSClientAuth is tls_client_auth (RFC 8705 §2.1): a certificate of an authority that is
// trusted for it, with the subject that the client registered.
type TLSClientAuth struct {
	// Roots are the authorities that may sign clients' certificates; nil: the system's.
	Roots *x509.CertPool
	// Proxied says that the proxy, which sends certificates on, verified that such an
	// authority signed them; Roots are not asked then.
	Proxied bool
	Store   *store.Store
}

// Name is the method's registered name.
func (*TLSClientAuth) Name() oauth.AuthMethod { return oauth.TLSClientAuth }

// Presented is true where client_id stands alone and the connection has a certificate.
func (*TLSClientAuth) Presented(r Request) (string, bool, *oauth.Error) { return certified(r) }

func certified(r Request) (string, bool, *oauth.Error) {
	if !r.bare() || len(r.Certificates) == 0 {
		return "", false, nil
	}
	id := r.Params.Get("client_id")
	return id, id != "", nil
}

// Check verifies the chain, its validity now and its use, and compares the subject.
func (m *TLSClientAuth) Check(_ context.Context, r Request, c *store.Client) error {
	if c.AuthMethod != oauth.TLSClientAuth || len(r.Certificates) == 0 {
		return ErrRefused
	}
	own := r.Certificates[0]
	want, err := dn.Parse(c.TLSSubjectDN)
	if err != nil || !want.Is(own.RawSubject) || !m.trusted(r.Certificates) {
		return ErrRefused
	}
	return nil
}

func (m *TLSClientAuth) trusted(shown []*x509.Certificate) bool {
	own, roots, between := shown[0], m.Roots, x509.NewCertPool()
	for _, c := range shown[1:] {
		between.AddCert(c)
	}
	if m.Proxied {
		if own.CheckSignature(own.SignatureAlgorithm, own.RawTBSCertificate, own.Signature) == nil {
			return false // nobody's but its own: no authority signed it
		}
		roots = x509.NewCertPool()
		roots.AddCert(own)
	}
	_, err := own.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: m.Store.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err == nil
}
