package server

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/jwks"
	"github.com/jeton-auth/jeton/oauth/mtls"
)

// discoveryIssuer is where the issuer of these tests is; a proxy at httptest's address
// passes clients' certificates on.
const (
	discoveryIssuer = "https://id.example.com"
	certHeader      = "X-Client-Cert"
)

// clientKeys are the keys of every client that has some, by algorithm.
var clientKeys = sync.OnceValue(func() map[oauth.Alg]crypto.Signer {
	keys := map[oauth.Alg]crypto.Signer{}
	must := func(k crypto.Signer, err error) crypto.Signer {
		if err != nil {
			panic(err)
		}
		return k
	}
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	keys[oauth.RS256], keys[oauth.PS256] = rsaKey, rsaKey
	keys[oauth.ES256] = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	keys[oauth.ES384] = must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	keys[oauth.EdDSA] = must(ed, err)
	return keys
})

// clientCert is the certificate of every client that shows one, by the key of ES256,
// signed by an authority.
var clientCert = sync.OnceValue(func() *x509.Certificate {
	key, authority := clientKeys()[oauth.ES256], clientKeys()[oauth.ES384]
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "client"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(2e9, 0),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, ca, key.Public(), authority)
	if err == nil {
		c, err = x509.ParseCertificate(der)
	}
	if err != nil {
		panic(err)
	}
	return c
})

// clientJWKS is the JWK Set of these keys.
var clientJWKS = sync.OnceValue(func() string {
	var set []jwks.Key
	for alg, key := range clientKeys() {
		k, err := jwks.New("key-"+string(alg), alg, key.Public())
		if err != nil {
			panic(err)
		}
		set = append(set, k)
	}
	doc, err := jwks.NewSet(set...)
	if err != nil {
		panic(err)
	}
	text, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return string(text)
})

// sign makes a compact JWS by a client's key.
func sign(t testing.TB, alg oauth.Alg, header map[string]any, claims map[string]any) string {
	t.Helper()
	o := (&jose.SignerOptions{}).WithHeader("kid", "key-"+string(alg))
	for name, v := range header {
		o = o.WithHeader(jose.HeaderKey(name), v)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: clientKeys()[alg]}, o)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

var unique struct {
	sync.Mutex
	n int
}

// once is a new text at each call.
func once() string {
	unique.Lock()
	defer unique.Unlock()
	unique.n++
	return fmt.Sprintf("once-%022d", unique.n)
}

// party is a client of these tests.
type party struct {
	spec.Client
	secret string
	// alg signs what the client signs.
	alg oauth.Alg
}

// by is the party signing by another algorithm.
func (c party) by(alg oauth.Alg) party { c.alg = alg; return c }

// as authenticates the party by the method that it registered.
func (p *probe) as(c party) caller {
	return func(r *http.Request, v url.Values) {
		if c.Certificates() {
			r.Header.Set(certHeader, mtls.Header(clientCert()))
		}
		switch c.AuthMethod {
		case oauth.ClientSecretBasic:
			basic(c.ID, c.secret)(r, v)
		case oauth.ClientSecretPost:
			form(c.ID, c.secret)(r, v)
		case oauth.PrivateKeyJWT:
			now := p.clock.Now().Unix()
			v.Set("client_assertion_type", oauth.AssertionJWTBearer)
			v.Set("client_assertion", sign(p.t, c.alg, nil, map[string]any{
				"iss": c.ID, "sub": c.ID, "aud": discoveryIssuer, "jti": once(), "iat": now, "exp": now + 60,
			}))
		default:
			v.Set("client_id", c.ID)
		}
	}
}

// proof is a DPoP proof (RFC 9449 §4.2) by a key for alg; token may be empty.
func (p *probe) proof(alg oauth.Alg, method, path, token, nonce string) string {
	p.t.Helper()
	claims := map[string]any{"jti": once(), "htm": method, "htu": discoveryIssuer + path, "iat": p.clock.Now().Unix()}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		claims["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	key := jose.JSONWebKey{Key: clientKeys()[alg].Public()}
	jwk, err := key.MarshalJSON()
	if err != nil {
		p.t.Fatal(err)
	}
	return sign(p.t, alg, map[string]any{"typ": "dpop+jwt", "jwk": json.RawMessage(jwk)}, claims)
}

// send calls an endpoint as the client: with a DPoP proof if its tokens are bound to a
// key, by the nonce that the server asks for.
func (p *probe) send(c party, path string, values ...string) reply {
	p.t.Helper()
	as := p.as(c)
	if !c.DPoPBound || path != "/token" {
		return p.post(path, as, values...)
	}
	bound := func(nonce string) caller {
		return func(r *http.Request, v url.Values) {
			as(r, v)
			r.Header.Set("DPoP", p.proof(c.alg, http.MethodPost, path, "", nonce))
		}
	}
	r := p.post(path, bound(""), values...)
	if nonce := r.header.Get("DPoP-Nonce"); r.status == http.StatusBadRequest && strings.Contains(string(r.body), "use_dpop_nonce") {
		r = p.post(path, bound(nonce), values...)
	}
	return r
}
