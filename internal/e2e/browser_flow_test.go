//go:build e2e

package e2e

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestBrowser goes through jeton dev with Chromium, as a newcomer does.
func TestBrowser(t *testing.T) {
	t.Parallel()
	browser := chromium(t)
	for name, test := range map[string]func(*testing.T, *dev, *tab){
		"the whole way":         theWholeWay,
		"without scripts":       withoutScripts,
		"wrong password":        wrongPassword,
		"deny":                  deny,
		"cancel":                cancel,
		"two tabs":              twoTabs,
		"two tabs, one consent": twoTabsOneConsent,
		"another browser":       anotherBrowser,
		"back":                  back,
		"framed":                framed,
		"a TV":                  aTV,
		"a TV, denied":          aTVDenied,
		"driven from elsewhere": drivenFromElsewhere,
		"posted from elsewhere": postedFromElsewhere,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, startDev(t), newBrowser(t, browser))
		})
	}
}

const ada = "ada@example.com"

// logIn fills in the login page.
func (b *tab) logIn(d *dev, password string) int64 {
	b.t.Helper()
	b.expect(d.issuer+"/login", "username", "password", "login")
	b.fill("username", ada)
	b.fill("password", password)
	return b.click("login")
}

// signIn goes from the app through login and consent.
func (b *tab) signIn(d *dev) {
	b.t.Helper()
	b.open(d.web)
	b.click("login")
	b.logIn(d, d.password)
	b.expect(d.issuer+"/consent", "allow", "deny")
	b.click("allow")
	b.expect(d.web, "call-api")
}

func theWholeWay(t *testing.T, d *dev, b *tab) {
	if status := b.open(d.web); status != 200 {
		t.Fatalf("the app answers %d", status)
	}
	b.click("login")
	eventually(t, "the focus is on the first field", func() bool {
		return run(b, chromedp.Evaluate[string]("document.activeElement.id")) == "username"
	})
	b.signIn(d)
	b.step("call-api", "api-status", "200 OK")
	b.step("refresh", "number", "2")
	b.step("refresh", "number", "3")
	b.step("call-api", "api-status", "200 OK")
	b.measure(d)
	b.step("call-api", "api-status", "200 OK")
	b.step("revoke", "api-status", "401 Unauthorized")
	b.step("call-api", "api-status", "401 Unauthorized")

	// Logged in at the issuer still, and consent is remembered: nothing is asked.
	b.click("login")
	b.expect(d.web, "call-api")
	b.step("call-api", "api-status", "200 OK")

	b.click("logout")
	b.expect(d.web, "login")
	b.click("login")
	b.expect(d.issuer+"/login", "username", "password", "login")
}

// measure goes to the page of revocation times and has some measured.
func (b *tab) measure(d *dev) {
	b.t.Helper()
	b.click("times")
	b.expect(d.web+"/times", "none", "measure")
	b.step("measure", "count", "10")
	b.expect(d.web+"/times", "chart", "median", "slowest", "numbers")
	// The policy of the page lets the picture be drawn, and a phone shows all of it.
	run(b, chromedp.EmulateViewport(390, 844))
	for script, want := range map[string]float64{
		"document.querySelectorAll('#chart rect').length":                                        10,
		"Number(document.querySelector('#chart').getBoundingClientRect().height > 150)":          1,
		"document.documentElement.scrollWidth":                                                   390,
		"Number(getComputedStyle(document.querySelector('#chart rect')).fill != 'rgb(0, 0, 0)')": 1,
	} {
		if got := run(b, chromedp.Evaluate[float64](script)); got != want {
			b.t.Errorf("%s is %v, want %v", script, got, want)
		}
	}
	run(b, chromedp.EmulateReset())
	b.click("home")
	b.expect(d.web, "call-api")
}

// step clicks and looks at what an element says then.
func (b *tab) step(button, id, want string) {
	b.t.Helper()
	b.click(button)
	b.expect("", id)
	if got := b.text(id); got != want {
		b.t.Errorf("after %s: %s is %q, want %q; %s", button, id, got, want, b.shown())
	}
}

func wrongPassword(t *testing.T, d *dev, b *tab) {
	b.open(d.web)
	b.click("login")
	if status := b.logIn(d, "not the password at all"); status != 400 {
		t.Errorf("a wrong password is answered with %d", status)
	}
	b.expect(d.issuer+"/login", "login-error")
	for _, id := range []string{"username", "password"} {
		if by, invalid := b.attribute(id, "aria-describedby"), b.attribute(id, "aria-invalid"); by != "login-error" || invalid != "true" {
			t.Errorf("the error is not tied to %s: described by %q, invalid %q", id, by, invalid)
		}
	}
	if b.attribute("login-error", "role") != "alert" || b.text("login-error") == "" {
		t.Error("the error is no alert")
	}
	if b.attribute("password", "value") != "" {
		t.Error("the page repeats the password")
	}
	b.logIn(d, d.password)
	b.expect(d.issuer+"/consent", "allow")
}

func deny(t *testing.T, d *dev, b *tab) {
	b.open(d.web)
	b.click("login")
	b.logIn(d, d.password)
	b.expect(d.issuer+"/consent", "deny")
	b.click("deny")
	b.expect(d.web, "flash", "login")
	if said := b.text("flash"); !strings.Contains(said, "access_denied") {
		t.Errorf("the app says %q", said)
	}
	// Nothing was remembered: the next time the person is asked again.
	b.click("login")
	b.expect(d.issuer+"/consent", "allow")
	b.click("allow")
	b.expect(d.web, "call-api")
}
