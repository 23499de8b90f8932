package endpoints_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/config"
	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/password"
	"github.com/jeton-auth/jeton/internal/server"
)

const (
	secretText = "dGhpcnR5LXR3by1ieXRlcy1vZi1hLXNlY3JldC0xMjM"
	password1  = "seven wooden bridges in fog"
	callback   = "https://shop.example.com/callback"
	verifier   = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

const testConfig = `
issuer: ISSUER
behind_proxy: {trusted: [10.0.0.0/8]}
store: sqlite:jeton.db
key_encryption_key: env:KEK
sessions: {idle: 1h, absolute: 10h}
resources:
  - {id: https://api.example.com, name: Orders API, scopes: [orders:read, orders:write]}
clients:
  - id: shop
    name: Web shop
    auth_method: client_secret_basic
    secret: env:SECRET
    redirect_uris: [https://shop.example.com/callback]
    post_logout_redirect_uris: [https://shop.example.com/bye, "https://shop.example.com/bye?x=1"]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, email, offline_access, orders:read]
    resources: [https://api.example.com]
    first_party: true
  - id: third
    name: '<b>Third</b> "party"'
    auth_method: client_secret_basic
    secret: env:SECRET
    redirect_uris: [https://third.example.com/callback]
    post_logout_redirect_uris: [https://third.example.com/bye]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, email, offline_access, orders:read, orders:write]
    resources: [https://api.example.com]
users:
  - {email: ada@example.com, email_verified: true, name: Ada Lovelace, password: env:PASSWORD}
  - {email: bob@example.com, name: Bob, password: env:PASSWORD}
`

// site is an issuer under test.
type site struct {
	*server.Server
	t      *testing.T
	issuer string
	clock  *clock.Manual
	log    *bytes.Buffer
}

func start(t *testing.T) *site { return startAt(t, "https://id.example.com") }

func startAt(t *testing.T, issuer string) *site {
	t.Helper()
	return startWith(t, issuer, password.New(password.Params{Memory: 8, Iterations: 1, Parallelism: 1}, 2, 64))
}

func startWith(t *testing.T, issuer string, hasher *password.Hasher) *site {
	t.Helper()
	return startConfig(t, issuer, testConfig, hasher)
}

func startConfig(t *testing.T, issuer, text string, hasher *password.Hasher) *site {
	t.Helper()
	s := &site{t: t, issuer: issuer, clock: clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), log: &bytes.Buffer{}}
	env := map[string]string{"KEK": keys.NewKEK(), "SECRET": secretText, "PASSWORD": password1}
	text = strings.Replace(text, "ISSUER", issuer, 1)
	if strings.HasPrefix(issuer, "http:") {
		text = strings.Replace(text, "behind_proxy: {trusted: [10.0.0.0/8]}\n", "", 1)
	}
	c, err := config.Parse("jeton.yaml", []byte(text), t.TempDir(), func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	s.Server, err = server.Open(t.Context(), server.Options{
		Config: c, Clock: s.clock, Log: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Hasher: hasher,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// browser keeps cookies as a browser does, and follows nothing by itself.
type browser struct {
	*site
	jar    *cookiejar.Jar
	header http.Header // sent with each request
	peer   string
}

func (s *site) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &browser{s, jar, http.Header{}, "198.51.100.7:4711"}
}

// with is the same browser, sending another header.
func (b *browser) with(name, value string) *browser {
	c := *b
	c.header = b.header.Clone()
	c.header.Set(name, value)
	return &c
}

// answer is what the issuer answered.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   string
}

func (b *browser) do(method, target string, form url.Values) answer {
	b.t.Helper()
	u, err := url.Parse(b.issuer)
	if err != nil {
		b.t.Fatal(err)
	}
	if u, err = u.Parse(target); err != nil {
		b.t.Fatal(err)
	}
	r := httptest.NewRequest(method, u.String(), strings.NewReader(form.Encode()))
	r.RemoteAddr = b.peer
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, values := range b.header {
		r.Header[name] = values
	}
	for _, c := range b.jar.Cookies(u) {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	b.Handler().ServeHTTP(w, r)
	res := w.Result()
	b.jar.SetCookies(u, res.Cookies())
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{b.t, res.StatusCode, res.Header, string(body)}
}

func (b *browser) get(target string) answer {
	b.t.Helper()
	return b.do(http.MethodGet, target, nil)
}

func (b *browser) post(target string, pairs ...string) answer {
	b.t.Helper()
	return b.do(http.MethodPost, target, values(pairs...))
}

func values(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

// path is a target under the issuer.
func (s *site) path(p string) string {
	u, err := url.Parse(s.issuer)
	if err != nil {
		s.t.Fatal(err)
	}
	return u.Path + p
}

// authorize is an authorization request that is right, changed by pairs.
func authorize(pairs ...string) url.Values {
	sum := sha256.Sum256([]byte(verifier))
	v := values("response_type", "code", "client_id", "shop", "redirect_uri", callback, "scope", "openid", "state", "st",
		"code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]), "code_challenge_method", "S256")
	for i := 0; i < len(pairs); i += 2 {
		if v.Del(pairs[i]); pairs[i+1] != "" {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	if v.Get("client_id") == "third" {
		v.Set("redirect_uri", "https://third.example.com/callback")
	}
	return v
}

func (b *browser) authorize(pairs ...string) answer {
	b.t.Helper()
	return b.get(b.path("/authorize?" + authorize(pairs...).Encode()))
}

// want checks the status, and that the answer is fit for a browser whatever it is.
func (a answer) want(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s %s", a.status, status, a.header.Get("Location"), a.body)
	}
	if a.header.Get("Referrer-Policy") != "no-referrer" || a.header.Get("Cache-Control") != "no-store" {
		a.t.Errorf("headers: %v", a.header)
	}
	if status != http.StatusSeeOther {
		csp := a.header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") || a.header.Get("X-Frame-Options") != "DENY" {
			a.t.Errorf("headers: %v", a.header)
		}
		if strings.Contains(a.body, "<script") || strings.Contains(a.body, " onload=") {
			a.t.Errorf("the page holds a script: %s", a.body)
		}
	} else if a.body != "" {
		a.t.Errorf("a redirect with a body: %q", a.body)
	}
	return a
}

// to is where a redirect leads; prefix is how it must begin.
func (a answer) to(prefix string) string {
	a.t.Helper()
	a.want(http.StatusSeeOther)
	location := a.header.Get("Location")
	if !strings.HasPrefix(location, prefix) {
		a.t.Fatalf("redirected to %q, want %q", location, prefix)
	}
	return location
}

// client is the answer that a client gets.
func (a answer) client(uri string) url.Values {
	a.t.Helper()
	u, err := url.Parse(a.to(uri + "?"))
	if err != nil {
		a.t.Fatal(err)
	}
	return u.Query()
}

var (
	formTag   = regexp.MustCompile(`(?s)<form method="post" action="([^"]*)">(.*?)</form>`)
	inputTag  = regexp.MustCompile(`<input[^>]*>`)
	attribute = regexp.MustCompile(`([a-z-]+)="([^"]*)"`)
)

// form is the nth form of a page: where it is posted, and its fields.
func (a answer) form(n int) (action string, fields url.Values) {
	a.t.Helper()
	forms := formTag.FindAllStringSubmatch(a.body, -1)
	if len(forms) <= n {
		a.t.Fatalf("no form %d on the page: %s", n, a.body)
	}
	fields = url.Values{}
	for _, input := range inputTag.FindAllString(forms[n][2], -1) {
		attrs := map[string]string{}
		for _, m := range attribute.FindAllStringSubmatch(input, -1) {
			attrs[m[1]] = html.UnescapeString(m[2])
		}
		fields.Set(attrs["name"], attrs["value"])
	}
	return html.UnescapeString(forms[n][1]), fields
}

// submit fills the nth form of a page in and posts it.
func (b *browser) submit(page answer, n int, pairs ...string) answer {
	b.t.Helper()
	action, fields := page.form(n)
	for i := 0; i < len(pairs); i += 2 {
		fields.Set(pairs[i], pairs[i+1])
	}
	return b.do(http.MethodPost, action, fields)
}

// login logs in on the page where an authorization request leads.
func (b *browser) login(name string, pairs ...string) answer {
	b.t.Helper()
	page := b.get(b.authorize(pairs...).to(b.path("/login?flow="))).want(http.StatusOK)
	return b.submit(page, 0, "username", name+"@example.com", "password", password1, "login", "1")
}

// redeem exchanges a code of the shop's or the third party's.
func (b *browser) redeem(client string, answer url.Values) map[string]any {
	b.t.Helper()
	uri := callback
	if client == "third" {
		uri = "https://third.example.com/callback"
	}
	form := values("grant_type", "authorization_code", "code", answer.Get("code"), "redirect_uri", uri, "code_verifier", verifier)
	r := httptest.NewRequest(http.MethodPost, b.issuer+"/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(client, secretText)
	w := httptest.NewRecorder()
	b.Handler().ServeHTTP(w, r)
	var out map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code != http.StatusOK {
		b.t.Fatalf("%d %s", w.Code, w.Body)
	}
	return out
}

// loggedIn tells whether SSO answers.
func (b *browser) loggedIn() bool {
	b.t.Helper()
	return b.authorize("prompt", "none").client(callback).Has("code")
}

func (b *browser) cookies() (names []string) {
	u, err := url.Parse(b.issuer)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.jar.Cookies(u) {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	return names
}
