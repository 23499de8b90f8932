package server

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

func TestCodeGivesTokens(t *testing.T) {
	t.Parallel()
	i := start(t)
	r := i.login()
	if got := r.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control = %q", got)
	}
	out := r.json(t)
	if out["token_type"] != "Bearer" || out["expires_in"] != 300.0 || out["scope"] != "openid offline_access orders:read" {
		t.Errorf("answer = %v", out)
	}
	access := payload(t, r.str(t, "access_token"))
	for name, want := range map[string]any{
		"iss": "http://localhost:8080", "client_id": "shop-web", "scope": "openid offline_access orders:read", "sub": i.ada().ID, "rev": 0.0,
	} {
		if access[name] != want {
			t.Errorf("access token's %s = %v, want %v", name, access[name], want)
		}
	}
	id := payload(t, r.str(t, "id_token"))
	for name, want := range map[string]any{"aud": "shop-web", "nonce": "n-1", "sub": i.ada().ID} {
		if id[name] != want {
			t.Errorf("ID token's %s = %v, want %v", name, id[name], want)
		}
	}
	if id["at_hash"] == nil || id["email"] != nil {
		t.Errorf("ID token = %v: want at_hash, and the e-mail address from userinfo alone", id)
	}
	info := i.userinfo(r.str(t, "access_token")).want(t, 200, "").json(t)
	if info["sub"] != i.ada().ID || info["email"] != nil {
		t.Errorf("userinfo = %v: only sub was granted", info)
	}
	if !i.active(r.str(t, "access_token")) {
		t.Error("the access token is not active at its API")
	}
}

// A check that fails spends nothing: the right redemption afterwards succeeds.
func TestFailedRedemptionSpendsNothing(t *testing.T) {
	t.Parallel()
	i := start(t)
	code := i.code(readOrders("shop-web", callback))
	for name, r := range map[string]reply{
		"wrong verifier":          i.post("/token", shop, "grant_type", "authorization_code", "code", code, "redirect_uri", callback, "code_verifier", strings.Repeat("x", 43)),
		"no verifier":             i.post("/token", shop, "grant_type", "authorization_code", "code", code, "redirect_uri", callback),
		"wrong redirect URI":      i.redeem(shop, code, "https://shop.example.com/other"),
		"redirect URI by prefix":  i.redeem(shop, code, callback+"/"),
		"no redirect URI":         i.post("/token", shop, "grant_type", "authorization_code", "code", code, "code_verifier", testVerifier),
		"another client":          i.redeem(other, code, callback),
		"a public client":         i.redeem(phone, code, callback),
		"as a refresh token":      i.refresh(shop, code),
		"a refresh token as code": i.redeem(shop, strings.Replace(code, "jtc_", "jtr_", 1), callback),
	} {
		if r.status != 400 || r.str(t, "error") != "invalid_grant" {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	i.redeem(shop, code, callback, "scope", "orders:write").want(t, 400, oauth.InvalidScope)
	i.redeem(shop, code, callback, "resource", vaultAPI).want(t, 400, oauth.InvalidTarget)
	i.redeem(basic("shop-web", otherSecret), code, callback).want(t, 401, oauth.InvalidClient)
	i.redeem(shop, code, callback).want(t, 200, "")
}

func TestPKCEDowngrade(t *testing.T) {
	t.Parallel()
	i := start(t)
	a := readOrders("other-web", "https://other.example.com/callback")
	a.challenge = ""
	code := i.code(a)
	// A verifier without a challenge fails, and spends nothing.
	i.redeem(other, code, a.redirect).want(t, 400, oauth.InvalidGrant)
	i.post("/token", other, "grant_type", "authorization_code", "code", code, "redirect_uri", a.redirect).want(t, 200, "")
}

// Case 8: a code lives 60 seconds, without leeway.
func TestCodeExpires(t *testing.T) {
	t.Parallel()
	i := start(t)
	code := i.code(readOrders("shop-web", callback))
	i.clock.Advance(59*time.Second + 999*time.Millisecond)
	i.redeem(shop, code, callback).want(t, 200, "")
	code = i.code(readOrders("shop-web", callback))
	i.clock.Advance(time.Minute)
	i.redeem(shop, code, callback).want(t, 400, oauth.InvalidGrant)
}

// Case 8: a second use by its owner ends the grant with all that it gave; by somebody
// who does not own the code it does nothing.
func TestCodeReplay(t *testing.T) {
	t.Parallel()
	i := start(t)
	code := i.code(readOrders("shop-web", callback))
	first := i.redeem(shop, code, callback).want(t, 200, "")
	access, refresh := first.str(t, "access_token"), first.str(t, "refresh_token")

	i.redeem(other, code, callback).want(t, 400, oauth.InvalidGrant)
	i.post("/token", shop, "grant_type", "authorization_code", "code", code, "redirect_uri", callback, "code_verifier", strings.Repeat("x", 43)).want(t, 400, oauth.InvalidGrant)
	if !i.active(access) {
		t.Fatal("somebody who does not own the code ended its grant")
	}
	i.restart()
	i.redeem(shop, code, callback).want(t, 400, oauth.InvalidGrant)
	if i.active(access) {
		t.Error("the access token outlived the code's replay")
	}
	i.userinfo(access).want(t, 401, oauth.InvalidToken)
	i.refresh(shop, refresh).want(t, 400, oauth.InvalidGrant)
	if !i.wasAudited(audit.GrantReplayed) {
		t.Error("the replay was not audited")
	}
}

// A thief who redeems a stolen code and rotates at once does not escape: the owner's
// own redemption, within the code's minute, still ends the grant.
func TestCodeReplayAfterRotation(t *testing.T) {
	t.Parallel()
	i := start(t)
	code := i.code(readOrders("shop-web", callback))
	r := i.redeem(shop, code, callback).want(t, 200, "")
	for range 3 {
		r = i.refresh(shop, r.str(t, "refresh_token")).want(t, 200, "")
	}
	i.clock.Advance(59 * time.Second)
	i.redeem(shop, code, callback).want(t, 400, oauth.InvalidGrant)
	if i.active(r.str(t, "access_token")) {
		t.Error("the access token outlived the code's replay")
	}
	i.refresh(shop, r.str(t, "refresh_token")).want(t, 400, oauth.InvalidGrant)
	// What judged it goes with a rotation once the code is over.
	r = i.login()
	i.clock.Advance(time.Minute)
	i.refresh(shop, r.str(t, "refresh_token")).want(t, 200, "")
	var kept int
	if err := i.count(`SELECT count(*) FROM grants WHERE code <> '' AND ended_at = 0`, &kept); err != nil || kept != 0 {
		t.Errorf("%d grants keep their code's details: %v", kept, err)
	}
}

// Of a hundred parallel right redemptions exactly one gets tokens; the others end the
// grant.
func TestParallelRedemptions(t *testing.T) {
	t.Parallel()
	i := start(t)
	code := i.code(readOrders("shop-web", callback))
	replies := parallel(100, func(int) reply { return i.redeem(shop, code, callback) })
	won := ""
	for _, r := range replies {
		switch r.status {
		case 200:
			if won != "" {
				t.Fatal("two redemptions got tokens")
			}
			won = r.str(t, "access_token")
		case 400:
			r.want(t, 400, oauth.InvalidGrant)
		default:
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	if won == "" {
		t.Fatal("nobody got tokens")
	}
	if i.active(won) {
		t.Error("the grant outlived its replays")
	}
}

func parallel(n int, f func(k int) reply) []reply {
	replies := make([]reply, n)
	var wg sync.WaitGroup
	for k := range n {
		wg.Go(func() { replies[k] = f(k) })
	}
	wg.Wait()
	return replies
}

func TestRotation(t *testing.T) {
	t.Parallel()
	i := start(t)
	first := i.login()
	one := first.str(t, "refresh_token")
	second := i.refresh(shop, one).want(t, 200, "")
	two := second.str(t, "refresh_token")
	if two == one || two == "" {
		t.Fatal("the refresh token did not rotate")
	}
	id := payload(t, second.str(t, "id_token"))
	if id["nonce"] != nil || id["sub"] != i.ada().ID || id["auth_time"] == nil {
		t.Errorf("refreshed ID token = %v: want sub and auth_time as before, and no nonce", id)
	}
	// A lost answer is given again: the same successor, also after a restart.
	i.restart()
	if again := i.refresh(shop, one).want(t, 200, "").str(t, "refresh_token"); again != two {
		t.Error("the successor has another spelling")
	}
	if !i.wasAudited(audit.AnswerRepeated) {
		t.Error("the repeated answer was not audited")
	}
	three := i.refresh(shop, two).want(t, 200, "").str(t, "refresh_token")
	// An older number, within grace of the last rotation: refused, the grant lives.
	i.refresh(shop, one).want(t, 400, oauth.InvalidGrant)
	i.refresh(shop, three).want(t, 200, "")
	// A confidential client that comes late with the last but one gets its successor.
	i.clock.Advance(time.Minute)
	four := i.refresh(shop, three).want(t, 200, "").str(t, "refresh_token")
	// An older number, later: somebody has a copy.
	i.clock.Advance(time.Minute)
	r := i.refresh(shop, one).want(t, 400, oauth.InvalidGrant)
	if !strings.Contains(r.str(t, "error_description"), "used before") {
		t.Errorf("description = %q", r.str(t, "error_description"))
	}
	i.refresh(shop, four).want(t, 400, oauth.InvalidGrant)
	if i.active(first.str(t, "access_token")) || !i.wasAudited(audit.GrantReplayed) {
		t.Error("the replay did not end the grant's access tokens")
	}
}

// A public client that comes late with a used number is a thief or was robbed.
func TestPublicReplayAfterGrace(t *testing.T) {
	t.Parallel()
	i := start(t)
	const redirect = "http://127.0.0.1/callback"
	one := i.redeem(phone, i.code(readOrders("phone", redirect)), redirect).want(t, 200, "").str(t, "refresh_token")
	two := i.refresh(phone, one).want(t, 200, "").str(t, "refresh_token")
	i.clock.Advance(30 * time.Second)
	if got := i.refresh(phone, one).want(t, 200, "").str(t, "refresh_token"); got != two {
		t.Error("within grace the successor differs")
	}
	i.clock.Advance(time.Second)
	i.refresh(phone, one).want(t, 400, oauth.InvalidGrant)
	i.refresh(phone, two).want(t, 400, oauth.InvalidGrant)
}

// Our outage is never somebody's theft: grace counts only time in which the issuer
// could answer.
func TestGraceStopsInAnOutage(t *testing.T) {
	t.Parallel()
	i := start(t)
	const redirect = "http://127.0.0.1/callback"
	one := i.redeem(phone, i.code(readOrders("phone", redirect)), redirect).want(t, 200, "").str(t, "refresh_token")
	two := i.refresh(phone, one).want(t, 200, "").str(t, "refresh_token")
	if err := i.Server.Close(); err != nil {
		t.Fatal(err)
	}
	i.clock.Advance(time.Hour)
	i.open(testConfig)
	i.clock.Advance(20 * time.Second)
	if got := i.refresh(phone, one).want(t, 200, "").str(t, "refresh_token"); got != two {
		t.Error("after an outage the successor differs")
	}
}

// Case 15: a hundred parallel refreshes of one number all get the same successor.
func TestParallelRefreshes(t *testing.T) {
	t.Parallel()
	i := start(t)
	one := i.login().str(t, "refresh_token")
	two := ""
	for _, r := range parallel(100, func(int) reply { return i.refresh(shop, one) }) {
		got := r.want(t, 200, "").str(t, "refresh_token")
		if two != "" && got != two {
			t.Fatal("two successors of one number")
		}
		two = got
	}
	i.refresh(shop, two).want(t, 200, "")
	if n := i.grantRows(); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

// A number above the row: the database lost what it had acknowledged.
func TestWritesLost(t *testing.T) {
	t.Parallel()
	i := start(t)
	one := i.login().str(t, "refresh_token")
	copyOf := func() []byte {
		t.Helper()
		if err := i.Server.Close(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(i.databasePath())
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	before := copyOf()
	i.open(testConfig)
	two := i.refresh(shop, one).want(t, 200, "").str(t, "refresh_token")
	three := i.refresh(shop, two).want(t, 200, "").str(t, "refresh_token")
	copyOf()
	if err := os.WriteFile(i.databasePath(), before, 0o600); err != nil {
		t.Fatal(err)
	}
	i.open(testConfig)
	i.refresh(shop, three).want(t, 400, oauth.InvalidGrant)
	if !i.wasAudited(audit.WritesLost) {
		t.Error("no alarm")
	}
	i.refresh(shop, one).want(t, 400, oauth.InvalidGrant)
}

// Case 17: idle and absolute expiry.
func TestRefreshExpires(t *testing.T) {
	t.Parallel()
	i := start(t)
	token := i.login().str(t, "refresh_token")
	for range 2 { // 2 × 30 days, used in between
		i.clock.Advance(720*time.Hour - time.Second)
		token = i.refresh(shop, token).want(t, 200, "").str(t, "refresh_token")
	}
	i.clock.Advance(720*time.Hour - time.Second)
	token = i.refresh(shop, token).want(t, 200, "").str(t, "refresh_token")
	i.clock.Advance(3 * time.Second) // 90 days since the login
	i.refresh(shop, token).want(t, 400, oauth.InvalidGrant)

	token = i.login().str(t, "refresh_token")
	i.clock.Advance(720 * time.Hour)
	i.refresh(shop, token).want(t, 400, oauth.InvalidGrant)
}

// Cases 16 and 22: each refresh looks again at user, client, consent and roles.
func TestRefreshLooksAgain(t *testing.T) {
	t.Parallel()
	by := audit.Origin{Actor: "test"}
	for name, change := range map[string]func(*issuer) error{
		"user disabled": func(i *issuer) error { return i.manager.DisableUser(context.Background(), by, "ada@example.com", true) },
		"user deleted":  func(i *issuer) error { return i.manager.DeleteUser(context.Background(), by, "ada@example.com") },
		"password set": func(i *issuer) error {
			return i.manager.SetPassword(context.Background(), by, "ada@example.com", "nine paper boats at dawn")
		},
		"disabled and on": func(i *issuer) error {
			if err := i.manager.DisableUser(context.Background(), by, "ada@example.com", true); err != nil {
				return err
			}
			return i.manager.DisableUser(context.Background(), by, "ada@example.com", false)
		},
		"client disabled and on": func(i *issuer) error {
			if err := i.manager.DisableClient(context.Background(), by, "shop-web", true); err != nil {
				return err
			}
			return i.manager.DisableClient(context.Background(), by, "shop-web", false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := start(t)
			r := i.login()
			pending := i.code(readOrders("shop-web", callback))
			if err := change(i); err != nil {
				t.Fatal(err)
			}
			i.refresh(shop, r.str(t, "refresh_token")).want(t, 400, oauth.InvalidGrant)
			i.redeem(shop, pending, callback).want(t, 400, oauth.InvalidGrant)
			if i.active(r.str(t, "access_token")) {
				t.Error("the access token is still active")
			}
			i.userinfo(r.str(t, "access_token")).want(t, 401, oauth.InvalidToken)
		})
	}
}

func TestConsentWithdrawn(t *testing.T) {
	t.Parallel()
	i := start(t)
	a := readOrders("other-web", "https://other.example.com/callback")
	token := i.redeem(other, i.code(a), a.redirect).want(t, 200, "").str(t, "refresh_token")
	token = i.refresh(other, token).want(t, 200, "").str(t, "refresh_token")
	err := i.store.Write(t.Context(), func(tx *store.Tx) error { return tx.DeleteConsents(i.ada().ID, "other-web") })
	if err != nil {
		t.Fatal(err)
	}
	i.refresh(other, token).want(t, 400, oauth.InvalidGrant)
}

// A disabled client gets nothing at all.
func TestDisabledClient(t *testing.T) {
	t.Parallel()
	i := start(t)
	if err := i.manager.DisableClient(t.Context(), audit.Origin{}, "robot", true); err != nil {
		t.Fatal(err)
	}
	i.post("/token", robot, "grant_type", "client_credentials").want(t, 401, oauth.InvalidClient)
}

// Case 17 and 19: a refresh narrows the access token, never the refresh token, and
// nothing grows.
func TestNarrowing(t *testing.T) {
	t.Parallel()
	i := start(t)
	a := readOrders("shop-web", callback)
	a.resources = []store.GrantedResource{{ID: api, Scopes: []string{"orders:read", "orders:write"}}, {ID: vaultAPI, Scopes: []string{"vault:open"}}}
	// The scopes of two resources without a resource: invalid_target, nothing is spent.
	code := i.code(a)
	i.redeem(shop, code, callback).want(t, 400, oauth.InvalidTarget)
	r := i.redeem(shop, code, callback, "resource", api).want(t, 200, "")
	if got := r.str(t, "scope"); got != "orders:read orders:write" {
		t.Errorf("scope = %q", got)
	}
	if got := payload(t, r.str(t, "access_token"))["aud"]; got != api {
		t.Errorf("aud = %v, want the API alone", got)
	}
	i.userinfo(r.str(t, "access_token")).want(t, 401, oauth.InvalidToken)
	token := r.str(t, "refresh_token")
	for _, c := range []struct {
		ask   []string
		code  oauth.ErrorCode
		scope string
	}{
		{[]string{"scope", "orders:read"}, "", "orders:read"},
		{[]string{"scope", "openid orders:read"}, "", "openid orders:read"},
		{[]string{"resource", api, "scope", "orders:write"}, "", "orders:write"},
		{[]string{"resource", vaultAPI}, "", "vault:open"},
		{[]string{"scope", "openid"}, "", "openid"},
		{[]string{"scope", "email"}, oauth.InvalidScope, ""},
		{[]string{"scope", "unheard:of"}, oauth.InvalidScope, ""},
		{[]string{"scope", "bad\"scope"}, oauth.InvalidScope, ""},
		{[]string{"resource", "https://elsewhere.example.com"}, oauth.InvalidTarget, ""},
		{[]string{"resource", api, "resource", vaultAPI}, oauth.InvalidTarget, ""},
		{nil, oauth.InvalidTarget, ""},
	} {
		r := i.refresh(shop, token, c.ask...)
		if c.code != "" {
			r.want(t, 400, c.code)
			continue
		}
		if got := r.want(t, 200, "").str(t, "scope"); got != c.scope {
			t.Errorf("%v: scope = %q, want %q", c.ask, got, c.scope)
		}
		token = r.str(t, "refresh_token")
	}
}

// An API sees only tokens meant for it, whatever their format.
func TestOpaque(t *testing.T) {
	t.Parallel()
	i := start(t)
	a := readOrders("shop-web", callback)
	a.resources, a.named = []store.GrantedResource{{ID: vaultAPI, Scopes: []string{"vault:open"}}}, true
	r := i.redeem(shop, i.code(a), callback).want(t, 200, "")
	token := r.str(t, "access_token")
	if !strings.HasPrefix(token, "jta_") || strings.Contains(token, ".") {
		t.Fatalf("the token %q is not opaque", token)
	}
	asVault := basic(vaultAPI, vaultSecret)
	got := i.post("/introspect", asVault, "token", token).want(t, 200, "").json(t)
	if got["active"] != true || got["aud"] != vaultAPI || got["scope"] != "vault:open" || got["client_id"] != "shop-web" {
		t.Errorf("introspection = %v", got)
	}
	if i.active(token) {
		t.Error("another API sees the token")
	}
	for k := range len(token) - 4 {
		tampered := []byte(token)
		tampered[k+4] = map[bool]byte{true: 'A', false: 'B'}[tampered[k+4] != 'A']
		if i.post("/introspect", asVault, "token", string(tampered)).want(t, 200, "").json(t)["active"] == true {
			t.Fatalf("character %d can be changed", k+4)
		}
	}
	i.clock.Advance(2 * time.Minute)
	if i.post("/introspect", asVault, "token", token).want(t, 200, "").json(t)["active"] == true {
		t.Error("an expired token is active")
	}
}

func TestClientCredentials(t *testing.T) {
	t.Parallel()
	i := start(t)
	r := i.post("/token", robot, "grant_type", "client_credentials", "scope", "orders:read").want(t, 200, "")
	claims := payload(t, r.str(t, "access_token"))
	if claims["sub"] != "robot" || claims["client_id"] != "robot" || claims["aud"] != api || claims["scope"] != "orders:read" ||
		!strings.HasPrefix(claims["jti"].(string), "c.") {
		t.Errorf("claims = %v", claims)
	}
	if r.json(t)["refresh_token"] != nil || r.json(t)["id_token"] != nil {
		t.Errorf("answer = %s: a client has neither refresh nor ID token", r.body)
	}
	i.userinfo(r.str(t, "access_token")).want(t, 401, oauth.InvalidToken)
	i.post("/token", robot, "grant_type", "client_credentials").want(t, 200, "")
	for _, c := range []struct {
		as   caller
		ask  []string
		code oauth.ErrorCode
	}{
		{robot, []string{"scope", "openid"}, oauth.InvalidScope},
		{robot, []string{"scope", "vault:open"}, oauth.InvalidScope},
		{robot, []string{"scope", "unheard:of"}, oauth.InvalidScope},
		{robot, []string{"resource", vaultAPI}, oauth.InvalidTarget},
		{shop, nil, oauth.UnauthorizedClient},
		{phone, nil, oauth.UnauthorizedClient},
	} {
		i.post("/token", c.as, append([]string{"grant_type", "client_credentials"}, c.ask...)...).want(t, 400, c.code)
	}
}

// Growth: 10,000 tokens for clients leave the database as it was.
func TestClientCredentialsLeaveNothing(t *testing.T) {
	t.Parallel()
	i := start(t)
	size := func() int64 {
		t.Helper()
		var sum int64
		for _, suffix := range []string{"", "-wal"} {
			if info, err := os.Stat(i.databasePath() + suffix); err == nil {
				sum += info.Size()
			}
		}
		return sum
	}
	before := size()
	for range 10_000 {
		i.post("/token", robot, "grant_type", "client_credentials").want(t, 200, "")
	}
	if after := size(); after != before {
		t.Errorf("the database grew from %d to %d bytes", before, after)
	}
}

func TestTokenEndpointBadInput(t *testing.T) {
	t.Parallel()
	i := start(t)
	raw := func(contentType, body string) reply {
		req := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(body))
		req.Header.Set("Content-Type", contentType)
		shop(req, nil)
		return i.do(req)
	}
	const formType = "application/x-www-form-urlencoded"
	for _, c := range []struct {
		name   string
		r      reply
		status int
		code   oauth.ErrorCode
	}{
		{"no grant_type", i.post("/token", shop), 400, oauth.InvalidRequest},
		{"password grant", i.post("/token", shop, "grant_type", "password", "username", "ada", "password", adaPassword), 400, oauth.UnsupportedGrantType},
		{"unknown grant_type", i.post("/token", shop, "grant_type", "x"), 400, oauth.UnsupportedGrantType},
		{"no client", i.post("/token", nil, "grant_type", "client_credentials"), 401, oauth.InvalidClient},
		{"unknown client", i.post("/token", basic("nobody", shopSecret), "grant_type", "client_credentials"), 401, oauth.InvalidClient},
		{"wrong secret", i.post("/token", basic("robot", shopSecret), "grant_type", "client_credentials"), 401, oauth.InvalidClient},
		{"empty secret", i.post("/token", basic("robot", ""), "grant_type", "client_credentials"), 401, oauth.InvalidClient},
		{"confidential client without secret", i.post("/token", form("robot", ""), "grant_type", "client_credentials"), 401, oauth.InvalidClient},
		{"another method than registered", i.post("/token", form("robot", robotSecret), "grant_type", "client_credentials"), 401, oauth.InvalidClient},
		{"public client with a secret", i.post("/token", basic("phone", "x"), "grant_type", "refresh_token"), 401, oauth.InvalidClient},
		{"two methods", i.post("/token", robot, "grant_type", "client_credentials", "client_id", "robot", "client_secret", robotSecret), 400, oauth.InvalidRequest},
		{"another client_id in the body", i.post("/token", robot, "grant_type", "client_credentials", "client_id", "shop-web"), 400, oauth.InvalidRequest},
		{"duplicate parameter", i.post("/token", robot, "grant_type", "client_credentials", "scope", "orders:read", "scope", "orders:write"), 400, oauth.InvalidRequest},
		{"JSON", raw("application/json", `{"grant_type":"client_credentials"}`), 400, oauth.InvalidRequest},
		{"bad escape", raw(formType, "grant_type=%zz"), 400, oauth.InvalidRequest},
		{"NUL", raw(formType, "grant_type=a%00b"), 400, oauth.InvalidRequest},
		{"huge", raw(formType, strings.Repeat("a=b&", 1<<16)), 400, oauth.InvalidRequest},
		{"many parameters", raw(formType, strings.Repeat("a&", 200)), 400, oauth.InvalidRequest},
		{"code missing", i.post("/token", shop, "grant_type", "authorization_code"), 400, oauth.InvalidRequest},
		{"forged code", i.redeem(shop, "jtc_"+strings.Repeat("A", 72), callback), 400, oauth.InvalidGrant},
		{"SQL for a code", i.redeem(shop, "' OR 1=1 --", callback), 400, oauth.InvalidGrant},
		{"refresh token missing", i.post("/token", shop, "grant_type", "refresh_token"), 400, oauth.InvalidRequest},
		{"forged refresh token", i.refresh(shop, "jtr_"+strings.Repeat("A", 72)), 400, oauth.InvalidGrant},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.r.want(t, c.status, c.code)
			if c.r.str(t, "error_description") == "" {
				t.Error("no description")
			}
			if got := c.r.header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control = %q", got)
			}
			if challenge := c.r.header.Get("WWW-Authenticate"); (c.status == 401) != (challenge != "") {
				t.Errorf("WWW-Authenticate = %q", challenge)
			}
		})
	}
	req := httptest.NewRequest(http.MethodGet, "/token?grant_type=client_credentials", nil)
	robot(req, nil)
	if r := i.do(req); r.status != http.StatusMethodNotAllowed {
		t.Errorf("GET /token = %d", r.status)
	}
	// What stands in the URL is not looked at.
	i.post("/token?grant_type=client_credentials", robot).want(t, 400, oauth.InvalidRequest)
}

// Case 63: neither the log, at its most talkative, nor the database holds a secret,
// token or code; what comes from outside begins no line of its own.
func TestNoSecretIsKept(t *testing.T) {
	t.Parallel()
	i := start(t)
	i.Server.opts.Config.Log.Requests = true
	i.Server.public = i.outer(i.Server.public)
	code := i.code(readOrders("shop-web", callback))
	r := i.redeem(shop, code, callback).want(t, 200, "")
	access, refresh := r.str(t, "access_token"), r.str(t, "refresh_token")
	secrets := []string{shopSecret, otherSecret, robotSecret, apiSecret, adaPassword, i.kek, testVerifier, code, access, refresh, r.str(t, "id_token")}
	i.active(access)
	i.userinfo(access).want(t, 200, "")
	secrets = append(secrets, i.refresh(shop, refresh).want(t, 200, "").str(t, "refresh_token"))
	i.redeem(shop, code, callback).want(t, 400, oauth.InvalidGrant)
	i.refresh(shop, refresh).want(t, 400, oauth.InvalidGrant)
	i.post("/revoke", shop, "token", refresh).want(t, 200, "")
	i.post("/token", basic("robot", shopSecret), "grant_type", "client_credentials").want(t, 401, oauth.InvalidClient)
	i.post("/token", shop, "grant_type", "x\r\nlevel=ERROR msg=forged").want(t, 400, oauth.UnsupportedGrantType)
	i.do(httptest.NewRequest(http.MethodGet, "/callback%0d%0alevel=ERROR?code="+code+"&access_token="+access, nil))

	i.log.mu.Lock()
	log := i.log.String()
	i.log.mu.Unlock()
	if !strings.Contains(log, "grant.replayed") || !strings.Contains(log, "grant.rotated") {
		t.Fatalf("the log is not at its most talkative: %s", log)
	}
	for line := range strings.Lines(log) {
		if !strings.HasPrefix(line, "time=") {
			t.Errorf("a line of somebody else's: %q", line)
		}
	}
	if err := i.store.Write(t.Context(), (*store.Tx).Alive); err != nil {
		t.Fatal(err)
	}
	var kept []byte
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(i.databasePath() + suffix)
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, b...)
	}
	for _, s := range secrets {
		if strings.Contains(log, s) {
			t.Errorf("the log holds %.20q…", s)
		}
		if bytes.Contains(kept, []byte(s)) {
			t.Errorf("the database holds %.20q…", s)
		}
	}
}
