package endpoints_test

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/oauth"
)

func TestLoginAndSSO(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := s.browser()
	got := b.login("ada", "nonce", "n").client(callback)
	if got.Get("state") != "st" || got.Get("iss") != s.issuer || len(got) != 3 {
		t.Errorf("answer %v", got)
	}
	out := b.redeem("shop", got)
	if out["id_token"] == nil || out["access_token"] == nil {
		t.Errorf("tokens %v", out)
	}
	if names := b.cookies(); len(names) != 2 || names[0] != "__Host-jeton" || !strings.HasPrefix(names[1], "__Host-jeton_browser") {
		t.Errorf("cookies %q", names)
	}
	// No page comes between any more.
	if got := b.authorize("state", "other").client(callback); got.Get("state") != "other" || !got.Has("code") {
		t.Errorf("answer %v", got)
	}
	home := b.get("/").want(http.StatusOK)
	if !strings.Contains(home.body, "ada@example.com") {
		t.Error("the front page does not know who is there")
	}
	if strings.Contains(s.log.String(), got.Get("code")) || strings.Contains(s.log.String(), password1) {
		t.Error("the log holds a code or a password")
	}
}

func TestErrorsGoToTheClient(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := s.browser()
	for _, tt := range []struct {
		pairs []string
		want  oauth.ErrorCode
	}{
		{[]string{"response_type", "none"}, oauth.UnsupportedResponseType},
		{[]string{"scope", "openid orders:write"}, oauth.InvalidScope},
		{[]string{"prompt", "none"}, oauth.LoginRequired},
		{[]string{"code_challenge", ""}, oauth.InvalidRequest},
		{[]string{"request_uri", "https://evil.example/"}, oauth.RequestURINotSupported},
	} {
		got := b.authorize(tt.pairs...).client(callback)
		if got.Get("error") != string(tt.want) || got.Get("error_description") == "" || got.Get("state") != "st" || got.Get("iss") != s.issuer || got.Has("code") {
			t.Errorf("%q: %v", tt.pairs, got)
		}
	}
	if names := b.cookies(); len(names) != 0 {
		t.Errorf("errors set the cookies %q", names)
	}
}

// Cases 4, 5 and 13.
func TestErrorPages(t *testing.T) {
	t.Parallel()
	b := start(t).browser()
	const hostile = `"><script>alert(1)</script><img src=x onerror=alert(1)>`
	query := authorize().Encode()
	for name, target := range map[string]string{
		"unknown client":        "/authorize?" + authorize("client_id", hostile).Encode(),
		"unknown redirect URI":  "/authorize?" + authorize("redirect_uri", "https://evil.example/"+hostile).Encode(),
		"no redirect URI":       "/authorize?" + authorize("redirect_uri", "").Encode(),
		"response mode":         "/authorize?" + authorize("response_mode", hostile).Encode(),
		"no parameters":         "/authorize",
		"duplicate parameter":   "/authorize?" + query + "&client_id=shop",
		"duplicate unknown":     "/authorize?" + query + "&" + url.QueryEscape(hostile) + "=1&" + url.QueryEscape(hostile) + "=2",
		"malformed":             "/authorize?" + query + "&%zz",
		"too many parameters":   "/authorize?" + query + strings.Repeat("&a=", 100),
		"NUL":                   "/authorize?" + query + "&x=%00",
		"unknown flow":          "/login?flow=AAAAAAAAAAAAAAAAAAAAAA",
		"no flow":               "/login",
		"hostile flow":          "/login?flow=" + url.QueryEscape(hostile),
		"unknown flow, consent": "/consent?flow=AAAAAAAAAAAAAAAAAAAAAA",
		"claim of no flow":      "/authorize?flow=AAAAAAAAAAAAAAAAAAAAAA",
		"logout to nowhere":     "/logout?client_id=shop&post_logout_redirect_uri=https%3A%2F%2Fevil.example%2F",
		"logout, no client":     "/logout?post_logout_redirect_uri=https%3A%2F%2Fshop.example.com%2Fbye",
		"logout, bad client":    "/logout?client_id=" + url.QueryEscape(hostile),
	} {
		a := b.get(target)
		a.want(http.StatusBadRequest)
		if strings.Contains(a.body, "<img") || strings.Contains(a.body, "evil.example") || a.header.Get("Location") != "" {
			t.Errorf("%s: %s", name, a.body)
		}
		if id := a.header.Get("X-Request-Id"); id == "" || !strings.Contains(a.body, id) {
			t.Errorf("%s: the page does not name the request", name)
		}
	}
	b.get("/no/such/page").want(http.StatusNotFound)
	b.post("/login?flow=x").want(http.StatusBadRequest)
	for path, allow := range map[string]string{"/authorize": "GET, HEAD, POST", "/login/cancel": "POST", "/": "GET, HEAD"} {
		a := b.do(http.MethodDelete, path, nil)
		if a.want(http.StatusMethodNotAllowed).header.Get("Allow") != allow {
			t.Errorf("%s: Allow %q", path, a.header.Get("Allow"))
		}
	}
}

func TestHostileTextOnPages(t *testing.T) {
	t.Parallel()
	b := start(t).browser()
	const hostile = `"><img src=x onerror=alert(1)>`
	page := b.get(b.authorize("client_id", "third", "login_hint", hostile, "state", hostile, "ui_locales", hostile).to("/login"))
	page.want(http.StatusOK)
	if strings.Contains(page.body, "<img") || strings.Contains(page.body, "<b>Third") || !strings.Contains(page.body, "&lt;b&gt;Third") {
		t.Error(page.body)
	}
	if _, fields := page.form(0); fields.Get("username") != hostile {
		t.Error("the hint is not what it was")
	}
	page = b.submit(page, 0, "username", hostile, "password", hostile).want(http.StatusBadRequest)
	if strings.Contains(page.body, "<img") || strings.Count(page.body, "alert(1)") != 1 {
		t.Error(page.body)
	}
}

// Case 50: the same answer whether the account exists or not.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := s.browser()
	page := b.get(b.authorize().to("/login"))
	bodies := map[string]string{}
	for _, name := range []string{"ada@example.com", "eve@example.com"} {
		a := b.submit(page, 0, "username", name, "password", "wrong wrong wrong").want(http.StatusBadRequest)
		bodies[name] = strings.ReplaceAll(a.body, name, "")
		if _, fields := a.form(0); fields.Get("username") != name || fields.Get("password") != "" {
			t.Error("the form does not keep the name, or keeps the password")
		}
	}
	if bodies["ada@example.com"] != bodies["eve@example.com"] {
		t.Error("the page tells whether the account exists")
	}
	b.submit(page, 0, "username", "", "password", "").want(http.StatusBadRequest)
	b.submit(page, 0, "username", "ada@example.com", "password", password1).client(callback)

	// Case 51.
	other := s.browser()
	page = other.get(other.authorize().to("/login"))
	for range 10 {
		other.submit(page, 0, "username", "bob@example.com", "password", "wrong").want(http.StatusBadRequest)
	}
	limited := other.submit(page, 0, "username", "bob@example.com", "password", password1).want(http.StatusTooManyRequests)
	if limited.header.Get("Retry-After") != "60" {
		t.Error(limited.header)
	}
	bobs := s.browser()
	bobs.peer = "203.0.113.9:1"
	bobs.login("bob").client(callback)
}

// Case 11: nothing for an attacker who sends the link, and nothing driven from outside.
func TestFlowStaysInItsBrowser(t *testing.T) {
	t.Parallel()
	s := start(t)
	attacker, victim := s.browser(), s.browser()
	link := attacker.authorize("client_id", "third").to("/login?flow=")
	flow := link[len("/login?flow="):]
	victim.login("ada").client(callback)
	for range 2 {
		victim.get(link).want(http.StatusBadRequest)
		victim.get("/consent?flow=" + flow).want(http.StatusBadRequest)
		victim.get("/authorize?flow=" + flow).want(http.StatusBadRequest)
		victim.post("/login", "flow", flow, "username", "ada@example.com", "password", password1).want(http.StatusBadRequest)
		victim.post("/consent", "flow", flow, "allow", "1").want(http.StatusBadRequest)
		victim.post("/login/cancel", "flow", flow).want(http.StatusBadRequest)
		victim = s.browser() // one without any cookie
	}
	attacker.get(link).want(http.StatusOK)
}

// Case 42: forms of other origins change nothing, login included.
func TestForeignForms(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := s.browser()
	page := b.get(b.authorize("client_id", "third").to("/login"))
	_, fields := page.form(0)
	flow := fields.Get("flow")
	for _, foreign := range []*browser{
		b.with("Sec-Fetch-Site", "cross-site"),
		b.with("Sec-Fetch-Site", "same-site"),
		b.with("Origin", "https://evil.example"),
		b.with("Origin", "http://id.example.com"),
	} {
		foreign.submit(page, 0, "username", "ada@example.com", "password", password1).want(http.StatusForbidden)
		foreign.post("/login/cancel", "flow", flow).want(http.StatusForbidden)
		foreign.post("/consent", "flow", flow, "allow", "1").want(http.StatusForbidden)
		foreign.post("/logout", "logout", "1").want(http.StatusForbidden)
	}
	// Old browsers and tools send neither header; ours send null, since pages say no-referrer.
	b.with("Origin", "null").submit(page, 0, "username", "ada@example.com", "password", "wrong").want(http.StatusBadRequest)
	own := b.with("Sec-Fetch-Site", "same-origin").with("Origin", "null")
	consent := own.get(own.submit(page, 0, "username", "ada@example.com", "password", password1).to("/consent"))
	own.submit(consent, 0, "allow", "1").client("https://third.example.com/callback")
	if !b.loggedIn() {
		t.Error("nobody is logged in")
	}
	b.with("Sec-Fetch-Site", "cross-site").post("/logout", "logout", "1").want(http.StatusForbidden)
	if !b.loggedIn() {
		t.Error("another site logged the person out")
	}
}

func TestConsent(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := s.browser()
	third := []string{"client_id", "third", "scope", "openid offline_access orders:read"}
	const uri = "https://third.example.com/callback"
	link := b.login("ada", third...).to("/consent?flow=")
	page := b.get(link).want(http.StatusOK)
	for _, text := range []string{"ada@example.com", "Orders API", "orders:read", "third.example.com", `name="allow"`, `name="deny"`} {
		if !strings.Contains(page.body, text) {
			t.Errorf("the page does not show %s: %s", text, page.body)
		}
	}
	if csp := page.header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' https://third.example.com;") {
		t.Error(csp)
	}
	// Case 49: an empty form says nothing, and the login page has nothing left to ask.
	if to := b.submit(page, 0).to("/consent"); to != link {
		t.Error(to)
	}
	b.get(strings.Replace(link, "/consent", "/login", 1)).to(link)
	if got := b.authorize(append(third, "prompt", "none")...).client(uri); got.Get("error") != string(oauth.ConsentRequired) {
		t.Error(got)
	}
	if got := b.submit(page, 0, "deny", "1").client(uri); got.Get("error") != string(oauth.AccessDenied) || got.Get("state") != "st" || got.Get("iss") != s.issuer {
		t.Error(got)
	}
	b.submit(page, 0, "allow", "1").want(http.StatusBadRequest) // the flow is over

	page = b.get(b.authorize(third...).to("/consent"))
	got := b.submit(page, 0, "allow", "1").client(uri)
	if out := b.redeem("third", got); out["refresh_token"] == nil {
		t.Errorf("tokens %v", out)
	}
	if got := b.authorize(append(third, "prompt", "none")...).client(uri); !got.Has("code") {
		t.Error("the consent was not remembered", got)
	}
	// Only what is new is asked for.
	page = b.get(b.authorize("client_id", "third", "scope", "openid offline_access orders:read orders:write").to("/consent"))
	if strings.Contains(page.body, "orders:read") || !strings.Contains(page.body, "orders:write") {
		t.Error(page.body)
	}

	// Somebody else logs in in another tab: what was shown to Ada is not Bob's consent.
	b.login("bob", "prompt", "select_account").client(callback)
	again := b.submit(page, 0, "allow", "1").to("/consent")
	if page := b.get(again).want(http.StatusOK); !strings.Contains(page.body, "bob@example.com") {
		t.Error(page.body)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	b := start(t).browser()
	page := b.get(b.authorize().to("/login"))
	if got := b.submit(page, 1, "cancel", "1").client(callback); got.Get("error") != string(oauth.AccessDenied) {
		t.Error(got)
	}
	b.submit(page, 0, "username", "ada@example.com", "password", password1).want(http.StatusBadRequest)
}

func TestReauthenticate(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := s.browser()
	b.login("ada").client(callback)
	old, err := sessionCookie(b)
	if err != nil {
		t.Fatal(err)
	}
	page := b.get(b.authorize("prompt", "login").to("/login"))
	if _, fields := page.form(0); fields.Get("username") != "ada@example.com" || strings.Contains(page.body, "readonly") {
		t.Error(page.body)
	}
	s.clock.Advance(time.Second)
	b.submit(page, 0, "password", password1).client(callback)
	if now, err := sessionCookie(b); err != nil || now == old {
		t.Error("the session's cookie is the old one", err) // case 38
	}
	page = b.get(b.authorize("prompt", "select_account").to("/login"))
	if _, fields := page.form(0); fields.Get("username") != "" {
		t.Error("the account can't be chosen")
	}
	// The session's end by time is a login again.
	s.clock.Advance(time.Hour)
	b.authorize().to("/login")
}

func sessionCookie(b *browser) (string, error) {
	u, err := url.Parse(b.issuer)
	if err != nil {
		return "", err
	}
	for _, c := range b.jar.Cookies(u) {
		if c.Name == "__Host-jeton" {
			return c.Value, nil
		}
	}
	return "", http.ErrNoCookie
}

// Two tabs that begin before the browser has a cookie do not disturb each other.
func TestTwoTabs(t *testing.T) {
	t.Parallel()
	s := start(t)
	b, other := s.browser(), s.browser()
	one := b.authorize("state", "one").to("/login")
	two := other.authorize("state", "two") // sent before the first one's answer came
	u, err := url.Parse(s.issuer)
	if err != nil {
		t.Fatal(err)
	}
	b.jar.SetCookies(u, (&http.Response{Header: two.header}).Cookies())
	pageOne, pageTwo := b.get(one).want(http.StatusOK), b.get(two.to("/login")).want(http.StatusOK)
	if got := b.submit(pageOne, 0, "username", "ada@example.com", "password", password1).client(callback); got.Get("state") != "one" {
		t.Error(got)
	}
	if got := b.submit(pageTwo, 0, "username", "ada@example.com", "password", password1).client(callback); got.Get("state") != "two" {
		t.Error(got)
	}
}

// POST /authorize comes from any site, where the Lax cookie is not sent.
func TestPostedRequest(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := s.browser()
	b.login("ada").client(callback)
	elsewhere := s.browser().with("Sec-Fetch-Site", "cross-site").with("Origin", "https://shop.example.com")
	post := func(pairs ...string) answer {
		t.Helper()
		return elsewhere.do(http.MethodPost, "/authorize", authorize(pairs...))
	}
	if got := b.get(post().to("/authorize?flow=")).client(callback); !got.Has("code") {
		t.Error(got)
	}
	link := post("prompt", "login").to("/authorize?flow=")
	fresh := s.browser()
	page := fresh.get(fresh.get(link).to("/login")).want(http.StatusOK)
	b.get(link).want(http.StatusBadRequest) // claimed by the other browser
	fresh.submit(page, 0, "username", "ada@example.com", "password", password1).client(callback)
	if got := post("scope", "nothing").client(callback); got.Get("error") != string(oauth.InvalidScope) {
		t.Error(got)
	}
	post("client_id", "nobody").want(http.StatusBadRequest)
	link = post().to("/authorize?flow=")
	s.clock.Advance(time.Minute)
	b.get(link).want(http.StatusBadRequest)
	if elsewhere.cookies() != nil {
		t.Error("a posted request set cookies")
	}
	a := elsewhere.with("Content-Type", "text/plain").do(http.MethodPost, "/authorize", authorize())
	a.want(http.StatusBadRequest)
}

func TestIssuerUnderAPath(t *testing.T) {
	t.Parallel()
	s := startAt(t, "https://example.com/id")
	b := s.browser()
	got := b.login("ada").client(callback)
	if got.Get("iss") != "https://example.com/id" {
		t.Error(got)
	}
	if names := b.cookies(); !slices.Contains(names, "__Host-jeton") {
		t.Error(names)
	}
	home := b.get("/id/").want(http.StatusOK)
	for _, path := range regexp.MustCompile(`(?:href|src)="(/[^"]*)"`).FindAllStringSubmatch(home.body, -1) {
		if a := b.get(path[1]); !strings.HasPrefix(path[1], "/id/") || a.status != http.StatusOK && a.status != http.StatusSeeOther {
			t.Errorf("%s: %d", path[1], a.status)
		}
	}
	b.get("/authorize").want(http.StatusNotFound)
	page := b.get("/id/logout").want(http.StatusOK)
	b.submit(page, 0, "logout", "1").want(http.StatusOK)
	if b.loggedIn() {
		t.Error("still logged in")
	}
}

func TestPlainHTTPOnLoopback(t *testing.T) {
	t.Parallel()
	b := startAt(t, "http://localhost:8080").browser()
	a := b.authorize()
	cookie := a.header.Get("Set-Cookie")
	if !strings.HasPrefix(cookie, "jeton_browser") || strings.Contains(cookie, "Secure") || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Lax") {
		t.Error(cookie)
	}
	b.submit(b.get(a.to("/login")), 0, "username", "ada@example.com", "password", password1).client(callback)
	if names := b.cookies(); names[0] != "jeton" {
		t.Error(names)
	}
}
