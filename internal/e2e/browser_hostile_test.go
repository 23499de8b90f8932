//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	protocol "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// withoutScripts is the whole way with JavaScript switched off.
func withoutScripts(t *testing.T, d *dev, b *tab) {
	b.noScripts()
	b.open(hostile(t, "<script>document.title = 'it ran'</script>"))
	if title := run(b, chromedp.Title()); title != "prize" {
		t.Fatalf("the title is %q: scripts run", title)
	}
	b.signIn(d)
	b.step("call-api", "api-status", "200 OK")
	b.step("refresh", "number", "2")
	b.step("revoke", "api-status", "401 Unauthorized")
	b.click("logout")
	b.expect(d.web, "login")
}

func cancel(t *testing.T, d *dev, b *tab) {
	b.open(d.web)
	b.click("login")
	b.click("cancel")
	b.expect(d.web, "flash", "login")
	if said := b.text("flash"); !strings.Contains(said, "access_denied") {
		t.Errorf("the app says %q", said)
	}
}

// twoTabs logs in side by side: each tab has a flow of its own, and both arrive.
func twoTabs(_ *testing.T, d *dev, b *tab) {
	other := b.another()
	for _, each := range []*tab{b, other} {
		each.open(d.web)
		each.click("login")
		each.expect(d.issuer+"/login", "username")
	}
	b.logIn(d, d.password)
	b.expect(d.issuer+"/consent", "allow")
	other.logIn(d, "a wrong password in one tab")
	other.expect(d.issuer+"/login", "login-error")
	other.logIn(d, d.password)
	other.expect(d.issuer+"/consent", "allow")
	other.click("allow")
	other.expect(d.web, "call-api")
	b.click("allow")
	b.expect(d.web, "call-api")
	b.step("call-api", "api-status", "200 OK")
	other.step("call-api", "api-status", "200 OK")
}

// twoTabsOneConsent logs in in one tab while the login page is open in another: there
// the person is asked no more than is needed.
func twoTabsOneConsent(_ *testing.T, d *dev, b *tab) {
	other := b.another()
	other.open(d.web)
	other.click("login")
	b.signIn(d)
	other.do(chromedp.Reload())
	other.expect(d.web, "call-api")
}

// anotherBrowser opens the addresses of a flow where it did not begin. Nobody gets
// anywhere with them, and the flow's owner is not disturbed.
func anotherBrowser(t *testing.T, d *dev, b *tab) {
	victim := newBrowser(t, b.ctx)
	refused := func(address string) {
		t.Helper()
		if status := victim.open(address); status != 400 {
			t.Errorf("%s answers %d in another browser", address, status)
		}
		for _, id := range []string{"username", "password", "login", "allow"} {
			if victim.has(id) {
				t.Errorf("another browser is shown %s: %s", id, victim.shown())
			}
		}
	}
	b.open(d.web)
	b.click("login")
	login := b.at()
	refused(login)
	b.logIn(d, d.password)
	consent := b.at()
	refused(consent)
	// Not even to somebody who is logged in there.
	victim.signIn(d)
	refused(login)
	refused(consent)
	b.click("allow")
	b.expect(d.web, "call-api")
	refused(consent)
}

// back goes back after a login: the steps are over, and say so without doing anything.
func back(t *testing.T, d *dev, b *tab) {
	b.signIn(d)
	for range 2 {
		b.do(chromedp.NavigateBack())
		b.expect(d.issuer)
		for _, id := range []string{"password", "allow"} {
			if b.has(id) {
				t.Errorf("after going back the page asks again: %s", b.shown())
			}
		}
		if !strings.Contains(b.shown(), "login_required") {
			t.Errorf("after going back %s", b.shown())
		}
	}
	b.open(d.web)
	b.expect(d.web, "call-api")
	b.step("call-api", "api-status", "200 OK")
}

// framed puts the pages into a frame of a hostile page.
func framed(t *testing.T, d *dev, b *tab) {
	b.open(d.web)
	b.click("login")
	login := b.at()
	b.logIn(d, d.password)
	consent := b.at()
	const refusal = "frame-ancestors 'none'"
	b.provoked = refusal
	for _, address := range []string{login, consent, d.issuer + "/", d.issuer + "/logout"} {
		evil := hostile(t, fmt.Sprintf(`<iframe id="frame" src="%s"></iframe>`, html.EscapeString(address)))
		before := b.said(refusal)
		b.open(evil)
		eventually(t, "Chromium refuses the frame", func() bool { return b.said(refusal) > before })
		tree := run(b, func(ctx context.Context, t *chromedp.Target) (protocol.GetFrameTreeResult, error) {
			return cdp.Call(ctx, t, protocol.GetFrameTree, cdp.Empty{})
		})
		for _, frame := range tree.FrameTree.ChildFrames {
			if strings.HasPrefix(frame.Frame.URL, d.issuer) {
				t.Errorf("%s is shown in a frame", address)
			}
		}
	}
}

// hostile is a page of another site. localhost and 127.0.0.1 are two sites.
func hostile(t *testing.T, body string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!doctype html><link rel=icon href=data:,><title>prize</title>%s", body)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// postForm is a form that a hostile page posts, with a button of the id go.
func postForm(action string, fields url.Values) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<form method="post" action="%s">`, html.EscapeString(action))
	for name, values := range fields {
		fmt.Fprintf(&b, `<input type="hidden" name="%s" value="%s">`, html.EscapeString(name), html.EscapeString(values[0]))
	}
	b.WriteString(`<button type="submit" id="go">claim your prize</button></form>`)
	return b.String()
}

// drivenFromElsewhere posts our forms from another site, with a flow that is waiting
// in this very browser.
func drivenFromElsewhere(t *testing.T, d *dev, b *tab) {
	other := b.another()
	drive := func(path string, pairs ...string) {
		t.Helper()
		other.open(hostile(t, postForm(d.issuer+path, values(pairs...))))
		if status := other.click("go"); status != 403 {
			t.Errorf("POST %s from another site is answered with %d: %s", path, status, other.shown())
		}
		other.expect(d.issuer)
	}
	flow := func() string {
		at, err := url.Parse(b.at())
		if err != nil || at.Query().Get("flow") == "" {
			t.Fatalf("no flow in %s", b.at())
		}
		return at.Query().Get("flow")
	}
	b.open(d.web)
	b.click("login")
	drive("/login", "flow", flow(), "username", ada, "password", d.password, "login", "1")
	drive("/login/cancel", "flow", flow(), "cancel", "1")
	b.logIn(d, d.password)
	b.expect(d.issuer+"/consent", "allow")
	drive("/consent", "flow", flow(), "allow", "1")
	drive("/consent", "flow", flow(), "deny", "1")
	drive("/logout", "logout", "1")
	b.click("allow")
	b.expect(d.web, "call-api")
}

// postedFromElsewhere sends an authorization request as a form, which any site may.
func postedFromElsewhere(_ *testing.T, d *dev, b *tab) {
	b.signIn(d)
	r := app{id: "demo-cli", redirect: "http://127.0.0.1:1/callback"}.asking("openid", "prompt", "consent")
	b.open(hostile(b.t, postForm(d.issuer+"/authorize", r.Values)))
	if status := b.click("go"); status != 200 {
		b.t.Errorf("a posted request is answered with %d", status)
	}
	// The Lax cookies came along: it is known who is logged in.
	b.expect(d.issuer+"/consent", "allow")
}
