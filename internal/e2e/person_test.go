package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/jeton-auth/jeton/internal/secret"
)

// app is a client that people log in to.
type app struct {
	id, redirect string
	as           caller
}

var (
	shop  = app{"shop", "https://shop.example.com/callback", basic("shop", shopSecret)}
	club  = app{"club", "https://club.example.com/callback", inForm("club", clubSecret)}
	phone = app{"phone", "http://127.0.0.1:4711/callback", inForm("phone", "")}
)

// person is somebody with a browser of their own. It keeps cookies, knows no script,
// and stops where the answer leaves the issuer.
type person struct {
	t               testing.TB
	i               *issuer
	email, password string
	browser         *http.Client
}

func (i *issuer) person(email, password string) *person {
	jar, err := cookiejar.New(nil)
	if err != nil {
		i.t.Fatal(err)
	}
	return &person{i.t, i, email, password, &http.Client{
		Jar: jar, Transport: i.web.Transport, Timeout: i.web.Timeout, CheckRedirect: i.web.CheckRedirect,
	}}
}

func (i *issuer) ada() *person { return i.person("ada@example.com", adaPassword) }

// request is an authorization request and what its sender keeps of it.
type request struct {
	url.Values
	app      app
	verifier string
}

// asking makes an authorization request; more overrides: name, value … An empty value
// takes a parameter away.
func (a app) asking(scope string, more ...string) request {
	verifier := secret.Random().Reveal()
	sum := sha256.Sum256([]byte(verifier))
	r := request{values(
		"response_type", "code", "client_id", a.id, "redirect_uri", a.redirect, "scope", scope,
		"state", secret.ID(), "nonce", secret.ID(),
		"code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]), "code_challenge_method", "S256",
	), a, verifier}
	for p := range slices.Chunk(more, 2) {
		if r.Set(p[0], p[1]); p[1] == "" {
			r.Del(p[0])
		}
	}
	return r
}

// page is what a browser shows: an answer and the address where it came from.
type page struct {
	reply
	at *url.URL
}

// get goes to an address and follows redirects within the issuer.
func (p *person) get(address string) page {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.send(req)
}

func (p *person) authorize(r request) page {
	p.t.Helper()
	return p.get(p.i.url + "/authorize?" + r.Encode())
}

func (p *person) send(req *http.Request) page {
	p.t.Helper()
	for range 10 {
		resp, err := p.browser.Do(req)
		if err != nil {
			p.t.Fatal(err)
		}
		now := page{read(p.t, resp), req.URL}
		location, err := resp.Location()
		if err != nil {
			return now
		}
		if now.status != http.StatusSeeOther {
			p.t.Fatalf("%s answers with a redirect %d, want 303", req.URL.Path, now.status)
		}
		if location.Host != req.URL.Host || location.Scheme != req.URL.Scheme {
			now.at = location
			return now
		}
		if req, err = http.NewRequest(http.MethodGet, location.String(), nil); err != nil {
			p.t.Fatal(err)
		}
	}
	p.t.Fatal("ten redirects in a row")
	return page{}
}

// submit posts the first form of a page with one of its buttons; more are the fields
// that the person fills in.
func (p *person) submit(on page, button string, more ...string) page {
	p.t.Helper()
	f := on.form()
	if !slices.Contains(f.buttons, button) {
		p.t.Fatalf("the page %d at %s has no button %q: %s", on.status, on.at, button, on.body)
	}
	maps.Copy(f.fields, values(append(more, button, "1")...))
	action, err := on.at.Parse(f.action)
	if err != nil {
		p.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, action.String(), strings.NewReader(f.fields.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	// What a browser sends with a form of a page that says no-referrer.
	req.Header.Set("Origin", "null")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return p.send(req)
}

// logIn fills in the login page.
func (p *person) logIn(on page) page {
	p.t.Helper()
	return p.submit(on, "login", "username", p.email, "password", p.password)
}

// answer is what the page says to the app: the parameters of the redirect to it.
func (on page) answer(r request) url.Values {
	on.t.Helper()
	if got := *on.at; on.status != http.StatusSeeOther || got.Scheme+"://"+got.Host+got.Path != r.app.redirect {
		on.t.Fatalf("the answer %d is at %s, want a redirect to %s: %s", on.status, on.at, r.app.redirect, on.body)
	}
	q := on.at.Query()
	if on.at.Fragment != "" { // where more than a code was asked for
		var err error
		if q, err = url.ParseQuery(on.at.Fragment); err != nil {
			on.t.Fatal(err)
		}
	}
	if q.Get("state") != r.Get("state") {
		on.t.Fatalf("the state %q came back as %q", r.Get("state"), q.Get("state"))
	}
	return q
}

// through goes through login and consent, as far as they are asked for.
func (p *person) through(on page) page {
	p.t.Helper()
	if on.status == http.StatusOK && on.has("login") {
		on = p.logIn(on)
	}
	if on.status == http.StatusOK && on.has("allow") {
		on = p.submit(on, "allow")
	}
	return on
}

// allow goes through what is asked for, and gives the code.
func (p *person) allow(r request) string {
	p.t.Helper()
	on := p.through(p.authorize(r))
	code := on.answer(r).Get("code")
	if code == "" {
		p.t.Fatalf("no code in %s", on.at)
	}
	return code
}

// redeem exchanges a code.
func (i *issuer) redeem(r request, code string, more ...string) reply {
	i.t.Helper()
	return i.post("/token", r.app.as, append([]string{
		"grant_type", "authorization_code", "code", code, "redirect_uri", r.app.redirect, "code_verifier", r.verifier,
	}, more...)...)
}

// tokens logs in and gives what the app gets.
func (p *person) tokens(a app, scope string) reply {
	p.t.Helper()
	r := a.asking(scope)
	return p.i.redeem(r, p.allow(r)).want(200, "")
}

// form is one that a page holds.
type form struct {
	action  string
	fields  url.Values
	buttons []string
}

// form is the page's first POST form.
func (on page) form() form {
	on.t.Helper()
	f, err := firstForm(on.body)
	if err != nil {
		on.t.Fatalf("the page %d at %s: %v: %s", on.status, on.at, err, on.body)
	}
	return f
}

func (on page) has(button string) bool {
	f, err := firstForm(on.body)
	return err == nil && slices.Contains(f.buttons, button)
}

func htmlDecoder(text string) *xml.Decoder {
	d := xml.NewDecoder(strings.NewReader(text))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	return d
}

func firstForm(text string) (f form, err error) {
	d := htmlDecoder(text)
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return f, errors.New("it holds no POST form")
		}
		if err != nil {
			return f, err
		}
		if end, ok := token.(xml.EndElement); ok && end.Name.Local == "form" && f.fields != nil {
			return f, nil
		}
		element, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		attr := map[string]string{}
		for _, a := range element.Attr {
			attr[a.Name.Local] = a.Value
		}
		switch name := element.Name.Local; {
		case name == "form" && strings.EqualFold(attr["method"], "post"):
			f = form{action: attr["action"], fields: url.Values{}}
		case f.fields == nil:
		case name == "input":
			f.fields.Add(attr["name"], attr["value"])
		case name == "button":
			f.buttons = append(f.buttons, attr["name"])
		}
	}
}
