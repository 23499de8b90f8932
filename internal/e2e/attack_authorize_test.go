package e2e

import (
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/jeton-auth/jeton/oauth"
)

// errorPage fails the test unless the answer is a page of ours that leads nowhere.
func (on page) errorPage(what string) {
	on.t.Helper()
	if on.status != http.StatusBadRequest || on.header.Get("Location") != "" || !strings.HasPrefix(on.header.Get("Content-Type"), "text/html") {
		on.t.Errorf("%s: the answer is %d to %q, want the error page", what, on.status, on.header.Get("Location"))
	}
	if id := on.header.Get("X-Request-Id"); id == "" || !strings.Contains(on.body, id) {
		on.t.Errorf("%s: the error page does not name the request id %q", what, id)
	}
}

// TestRedirectURIs holds cases 1 to 5: an answer goes to a registered address, byte for
// byte, or nowhere.
func TestRedirectURIs(t *testing.T) {
	t.Parallel()
	i := start(t)
	p := i.ada()
	for _, c := range []struct {
		app app
		bad []string
	}{
		{shop, []string{
			"https://shop.example.com/callback/", "https://shop.example.com/callback?", "https://shop.example.com/callback#",
			"https://shop.example.com/callback?x=1", "https://shop.example.com/callback/../callback", "https://shop.example.com/./callback",
			"https://shop.example.com//callback", "https://shop.example.com/Callback", "https://SHOP.example.com/callback",
			"https://shop.example.com:443/callback", "https://shop.example.com:8443/callback", "HTTPS://shop.example.com/callback",
			"http://shop.example.com/callback", "https://shop.example.com/%63allback", "https://shop.example.com/callback%00",
			"https://shop.example.com.evil.example/callback", "https://evil.example/callback", "//shop.example.com/callback",
			"https://shop.example.com@evil.example/callback", "https://evil.example#https://shop.example.com/callback",
			"https://evil.example\\@shop.example.com/callback", "https://shop.example.com\t/callback", " https://shop.example.com/callback",
			"https://shop.example.com/callback ", "https://shop.example.com/callback\r\nLocation: https://evil.example",
			"javascript:alert(1)", "data:text/html,x", "https://club.example.com/callback", "https://*.example.com/callback", "/callback",
		}},
		{phone, []string{
			"http://localhost:80@evil.example", "http://127.0.0.1:80@evil.example/callback", "http://127.0.0.1@evil.example/callback",
			"http://localhost:4711/callback", "http://127.0.0.2:4711/callback", "http://[::1]:4711/callback", "http://127.1:4711/callback",
			"http://2130706433/callback", "http://127.0.0.1:4711/callback/", "http://127.0.0.1:4711/Callback", "http://127.0.0.1:4711/callback?x",
			"http://127.0.0.1:4711/callback#x", "https://127.0.0.1:4711/callback", "http://127.0.0.1:/callback", "http://127.0.0.1:x/callback",
			"http://127.0.0.1:99999/callback", "http://127.0.0.1:-1/callback", "http://127.0.0.1:4711:4712/callback", "http://127.0.0.1.evil.example:4711/callback",
			"http://127.0.0.1%2eevil.example/callback", "http://127.0.0.1:4711/../callback",
		}},
	} {
		for _, uri := range c.bad {
			// Neither with a request that is right otherwise, nor with one that is wrong.
			p.authorize(c.app.asking("openid", "redirect_uri", uri)).errorPage(uri)
			p.authorize(c.app.asking("openid", "redirect_uri", uri, "response_type", "token")).errorPage(uri)
			p.authorize(c.app.asking("openid", "redirect_uri", uri, "prompt", "none")).errorPage(uri)
		}
	}
	for _, port := range []string{"", ":1", ":80", ":8080", ":65535"} {
		r := phone.asking("openid", "redirect_uri", "http://127.0.0.1"+port+"/callback", "prompt", "none")
		if on := p.authorize(r); on.status != http.StatusSeeOther || on.at.Host != "127.0.0.1"+port {
			t.Errorf("port %q of a loopback address: %d to %s", port, on.status, on.at)
		}
	}
	p.authorize(app{id: "nobody", redirect: shop.redirect}.asking("openid")).errorPage("unknown client")
	p.authorize(shop.asking("openid", "client_id", "")).errorPage("no client")
	p.authorize(shop.asking("openid", "redirect_uri", "")).errorPage("no redirect URI")
	p.authorize(shop.asking("openid", "response_mode", "smoke")).errorPage("a response mode that is not there")
	r := shop.asking("openid")
	for name := range r.Values {
		p.get(i.url + "/authorize?" + r.Encode() + "&" + url.Values{name: r.Values[name]}.Encode()).errorPage("two of " + name)
	}
	// After a logout too: what nobody registered is not gone to.
	for _, uri := range []string{"https://evil.example/", "https://shop.example.com", "https://club.example.com/bye", "//evil.example", "javascript:alert(1)"} {
		if on := p.get(i.url + "/logout?" + values("client_id", "shop", "post_logout_redirect_uri", uri).Encode()); on.header.Get("Location") != "" {
			t.Errorf("a logout leads to %s", on.header.Get("Location"))
		}
	}
}

// TestErrorsGoBack holds cases 6 and 7: what is wrong after the address is known goes
// to the client, with state and iss, and so does every code.
func TestErrorsGoBack(t *testing.T) {
	t.Parallel()
	i := start(t)
	p := i.ada()
	for _, c := range []struct {
		name    string
		request request
		want    oauth.ErrorCode
	}{
		{"no challenge", shop.asking("openid", "code_challenge", "", "code_challenge_method", ""), oauth.InvalidRequest},
		{"plain", shop.asking("openid", "code_challenge_method", "plain"), oauth.InvalidRequest},
		{"no method", shop.asking("openid", "code_challenge_method", ""), oauth.InvalidRequest},
		{"a method alone", club.asking("openid", "code_challenge", ""), oauth.InvalidRequest},
		{"a short challenge", shop.asking("openid", "code_challenge", "abc"), oauth.InvalidRequest},
		{"implicit", shop.asking("openid", "response_type", "token"), oauth.UnsupportedResponseType},
		{"hybrid", shop.asking("openid", "response_type", "code id_token"), oauth.UnsupportedResponseType},
		{"no response type", shop.asking("openid", "response_type", ""), oauth.InvalidRequest},
		{"a scope of others", club.asking("openid orders:write"), oauth.InvalidScope},
		{"a resource of others", club.asking("openid", "resource", vault), oauth.InvalidTarget},
		{"nobody is there", shop.asking("openid", "prompt", "none"), oauth.LoginRequired},
		{"prompt", shop.asking("openid", "prompt", "none login"), oauth.InvalidRequest},
		{"a request object", shop.asking("openid", "request", "e30.e30."), oauth.RequestNotSupported},
		{"a request by address", shop.asking("openid", "request_uri", "https://evil.example/"), oauth.RequestURINotSupported},
		{"claims", shop.asking("openid", "claims", "{"), oauth.InvalidRequest},
		{"a hint by somebody else", shop.asking("openid", "id_token_hint", "e30.e30.e30"), oauth.InvalidRequest},
	} {
		q := p.authorize(c.request).answer(c.request)
		if q.Get("error") != string(c.want) || q.Get("iss") != i.url || q.Get("error_description") == "" {
			t.Errorf("%s: %v, want %s with iss %s", c.name, q, c.want, i.url)
		}
	}
	r := shop.asking("openid")
	q := p.logIn(p.authorize(r)).answer(r)
	if got := slices.Sorted(maps.Keys(q)); !slices.Equal(got, []string{"code", "iss", "state"}) || q.Get("iss") != i.url {
		t.Errorf("the answer holds %v", q)
	}
}

// TestHostileText holds cases 13 and 14: what comes in goes out as text alone, and
// every page says what browsers may do with it.
func TestHostileText(t *testing.T) {
	t.Parallel()
	i := start(t)
	p := i.ada()
	const mark = "jtX"
	hostile := []string{
		`"><script>` + mark + `()</script>`, `'><img src=x onerror=` + mark + `()>`, `</title><svg onload=` + mark + `()>`,
		"javascript:" + mark + "()", `{{.` + mark + `}}`, "%3Cscript%3E" + mark, "\u202e" + mark + "\u2066<b>", mark + "\r\nSet-Cookie: a=b",
		`<!--` + mark, mark + "\x00", mark + "\xff\xfe", `\u003cscript\u003e` + mark, `" autofocus onfocus="` + mark + `()`,
	}
	names := []string{
		"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "prompt", "max_age", "login_hint",
		"acr_values", "claims", "resource", "ui_locales", "display", "code_challenge", "code_challenge_method", "id_token_hint", "request",
		"flow", "subject", "error", "unknown",
	}
	look := func(what string, on page) {
		t.Helper()
		checkHeaders(t, what, on)
		if strings.Contains(on.header.Get("Set-Cookie"), "a=b") {
			t.Errorf("%s: a header was injected", what)
		}
		for _, h := range hostile {
			if strings.ContainsAny(h, `<"'`) && strings.Contains(on.body, h) {
				t.Errorf("%s: the page repeats %q as it came", what, h)
			}
		}
		if on.body != "" {
			inert(t, what, on.body)
		}
	}
	for _, name := range names {
		for _, h := range hostile {
			on := p.authorize(club.asking("openid", name, h))
			look("authorize "+name, on)
			if on.status == http.StatusOK && on.has("login") {
				look("login "+name, p.submit(on, "login", "username", h, "password", h))
			}
			look("login "+name, p.get(i.url+"/login?"+values(name, h).Encode()))
			look("consent "+name, p.get(i.url+"/consent?"+values(name, h).Encode()))
			look("logout "+name, p.get(i.url+"/logout?"+values(name, h, "state", h, "client_id", "shop").Encode()))
		}
	}
	for _, h := range hostile {
		look("path", p.get(i.url+"/"+url.PathEscape(h)))
		r := i.get("/userinfo", "Authorization", "Bearer "+strings.Map(printable, h))
		if strings.Contains(r.header.Get("WWW-Authenticate"), mark) {
			t.Errorf("WWW-Authenticate repeats the token: %s", r.header.Get("WWW-Authenticate"))
		}
		for _, path := range []string{"/token", "/revoke", "/introspect"} {
			r := i.post(path, nobody, "grant_type", h, "client_id", h, h, h)
			if r.header.Get("Content-Type") != "application/json" || strings.Contains(r.body, "<") {
				t.Errorf("%s answers %s with %s", path, r.header.Get("Content-Type"), r.body)
			}
		}
	}
}

// inert fails the test if a page holds anything that could run.
func inert(t *testing.T, what, text string) {
	t.Helper()
	d := htmlDecoder(text)
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Errorf("%s: %v: %s", what, err, text)
			return
		}
		element, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if slices.Contains([]string{"script", "img", "iframe", "object", "embed", "base", "style"}, element.Name.Local) {
			t.Errorf("%s: the page holds <%s>: %s", what, element.Name.Local, text)
		}
		for _, a := range element.Attr {
			if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "style" || strings.HasPrefix(strings.TrimSpace(a.Value), "javascript:") && a.Name.Local != "value" {
				t.Errorf("%s: the page holds <%s %s=%q>", what, element.Name.Local, a.Name.Local, a.Value)
			}
		}
	}
}

func printable(r rune) rune {
	if r < 0x20 || r > 0x7e {
		return '?'
	}
	return r
}

// checkHeaders looks at what protects a page, and at redirects.
func checkHeaders(t *testing.T, what string, on page) {
	t.Helper()
	if on.status >= 500 {
		t.Errorf("%s: %d", what, on.status)
	}
	if on.header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("%s: Referrer-Policy %q", what, on.header.Get("Referrer-Policy"))
	}
	if on.status == http.StatusSeeOther {
		for name := range on.at.Query() {
			if strings.Contains(name, "token") || on.at.Fragment != "" {
				t.Errorf("%s: a token in %s", what, on.at)
			}
		}
		return
	}
	csp := on.header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action"} {
		if !strings.Contains(csp, part) {
			t.Errorf("%s: the policy %q lacks %s", what, csp, part)
		}
	}
	if strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") {
		t.Errorf("%s: the policy %q is loose", what, csp)
	}
	if on.header.Get("X-Frame-Options") != "DENY" || on.header.Get("Cache-Control") != "no-store" || on.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s: headers %v", what, on.header)
	}
}
