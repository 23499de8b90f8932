package endpoints_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

const bye = "https://shop.example.com/bye"

// member logs Ada in and returns the shop's ID token.
func (s *site) member() (*browser, string) {
	s.t.Helper()
	b := s.browser()
	out := b.redeem("shop", b.login("ada").client(callback))
	return b, out["id_token"].(string)
}

func logoutQuery(pairs ...string) string { return "/logout?" + values(pairs...).Encode() }

func TestLogoutWithHint(t *testing.T) {
	t.Parallel()
	s := start(t)
	b, hint := s.member()
	if to := b.get(logoutQuery("id_token_hint", hint, "post_logout_redirect_uri", bye, "state", "a&b")).to(bye); to != bye+"?state=a%26b" {
		t.Error(to)
	}
	if b.loggedIn() {
		t.Error("still logged in")
	}
	for _, name := range b.cookies() {
		if name == "__Host-jeton" {
			t.Error("the cookie is still there")
		}
	}
	// Nobody is there any more: the same request just leads back.
	if to := b.get(logoutQuery("id_token_hint", hint, "post_logout_redirect_uri", bye+"?x=1", "state", "s")).to(bye); to != bye+"?x=1&state=s" {
		t.Error(to)
	}
	if page := b.get(logoutQuery("id_token_hint", hint)).want(http.StatusOK); strings.Contains(page.body, "<form") {
		t.Error(page.body)
	}
}

// A grant without offline_access ends with its session.
func TestLogoutEndsGrants(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := s.browser()
	out := b.redeem("shop", b.login("ada", "scope", "openid orders:read").client(callback))
	kept := b.redeem("shop", b.authorize("scope", "openid offline_access orders:read").client(callback))
	refresh := func(token any) int {
		t.Helper()
		form := values("grant_type", "refresh_token", "refresh_token", token.(string))
		return b.with("Authorization", basic("shop")).do(http.MethodPost, "/token", form).status
	}
	b.get(logoutQuery("id_token_hint", out["id_token"].(string))).want(http.StatusOK)
	if got := refresh(out["refresh_token"]); got != http.StatusBadRequest {
		t.Errorf("a grant of the session: %d", got)
	}
	if got := refresh(kept["refresh_token"]); got != http.StatusOK {
		t.Errorf("a grant with offline_access: %d", got)
	}
}

func basic(id string) string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(id, secretText)
	return r.Header.Get("Authorization")
}

// Without a hint that fits, the person is asked.
func TestLogoutAsks(t *testing.T) {
	t.Parallel()
	s := start(t)
	b, _ := s.member()
	_, elsewhere := s.member() // the same person in another browser
	bob := s.browser()
	bobs := bob.redeem("shop", bob.login("bob").client(callback))["id_token"].(string)
	for name, query := range map[string]string{
		"nothing":                    "/logout",
		"client_id":                  logoutQuery("client_id", "shop", "post_logout_redirect_uri", bye, "state", "s"),
		"a hint that is none":        logoutQuery("client_id", "shop", "id_token_hint", "eyJhbGciOiJub25lIn0.e30."),
		"a forged hint":              logoutQuery("client_id", "shop", "id_token_hint", bobs[:len(bobs)-8]+"AAAAAAAA"),
		"somebody else's hint":       logoutQuery("id_token_hint", bobs),
		"a hint of another browser":  logoutQuery("id_token_hint", elsewhere),
		"a sid of another browser":   logoutQuery("logout_hint", "AAAAAAAAAAAAAAAAAAAAAA"),
		"an empty sid":               logoutQuery("logout_hint", ""),
		"a hint that is very long":   logoutQuery("id_token_hint", strings.Repeat("a", 30_000)),
		"somebody else's, with POST": "",
	} {
		page := b.get(query)
		if query == "" {
			page = b.with("Sec-Fetch-Site", "cross-site").post("/logout", "id_token_hint", bobs)
		}
		page.want(http.StatusOK)
		if action, _ := page.form(0); action != "/logout" || !strings.Contains(page.body, "ada@example.com") || !strings.Contains(page.body, `name="logout"`) {
			t.Errorf("%s: %s", name, page.body)
		}
		if !b.loggedIn() {
			t.Fatalf("%s: logged out unasked", name)
		}
	}
	page := b.get(logoutQuery("client_id", "shop", "post_logout_redirect_uri", bye, "state", "s"))
	if csp := page.header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' https://shop.example.com;") {
		t.Error(csp)
	}
	b.submit(page, 0, "stay", "1").to("/")
	if !b.loggedIn() {
		t.Error("who stays is logged out")
	}
	if to := b.submit(page, 0, "logout", "1").to(bye); to != bye+"?state=s" || b.loggedIn() {
		t.Error(to)
	}
}

// Case 5: nothing redirects to a URI that is not registered, and nothing ends then.
func TestLogoutRefuses(t *testing.T) {
	t.Parallel()
	s := start(t)
	b, hint := s.member()
	for name, pairs := range map[string][]string{
		"another's URI":       {"post_logout_redirect_uri", "https://third.example.com/bye"},
		"a callback":          {"post_logout_redirect_uri", callback},
		"another path":        {"post_logout_redirect_uri", bye + "/"},
		"a query":             {"post_logout_redirect_uri", bye + "?y"},
		"userinfo":            {"post_logout_redirect_uri", "https://shop.example.com@evil.example/bye"},
		"another client":      {"client_id", "third"},
		"another client, URI": {"client_id", "third", "post_logout_redirect_uri", "https://third.example.com/bye"},
		"unknown client":      {"client_id", "nobody"},
		"a long state":        {"post_logout_redirect_uri", bye, "state", strings.Repeat("s", 2049)},
	} {
		query := append([]string{"id_token_hint", hint}, pairs...)
		for method, a := range map[string]answer{"GET": b.get(logoutQuery(query...)), "POST": b.post("/logout", query...), "answer": b.post("/logout", append(query, "logout", "1")...)} {
			a.want(http.StatusBadRequest)
			if !b.loggedIn() {
				t.Fatalf("%s, %s: logged out", name, method)
			}
		}
	}
}

// A form that another site posts comes without the cookie. The browser comes again by
// GET, and no token stands in that URL (case 14).
func TestLogoutPosted(t *testing.T) {
	t.Parallel()
	s := start(t)
	b, hint := s.member()
	post := func(pairs ...string) string {
		t.Helper()
		a := s.browser().with("Sec-Fetch-Site", "cross-site").with("Origin", "https://shop.example.com").post("/logout", pairs...)
		to := a.to("/logout?")
		for _, part := range append(strings.Split(hint, "."), "id_token") {
			if strings.Contains(to, part) || a.header.Get("Set-Cookie") != "" {
				t.Errorf("%s, %v", to, a.header)
			}
		}
		return to
	}
	page := b.get(post("client_id", "shop", "post_logout_redirect_uri", bye)).want(http.StatusOK)
	if _, fields := page.form(0); fields.Get("post_logout_redirect_uri") != bye {
		t.Error(page.body)
	}
	if to := b.get(post("id_token_hint", hint, "post_logout_redirect_uri", bye, "state", "s")).to(bye); to != bye+"?state=s" || b.loggedIn() {
		t.Error(to)
	}

	same, hint := s.member()
	if to := same.with("Sec-Fetch-Site", "same-site").post("/logout", "id_token_hint", hint, "post_logout_redirect_uri", bye).to(bye); to != bye || same.loggedIn() {
		t.Error(to)
	}
}

// An ID token stays a hint after the person confirmed who they are, which changes the
// sid, and after it expired.
func TestLogoutHintThatIsOlder(t *testing.T) {
	t.Parallel()
	s := start(t)
	b, hint := s.member()
	b.login("ada", "prompt", "login").client(callback)
	s.clock.Advance(50 * time.Minute)
	b.login("ada", "prompt", "login").client(callback)
	s.clock.Advance(50 * time.Minute)
	b.get(logoutQuery("id_token_hint", hint, "post_logout_redirect_uri", bye)).to(bye)
	if b.loggedIn() {
		t.Error("still logged in")
	}
}

func TestLogoutOnceOver(t *testing.T) {
	t.Parallel()
	s := start(t)
	b, _ := s.member()
	page := b.get("/logout").want(http.StatusOK)
	b.submit(page, 0, "logout", "1").want(http.StatusOK)
	b.submit(page, 0, "logout", "1").want(http.StatusOK)
	b.get("/logout").want(http.StatusOK)
}
