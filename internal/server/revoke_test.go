package server

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

func TestRevokeAccessToken(t *testing.T) {
	t.Parallel()
	i := start(t)
	r := i.login()
	access, refresh := r.str(t, "access_token"), r.str(t, "refresh_token")
	// A foreign client's wish answers 200 and does nothing.
	i.post("/revoke", other, "token", access).want(t, 200, "")
	if !i.active(access) {
		t.Fatal("a foreign client revoked the token")
	}
	i.post("/revoke", shop, "token", access, "token_type_hint", "refresh_token").want(t, 200, "")
	if i.active(access) {
		t.Error("introspection says active after /revoke answered 200")
	}
	i.userinfo(access).want(t, 401, oauth.InvalidToken)
	// ECDSA is malleable: the same token with another signature is revoked as well.
	if i.active(malleated(t, access)) {
		t.Error("another spelling of the signature escapes the revocation")
	}
	i.restart()
	if i.active(access) {
		t.Error("the revocation was forgotten at a restart")
	}
	if i.refresh(shop, refresh).want(t, 200, ""); !i.wasAudited(audit.TokenRevoked) {
		t.Error("not audited")
	}
}

// malleated gives the other signature that verifies: s becomes n − s.
func malleated(t *testing.T, token string) string {
	t.Helper()
	head, sig, _ := cutLast(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(sig)
	if err != nil || len(raw) != 64 {
		t.Fatalf("signature %q", sig)
	}
	n := [32]byte{
		0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
	}
	borrow := 0
	for k := 31; k >= 0; k-- {
		d := int(n[k]) - int(raw[32+k]) - borrow
		borrow = 0
		if d < 0 {
			d, borrow = d+256, 1
		}
		raw[32+k] = byte(d)
	}
	return head + "." + base64.RawURLEncoding.EncodeToString(raw)
}

func cutLast(s, sep string) (before, after string, found bool) {
	k := strings.LastIndex(s, sep)
	if k < 0 {
		return s, "", false
	}
	return s[:k], s[k+len(sep):], true
}

// Any authentic number of a grant, old ones too, ends it for its own client.
func TestRevokeGrant(t *testing.T) {
	t.Parallel()
	for name, pick := range map[string]func(code, one, two string) string{
		"the newest number": func(_, _, two string) string { return two },
		"an older number":   func(_, one, _ string) string { return one },
		"the spent code":    func(code, _, _ string) string { return code },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := start(t)
			code := i.code(readOrders("shop-web", callback))
			r := i.redeem(shop, code, callback).want(t, 200, "")
			one := r.str(t, "refresh_token")
			r2 := i.refresh(shop, one).want(t, 200, "")
			two := r2.str(t, "refresh_token")
			token := pick(code, one, two)
			i.post("/revoke", other, "token", token).want(t, 200, "")
			i.post("/revoke", phone, "token", token).want(t, 200, "")
			if !i.active(r2.str(t, "access_token")) {
				t.Fatal("a foreign client ended the grant")
			}
			i.post("/revoke", shop, "token", token).want(t, 200, "")
			for _, access := range []string{r.str(t, "access_token"), r2.str(t, "access_token")} {
				if i.active(access) {
					t.Error("an access token outlived its grant")
				}
			}
			i.refresh(shop, two).want(t, 400, oauth.InvalidGrant)
			i.post("/revoke", shop, "token", token).want(t, 200, "") // again: nothing to do
			i.restart()
			if i.active(r2.str(t, "access_token")) {
				t.Error("the grant came back at a restart")
			}
		})
	}
}

func TestRevokeBadInput(t *testing.T) {
	t.Parallel()
	i := start(t)
	for _, token := range []string{"x", "jtr_" + strings.Repeat("A", 72), "a.b.c", "jta_AAAA", strings.Repeat(".", 10_000), strings.Repeat("A", 60_000)} {
		i.post("/revoke", shop, "token", token).want(t, 200, "")
		if i.active(token) {
			t.Errorf("%.20q is active", token)
		}
	}
	i.post("/revoke", shop).want(t, 400, oauth.InvalidRequest)
	i.post("/revoke", nil, "token", "x").want(t, 401, oauth.InvalidClient)
	i.post("/introspect", nil, "token", "x").want(t, 401, oauth.InvalidClient)
	i.post("/introspect", phone, "token", "x").want(t, 401, oauth.InvalidClient)
	i.post("/introspect", basic(api, vaultSecret), "token", "x").want(t, 401, oauth.InvalidClient)
	i.post("/introspect", asAPI).want(t, 400, oauth.InvalidRequest)
}

// Case 23: a storage failure is reported, never a false success.
func TestRevokeReportsFailure(t *testing.T) {
	t.Parallel()
	i := start(t)
	r := i.login()
	access, refresh := r.str(t, "access_token"), r.str(t, "refresh_token")
	if err := i.store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{access, refresh} {
		got := i.post("/revoke", shop, "token", token)
		if got.status < 500 {
			t.Errorf("/revoke without a store = %d %s", got.status, got.body)
		}
		if strings.Contains(string(got.body), "store") || strings.Contains(string(got.body), "sql") {
			t.Errorf("the answer leaks a cause: %s", got.body)
		}
	}
	if err := closeEngine(i.engine); err != nil {
		t.Fatal(err)
	}
	i.open(testConfig)
}

func TestIntrospection(t *testing.T) {
	t.Parallel()
	i := start(t)
	r := i.login()
	access, refresh := r.str(t, "access_token"), r.str(t, "refresh_token")
	got := i.post("/introspect", asAPI, "token", access)
	if got.header.Get("Cache-Control") != "no-store" {
		t.Error("the answer may be stored")
	}
	m := got.json(t)
	for _, name := range []string{"active", "iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope", "token_type"} {
		if m[name] == nil {
			t.Errorf("introspection lacks %s: %v", name, m)
		}
	}
	// The token's client sees it, another client and another API do not.
	for as, want := range map[string]bool{"shop": true, "other": false, "vault": false} {
		c := map[string]caller{"shop": shop, "other": other, "vault": basic(vaultAPI, vaultSecret)}[as]
		if got := i.post("/introspect", c, "token", access).json(t)["active"]; got != want {
			t.Errorf("%s sees active = %t, want %t", as, got, want)
		}
	}
	// A refresh token is its own client's business alone.
	if got := i.post("/introspect", shop, "token", refresh).json(t); got["active"] != true || got["scope"] != "openid offline_access orders:read" {
		t.Errorf("refresh token: %v", got)
	}
	for name, c := range map[string]caller{"API": asAPI, "other": other} {
		if got := i.post("/introspect", c, "token", refresh).json(t); got["active"] != false || len(got) != 1 {
			t.Errorf("%s sees the refresh token: %v", name, got)
		}
	}
	// An ID token is no access token (case 27).
	if i.active(r.str(t, "id_token")) {
		t.Error("an ID token is active as an access token")
	}
	i.userinfo(r.str(t, "id_token")).want(t, 401, oauth.InvalidToken)
	// Expiry is looked at on every hit, also of a token seen before.
	i.clock.Advance(5*time.Minute - time.Second)
	if !i.active(access) {
		t.Error("inactive before its time")
	}
	i.clock.Advance(time.Second)
	if i.active(access) {
		t.Error("active after its time")
	}
}

// A token of a removed key stops at once where the key is removed.
func TestRemovedKey(t *testing.T) {
	t.Parallel()
	i := start(t)
	r := i.login()
	access := r.str(t, "access_token")
	if !i.active(access) {
		t.Fatal("not active")
	}
	signer, ok := i.ring.Signer(oauth.ES256)
	if !ok {
		t.Fatal("no key")
	}
	if err := i.ring.Remove(t.Context(), signer.ID); err != nil {
		t.Fatal(err)
	}
	if i.active(access) {
		t.Error("the token of a removed key is active, though it was seen before")
	}
	if !i.active(i.refresh(shop, r.str(t, "refresh_token")).want(t, 200, "").str(t, "access_token")) {
		t.Error("the successor key's token is not active")
	}
}

func TestUserInfo(t *testing.T) {
	t.Parallel()
	i := start(t)
	a := readOrders("shop-web", callback)
	a.scopes = []string{oauth.ScopeOpenID, oauth.ScopeProfile, oauth.ScopeEmail, oauth.ScopeRoles}
	r := i.redeem(shop, i.code(a), callback).want(t, 200, "")
	access := r.str(t, "access_token")
	if got := payload(t, r.str(t, "id_token"))["roles"]; got == nil {
		t.Error("no roles in the ID token")
	}
	for _, name := range []string{"name", "email", "email_verified", "roles", "sub"} {
		if i.userinfo(access).want(t, 200, "").json(t)[name] == nil {
			t.Errorf("userinfo lacks %s", name)
		}
	}
	send := func(method, path, body, auth string) reply {
		req := httptest.NewRequest(method, path, strings.NewReader(body))
		if body != "" {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if auth != "" {
			req.Header.Set("Authorization", auth)
		}
		return i.do(req)
	}
	if r := send("POST", "/userinfo", "access_token="+access, ""); r.status != 200 {
		t.Errorf("token in the form: %d %s", r.status, r.body)
	}
	if r := send("POST", "/userinfo", "", "bearer "+access); r.status != 200 {
		t.Errorf("POST with a header: %d %s", r.status, r.body)
	}
	for _, c := range []struct {
		name   string
		r      reply
		status int
	}{
		{"none", send("GET", "/userinfo", "", ""), 401},
		{"in the query", send("GET", "/userinfo?access_token="+access, "", ""), 401},
		{"twice", send("POST", "/userinfo", "access_token="+access, "Bearer "+access), 400},
		{"Basic", send("GET", "/userinfo", "", "Basic "+access), 401},
		{"Bearer without a token", send("GET", "/userinfo", "", "Bearer"), 400},
		{"garbage", send("GET", "/userinfo", "", "Bearer x\"y"), 401},
	} {
		if c.r.status != c.status {
			t.Errorf("%s: %d %s, want %d", c.name, c.r.status, c.r.body, c.status)
		}
		if !strings.HasPrefix(c.r.header.Get("WWW-Authenticate"), "Bearer ") {
			t.Errorf("%s: WWW-Authenticate = %q", c.name, c.r.header.Get("WWW-Authenticate"))
		}
	}
	if got := send("GET", "/userinfo", "", "").header.Get("WWW-Authenticate"); strings.Contains(got, "error") {
		t.Errorf("a request without a token is told an error: %q", got)
	}
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	i := start(t)
	get := func(path, etag string) reply {
		req := httptest.NewRequest(http.MethodGet, path, nil)
		req.Host = "evil.example" // the Host header is never believed
		req.Header.Set("X-Forwarded-Host", "evil.example")
		if etag != "" {
			req.Header.Set("If-None-Match", etag)
		}
		return i.do(req)
	}
	oidc, rfc8414 := get("/.well-known/openid-configuration", ""), get("/.well-known/oauth-authorization-server", "")
	if string(oidc.body) != string(rfc8414.body) || strings.Contains(string(oidc.body), "evil") {
		t.Errorf("the documents differ or believe the Host header: %s", oidc.body)
	}
	m := oidc.json(t)
	if m["issuer"] != "http://localhost:8080" || m["authorization_response_iss_parameter_supported"] != true {
		t.Errorf("metadata = %v", m)
	}
	for name, path := range map[string]string{"jwks_uri": "/jwks", "token_endpoint": "/token"} {
		if m[name] != "http://localhost:8080"+path {
			t.Errorf("%s = %v", name, m[name])
		}
	}
	for _, path := range []string{"/.well-known/openid-configuration", "/jwks"} {
		r := get(path, "")
		if r.status != 200 || !strings.Contains(r.header.Get("Cache-Control"), "max-age") {
			t.Errorf("%s: %d, Cache-Control %q", path, r.status, r.header.Get("Cache-Control"))
		}
		if again := get(path, r.header.Get("ETag")); again.status != http.StatusNotModified || len(again.body) > 0 {
			t.Errorf("%s: asked again with the ETag: %d", path, again.status)
		}
	}
	for _, private := range []string{`"d"`, `"p"`, `"q"`} {
		if strings.Contains(string(get("/jwks", "").body), private) {
			t.Errorf("the JWKS holds %s", private)
		}
	}
	for _, path := range []string{"/livez", "/readyz"} {
		if r := get(path, ""); r.status != 200 {
			t.Errorf("%s = %d", path, r.status)
		}
	}
}

// Of a subject's grants at one client at most 50 stay; the one longest unused goes.
func TestTooManyGrants(t *testing.T) {
	t.Parallel()
	i := start(t)
	// A code that waits for its client is not among them.
	waiting := i.code(readOrders("shop-web", callback))
	var tokens []string
	for range 51 {
		tokens = append(tokens, i.login().str(t, "refresh_token"))
		i.clock.Advance(time.Second)
		if len(tokens) == 50 { // the first is used: the second is now the idlest
			tokens[0] = i.refresh(shop, tokens[0]).want(t, 200, "").str(t, "refresh_token")
		}
	}
	i.refresh(shop, tokens[0]).want(t, 200, "")
	i.refresh(shop, tokens[1]).want(t, 400, oauth.InvalidGrant)
	i.refresh(shop, tokens[2]).want(t, 200, "")
	i.redeem(shop, waiting, callback).want(t, 200, "")
}

// A request id stands in every answer and is never the client's own.
func TestRequestID(t *testing.T) {
	t.Parallel()
	i := start(t)
	req := httptest.NewRequest(http.MethodGet, "/livez", nil)
	req.Header.Set("X-Request-Id", "mine\r\nevil: 1")
	if id := i.do(req).header.Get("X-Request-Id"); len(id) < 16 || strings.Contains(id, "mine") {
		t.Errorf("request id = %q", id)
	}
}

func TestExpire(t *testing.T) {
	t.Parallel()
	i := start(t)
	i.login()
	i.code(readOrders("shop-web", callback)) // never redeemed
	i.post("/revoke", shop, "token", i.login().str(t, "access_token")).want(t, 200, "")
	if err := i.expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := i.grantRows(); n != 3 {
		t.Fatalf("%d rows, want 3", n)
	}
	i.clock.Advance(721 * time.Hour)
	i.revoked.Forget(i.store.Now())
	if err := i.expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	entries, err := i.store.Read(t.Context()).Revocations(0, 10)
	// The entry's segment is not full: it stays in the table, without counting any more.
	if n := i.grantRows(); n != 0 || err != nil || len(entries) != 1 || i.revoked.Entries() != 0 || i.revoked.First() != 2 {
		t.Errorf("%d rows, %d entries, %d in memory, %v; want none in memory", n, len(entries), i.revoked.Entries(), err)
	}
	if issuer, err := i.store.Read(t.Context()).Issuer(); err != nil || issuer.Head != 1 {
		t.Errorf("head = %d, %v: it must not go back", issuer.Head, err)
	}
}

// The configuration is applied again without dropping what was created otherwise.
func TestApply(t *testing.T) {
	t.Parallel()
	i := start(t)
	ctx, by := t.Context(), audit.Origin{Actor: "test"}
	token := i.post("/token", robot, "grant_type", "client_credentials").want(t, 200, "").str(t, "access_token")
	made, secret, err := i.manager.CreateClient(ctx, by, clientLike(i, "robot", "by-hand"))
	if err != nil {
		t.Fatal(err)
	}
	without := strings.Replace(testConfig, "  - id: robot", "  - id: robot-2", 1)
	if err := i.manager.Apply(ctx, parseConfig(t, without, i.dir, i.kek)); err != nil {
		t.Fatal(err)
	}
	i.post("/token", robot, "grant_type", "client_credentials").want(t, 401, oauth.InvalidClient)
	i.post("/token", basic("robot-2", robotSecret), "grant_type", "client_credentials").want(t, 200, "")
	i.post("/token", basic(made.ID, secret.Reveal()), "grant_type", "client_credentials").want(t, 200, "")
	if i.active(token) {
		t.Error("the token of a client that is no longer declared is active")
	}
	// What is as declared is not written.
	before := len(i.audited())
	if err := i.manager.Apply(ctx, parseConfig(t, without, i.dir, i.kek)); err != nil {
		t.Fatal(err)
	}
	if after := len(i.audited()); after != before {
		t.Errorf("applying the same again wrote %d events", after-before)
	}
	// A seeded user is never overwritten.
	if err := i.manager.SetPassword(ctx, by, "ada@example.com", "nine paper boats at dawn"); err != nil {
		t.Fatal(err)
	}
	phc := i.ada().Password
	i.restart()
	if i.ada().Password != phc {
		t.Error("a seed overwrote a user")
	}
}

func clientLike(i *issuer, id, as string) spec.Client {
	c, _ := i.manager.Directory.Client(id)
	clone := c.Client
	clone.ID = as
	return clone
}

// A grant without offline_access ends with its session, also when that merely runs out;
// one with it goes on.
func TestSessionOver(t *testing.T) {
	t.Parallel()
	i := start(t)
	session := []byte("sixteen bytes id")
	err := i.store.Write(t.Context(), func(tx *store.Tx) error {
		return tx.CreateSession(store.Session{
			ID: session, Subject: i.ada().ID, AuthTime: tx.Now(), IdleAt: tx.Now().Add(time.Minute), AbsoluteAt: tx.Now().Add(time.Hour),
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	a := readOrders("shop-web", callback)
	a.session = session
	bound := i.redeem(shop, i.code(a), callback).want(t, 200, "")
	if got := payload(t, bound.str(t, "id_token"))["sid"]; got != base64.RawURLEncoding.EncodeToString(session) {
		t.Errorf("sid = %v", got)
	}
	offline := i.login()
	i.clock.Advance(time.Minute)
	if err := i.expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if i.active(bound.str(t, "access_token")) || !i.active(offline.str(t, "access_token")) {
		t.Error("want the session's token dead and the other one alive")
	}
	i.refresh(shop, bound.str(t, "refresh_token")).want(t, 400, oauth.InvalidGrant)
	i.refresh(shop, offline.str(t, "refresh_token")).want(t, 200, "")
}
