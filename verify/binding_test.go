package verify

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/mtls"
)

func certificate(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: start, NotAfter: start.Add(time.Hour)}
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, c, c, key.Public(), key))))
}

// RFC 8705 §3: a token that is bound to a certificate is good with that certificate alone.
// Case 36: a header is believed from trusted proxies alone.
func TestCertificateBoundTokens(t *testing.T) {
	t.Parallel()
	s := es256()
	mine, theirs := certificate(t, "mine"), certificate(t, "theirs")
	token := func(cnf map[string]any) string { return s.token(map[string]any{"cnf": cnf}) }
	bound := token(map[string]any{"x5t#S256": mtls.Thumbprint(mine)})
	header := CertificateHeader("X-Client-Cert", netip.MustParsePrefix("10.0.0.0/8"))
	type request struct {
		remote      string
		tls, header *x509.Certificate
	}
	for _, c := range []struct {
		name  string
		token string
		opts  []Option
		r     request
		why   string // "": it is taken
	}{
		{"the right one", bound, nil, request{tls: mine}, ""},
		{"another", bound, nil, request{tls: theirs}, "another certificate"},
		{"none", bound, nil, request{}, "without one"},
		{"unbound, with a certificate", s.token(nil), nil, request{tls: mine}, ""},
		{"in a header that nobody announced", bound, nil, request{remote: "10.0.0.1:1", header: mine}, "without one"},
		{"in a trusted proxy's header", bound, []Option{header}, request{remote: "10.0.0.1:1", header: mine}, ""},
		{"another in a trusted proxy's header", bound, []Option{header}, request{remote: "10.0.0.1:1", header: theirs}, "another certificate"},
		{"in somebody's header", bound, []Option{header}, request{remote: "192.0.2.1:1", header: mine}, "without one"},
		{"directly, past the proxy", bound, []Option{header}, request{remote: "192.0.2.1:1", tls: mine, header: theirs}, ""},
		{"the proxy's own", bound, []Option{header}, request{remote: "10.0.0.1:1", tls: mine}, "without one"},
		{"bound in an unknown way", token(map[string]any{"kid": "x"}), nil, request{tls: mine}, "bound to a key"},
		{"bound to a key too", token(map[string]any{"x5t#S256": mtls.Thumbprint(mine), "jkt": "x"}), nil, request{tls: mine}, "bound to a key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := newIssuer(s).verifier(t, c.opts...)
			req := httptest.NewRequest(http.MethodGet, "https://api.example.com/orders", nil)
			req.TLS = &tls.ConnectionState{}
			if c.r.tls != nil {
				req.TLS.PeerCertificates = []*x509.Certificate{c.r.tls}
			}
			if c.r.remote != "" {
				req.RemoteAddr = c.r.remote
			}
			if c.r.header != nil {
				req.Header.Set("X-Client-Cert", mtls.Header(c.r.header))
			}
			req.Header.Set("Authorization", "Bearer "+c.token)
			for _, sight := range []string{"first", "next"} {
				_, err := v.VerifyRequest(req)
				var e *oauth.Error
				if c.why == "" && err != nil || c.why != "" && (!errors.As(err, &e) || e.Code != oauth.InvalidToken || !strings.Contains(e.Description, c.why)) {
					t.Errorf("at %s sight: %v", sight, err)
				}
				if w := callWith(v.Require(), req); (w.Code == 200) != (c.why == "") {
					t.Errorf("at %s sight the middleware answers %d", sight, w.Code)
				}
			}
		})
	}
}

// What was taken with its certificate is remembered, and still is no bearer token.
func TestBindingIsJudgedAtEachSight(t *testing.T) {
	t.Parallel()
	s, mine := es256(), certificate(t, "mine")
	v := newIssuer(s).verifier(t)
	token := s.token(map[string]any{"cnf": map[string]any{"x5t#S256": mtls.Thumbprint(mine)}})
	req := httptest.NewRequest(http.MethodGet, "https://api.example.com/orders", nil)
	req.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{mine}}
	req.Header.Set("Authorization", "Bearer "+token)
	if _, err := v.VerifyRequest(req); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), token); !errors.Is(err, errBound) {
		t.Errorf("without a request: %v", err)
	}
	req.TLS = nil
	if _, err := v.VerifyRequest(req); !errors.Is(err, errNoCertificate) {
		t.Errorf("without TLS: %v", err)
	}
}

// An opaque token's binding comes with the answer to its introspection.
func TestCertificateBoundOpaqueTokens(t *testing.T) {
	t.Parallel()
	is, mine := newIssuer(es256()), certificate(t, "mine")
	is.introspect = activeAs(map[string]any{"cnf": map[string]any{"x5t#S256": mtls.Thumbprint(mine)}})
	v := is.verifier(t, Introspection(apiID, apiSecret))
	req := httptest.NewRequest(http.MethodGet, "https://api.example.com/orders", nil)
	req.Header.Set("Authorization", "Bearer "+opaqueToken)
	if _, err := v.VerifyRequest(req); !errors.Is(err, errNoCertificate) {
		t.Errorf("without: %v", err)
	}
	req.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{mine}}
	if _, err := v.VerifyRequest(req); err != nil {
		t.Errorf("with: %v", err)
	}
	if _, err := v.VerifyRequest(httptest.NewRequest(http.MethodGet, "/", nil)); !errors.Is(err, errNoToken) {
		t.Errorf("no token: %v", err)
	}
}
