package e2e

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// TestUnknownPathsAndMethods asks for what is not there.
func TestUnknownPathsAndMethods(t *testing.T) {
	t.Parallel()
	i := start(t)
	for _, path := range []string{
		"/nothing", "/token/", "/token/x", "/TOKEN", "//token", "/./token", "/../etc/passwd", "/%2e%2e/jeton.db", "/jeton.db", "/kek",
		"/assets/", "/assets/../kek", "/assets/%2e%2e/kek", "/.well-known/", "/.well-known/openid-configuration/x", "/users", "/clients",
		"/debug/pprof/", "/metrics", "/%00", "/a%0d%0ab",
	} {
		resp, err := i.web.Get(i.url + path)
		if err != nil {
			t.Fatal(err)
		}
		r := read(t, resp)
		if r.status != 404 && r.status != 301 && r.status != 307 && r.status != 405 && r.status != 400 {
			t.Errorf("GET %s is answered with %d", path, r.status)
		}
		if location, err := resp.Location(); err == nil && location.Host != strings.TrimPrefix(i.url, "http://") {
			t.Errorf("GET %s leads to %s", path, location)
		}
	}
	for _, path := range []string{
		"/authorize", "/login", "/login/cancel", "/consent", "/logout", "/", "/token", "/revoke", "/introspect", "/userinfo", "/jwks",
		"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server",
	} {
		for _, method := range []string{"PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "GARBAGE"} {
			req, err := http.NewRequest(method, i.url+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := i.web.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if r := read(t, resp); r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") == "" {
				t.Errorf("%s %s is answered with %d, Allow %q", method, path, r.status, r.header.Get("Allow"))
			}
		}
	}
	// The Host header is never believed: what is told comes from the configuration.
	req, err := http.NewRequest("GET", i.url+"/.well-known/openid-configuration", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	req.Header.Set("X-Forwarded-Host", "evil.example")
	resp, err := i.web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if r := read(t, resp).want(200, ""); strings.Contains(r.body, "evil") || r.str("issuer") != i.url {
		t.Errorf("the metadata believes the Host header: %s", r.body)
	}
}

// monkey makes requests out of parts that mean something and parts that don't.
type monkey struct {
	*rand.Rand
	words []string
}

func (m *monkey) pick(from ...string) string { return from[m.IntN(len(from))] }

// text is a word, a word with a flaw, or noise.
func (m *monkey) text() string {
	word := m.words[m.IntN(len(m.words))]
	switch m.IntN(8) {
	case 0, 1, 2:
		return word
	case 3:
		return word[:m.IntN(len(word)+1)]
	case 4:
		return word + m.text()
	case 5:
		at := m.IntN(len(word) + 1)
		return word[:at] + string(rune(m.IntN(0x11000))) + word[at:]
	case 6:
		return strings.Repeat(m.pick("a", "%", ".", "\"", "[", "\xff", "\r\n", "é"), m.IntN(3000))
	}
	noise := make([]byte, m.IntN(60))
	for k := range noise {
		noise[k] = byte(m.IntN(256))
	}
	return string(noise)
}

func (m *monkey) form() url.Values {
	v := url.Values{}
	for range m.IntN(12) {
		name := m.pick(
			"grant_type", "client_id", "client_secret", "code", "refresh_token", "redirect_uri", "code_verifier", "scope", "resource", "token",
			"token_type_hint", "access_token", "response_type", "response_mode", "state", "nonce", "prompt", "max_age", "login_hint", "acr_values",
			"claims", "ui_locales", "id_token_hint", "request", "code_challenge", "code_challenge_method", "flow", "subject", "username", "password",
			"login", "allow", "deny", "cancel", "logout", "stay", "post_logout_redirect_uri", "client_assertion", "audience", "sid",
		)
		v.Add(name, m.text())
		if m.IntN(10) == 0 {
			v.Add(m.text(), m.text())
		}
	}
	return v
}

func (m *monkey) request(base string) (*http.Request, error) {
	path := m.pick(
		"/authorize", "/login", "/login/cancel", "/consent", "/logout", "/", "/token", "/revoke", "/introspect", "/userinfo", "/jwks",
		"/.well-known/openid-configuration", "/livez", "/assets/jeton.css", "/"+url.PathEscape(m.text()),
	)
	body, query := "", m.form().Encode()
	method := m.pick("GET", "GET", "GET", "POST", "POST", "POST", "POST", "POST", "HEAD", "OPTIONS", "PUT")
	if method == "POST" {
		body, query = query, m.pick("", "", "", query)
		if m.IntN(10) == 0 {
			body = m.text()
		}
	} else if m.IntN(10) == 0 {
		query = url.QueryEscape(m.text())
	}
	req, err := http.NewRequest(method, base+path+"?"+query, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", m.pick(
		"application/x-www-form-urlencoded", "application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=utf-8",
		"application/json", "multipart/form-data; boundary=x", "text/plain", "",
	))
	for _, name := range []string{"Authorization", "Cookie", "Origin", "Sec-Fetch-Site", "Accept-Language", "If-None-Match", "X-Forwarded-For", "DPoP"} {
		if m.IntN(3) == 0 {
			req.Header.Set(name, strings.Map(printable, m.pick("", "Bearer ", "Basic ", "jeton=", "jeton_browser_x=")+m.text()))
		}
	}
	if m.IntN(3) == 0 {
		req.SetBasicAuth(m.text(), m.text())
	}
	return req, nil
}

// TestGarbage sends thousands of requests that nobody would send. None of them crashes
// the server, and none is answered with a failure of ours. The seed makes a failure
// come again.
func TestGarbage(t *testing.T) {
	t.Parallel()
	const workers, each = 4, 1000
	i := start(t)
	p := i.ada()
	tokens := p.tokens(shop, "openid profile offline_access orders:read")
	waiting := p.authorize(club.asking("openid"))
	login := p.get(i.url + "/authorize?" + club.asking("openid", "prompt", "login").Encode())
	words := []string{
		"shop", "club", "phone", "robot", shopSecret, clubSecret, robotSecret, orders, apiSecret, adaPassword, "ada@example.com",
		shop.redirect, club.redirect, phone.redirect, "https://shop.example.com/", "openid", "openid profile offline_access orders:read", "code",
		"authorization_code", "refresh_token", "client_credentials", "none", "login", "consent", "S256", "plain", "en", "de fr", "same-origin",
		"cross-site", "null", i.url, tokens.access(), tokens.refresh(), tokens.str("id_token"), p.allow(phone.asking("openid")),
		waiting.form().fields.Get("flow"), login.form().fields.Get("flow"), `{"userinfo":{"email":{"essential":true}}}`, "0", "-1", "1e9", "u_0",
	}
	for _, c := range p.browser.Jar.Cookies(waiting.at) {
		words = append(words, c.Name+"="+c.Value)
	}
	var mu sync.Mutex
	statuses := map[int]int{}
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for n := range each {
				m := &monkey{rand.New(rand.NewPCG(uint64(worker), uint64(n))), words}
				req, err := m.request(i.url)
				if err != nil {
					continue // not even a request
				}
				resp, err := i.web.Do(req)
				if err != nil {
					if i.running() {
						continue // the server cut it
					}
					t.Errorf("worker %d, request %d: %v", worker, n, err)
					return
				}
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				mu.Lock()
				statuses[resp.StatusCode]++
				mu.Unlock()
				if err != nil || resp.StatusCode >= 500 {
					t.Errorf("worker %d, request %d, %s %s: %d %v", worker, n, req.Method, req.URL.Path, resp.StatusCode, err)
				}
				if location := resp.Header.Get("Location"); location != "" && !i.known(location) {
					t.Errorf("worker %d, request %d, %s %s leads to %s", worker, n, req.Method, req.URL, location)
				}
			}
		})
	}
	group.Wait()
	t.Logf("answers by status: %v", statuses)
	i.get("/readyz").want(200, "")
	i.stop()
	if left := query[string](t, i.database(), "PRAGMA integrity_check"); left != "ok" {
		t.Error(left)
	}
}

// known tells whether a redirect leads to ourselves or to a registered address.
func (i *issuer) known(location string) bool {
	u, err := url.Parse(location)
	if err != nil {
		return false
	}
	u.RawQuery, u.Fragment = "", ""
	switch u.String() {
	case shop.redirect, club.redirect, "https://shop.example.com/", "https://club.example.com/bye":
		return true
	}
	return u.Host == "" && strings.HasPrefix(location, "/") && !strings.HasPrefix(location, "//") ||
		u.Scheme == "http" && fmt.Sprintf("127.0.0.1:%s", u.Port()) == u.Host && u.Path == "/callback"
}
