//go:build e2e

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// shows waits until a page that goes on by itself has something with an id.
func (b *tab) shows(id string) {
	b.t.Helper()
	eventually(b.t, "the page shows "+id, func() bool {
		ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
		defer cancel()
		// A page that is just being replaced has no answer, which is none.
		nodes, err := chromedp.Run(ctx, chromedp.Nodes(chromedp.CSS("#"+id), chromedp.AtLeast(0)))
		return err == nil && len(nodes) > 0
	})
}

// code has the TV show a code and gives it, with where its link leads.
func (b *tab) code(d *dev) (code, link string) {
	b.t.Helper()
	b.noScripts()
	b.open(d.web)
	b.click("tv")
	b.expect(d.web+"/tv", "tv-begin")
	b.click("tv-begin")
	b.expect(d.web+"/tv", "tv-code", "qr", "qr-title", "tv-waits")
	if address := b.text("tv-address"); address != d.issuer+"/device" {
		b.t.Errorf("the TV sends people to %q", address)
	}
	code, link = b.text("tv-code"), b.attribute("tv-link", "href")
	if link != d.issuer+"/device?user_code="+code {
		b.t.Errorf("the link of code %q is %q", code, link)
	}
	return code, link
}

// aTV is signed in by somebody who holds a phone, without any script.
func aTV(t *testing.T, d *dev, b *tab) {
	code, link := b.code(d)
	phone := newBrowser(t, b.ctx)
	run(phone, chromedp.EmulateViewport(390, 844))
	phone.open(link)
	phone.expect(d.issuer+"/device", "user_code", "continue")
	if filled := phone.attribute("user_code", "value"); filled != code {
		t.Errorf("the link fills in %q, not %q", filled, code)
	}
	phone.click("continue")
	phone.logIn(d, d.password)
	phone.expect(d.issuer+"/consent", "user_code_shown", "allow", "deny")
	if shown := phone.text("user_code_shown"); shown != code {
		t.Errorf("consent is asked for %q, not %q", shown, code)
	}
	phone.click("allow")

	b.shows("tv-signed-in")
	if who := b.text("tv-account"); who != ada {
		t.Errorf("the TV knows %q", who)
	}
	if claims := b.text("token-payload"); !strings.Contains(claims, `"client_id": "demo-tv"`) {
		t.Errorf("the token's claims are %s", claims)
	}
	// A code gives one sign-in, and the phone's login is no login of the TV's browser.
	phone.open(link)
	if status := phone.click("continue"); status != 400 {
		t.Errorf("a used code is answered with %d", status)
	}
	b.open(d.web)
	b.expect(d.web, "login")
}

func aTVDenied(t *testing.T, d *dev, b *tab) {
	_, link := b.code(d)
	phone := newBrowser(t, b.ctx)
	phone.open(link)
	phone.click("continue")
	phone.logIn(d, d.password)
	phone.expect(d.issuer+"/consent", "deny")
	phone.click("deny")
	b.shows("tv-over")
	if said := b.text("tv-over"); !strings.Contains(said, "said no") {
		t.Errorf("the TV says %q", said)
	}
	b.click("tv-begin")
	b.expect(d.web+"/tv", "tv-code")
}
