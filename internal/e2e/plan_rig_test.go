package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/jeton-auth/jeton/internal/secret"
)

// The plan tests ask what the certification plans of the OpenID Foundation ask, each
// under the name that its module has there. They sign with go-jose and share no code
// with the server.

// signer is a private key of a client.
type signer struct {
	key crypto.Signer
	alg jose.SignatureAlgorithm
	kid string
}

func newSigner(alg jose.SignatureAlgorithm, kid string) signer {
	var key crypto.Signer
	var err error
	switch alg {
	case jose.PS256, jose.RS256:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		panic(err)
	}
	return signer{key, alg, kid}
}

func (s signer) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.key.Public(), KeyID: s.kid, Algorithm: string(s.alg), Use: "sig"}
}

// claims are what a JWT says; a nil value takes a claim away.
type claims map[string]any

func (c claims) but(over claims) claims {
	all := maps.Clone(c)
	for name, v := range over {
		if all[name] = v; v == nil {
			delete(all, name)
		}
	}
	return all
}

// jwt signs claims; header overrides the header's members.
func (s signer) jwt(t testing.TB, typ string, c claims, header ...claims) string {
	t.Helper()
	o := &jose.SignerOptions{}
	if s.kid != "" {
		o.WithHeader("kid", s.kid)
	}
	if typ != "" {
		o.WithType(jose.ContentType(typ))
	}
	for _, h := range header {
		for name, v := range h {
			o.WithHeader(jose.HeaderKey(name), v)
		}
	}
	return s.sign(t, o, c)
}

func (s signer) sign(t testing.TB, o *jose.SignerOptions, c claims) string {
	t.Helper()
	made, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: s.key}, o)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := made.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// unsigned is a JWT with the algorithm none.
func unsigned(t testing.TB, c claims) string {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return raw(`{"alg":"none"}`) + "." + base64.RawURLEncoding.EncodeToString(text) + "."
}

// proof is a DPoP proof for a request; over changes its claims.
func (s signer) proof(t testing.TB, method, address, token string, over claims, header ...claims) string {
	t.Helper()
	jwk := s.public()
	jwk.KeyID, jwk.Use = "", ""
	c := claims{"jti": secret.ID(), "htm": method, "htu": address, "iat": time.Now().Unix()}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		c["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	h := claims{"jwk": jwk, "typ": "dpop+jwt"}
	for _, more := range header {
		h = h.but(more)
	}
	o := &jose.SignerOptions{}
	for name, v := range h {
		if v != "" {
			o.WithHeader(jose.HeaderKey(name), v)
		}
	}
	return s.sign(t, o, c.but(over))
}

// bank is a client of the FAPI profiles: it has an assertion key, and a DPoP key.
type bank struct {
	*issuer
	id, redirect string
	key, dpop    signer
	signs        bool // its requests
}

// bankKeys are made once: RSA keys take their time.
var bankKeys = sync.OnceValue(func() []signer {
	var all []signer
	for _, kid := range []string{"one", "two", "three"} {
		all = append(all, newSigner(jose.PS256, kid))
	}
	return all
})

const bankConfig = `
  - id: NAME
    profile: PROFILE
    auth_method: private_key_jwt
    jwks: JWKS
    redirect_uris: [https://NAME.example.com/callback]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, profile, email, offline_access, orders:read]
    resources: [https://api.example.com]
    id_token_alg: PS256
    dpop_bound: true
`

// withBanks adds clients: name, profile, name, profile …
func withBanks(pairs ...string) option {
	return func(i *issuer, config *string) {
		text := ""
		for n := 0; n < len(pairs); n += 2 {
			doc, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{bankKeys()[n/2].public()}})
			if err != nil {
				i.t.Fatal(err)
			}
			text += strings.NewReplacer("NAME", pairs[n], "PROFILE", pairs[n+1], "JWKS", string(doc)).Replace(bankConfig)
		}
		*config = strings.Replace(*config, "\nusers:", text+"users:", 1)
	}
}

// in is the issuer for a part of the test.
func (i *issuer) in(t testing.TB) *issuer {
	part := *i
	part.t = t
	return &part
}

func (i *issuer) bank(id string, n int) *bank {
	return &bank{i, id, "https://" + id + ".example.com/callback", bankKeys()[n], newSigner(jose.ES256, ""), false}
}

func (b *bank) assertion() claims {
	now := time.Now().Unix()
	return claims{"iss": b.id, "sub": b.id, "aud": b.url, "jti": secret.ID(), "iat": now, "exp": now + 60}
}

// asserting authenticates by an assertion.
func asserting(assertion string) caller {
	return func(_ *http.Request, v url.Values) {
		v.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		v.Set("client_assertion", assertion)
	}
}

// proving adds a DPoP proof to a caller.
func proving(as caller, proof string) caller {
	return func(r *http.Request, v url.Values) {
		as(r, v)
		r.Header.Add("DPoP", proof)
	}
}

func (b *bank) as(t testing.TB) caller { return asserting(b.key.jwt(t, "JWT", b.assertion())) }

// asking makes the parameters of an authorization request.
func (b *bank) asking(more ...string) request {
	return app{b.id, b.redirect, nil}.asking("openid offline_access", more...)
}

// object is a request object of the request.
func (b *bank) object(r request, over claims) claims {
	now := time.Now().Unix()
	c := claims{"iss": b.id, "aud": b.url, "iat": now, "nbf": now, "exp": now + 300}
	for name := range r.Values {
		c[name] = r.Get(name)
	}
	return c.but(over)
}

// push sends an authorization request ahead.
func (b *bank) push(t testing.TB, r request, more ...string) reply {
	t.Helper()
	pairs := []string{}
	if b.signs {
		pairs = append(pairs, "request", b.key.jwt(t, "oauth-authz-req+jwt", b.object(r, nil)))
	} else {
		for name := range r.Values {
			pairs = append(pairs, name, r.Get(name))
		}
	}
	return b.post("/par", b.as(t), append(pairs, more...)...)
}

// open takes a pushed request to the authorization endpoint.
func (b *bank) open(p *person, requestURI string) page {
	return p.get(b.url + "/authorize?" + values("client_id", b.id, "request_uri", requestURI).Encode())
}

// code goes through the pages for a request.
func (b *bank) code(t testing.TB, r request) string {
	t.Helper()
	p := b.ada()
	on := p.through(b.open(p, b.push(t, r).want(http.StatusCreated, "").str("request_uri")))
	q := on.answer(r)
	if q.Get("iss") != b.url || q.Get("code") == "" {
		t.Fatalf("the answer is %s", on.at)
	}
	return q.Get("code")
}

// redeemCode exchanges a code with a proof.
func (b *bank) redeemCode(t testing.TB, r request, code string, as caller) reply {
	t.Helper()
	return b.post("/token", as, "grant_type", "authorization_code", "code", code, "redirect_uri", b.redirect, "code_verifier", r.verifier)
}

func (b *bank) tokenProof(t testing.TB) string {
	return b.dpop.proof(t, "POST", b.url+"/token", "", nil)
}

// userinfo asks with the headers given.
func (b *bank) userinfo(authorization string, proofs ...string) reply {
	header := []string{"Authorization", authorization}
	for _, p := range proofs {
		header = append(header, "DPoP", p)
	}
	return b.get("/userinfo", header...)
}
