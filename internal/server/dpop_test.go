package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/dpop"
)

const ownURL = "http://localhost:8080"

const boundClients = `  - id: bound
    auth_method: client_secret_basic
    secret: env:OTHER
    redirect_uris: [https://bound.example.com/callback]
    grant_types: [authorization_code, refresh_token, client_credentials]
    scopes: [openid, offline_access, orders:read, vault:open, jeton:feed]
    resources: [https://api.example.com, https://vault.example.com, http://localhost:8080/revocations]
    first_party: true
    dpop_bound: true
`

var boundConfig = strings.Replace(testConfig, "users:\n", boundClients+"users:\n", 1)

var bound = basic("bound", otherSecret)

const boundCallback = "https://bound.example.com/callback"

// startBound has a client whose every token must be bound.
func startBound(t testing.TB) *issuer {
	t.Helper()
	i := start(t)
	if err := i.manager.Apply(t.Context(), parseConfig(t, boundConfig, i.dir, i.kek)); err != nil {
		t.Fatal(err)
	}
	return i
}

func prover(t testing.TB) *dpop.Prover {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p, err := dpop.NewProver(key, oauth.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// proof makes one, by default for the token endpoint and now.
func (i *issuer) proof(p *dpop.Prover, change func(*dpop.Claims)) string {
	i.t.Helper()
	c := dpop.Claims{Method: http.MethodPost, URL: ownURL + "/token", Now: i.clock.Now()}
	if change != nil {
		change(&c)
	}
	text, err := p.Proof(c)
	if err != nil {
		i.t.Fatal(err)
	}
	return text
}

// showing sends the given proofs along.
func showing(as caller, proofs ...string) caller {
	return func(r *http.Request, v url.Values) {
		as(r, v)
		r.Header[http.CanonicalHeaderKey(dpop.Header)] = proofs
	}
}

// by sends a good proof along.
func (i *issuer) by(p *dpop.Prover, as caller) caller {
	return func(r *http.Request, v url.Values) {
		showing(as, i.proof(p, func(c *dpop.Claims) { c.URL = ownURL + r.URL.Path }))(r, v)
	}
}

// ask reads userinfo with a token under a scheme.
func (i *issuer) ask(scheme, token string, proofs ...string) reply {
	r := httptest.NewRequest(http.MethodGet, "/userinfo", nil)
	r.Header.Set("Authorization", scheme+" "+token)
	if len(proofs) > 0 {
		r.Header[http.CanonicalHeaderKey(dpop.Header)] = proofs
	}
	return i.do(r)
}

func (i *issuer) askProof(p *dpop.Prover, token string, change func(*dpop.Claims)) string {
	return i.proof(p, func(c *dpop.Claims) {
		c.Method, c.URL, c.Token = http.MethodGet, ownURL+"/userinfo", token
		if change != nil {
			change(c)
		}
	})
}

func cnf(claims map[string]any) any {
	m, _ := claims["cnf"].(map[string]any)
	return m["jkt"]
}

// RFC 9449 §5 and §6: tokens of every grant type are bound to the key of the proof, and
// say so wherever they are asked about.
func TestDPoPTokens(t *testing.T) {
	t.Parallel()
	i := startBound(t)
	p := prover(t)
	ask := readOrders("bound", boundCallback)
	r := i.redeem(i.by(p, bound), i.code(ask), boundCallback).want(t, 200, "")
	refreshed := i.refresh(i.by(p, bound), r.str(t, "refresh_token")).want(t, 200, "")
	own := i.post("/token", i.by(p, bound), "grant_type", "client_credentials", "scope", "orders:read").want(t, 200, "")
	for name, r := range map[string]reply{"code": r, "refresh": refreshed, "client_credentials": own} {
		token := r.str(t, "access_token")
		if r.str(t, "token_type") != "DPoP" || cnf(payload(t, token)) != p.JKT() || r.header.Get(dpop.NonceHeader) == "" {
			t.Errorf("%s: %s %v", name, r.body, payload(t, token))
		}
		told := i.post("/introspect", asAPI, "token", token).want(t, 200, "").json(t)
		if told["token_type"] != "DPoP" || cnf(told) != p.JKT() || told["active"] != true {
			t.Errorf("%s: introspection %v", name, told)
		}
	}
	sealed := i.post("/token", i.by(p, bound), "grant_type", "client_credentials", "scope", "vault:open").want(t, 200, "")
	if told := i.post("/introspect", basic(vaultAPI, vaultSecret), "token", sealed.str(t, "access_token")).json(t); told["token_type"] != "DPoP" || cnf(told) != p.JKT() {
		t.Errorf("opaque: %v", told)
	}
	// Who need not be bound is, if a proof came along, and bearer otherwise.
	if r := i.redeem(i.by(p, shop), i.code(readOrders("shop-web", callback)), callback).want(t, 200, ""); r.str(t, "token_type") != "DPoP" {
		t.Errorf("%s", r.body)
	}
	if r := i.login(); r.str(t, "token_type") != "Bearer" || payload(t, r.str(t, "access_token"))["cnf"] != nil || r.header.Get(dpop.NonceHeader) != "" {
		t.Errorf("%s", r.body)
	}
}

// Case 35 at the token endpoint. No failed check spends the code.
func TestDPoPProofs(t *testing.T) {
	t.Parallel()
	i := startBound(t)
	p := prover(t)
	code := i.code(readOrders("bound", boundCallback))
	unix := func(d time.Duration) func(*dpop.Claims) {
		return func(c *dpop.Claims) { c.Now = c.Now.Add(d) }
	}
	used := i.proof(p, nil)
	i.post("/token", showing(bound, used), "grant_type", "client_credentials", "scope", "orders:read").want(t, 200, "")
	for name, c := range map[string]struct {
		proofs []string
		want   oauth.ErrorCode
	}{
		"none":            {nil, oauth.InvalidDPoPProof},
		"empty":           {[]string{""}, oauth.InvalidDPoPProof},
		"two":             {[]string{i.proof(p, nil), i.proof(p, nil)}, oauth.InvalidDPoPProof},
		"no proof at all": {[]string{"x.y.z"}, oauth.InvalidDPoPProof},
		"another method":  {[]string{i.proof(p, func(c *dpop.Claims) { c.Method = "GET" })}, oauth.InvalidDPoPProof},
		"another address": {[]string{i.proof(p, func(c *dpop.Claims) { c.URL = ownURL + "/par" })}, oauth.InvalidDPoPProof},
		"another issuer":  {[]string{i.proof(p, func(c *dpop.Claims) { c.URL = "https://example.com/token" })}, oauth.InvalidDPoPProof},
		"an hour ago":     {[]string{i.proof(p, unix(-time.Hour))}, oauth.InvalidDPoPProof},
		"61 s ago":        {[]string{i.proof(p, unix(-61*time.Second))}, oauth.InvalidDPoPProof},
		"61 s ahead":      {[]string{i.proof(p, unix(61*time.Second))}, oauth.InvalidDPoPProof},
		"used before":     {[]string{used}, oauth.InvalidDPoPProof},
		"a foreign nonce": {[]string{i.proof(p, func(c *dpop.Claims) { c.Nonce = "foreign" })}, oauth.UseDPoPNonce},
	} {
		r := i.redeem(showing(bound, c.proofs...), code, boundCallback)
		if r.status != 400 || r.str(t, "error") != string(c.want) || r.header.Get(dpop.NonceHeader) == "" || r.str(t, "error_description") == "" {
			t.Errorf("%s: %d %s %v", name, r.status, r.body, r.header)
		}
	}
	ahead := i.proof(p, unix(10*time.Second))
	i.redeem(showing(bound, ahead), code, boundCallback).want(t, 200, "")
}

// Case 35: a proof is taken once, across a restart too, and by each key its own.
func TestDPoPOnce(t *testing.T) {
	t.Parallel()
	i := startBound(t)
	p, other := prover(t), prover(t)
	grant := []string{"grant_type", "client_credentials", "scope", "orders:read"}
	proof := i.proof(p, nil)
	i.post("/token", showing(bound, proof), grant...).want(t, 200, "")
	i.post("/token", showing(bound, proof), grant...).want(t, 400, oauth.InvalidDPoPProof)
	i.post("/token", showing(robot, proof), grant...).want(t, 400, oauth.InvalidDPoPProof)
	if err := i.Server.Close(); err != nil {
		t.Fatal(err)
	}
	i.open(boundConfig)
	i.post("/token", showing(bound, proof), grant...).want(t, 400, oauth.InvalidDPoPProof)
	i.post("/token", showing(bound, i.proof(other, nil)), grant...).want(t, 200, "")
	// When it is too old for anybody, it need not be remembered.
	i.clock.Advance(dpop.MaxAge + time.Minute)
	err := i.store.Write(t.Context(), func(tx *store.Tx) error {
		if n, err := tx.PurgeReplays(100); err != nil || n != 2 {
			t.Errorf("%d were forgotten, %v", n, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	i.post("/token", showing(bound, proof), grant...).want(t, 400, oauth.InvalidDPoPProof)
	// Many at once: one of them is taken.
	fresh := i.proof(p, nil)
	results := make(chan int, 16)
	for range cap(results) {
		go func() { results <- i.post("/token", showing(bound, fresh), grant...).status }()
	}
	taken := 0
	for range cap(results) {
		if <-results == 200 {
			taken++
		}
	}
	if taken != 1 {
		t.Errorf("%d of many requests with one proof were answered", taken)
	}
}

// RFC 9449 §10: a code that was asked for with a key is worth nothing without it, and is
// not spent by who has it.
func TestDPoPCode(t *testing.T) {
	t.Parallel()
	i := startBound(t)
	p, thief := prover(t), prover(t)
	for client, as := range map[string]caller{"bound": bound, "phone": phone} {
		to := map[string]string{"bound": boundCallback, "phone": "http://127.0.0.1/callback"}[client]
		code := i.boundCode(client, to, p.JKT())
		i.redeem(i.by(thief, as), code, to).want(t, 400, oauth.InvalidGrant)
		if client == "phone" {
			i.redeem(as, code, to).want(t, 400, oauth.InvalidGrant)
		}
		i.redeem(i.by(p, as), code, to).want(t, 200, "")
	}
}

// boundCode is a code that is bound to a key.
func (i *issuer) boundCode(client, redirect, jkt string) (code string) {
	i.t.Helper()
	a := readOrders(client, redirect)
	c, _ := i.manager.Directory.Client(client)
	subject := i.ada().ID
	err := i.audit.Write(i.t.Context(), func(tx *store.Tx) (e audit.Event, err error) {
		code, err = i.manager.Grants.Create(tx, &store.Grant{
			Client: client, Subject: subject, Rev: i.revoked.Head(), AbsoluteAt: tx.Now().Add(c.RefreshToken.Absolute.Std()),
			Code:    &store.CodeDetails{RedirectURI: redirect, RedirectURISent: true, Challenge: a.challenge, JKT: jkt},
			Details: store.GrantDetails{Scopes: a.scopes, Resources: a.resources, AuthTime: tx.Now()},
		})
		return audit.Event{Type: audit.GrantCreated, Subject: subject}, err
	})
	if err != nil {
		i.t.Fatal(err)
	}
	return code
}

// RFC 9449 §5, case 17: a public client's refresh token is bound to its key; a
// confidential client may come with another one each time.
func TestDPoPRefresh(t *testing.T) {
	t.Parallel()
	i := startBound(t)
	p, thief := prover(t), prover(t)
	const to = "http://127.0.0.1/callback"
	token := i.redeem(i.by(p, phone), i.code(readOrders("phone", to)), to).want(t, 200, "").str(t, "refresh_token")
	for range 3 { // from the database, and from memory
		i.refresh(i.by(thief, phone), token).want(t, 400, oauth.InvalidGrant)
		i.refresh(phone, token).want(t, 400, oauth.InvalidGrant)
		r := i.refresh(i.by(p, phone), token).want(t, 200, "")
		if cnf(payload(t, r.str(t, "access_token"))) != p.JKT() || r.str(t, "token_type") != "DPoP" {
			t.Fatalf("%s", r.body)
		}
		token = r.str(t, "refresh_token")
	}
	// The binding is in the row.
	if err := i.Server.Close(); err != nil {
		t.Fatal(err)
	}
	i.open(boundConfig)
	i.refresh(i.by(thief, phone), token).want(t, 400, oauth.InvalidGrant)
	i.refresh(i.by(p, phone), token).want(t, 200, "")

	token = i.redeem(i.by(p, bound), i.code(readOrders("bound", boundCallback)), boundCallback).want(t, 200, "").str(t, "refresh_token")
	for range 3 {
		next := prover(t)
		i.refresh(bound, token).want(t, 400, oauth.InvalidDPoPProof)
		r := i.refresh(i.by(next, bound), token).want(t, 200, "")
		if cnf(payload(t, r.str(t, "access_token"))) != next.JKT() {
			t.Errorf("%v", payload(t, r.str(t, "access_token")))
		}
		token = r.str(t, "refresh_token")
	}
}

// Case 35 at a resource of the issuer's own: a bound token is nothing without a proof for
// this very request and token, and never a bearer token.
func TestDPoPUserInfo(t *testing.T) {
	t.Parallel()
	i := startBound(t)
	p, thief := prover(t), prover(t)
	ask := readOrders("bound", boundCallback)
	ask.resources = nil
	token := i.redeem(i.by(p, bound), i.code(ask), boundCallback).want(t, 200, "").str(t, "access_token")
	free := i.redeem(shop, i.code(asked{client: "shop-web", redirect: callback, sent: true, challenge: s256(testVerifier), scopes: []string{"openid"}}), callback).want(t, 200, "").str(t, "access_token")
	good := func() string { return i.askProof(p, token, nil) }
	used := good()
	for _, scheme := range []string{"DPoP", "dpop", "DPOP"} {
		proof := good()
		if scheme == "DPoP" {
			proof = used
		}
		r := i.ask(scheme, token, proof).want(t, 200, "")
		if r.str(t, "sub") == "" || r.header.Get(dpop.NonceHeader) == "" {
			t.Errorf("%s: %s %v", scheme, r.body, r.header)
		}
	}
	for name, c := range map[string]struct {
		scheme, token string
		proofs        []string
		want          oauth.ErrorCode
	}{
		"as a bearer token":          {"Bearer", token, nil, oauth.InvalidToken},
		"as a bearer token, proof":   {"Bearer", token, []string{good()}, oauth.InvalidToken},
		"without proof":              {"DPoP", token, nil, oauth.InvalidDPoPProof},
		"two proofs":                 {"DPoP", token, []string{good(), good()}, oauth.InvalidDPoPProof},
		"a used proof":               {"DPoP", token, []string{used}, oauth.InvalidDPoPProof},
		"another key":                {"DPoP", token, []string{i.askProof(thief, token, nil)}, oauth.InvalidDPoPProof},
		"another token's proof":      {"DPoP", token, []string{i.askProof(p, free, nil)}, oauth.InvalidDPoPProof},
		"no ath":                     {"DPoP", token, []string{i.askProof(p, "", nil)}, oauth.InvalidDPoPProof},
		"another method":             {"DPoP", token, []string{i.askProof(p, token, func(c *dpop.Claims) { c.Method = "POST" })}, oauth.InvalidDPoPProof},
		"another address":            {"DPoP", token, []string{i.askProof(p, token, func(c *dpop.Claims) { c.URL += "s" })}, oauth.InvalidDPoPProof},
		"an hour ahead":              {"DPoP", token, []string{i.askProof(p, token, func(c *dpop.Claims) { c.Now = c.Now.Add(time.Hour) })}, oauth.InvalidDPoPProof},
		"an hour ago":                {"DPoP", token, []string{i.askProof(p, token, func(c *dpop.Claims) { c.Now = c.Now.Add(-time.Hour) })}, oauth.InvalidDPoPProof},
		"a foreign nonce":            {"DPoP", token, []string{i.askProof(p, token, func(c *dpop.Claims) { c.Nonce = "x" })}, oauth.UseDPoPNonce},
		"a token that is not bound":  {"DPoP", free, []string{i.askProof(p, free, nil)}, oauth.InvalidToken},
		"a token that is none of us": {"DPoP", "nonsense", []string{good()}, oauth.InvalidToken},
	} {
		r := i.ask(c.scheme, c.token, c.proofs...)
		said := r.header.Values("WWW-Authenticate")
		if r.status != 401 || r.str(t, "error") != string(c.want) || len(said) != 2 ||
			!strings.HasPrefix(said[0], c.scheme+" ") || !strings.Contains(said[0], `error="`+string(c.want)+`"`) || strings.Contains(said[1], "error") {
			t.Errorf("%s: %d %s %q", name, r.status, r.body, said)
		}
		if !strings.Contains(strings.Join(said, "\n"), `algs="ES256 EdDSA PS256 ES384 RS256"`) {
			t.Errorf("%s: %q", name, said)
		}
		if c.want == oauth.UseDPoPNonce && r.header.Get(dpop.NonceHeader) == "" {
			t.Errorf("%s: no nonce", name)
		}
	}
	// In a form it would be a bearer token.
	i.post("/userinfo", nil, "access_token", token).want(t, 401, oauth.InvalidToken)
	i.ask("Bearer", free).want(t, 200, "")
}

// The feed takes bound tokens with a proof alone.
func TestDPoPFeed(t *testing.T) {
	t.Parallel()
	i := startBound(t)
	p := prover(t)
	token := i.post("/token", i.by(p, bound), "grant_type", "client_credentials", "scope", oauth.ScopeFeed).want(t, 200, "").str(t, "access_token")
	get := func(scheme string, proofs ...string) reply {
		r := httptest.NewRequest(http.MethodGet, "/revocations/head", nil)
		r.Header.Set("Authorization", scheme+" "+token)
		r.Header[http.CanonicalHeaderKey(dpop.Header)] = proofs
		return i.do(r)
	}
	get("Bearer").want(t, 401, oauth.InvalidToken)
	get("DPoP").want(t, 401, oauth.InvalidDPoPProof)
	proof := i.askProof(p, token, func(c *dpop.Claims) { c.URL = ownURL + "/revocations/head" })
	if r := get("DPoP", proof); r.status == 401 {
		t.Errorf("%d %s", r.status, r.body)
	}
	get("DPoP", proof).want(t, 401, oauth.InvalidDPoPProof)
}

// RFC 9449 §8: a nonce of ours is taken while it is fresh, by every node, and must be
// there where it is required.
func TestDPoPNonce(t *testing.T) {
	t.Parallel()
	i := startBound(t)
	p := prover(t)
	try := func(nonce string) reply {
		proof := i.proof(p, func(c *dpop.Claims) { c.Nonce = nonce })
		return i.post("/token", showing(bound, proof), "grant_type", "client_credentials", "scope", "orders:read")
	}
	nonce := try("").want(t, 200, "").header.Get(dpop.NonceHeader)
	try(nonce).want(t, 200, "")
	if err := i.Server.Close(); err != nil {
		t.Fatal(err)
	}
	i.open(boundConfig)
	try(nonce).want(t, 200, "")
	i.clock.Advance(dpop.NonceLifetime + time.Second)
	r := try(nonce).want(t, 400, oauth.UseDPoPNonce)
	try(r.header.Get(dpop.NonceHeader)).want(t, 200, "")
}

// Without a profile that says otherwise every algorithm of signatures proves, and the
// metadata says so.
func TestDPoPAlgorithms(t *testing.T) {
	t.Parallel()
	i := startBound(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range []oauth.Alg{oauth.RS256, oauth.PS256} {
		p, err := dpop.NewProver(key, alg)
		if err != nil {
			t.Fatal(err)
		}
		i.post("/token", i.by(p, bound), "grant_type", "client_credentials", "scope", "orders:read").want(t, 200, "")
	}
	doc := i.do(httptest.NewRequest(http.MethodGet, "/.well-known/openid-configuration", nil)).json(t)
	algs, _ := doc["dpop_signing_alg_values_supported"].([]any)
	if !slices.Contains(algs, any("ES256")) || !slices.Contains(algs, any("RS256")) {
		t.Errorf("%v", algs)
	}
}

// What can't be remembered as used is not taken.
func TestDPoPOutage(t *testing.T) {
	t.Parallel()
	i := startBound(t)
	proof := i.proof(prover(t), nil)
	store := i.store
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	r := i.post("/token", showing(bound, proof), "grant_type", "client_credentials", "scope", "orders:read")
	if r.status < 500 || r.str(t, "access_token") != "" {
		t.Errorf("%d %s", r.status, r.body)
	}
	i.Server.store = nil
}

// Pages of other origins may send proofs, and see the nonce.
func TestDPoPAcrossOrigins(t *testing.T) {
	t.Parallel()
	i := startBound(t)
	for _, path := range []string{"/token", "/par", "/userinfo"} {
		h := i.do(httptest.NewRequest(http.MethodOptions, path, nil)).header
		if !strings.Contains(h.Get("Access-Control-Allow-Headers"), "DPoP") || !strings.Contains(h.Get("Access-Control-Expose-Headers"), "DPoP-Nonce") {
			t.Errorf("%s: %v", path, h)
		}
	}
}

// With dpop.require_nonce a proof without a nonce of ours is sent back with one, at every
// endpoint, and is not spent; who needs no proof goes on without.
func TestDPoPNonceRequired(t *testing.T) {
	t.Parallel()
	i := start(t)
	if err := i.Server.Close(); err != nil {
		t.Fatal(err)
	}
	i.open("dpop: {require_nonce: true}\n" + boundConfig)
	p := prover(t)
	code := i.code(readOrders("bound", boundCallback))
	r := i.redeem(i.by(p, bound), code, boundCallback).want(t, 400, oauth.UseDPoPNonce)
	nonce := r.header.Get(dpop.NonceHeader)
	with := func(c *dpop.Claims) { c.Nonce = nonce }
	token := i.redeem(showing(bound, i.proof(p, with)), code, boundCallback).want(t, 200, "").str(t, "access_token")
	if nonce == "" || cnf(payload(t, token)) != p.JKT() {
		t.Error(nonce, payload(t, token))
	}
	ask := readOrders("bound", boundCallback)
	ask.resources = nil
	token = i.redeem(showing(bound, i.proof(p, with)), i.code(ask), boundCallback).want(t, 200, "").str(t, "access_token")
	r = i.ask("DPoP", token, i.askProof(p, token, nil)).want(t, 401, oauth.UseDPoPNonce)
	if !strings.Contains(r.header.Get("WWW-Authenticate"), `error="use_dpop_nonce"`) || r.header.Get(dpop.NonceHeader) == "" {
		t.Errorf("%v", r.header)
	}
	i.ask("DPoP", token, i.askProof(p, token, with)).want(t, 200, "")
	i.post("/token", robot, "grant_type", "client_credentials").want(t, 200, "")
}
