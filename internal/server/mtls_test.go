package server

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/mtls"
	"github.com/jeton-auth/jeton/verify"
)

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

const stockClient = `
  - id: stock
    auth_method: tls_client_auth
    tls_client_auth_subject_dn: 'CN=stock,O=Example\, Inc.,C=CH'
    mtls_bound: true
    grant_types: [client_credentials]
    scopes: [orders:read]
    resources: [https://api.example.com]
`

// RFC 8705 §2.1, on a listener of our own.
func TestTLSClientAuth(t *testing.T) {
	t.Parallel()
	ca, foreign := newAuthority(t, "Client CA"), newAuthority(t, "Client CA")
	i := startTLS(t, ", client_ca: file:ca.pem", stockClient, map[string][]byte{"ca.pem": certPEM(ca.cert)})
	ask := func(cert *tls.Certificate, id string) reply {
		return i.with(cert).post("/token", form(id, ""), "grant_type", "client_credentials")
	}
	middle := &authority{t: t, key: newECKey(t)}
	middle.cert = ca.make(&x509.Certificate{
		SerialNumber: ca.cert.SerialNumber, Subject: pkix.Name{CommonName: "Middle"}, NotBefore: ca.cert.NotBefore, NotAfter: ca.cert.NotAfter,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, ca.cert, middle.key.Public())
	below := middle.issue(nil)
	below.Certificate = append(below.Certificate, middle.cert.Raw)
	for name, cert := range map[string]*tls.Certificate{"of the authority": ca.issue(nil), "of one below it": below} {
		r := ask(cert, "stock").want(t, 200, "")
		cnf, _ := payload(t, r.str(t, "access_token"))["cnf"].(map[string]any)
		if cnf["x5t#S256"] != mtls.Thumbprint(cert.Leaf) || r.str(t, "token_type") != "Bearer" {
			t.Errorf("%s: cnf %v in %s", name, cnf, r.body)
		}
	}
	for name, cert := range map[string]*tls.Certificate{
		"none":                  nil,
		"of another authority":  foreign.issue(nil),
		"of its own":            selfSigned(t),
		"without the middle":    {Certificate: below.Certificate[:1], PrivateKey: below.PrivateKey},
		"another common name":   ca.issue(func(c *x509.Certificate) { c.Subject.CommonName = "stock2" }),
		"one attribute more":    ca.issue(func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"x"} }),
		"the name as one value": ca.issue(func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: `stock,O=Example\, Inc.,C=CH`} }),
		"expired":               ca.issue(func(c *x509.Certificate) { c.NotAfter = testTime.AddDate(0, 0, -1) }),
		"not valid yet":         ca.issue(func(c *x509.Certificate) { c.NotBefore = testTime.AddDate(0, 0, 1) }),
		"for servers":           ca.issue(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }),
	} {
		if r := ask(cert, "stock"); r.status != 401 || r.str(t, "error") != string(oauth.InvalidClient) {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	// The certificate names no other client, and a header none at all.
	ask(ca.issue(nil), "robot").want(t, 401, oauth.InvalidClient)
	ask(ca.issue(nil), "nobody").want(t, 401, oauth.InvalidClient)
	i.with(nil).post("/token", func(r *http.Request, v url.Values) {
		form("stock", "")(r, v)
		r.Header.Set("X-Client-Cert", mtls.Header(ca.issue(nil).Leaf))
	}, "grant_type", "client_credentials").want(t, 401, oauth.InvalidClient)
}

// An API that uses verify takes a bound token with its certificate alone.
func TestAPIChecksTheCertificate(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "Client CA")
	i := startTLS(t, ", client_ca: file:ca.pem", stockClient, map[string][]byte{"ca.pem": certPEM(ca.cert)})
	v, err := verify.New(t.Context(), "https://id.example.com", verify.Audience(api), verify.HTTPClient(i.with(nil).client),
		verify.Clock(i.clock.Now), verify.Logger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	orders := httptest.NewUnstartedServer(v.Require("orders:read")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, verify.PrincipalFrom(r.Context()).ClientID)
	})))
	orders.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	orders.StartTLS()
	t.Cleanup(orders.Close)
	mine, theirs := ca.issue(nil), ca.issue(nil)
	token := i.with(mine).post("/token", form("stock", ""), "grant_type", "client_credentials").want(t, 200, "").str(t, "access_token")
	for name, c := range map[string]struct {
		cert   *tls.Certificate
		status int
	}{"mine": {mine, 200}, "another of the same name": {theirs, 401}, "none": {nil, 401}} {
		transport := orders.Client().Transport.(*http.Transport).Clone()
		if c.cert != nil {
			transport.TLSClientConfig.Certificates = []tls.Certificate{*c.cert}
		}
		t.Cleanup(transport.CloseIdleConnections)
		for range 2 {
			req, err := http.NewRequest(http.MethodGet, orders.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+token)
			resp, err := (&http.Client{Transport: transport}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if err := resp.Body.Close(); err != nil || resp.StatusCode != c.status {
				t.Errorf("%s: %d, %v", name, resp.StatusCode, err)
			}
		}
	}
}

// RFC 8705 §2.2.
func TestSelfSignedTLSClientAuth(t *testing.T) {
	t.Parallel()
	mine, theirs := selfSigned(t), selfSigned(t)
	i := startTLS(t, ", client_auth: request", fmt.Sprintf(`
  - id: stock
    auth_method: self_signed_tls_client_auth
    jwks: %s
    grant_types: [client_credentials]
    scopes: [orders:read]
    resources: [https://api.example.com]
`, jwkSet(t, "1", oauth.ES256, mine.Leaf.PublicKey)), nil)
	ask := func(cert *tls.Certificate) reply {
		return i.with(cert).post("/token", form("stock", ""), "grant_type", "client_credentials")
	}
	r := ask(mine).want(t, 200, "")
	if cnf := payload(t, r.str(t, "access_token"))["cnf"]; cnf != nil {
		t.Errorf("a client that does not ask for it has its token bound: %v", cnf)
	}
	ask(theirs).want(t, 401, oauth.InvalidClient)
	ask(nil).want(t, 401, oauth.InvalidClient)
	// Every door takes it.
	token := r.str(t, "access_token")
	if answer := i.with(mine).post("/introspect", form("stock", ""), "token", token).want(t, 200, "").json(t); answer["active"] != true {
		t.Errorf("introspection says %v", answer)
	}
	i.with(theirs).post("/introspect", form("stock", ""), "token", token).want(t, 401, oauth.InvalidClient)
	i.with(theirs).post("/revoke", form("stock", ""), "token", token).want(t, 401, oauth.InvalidClient)
	i.with(mine).post("/revoke", form("stock", ""), "token", token).want(t, 200, "")
	if answer := i.with(mine).post("/introspect", form("stock", ""), "token", token).want(t, 200, "").json(t); answer["active"] != false {
		t.Errorf("after it was revoked, introspection says %v", answer)
	}
}

// RFC 8705 §3 with private_key_jwt, as FAPI 2.0 combines them.
func TestCertificateBoundTokens(t *testing.T) {
	t.Parallel()
	key, mine, theirs := newECKey(t), selfSigned(t), selfSigned(t)
	i := startTLS(t, ", client_auth: request", fmt.Sprintf(`
  - id: bank
    profile: fapi2
    auth_method: private_key_jwt
    jwks: %s
    mtls_bound: true
    redirect_uris: [https://bank.example.com/callback]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, offline_access, orders:read]
    resources: [https://api.example.com]
    id_token_alg: ES256
    first_party: true
`, jwkSet(t, "1", oauth.ES256, key.Public())), nil)
	bank := func(r *http.Request, v url.Values) {
		asserting(t, "bank", "https://id.example.com", key, i.clock.Now())(r, v)
	}
	const back = "https://bank.example.com/callback"
	asked := readOrders("bank", back)
	asked.resources = nil
	code := i.code(asked)
	i.with(nil).redeem(bank, code, back).want(t, 400, oauth.InvalidRequest) // and nothing is spent
	r := i.with(mine).redeem(bank, code, back).want(t, 200, "")
	token, refresh := r.str(t, "access_token"), r.str(t, "refresh_token")

	i.with(mine).get("/userinfo", token).want(t, 200, "")
	for name, cert := range map[string]*tls.Certificate{"none": nil, "another": theirs} {
		r := i.with(cert).get("/userinfo", token)
		if r.status != 401 || r.str(t, "error") != string(oauth.InvalidToken) || r.header.Get("WWW-Authenticate") == "" {
			t.Errorf("userinfo with %s: %d %s", name, r.status, r.body)
		}
	}
	answer := i.with(nil).post("/introspect", bank, "token", token).want(t, 200, "").json(t)
	cnf, _ := answer["cnf"].(map[string]any)
	if cnf["x5t#S256"] != mtls.Thumbprint(mine.Leaf) {
		t.Errorf("introspection says %v", answer)
	}
	// A confidential client's refresh token is bound by how the client authenticates: it may
	// come with a new certificate.
	i.with(nil).refresh(bank, refresh).want(t, 400, oauth.InvalidRequest)
	again := i.with(theirs).refresh(bank, refresh).want(t, 200, "")
	i.with(theirs).get("/userinfo", again.str(t, "access_token")).want(t, 200, "")
	i.with(mine).get("/userinfo", again.str(t, "access_token")).want(t, 401, oauth.InvalidToken)
}

// RFC 8705 §4: a public client's refresh token is bound to its certificate (case 17).
func TestPublicClientsRefreshTokenIsBound(t *testing.T) {
	t.Parallel()
	mine, theirs := selfSigned(t), selfSigned(t)
	i := startTLS(t, ", client_auth: request", `
  - id: meter
    auth_method: none
    mtls_bound: true
    redirect_uris: [https://meter.example.com/callback]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, offline_access, orders:read]
    resources: [https://api.example.com]
    first_party: true
`, nil)
	const back = "https://meter.example.com/callback"
	meter := form("meter", "")
	r := i.with(mine).redeem(meter, i.code(readOrders("meter", back)), back).want(t, 200, "")
	refresh := r.str(t, "refresh_token")
	i.with(theirs).refresh(meter, refresh).want(t, 400, oauth.InvalidGrant)
	i.with(nil).refresh(meter, refresh).want(t, 400, oauth.InvalidRequest)
	next := i.with(mine).refresh(meter, refresh).want(t, 200, "").str(t, "refresh_token")
	// A stranger with an old one is refused before it counts as a replay.
	i.with(theirs).refresh(meter, refresh).want(t, 400, oauth.InvalidGrant)
	third := i.with(mine).refresh(meter, next).want(t, 200, "").str(t, "refresh_token")
	i.with(theirs).refresh(meter, third).want(t, 400, oauth.InvalidGrant)
}

// Case 36: behind a proxy its header counts, and nobody else's.
func TestCertificateFromAProxy(t *testing.T) {
	t.Parallel()
	mine, ca := selfSigned(t), newAuthority(t, "Client CA")
	i := start(t)
	text := strings.Replace(testConfig, "issuer: http://localhost:8080", "issuer: https://id.example.com\nbehind_proxy: {trusted: [10.0.0.0/8], client_cert_header: X-Client-Cert}", 1)
	text = strings.Replace(text, "users:", fmt.Sprintf(`
  - id: self
    auth_method: self_signed_tls_client_auth
    jwks: %s
    mtls_bound: true
    grant_types: [client_credentials]
    scopes: [orders:read]
    resources: [https://api.example.com]
`, jwkSet(t, "1", oauth.ES256, mine.Leaf.PublicKey))+stockClient[1:]+"users:", 1)
	if err := i.Server.Close(); err != nil {
		t.Fatal(err)
	}
	i.open(text)
	ask := func(id, remote string, cert *x509.Certificate) reply {
		return i.post("/token", func(r *http.Request, v url.Values) {
			form(id, "")(r, v)
			r.RemoteAddr = remote
			r.Header.Set("X-Client-Cert", mtls.Header(cert))
			r.Header.Set("X-Forwarded-For", "10.0.0.1")
		}, "grant_type", "client_credentials")
	}
	const proxy, stranger = "10.0.0.1:4000", "192.0.2.1:4000"
	ask("self", proxy, mine.Leaf).want(t, 200, "")
	ask("self", stranger, mine.Leaf).want(t, 401, oauth.InvalidClient)
	ask("self", proxy, selfSigned(t).Leaf).want(t, 401, oauth.InvalidClient)
	// Who signed it the proxy has verified, unless we are told whom to trust.
	foreign := newAuthority(t, "Foreign CA")
	ask("stock", proxy, foreign.issue(nil).Leaf).want(t, 200, "")
	ask("stock", proxy, ca.issue(nil).Leaf).want(t, 200, "")
	ask("stock", stranger, ca.issue(nil).Leaf).want(t, 401, oauth.InvalidClient)
	ask("stock", proxy, selfSigned(t).Leaf).want(t, 401, oauth.InvalidClient)
	ask("stock", proxy, ca.issue(func(c *x509.Certificate) { c.NotAfter = testTime.AddDate(0, 0, -1) }).Leaf).want(t, 401, oauth.InvalidClient)
	if !strings.Contains(i.log.String(), "tls_client_auth rests on it") {
		t.Error("the operator is not told what the proxy must do")
	}

	if err := os.WriteFile(filepath.Join(i.dir, "ca.pem"), certPEM(ca.cert), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := i.Server.Close(); err != nil {
		t.Fatal(err)
	}
	i.open(strings.Replace(text, "client_cert_header: X-Client-Cert", "client_cert_header: X-Client-Cert, client_ca: file:ca.pem", 1))
	ask("stock", proxy, ca.issue(nil).Leaf).want(t, 200, "")
	ask("stock", proxy, foreign.issue(nil).Leaf).want(t, 401, oauth.InvalidClient)
}

// What isn't configured is absent from the metadata (RFC 8705 §3.3 and §5).
func TestMetadataOfCertificates(t *testing.T) {
	t.Parallel()
	read := func(i *issuer) map[string]any {
		return i.do(httptest.NewRequest(http.MethodGet, "/.well-known/openid-configuration", nil)).json(t)
	}
	plain, with := read(start(t)), read(startTLS(t, ", client_auth: request", "", nil).issuer)
	for _, name := range []string{"mtls_endpoint_aliases", "tls_client_certificate_bound_access_tokens"} {
		if plain[name] != nil || with[name] == nil {
			t.Errorf("%s is %v without certificates, and %v with them", name, plain[name], with[name])
		}
	}
	methods := fmt.Sprint(with["token_endpoint_auth_methods_supported"])
	if want := "[client_secret_basic client_secret_post private_key_jwt tls_client_auth self_signed_tls_client_auth none]"; methods != want {
		t.Errorf("methods are %s", methods)
	}
	if methods := fmt.Sprint(plain["token_endpoint_auth_methods_supported"]); methods != "[client_secret_basic client_secret_post private_key_jwt none]" {
		t.Errorf("without certificates methods are %s", methods)
	}
	aliases, _ := with["mtls_endpoint_aliases"].(map[string]any)
	for name, value := range aliases {
		if with[name] != value {
			t.Errorf("the alias of %s is %v, and it is %v", name, value, with[name])
		}
	}
}
