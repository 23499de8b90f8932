package server

import (
	"crypto/ecdsa"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/dpop"
)

const bankCallback = "https://bank.example.com/callback"

// bankConfig has a client that FAPI 2.0 knows, with the given line of its own.
func bankConfig(t testing.TB, key *ecdsa.PrivateKey, line string) string {
	return strings.Replace(testConfig, "users:\n", fmt.Sprintf(`  - id: bank
    profile: fapi2
    auth_method: private_key_jwt
    jwks: %s
    %s
    redirect_uris: [https://bank.example.com/callback]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, offline_access, orders:read]
    resources: [https://api.example.com]
    id_token_alg: ES256
    first_party: true
`, jwkSet(t, "1", oauth.ES256, key.Public()), line)+"users:\n", 1)
}

// fixed makes one credential and sends it each time.
func fixed(t testing.TB, as caller) caller {
	v := url.Values{}
	as(nil, v)
	return func(_ *http.Request, into url.Values) {
		t.Helper()
		for name, values := range v {
			into[name] = values
		}
	}
}

// Case 21, over HTTP: an assertion is good at every door, and once among all of them; what
// comes back for want of a DPoP nonce may come again with it.
func TestAssertionsOverHTTP(t *testing.T) {
	t.Parallel()
	key, p := newECKey(t), prover(t)
	i := start(t)
	if err := i.Server.Close(); err != nil {
		t.Fatal(err)
	}
	i.open("dpop: {require_nonce: true}\n" + bankConfig(t, key, "dpop_bound: true"))
	fresh := func() caller { return asserting(t, "bank", ownURL, key, i.clock.Now()) }
	once := func() caller { return fixed(t, fresh()) }

	as := once()
	push := []string{
		"response_type", "code", "redirect_uri", bankCallback, "scope", "openid", "state", "s", "code_challenge", s256(testVerifier), "code_challenge_method", "S256",
	}
	nonce := i.post("/par", i.by(p, as), push...).want(t, 400, oauth.UseDPoPNonce).header.Get(dpop.NonceHeader)
	proved := func(path string, as caller) caller {
		return showing(as, i.proof(p, func(c *dpop.Claims) { c.URL, c.Nonce = ownURL+path, nonce }))
	}
	i.post("/par", proved("/par", as), push...).want(t, 201, "")
	i.post("/par", proved("/par", as), push...).want(t, 401, oauth.InvalidClient)
	i.post("/introspect", as, "token", "x").want(t, 401, oauth.InvalidClient)

	as = once()
	code := i.code(readOrders("bank", bankCallback))
	i.redeem(i.by(p, as), code, bankCallback).want(t, 400, oauth.UseDPoPNonce)
	r := i.redeem(proved("/token", as), code, bankCallback).want(t, 200, "")
	if r.str(t, "token_type") != "DPoP" {
		t.Errorf("%s", r.body)
	}
	i.refresh(proved("/token", as), r.str(t, "refresh_token")).want(t, 401, oauth.InvalidClient)
	i.refresh(proved("/token", fresh()), r.str(t, "refresh_token")).want(t, 200, "")

	if answer := i.post("/introspect", fresh(), "token", r.str(t, "access_token")).want(t, 200, "").json(t); answer["active"] != true {
		t.Errorf("%v", answer)
	}
	i.post("/revoke", fresh(), "token", r.str(t, "access_token")).want(t, 200, "")
	i.post("/revoke", fixed(t, asserting(t, "bank", ownURL+"/token", key, i.clock.Now())), "token", "x").want(t, 401, oauth.InvalidClient)

	// Case 22: a client that is switched off gets nothing, whatever it can sign.
	if err := i.manager.DisableClient(t.Context(), audit.Origin{}, "bank", true); err != nil {
		t.Fatal(err)
	}
	i.refresh(proved("/token", fresh()), r.str(t, "refresh_token")).want(t, 401, oauth.InvalidClient)
	i.post("/introspect", fresh(), "token", "x").want(t, 401, oauth.InvalidClient)
}

// A client publishes its keys on a host of the operator's own network, under an authority of
// its own: reached where outbound allows it, and nowhere else (case 56).
func TestPublishedClientKeys(t *testing.T) {
	t.Parallel()
	key := newECKey(t)
	site := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/jwks" {
			http.Redirect(w, r, "/jwks", http.StatusFound)
			return
		}
		fmt.Fprint(w, jwkSet(t, "1", oauth.ES256, key.Public()))
	}))
	t.Cleanup(site.Close)
	i := start(t)
	if err := i.Server.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(i.dir, "ca.pem"), certPEM(site.Certificate()), 0o600); err != nil {
		t.Fatal(err)
	}
	client := func(id, path string) string {
		return fmt.Sprintf(`  - id: %s
    auth_method: private_key_jwt
    jwks_uri: %s%s
    grant_types: [client_credentials]
    scopes: [orders:read]
    resources: [https://api.example.com]
`, id, site.URL, path)
	}
	text := strings.Replace(testConfig, "users:\n", client("bank", "/jwks")+client("moved", "/old")+"users:\n", 1)
	ask := func(id string) reply {
		return i.post("/token", asserting(t, id, ownURL+"/token", key, i.clock.Now()), "grant_type", "client_credentials")
	}
	i.open(text)
	ask("bank").want(t, 401, oauth.InvalidClient)
	if log := i.log.String(); !strings.Contains(log, "outbound.allow") {
		t.Errorf("the operator is not told why: %s", log)
	}
	if err := i.Server.Close(); err != nil {
		t.Fatal(err)
	}
	i.open("outbound: {allow: [127.0.0.0/8], ca: file:ca.pem}\n" + text)
	ask("bank").want(t, 200, "")
	ask("moved").want(t, 401, oauth.InvalidClient)
}
