package authorize

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/jeton-auth/jeton/internal/clientkeys"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/jwks"
)

// clientKeys are the private keys of the clients that sign, by algorithm, and strange one
// that no client registered.
var clientKeys = sync.OnceValue(func() map[oauth.Alg]crypto.Signer {
	must := func(k crypto.Signer, err error) crypto.Signer {
		if err != nil {
			panic(err)
		}
		return k
	}
	generate := func(c elliptic.Curve) crypto.Signer {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		return must(k, err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	big, err := rsa.GenerateKey(rand.Reader, 2048)
	other, oerr := rsa.GenerateKey(rand.Reader, 2048)
	return map[oauth.Alg]crypto.Signer{
		oauth.ES256: generate(elliptic.P256()), oauth.ES384: generate(elliptic.P384()), oauth.EdDSA: ed,
		oauth.RS256: must(big, err), oauth.PS256: must(other, oerr), strange: generate(elliptic.P256()),
	}
})

const strange oauth.Alg = "strange"

func publicKeys(t testing.TB) spec.JWKS {
	t.Helper()
	var all []jwks.Key
	for _, alg := range []oauth.Alg{oauth.ES256, oauth.ES384, oauth.EdDSA, oauth.RS256, oauth.PS256} {
		k, err := jwks.New("kid-"+string(alg), alg, clientKeys()[alg].Public())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, k)
	}
	set, err := jwks.NewSet(all...)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return spec.JWKS(doc)
}

// sign makes a request object as a client does.
func sign(t testing.TB, alg oauth.Alg, typ string, payload []byte) string {
	t.Helper()
	return signBy(t, clientKeys()[alg], alg, typ, payload)
}

func signBy(t testing.TB, key crypto.Signer, alg oauth.Alg, typ string, payload []byte) string {
	t.Helper()
	o := (&jose.SignerOptions{}).WithHeader("kid", "kid-"+string(alg))
	if typ != "" {
		o = o.WithHeader(jose.HeaderType, typ)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: key}, o)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// claims are what a request object of a client says, changed by pairs; nil leaves a
// member out.
func (f *fixture) claims(client string, pairs ...any) []byte {
	f.t.Helper()
	now := f.clock.Now().Unix()
	c := map[string]any{
		"iss": client, "aud": issuer, "nbf": now, "exp": now + 300, "client_id": client, "response_type": "code",
		"redirect_uri": callback, "scope": "openid", "state": "inside", "nonce": "n-inside",
		"code_challenge": challenge, "code_challenge_method": "S256",
	}
	for i := 0; i < len(pairs); i += 2 {
		name := pairs[i].(string)
		if c[name] = pairs[i+1]; pairs[i+1] == nil {
			delete(c, name)
		}
	}
	b, err := json.Marshal(c)
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

// object is a good request object of a client, but for the pairs.
func (f *fixture) object(client string, pairs ...any) string {
	f.t.Helper()
	return sign(f.t, oauth.ES256, oauth.TypRequestObject, f.claims(client, pairs...))
}

// openSigning is open, with clients that sign their requests, or are to.
func openSigning(t testing.TB) *fixture {
	t.Helper()
	f := open(t)
	f.Signed = clientkeys.New(nil, f.clock)
	base := spec.Client{
		AuthMethod: oauth.ClientSecretBasic, RedirectURIs: []string{callback}, JWKS: publicKeys(t),
		GrantTypes: []oauth.GrantType{oauth.AuthorizationCode, oauth.RefreshToken},
		Scopes:     []string{"openid", "email", "offline_access", "orders:read", "vault:open"}, Resources: []string{orders, vault},
		FirstParty: true, AuthorizationDetailsTypes: []string{"account"},
	}
	f.client("signer", base, func(*store.Client) {})
	f.client("bank", base, func(c *store.Client) {
		c.Profile, c.RequirePAR = spec.ProfileFAPI2, true
	})
	f.client("strict", base, func(c *store.Client) {
		c.Profile, c.RequirePAR, c.RequireSignedRequest = spec.ProfileFAPI2Signing, true, true
	})
	return f
}
