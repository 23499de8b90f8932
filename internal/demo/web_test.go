package demo

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestJourney(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.get("/").shows(t, 200, `id="login"`, "ada@example.com")
	if s.cookie() != "" {
		t.Error("looking at the page makes a session")
	}

	p := s.submit("/login")
	p.shows(t, 200, "Hello, Ada Lovelace", "You are logged in.", "5 min 0 s left", `id="number">1<`, "at&#43;jwt", "email_verified")

	s.submit("/call-api").shows(t, 200, "The API took the token.", "200 OK", "Espresso machine")
	s.get("/").shows(t, 200, "The API took the token.")

	s.clock.Advance(10 * time.Second)
	s.get("/").shows(t, 200, "4 min 50 s left")
	s.submit("/refresh").shows(t, 200, "You have a new access token.", "rose from 1 to 2", `id="number">2<`, ">once<", "5 min 0 s left")

	s.clock.Advance(5*time.Minute + time.Second)
	s.submit("/call-api").shows(t, 200, "The API refused the token.", "401 Unauthorized", "The token has expired.", "WWW-Authenticate")
	s.submit("/refresh").shows(t, 200, "rose from 2 to 3")

	s.issuer.set(func() { s.issuer.lag = 50 * time.Millisecond })
	p = s.submit("/revoke")
	p.shows(t, 200, "Revoked.", "401 Unauthorized", ">revoked<", "Log in again")
	m := regexp.MustCompile(`refused the token (\d+\.\d+)\x{a0}ms later, at call number \d+\.`).FindStringSubmatch(p.body)
	if m == nil {
		t.Fatal("the page does not tell how long the revocation took:", p.body)
	}
	if took, err := strconv.ParseFloat(m[1], 64); err != nil || took < 40 || took > 5000 {
		t.Errorf("the feed held a revocation back for 50 ms, the page tells %s", m[1])
	}
	s.submit("/call-api").shows(t, 200, "The API refused the token.")
	s.submit("/refresh").shows(t, 200, "The issuer gave no new token.", "invalid_grant: not &lt;today&gt;")

	s.submit("/login").shows(t, 200, "You are logged in.", `id="number">1<`)
	s.submit("/logout").shows(t, 200, "You are logged out here.", `id="login"`)
	if !strings.HasPrefix(s.issuer.hint, "ey") {
		t.Errorf("id_token_hint %q", s.issuer.hint)
	}
	for _, path := range []string{"/call-api", "/refresh", "/revoke", "/logout"} {
		s.submit(path).shows(t, 200, `id="login"`)
	}
}

func TestBrowserGetsNoToken(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	var seen strings.Builder
	for _, path := range []string{"/login", "/call-api", "/refresh"} {
		s.submit(path)
		p := s.get("/")
		seen.WriteString(p.body)
		for _, c := range p.Cookies() {
			seen.WriteString(c.Value)
		}
	}
	kept := s.demo.web.sessions.find(withCookie(s.cookie()))
	for name, token := range map[string]string{
		"access": signature(kept.account.token.AccessToken), "refresh": kept.account.token.RefreshToken, "ID": signature(kept.account.idToken),
	} {
		if token == "" || strings.Contains(seen.String(), token) {
			t.Errorf("the browser got the %s token", name)
		}
	}
}

func withCookie(value string) *http.Request {
	return &http.Request{Header: http.Header{"Cookie": {cookieName + "=" + value}}}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	p := s.stopped().submit("/login")
	c := p.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || len(c.Value) != 43 || c.Path != "/" {
		t.Errorf("cookie %v", c)
	}
	h := s.get("/").Header
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self' " + s.issuer.URL + "; frame-ancestors 'none'; base-uri 'none'",
		"Cache-Control":           "no-store",
		"X-Content-Type-Options":  "nosniff",
		"Referrer-Policy":         "same-origin",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: %q, not %q", name, got, want)
		}
	}
	for _, path := range []string{"jeton.css", "demo.css", "demo.js", "mark.svg"} {
		s.get("/assets/"+path).shows(t, 200)
	}
}

// A new reference at each login, and the one before leads nowhere.
func TestSessionChangesAtLogin(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	p := s.stopped().submit("/login")
	before := s.cookie()
	s.get(p.Header.Get("Location")).shows(t, 200, "Hello, Ada")
	if s.cookie() == before {
		t.Error("the login kept the session's reference")
	}
	if s.demo.web.sessions.find(withCookie(before)) != nil {
		t.Error("the old reference still leads to the session")
	}
}

func TestTwoTabs(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	one := s.stopped().submit("/login").Header.Get("Location")
	two := s.stopped().submit("/login").Header.Get("Location")
	s.get(one).shows(t, 200, "Hello, Ada")
	s.get(two).shows(t, 200, "Hello, Ada", "You are logged in.")
}

// An answer counts once, in the browser that asked, while it is fresh.
func TestCallbackIsBound(t *testing.T) {
	t.Parallel()
	const stopped = "did not begin in this browser"
	t.Run("another browser", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		answer := s.answer()
		newBrowser(t, s.web).get(answer).shows(t, 400, stopped)
		other := newBrowser(t, s.web)
		other.stopped().submit("/login")
		other.get(answer).shows(t, 400, stopped)
		s.get(answer).shows(t, 200, "Hello, Ada")
		s.get(answer).shows(t, 400, stopped)
	})
	t.Run("late", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		answer := s.answer()
		s.clock.Advance(loginAge + time.Second)
		s.get(answer).shows(t, 400, stopped)
	})
	t.Run("no state", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		s.answer()
		s.get("/callback?code=code0").shows(t, 400, stopped)
	})
}

// answer is the URL that the issuer sends a new login back to.
func (s *stage) answer() string {
	s.t.Helper()
	b := s.stopped()
	return b.get(b.submit("/login").Header.Get("Location")).Header.Get("Location")
}

func TestLoginRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*issuer)
		status int
		texts  []string
	}{
		"denied": {func(is *issuer) {
			is.answer = url.Values{"error": {"access_denied"}, "error_description": {"<b>no</b>"}, "code": {}}
		}, 200, []string{"You were not logged in.", "access_denied: &lt;b&gt;no&lt;/b&gt;"}},
		"other issuer":  {func(is *issuer) { is.answer = url.Values{"iss": {"https://evil.example"}} }, 400, []string{"names another issuer"}},
		"no issuer":     {func(is *issuer) { is.answer = url.Values{"iss": {}} }, 400, []string{"names another issuer"}},
		"other code":    {func(is *issuer) { is.answer = url.Values{"code": {"x"}} }, 200, []string{"The login failed.", "invalid_grant"}},
		"refused":       {func(is *issuer) { is.refuse = "server_error" }, 200, []string{"The login failed.", "server_error"}},
		"nonce":         {func(is *issuer) { is.idToken["nonce"] = "other" }, 200, []string{"The login failed.", "nonce"}},
		"audience":      {func(is *issuer) { is.idToken["aud"] = "other" }, 200, []string{"The login failed.", "audience"}},
		"expired":       {func(is *issuer) { is.idToken["exp"] = 1 }, 200, []string{"The login failed.", "expired"}},
		"hash":          {func(is *issuer) { is.idToken["at_hash"] = half("other") }, 200, []string{"The login failed."}},
		"other subject": {func(is *issuer) { is.userinfo["sub"] = "u_eve" }, 200, []string{"The login failed.", "another person"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.issuer.set(func() { c.change(s.issuer) })
			s.submit("/login").shows(t, c.status, append(c.texts, `id="login"`)...)
		})
	}
}

func TestRefreshOfAnotherPerson(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.submit("/login")
	s.issuer.set(func() { s.issuer.idToken["sub"] = "u_eve" })
	s.submit("/refresh").shows(t, 200, "about another person", "not yet")
}

func TestRevokeRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.submit("/login")
	s.issuer.set(func() { s.issuer.number = 9 })
	p := s.submit("/revoke")
	p.shows(t, 200, "The issuer did not revoke.", "invalid_request: that is not the token")
	if strings.Contains(p.body, ">revoked<") {
		t.Error("the token is shown as revoked")
	}
}

func TestIssuerDown(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.submit("/login")
	s.issuer.Close()
	s.submit("/refresh").shows(t, 200, "the issuer can&#39;t be reached")
	s.submit("/revoke").shows(t, 200, "the issuer can&#39;t be reached")
	s.submit("/call-api").shows(t, 200, "200 OK") // for some seconds
}

func TestOpaqueToken(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.issuer.set(func() { s.issuer.opaque = true })
	s.submit("/login").shows(t, 200, "opaque", "left")
	s.submit("/call-api").shows(t, 200, "401 Unauthorized")
}

// What an issuer says about a person is shown as text.
func TestHostileClaims(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.issuer.set(func() {
		s.issuer.userinfo["name"] = `<script>alert(1)</script>`
		s.issuer.userinfo["roles"] = []string{"</td><b>"}
	})
	p := s.submit("/login")
	p.shows(t, 200, "Hello, &lt;script&gt;")
	if strings.Contains(p.body, "<script>") || strings.Contains(p.body, "</td><b>") {
		t.Error(p.body)
	}
}

func TestForeignForms(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.submit("/login").shows(t, 200, "Hello")
	for _, path := range []string{"/login", "/call-api", "/refresh", "/revoke", "/logout"} {
		for header, value := range map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "http://evil.example"} {
			req := s.request("POST", path, "")
			req.Header.Set(header, value)
			s.do(req).shows(t, http.StatusForbidden)
		}
		s.get(path).shows(t, http.StatusMethodNotAllowed)
	}
	s.get("/").shows(t, 200, "Hello", "not yet")
}

func TestOtherNameOfThisMachine(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	port := s.web[strings.LastIndexByte(s.web, ':'):]
	req := s.request("GET", "/?a=b", "")
	req.Host = "localhost" + port
	if p := s.stopped().do(req); p.StatusCode != http.StatusSeeOther || p.Header.Get("Location") != s.web+"/?a=b" {
		t.Errorf("%d to %q", p.StatusCode, p.Header.Get("Location"))
	}
	req = s.request("POST", "/login", "")
	req.Host = "evil.example"
	s.do(req).shows(t, http.StatusMisdirectedRequest)
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.submit("/login").shows(t, 200, "Hello")
	s.clock.Advance(sessionIdle)
	s.get("/").shows(t, 200, "Hello")
	s.clock.Advance(sessionIdle + time.Second)
	s.get("/").shows(t, 200, `id="login"`)
}

func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.submit("/login").shows(t, 200, "Hello")
	all := &s.demo.web.sessions
	for i := range maxSessions + 5 {
		s.clock.Advance(time.Millisecond)
		rec := discard{}
		all.keep(rec, withCookie("none"), newSession(nil))
		if i == maxSessions/2 {
			s.get("/").shows(t, 200, "Hello") // used since
		}
	}
	if n := len(all.all); n != maxSessions {
		t.Errorf("%d sessions", n)
	}
	s.get("/").shows(t, 200, "Hello")
}

type discard http.Header

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

func TestAttemptsAreBounded(t *testing.T) {
	t.Parallel()
	var s session
	now := time.Now()
	first := s.begin(attempt{began: now})
	for i := range maxLogins {
		s.begin(attempt{began: now.Add(time.Duration(i+1) * time.Second)})
	}
	if _, ok := s.end(first, now); ok || len(s.logins) != maxLogins {
		t.Errorf("%d attempts, the first among them: %v", len(s.logins), ok)
	}
	s.begin(attempt{began: now.Add(time.Hour)})
	if len(s.logins) != 1 {
		t.Errorf("%d attempts, with some that are over", len(s.logins))
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for token, want := range map[string]int64{
		refreshToken(1): 1, refreshToken(1 << 40): 1 << 40,
		"": 0, "jtr_": 0, "jtr_AAAA": 0, "jtr_!": 0, "other" + refreshToken(3): 0,
	} {
		if n, ok := number(token); n != want || ok != (want > 0) {
			t.Errorf("number(%q) = %d, %v", token, n, ok)
		}
	}
}
