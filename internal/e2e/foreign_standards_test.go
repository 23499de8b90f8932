//go:build e2e

package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// private is a client's key as JSON.
func (s signer) private() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.key, KeyID: s.kid, Algorithm: string(s.alg)}
}

// features are the standards that openid-client and oauth4webapi go through; what a client
// needs for each stands in foreignConfig.
const foreignConfig = `
  - id: keyed
    auth_method: private_key_jwt
    jwks: JWKS
    redirect_uris: [https://keyed.example.com/callback]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, profile, offline_access]
  - id: bank
    profile: fapi2-message-signing
    auth_method: private_key_jwt
    jwks: JWKS
    redirect_uris: [https://bank.example.com/callback]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, offline_access]
    id_token_alg: PS256
    dpop_bound: true
  - id: app
    auth_method: none
    redirect_uris: ["http://127.0.0.1/callback"]
    grant_types: [authorization_code, refresh_token, "urn:ietf:params:oauth:grant-type:device_code"]
    scopes: [openid, offline_access]
  - id: certified
    auth_method: tls_client_auth
    tls_client_auth_subject_dn: CN=certified
    redirect_uris: [https://certified.example.com/callback]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid]
    mtls_bound: true
  - id: fronted
    auth_method: client_secret_basic
    secret: env:SHOP_SECRET
    redirect_uris: [https://fronted.example.com/callback]
    grant_types: [authorization_code]
    response_types: [code, id_token, code id_token]
    scopes: [openid, profile]
`

// foreignFeature runs one feature of standards.mjs.
func foreignFeature(t *testing.T, task map[string]any) {
	t.Helper()
	t.Parallel()
	if err := fetchClient(); err != nil {
		t.Fatal(err)
	}
	key := newSigner(jose.PS256, "k1")
	authority := newClientAuthority(t)
	certificate := issue(t, &authority, pkix.Name{CommonName: "certified"})
	i := start(t, secure, func(i *issuer, config *string) {
		doc, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.public()}})
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(foreignConfig, "JWKS", string(doc))
		*config = strings.Replace(*config, "\nusers:", text+"users:", 1)
		*config = strings.Replace(*config, "key: file:key.pem}", "key: file:key.pem, client_ca: file:clients.pem}", 1)
		i.write("clients.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.cert.Raw})))
	})
	todo := map[string]any{
		"issuer": i.url, "jwk": key.private(), "redirect": fmt.Sprintf("https://%s.example.com/callback", task["id"]), "scope": "openid",
	}
	if task["method"] == "tls_client_auth" {
		todo["cert"], todo["certKey"] = pems(t, certificate)
	}
	maps.Copy(todo, task)
	i.runScript(t, "standards.mjs", i.ada(), todo)
}

func pems(t *testing.T, c tls.Certificate) (cert, key string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return block("CERTIFICATE", c.Certificate[0]), block("PRIVATE KEY", der)
}

func TestForeignPAR(t *testing.T) {
	foreignFeature(t, map[string]any{"flow": "par", "id": "keyed", "method": "private_key_jwt"})
}

func TestForeignJAR(t *testing.T) {
	foreignFeature(t, map[string]any{"flow": "jar", "id": "keyed", "method": "private_key_jwt"})
}

func TestForeignJARM(t *testing.T) {
	foreignFeature(t, map[string]any{"flow": "jarm", "id": "keyed", "method": "private_key_jwt"})
}

func TestForeignMessageSigning(t *testing.T) {
	foreignFeature(t, map[string]any{
		"flow": "fapi", "id": "bank", "method": "private_key_jwt", "scope": "openid offline_access",
		"metadata": map[string]any{"id_token_signed_response_alg": "PS256", "authorization_signed_response_alg": "PS256"},
	})
}

func TestForeignDPoP(t *testing.T) {
	foreignFeature(t, map[string]any{"flow": "dpop", "id": "app", "method": "none", "redirect": "http://127.0.0.1:4711/callback", "scope": "openid offline_access"})
}

func TestForeignMTLS(t *testing.T) {
	foreignFeature(t, map[string]any{"flow": "mtls", "id": "certified", "method": "tls_client_auth"})
}

func TestForeignHybrid(t *testing.T) {
	foreignFeature(t, map[string]any{"flow": "hybrid", "id": "fronted", "method": "client_secret_basic", "secret": shopSecret})
}

func TestForeignImplicit(t *testing.T) {
	foreignFeature(t, map[string]any{"flow": "implicit", "id": "fronted", "method": "client_secret_basic", "secret": shopSecret, "scope": "openid profile"})
}

func TestForeignDevice(t *testing.T) {
	foreignFeature(t, map[string]any{"flow": "device", "id": "app", "method": "none"})
}

// TestForeignWebAPI goes the way of FAPI 2.0 with oauth4webapi, which openid-client stands on.
func TestForeignWebAPI(t *testing.T) {
	foreignFeature(t, map[string]any{"flow": "webapi", "id": "keyed", "method": "private_key_jwt"})
}
