package e2e

import (
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
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/jeton-auth/jeton/oauth"
)

const mtlsConfig = `
  - id: vaultier
    profile: fapi2
    auth_method: tls_client_auth
    tls_client_auth_subject_dn: "CN=vaultier,O=Example,C=DE"
    redirect_uris: [https://vaultier.example.com/callback]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, offline_access]
    id_token_alg: PS256
    mtls_bound: true
  - id: selfmade
    profile: fapi2
    auth_method: self_signed_tls_client_auth
    jwks: SELFMADE
    redirect_uris: [https://selfmade.example.com/callback]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, offline_access]
    id_token_alg: PS256
    mtls_bound: true
  - id: mixed
    profile: fapi2
    auth_method: private_key_jwt
    jwks: MIXED
    redirect_uris: [https://mixed.example.com/callback]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, offline_access]
    id_token_alg: PS256
    mtls_bound: true
`

// clientAuthority signs the certificates of clients.
type clientAuthority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newClientAuthority(t testing.TB) clientAuthority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Authority of clients"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err1 := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	cert, err2 := x509.ParseCertificate(der)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return clientAuthority{cert, key}
}

// issue makes a client's certificate; a nil authority: it signs itself.
func issue(t testing.TB, by *clientAuthority, subject pkix.Name) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: subject, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	parent, signer := template, crypto.Signer(key)
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// showing is the issuer for a part of the test, whose requests show a certificate.
func (i *issuer) showing(t testing.TB, cert ...tls.Certificate) *issuer {
	part := i.in(t)
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: i.roots(), Certificates: cert}}
	t.Cleanup(transport.CloseIdleConnections)
	part.web = &http.Client{Transport: transport, Timeout: time.Minute, CheckRedirect: i.web.CheckRedirect}
	return part
}

// TestPlanFAPI2MTLS is the plan of the FAPI 2.0 Security Profile with certificates: to
// authenticate clients, and to bind tokens.
func TestPlanFAPI2MTLS(t *testing.T) {
	t.Parallel()
	authority := newClientAuthority(t)
	name := pkix.Name{CommonName: "vaultier", Organization: []string{"Example"}, Country: []string{"DE"}}
	good, stranger := issue(t, &authority, name), newClientAuthority(t)
	self, mixedKey := issue(t, nil, pkix.Name{CommonName: "selfmade"}), newSigner(jose.PS256, "m")
	i := start(t, secure, func(i *issuer, config *string) {
		set := func(k jose.JSONWebKey) string {
			doc, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{k}})
			if err != nil {
				t.Fatal(err)
			}
			return string(doc)
		}
		own := jose.JSONWebKey{Key: self.PrivateKey.(crypto.Signer).Public(), KeyID: "s", Algorithm: "ES256", Use: "sig"}
		text := strings.NewReplacer("SELFMADE", set(own), "MIXED", set(mixedKey.public())).Replace(mtlsConfig)
		*config = strings.Replace(*config, "\nusers:", text+"users:", 1)
		*config = strings.Replace(*config, "key: file:key.pem}", "key: file:key.pem, client_ca: file:clients.pem}", 1)
		i.write("clients.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.cert.Raw})))
	})
	asID := func(id string) caller { return func(_ *http.Request, v url.Values) { v.Set("client_id", id) } }
	for _, c := range []struct {
		id    string
		cert  tls.Certificate
		as    func(*bank, testing.TB) caller
		wrong map[string]tls.Certificate // certificates that don't authenticate
	}{
		{"vaultier", good, nil, map[string]tls.Certificate{
			"another authority": issue(t, &stranger, name),
			"another subject":   issue(t, &authority, pkix.Name{CommonName: "vaultier", Organization: []string{"Else"}, Country: []string{"DE"}}),
			"self-signed":       issue(t, nil, name),
		}},
		{"selfmade", self, nil, map[string]tls.Certificate{
			"another key":             issue(t, nil, pkix.Name{CommonName: "selfmade"}),
			"one that is another's":   good,
			"one from the authority ": issue(t, &authority, pkix.Name{CommonName: "selfmade"}),
		}},
		{"mixed", issue(t, nil, pkix.Name{CommonName: "any"}), (*bank).as, nil},
	} {
		t.Run(c.id, func(t *testing.T) {
			t.Parallel()
			b := &bank{issuer: i.showing(t, c.cert), id: c.id, redirect: "https://" + c.id + ".example.com/callback", key: mixedKey}
			as := func() caller {
				if c.as != nil {
					return c.as(b, t)
				}
				return asID(c.id)
			}
			r := b.asking()
			pairs := []string{}
			for name := range r.Values {
				if name != "client_id" || c.as != nil {
					pairs = append(pairs, name, r.Get(name))
				}
			}
			for what, cert := range c.wrong {
				i.showing(t, cert).post("/par", as(), pairs...).want(http.StatusUnauthorized, oauth.InvalidClient)
				t.Log("refused:", what)
			}
			if c.as == nil {
				i.in(t).post("/par", as(), pairs...).want(http.StatusUnauthorized, oauth.InvalidClient)
			}
			uri := b.post("/par", as(), pairs...).want(http.StatusCreated, "").str("request_uri")
			p := b.ada()
			code := p.through(b.open(p, uri)).answer(r).Get("code")
			if c.as != nil {
				// Without a certificate nothing binds the token.
				got := i.in(t).post("/token", as(), "grant_type", "authorization_code", "code", code, "redirect_uri", b.redirect, "code_verifier", r.verifier)
				if got.status != http.StatusBadRequest && got.status != http.StatusUnauthorized {
					t.Fatalf("without a certificate: %d %s", got.status, got.body)
				}
			}
			got := b.redeemCode(t, r, code, as()).want(http.StatusOK, "")
			if got.str("token_type") != "Bearer" || payload(t, got.access())["cnf"] == nil {
				t.Errorf("the answer is %s", got.body)
			}
			bearer := []string{"Authorization", "Bearer " + got.access()}
			b.get("/userinfo", bearer...).want(http.StatusOK, "")
			for name, other := range map[string]*issuer{"none": i.in(t), "another": i.showing(t, issue(t, nil, pkix.Name{CommonName: "else"}))} {
				if got := other.get("/userinfo", bearer...); got.status != http.StatusUnauthorized {
					t.Errorf("the bound token with %s certificate: %d", name, got.status)
				}
			}
			next := b.post("/token", as(), "grant_type", "refresh_token", "refresh_token", got.refresh()).want(http.StatusOK, "")
			b.get("/userinfo", "Authorization", "Bearer "+next.access()).want(http.StatusOK, "")
		})
	}
}
