package server

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/jwks"
)

// authority signs certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

var testTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{t: t, key: newECKey(t)}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: testTime.AddDate(-1, 0, 0), NotAfter: testTime.AddDate(50, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert = a.make(tmpl, tmpl, a.key.Public())
	return a
}

func newECKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (a *authority) make(tmpl, parent *x509.Certificate, pub crypto.PublicKey) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

// issue makes a client's certificate, with changes.
func (a *authority) issue(change func(*x509.Certificate)) *tls.Certificate {
	a.t.Helper()
	key := newECKey(a.t)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{Country: []string{"CH"}, Organization: []string{"Example, Inc."}, CommonName: "stock"},
		NotBefore: testTime.AddDate(-1, 0, 0), NotAfter: testTime.AddDate(50, 0, 0), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(tmpl)
	}
	c := a.make(tmpl, a.cert, key.Public())
	return &tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key, Leaf: c}
}

// selfSigned is a certificate of nobody but the client.
func selfSigned(t testing.TB) *tls.Certificate {
	t.Helper()
	a := &authority{t: t, key: newECKey(t)}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{Country: []string{"CH"}, Organization: []string{"Example, Inc."}, CommonName: "stock"},
		NotBefore: testTime.AddDate(-1, 0, 0), NotAfter: testTime.AddDate(50, 0, 0), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	c := a.make(tmpl, tmpl, a.key.Public())
	return &tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: a.key, Leaf: c}
}

func jwkSet(t testing.TB, kid string, alg oauth.Alg, pub crypto.PublicKey) string {
	t.Helper()
	k, err := jwks.New(kid, alg, pub)
	if err != nil {
		t.Fatal(err)
	}
	set, err := jwks.NewSet(k)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

// asserting authenticates by private_key_jwt.
func asserting(t testing.TB, id, aud string, key *ecdsa.PrivateKey, now time.Time) caller {
	return func(_ *http.Request, v url.Values) {
		t.Helper()
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "1"))
		if err != nil {
			t.Fatal(err)
		}
		claims, err := json.Marshal(map[string]any{"iss": id, "sub": id, "aud": aud, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Unix() + 60})
		if err != nil {
			t.Fatal(err)
		}
		jws, err := s.Sign(claims)
		if err != nil {
			t.Fatal(err)
		}
		text, err := jws.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		v.Set("client_assertion_type", oauth.AssertionJWTBearer)
		v.Set("client_assertion", text)
	}
}

// tlsIssuer is an issuer on a TLS listener of its own.
type tlsIssuer struct {
	*issuer
	address string
	roots   *x509.CertPool
}

// startTLS starts an issuer whose configuration begins with head and has tls with more.
func startTLS(t testing.TB, more, clients string, files map[string][]byte) *tlsIssuer {
	t.Helper()
	i := &issuer{t: t, dir: t.TempDir(), kek: keys.NewKEK(), clock: clock.NewManual(testTime)}
	ca := newAuthority(t, "Server CA")
	served := ca.issue(func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = []string{"id.example.com"}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	key, err := x509.MarshalPKCS8PrivateKey(served.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{
		"cert.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: served.Leaf.Raw}),
		"key.pem":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
	}
	for name, text := range files {
		all[name] = text
	}
	for name, text := range all {
		if err := os.WriteFile(filepath.Join(i.dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, rest, _ := strings.Cut(testConfig, "store:")
	rest, users, _ := strings.Cut(rest, "users:")
	text := "issuer: https://id.example.com\ntls: {cert: file:cert.pem, key: file:key.pem" + more + "}\nstore:" + rest + strings.TrimPrefix(clients, "\n") + "users:" + users
	i.open(text)
	c := parseConfig(t, text, i.dir, i.kek)
	if err := i.useCertificate(c); err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", i.tlsConfig(c))
	if err != nil {
		t.Fatal(err)
	}
	srv := httpServer(i.Handler(), i.Server.log)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() {
		err := errors.Join(srv.Close(), i.Server.Close())
		if served := <-done; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		if err != nil {
			t.Error(err)
		}
	})
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	return &tlsIssuer{issuer: i, address: ln.Addr().String(), roots: roots}
}

// with is the issuer as seen through connections with a certificate, or nil for none.
func (i *tlsIssuer) with(cert *tls.Certificate) *connection {
	c := &tls.Config{RootCAs: i.roots, ServerName: "id.example.com", Time: func() time.Time { return testTime }}
	if cert != nil {
		c.Certificates = []tls.Certificate{*cert}
	}
	transport := &http.Transport{
		TLSClientConfig: c, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, i.address)
		},
	}
	i.t.Cleanup(transport.CloseIdleConnections)
	return &connection{i, &http.Client{Transport: transport}}
}

type connection struct {
	*tlsIssuer
	client *http.Client
}

func (c *connection) do(req *http.Request) reply {
	c.t.Helper()
	resp, err := c.client.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, body}
}

func (c *connection) post(path string, as caller, values ...string) reply {
	c.t.Helper()
	v := url.Values{}
	for k := 0; k < len(values); k += 2 {
		v.Add(values[k], values[k+1])
	}
	req, err := http.NewRequest(http.MethodPost, "https://id.example.com"+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if as != nil {
		as(req, v)
	}
	req.Body = io.NopCloser(strings.NewReader(v.Encode()))
	req.ContentLength = int64(len(v.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.do(req)
}

func (c *connection) get(path, token string) reply {
	c.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "https://id.example.com"+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return c.do(req)
}

func (c *connection) redeem(as caller, code, redirect string) reply {
	c.t.Helper()
	return c.post("/token", as, "grant_type", "authorization_code", "code", code, "redirect_uri", redirect, "code_verifier", testVerifier)
}

func (c *connection) refresh(as caller, token string) reply {
	c.t.Helper()
	return c.post("/token", as, "grant_type", "refresh_token", "refresh_token", token)
}
