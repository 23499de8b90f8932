package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/jeton-auth/jeton/oauth"
)

// TestCodes holds case 8 and the rest of 6: a code is redeemed once, by whom it was
// made for, and a failed attempt spends nothing.
func TestCodes(t *testing.T) {
	t.Parallel()
	i := start(t)
	p := i.ada()
	scope := "openid offline_access orders:read"

	r := club.asking(scope)
	code := p.allow(r)
	post := func(as caller, pairs ...string) reply {
		t.Helper()
		form := values("grant_type", "authorization_code", "code", code, "redirect_uri", club.redirect, "code_verifier", r.verifier)
		for k := 0; k < len(pairs); k += 2 {
			form.Set(pairs[k], pairs[k+1])
		}
		var all []string
		for name, v := range form {
			all = append(all, name, v[0])
		}
		return i.post("/token", as, all...)
	}
	for name, attempt := range map[string]func() reply{
		"another verifier":     func() reply { return post(club.as, "code_verifier", strings.Repeat("x", 43)) },
		"no verifier":          func() reply { return post(club.as, "code_verifier", "") },
		"another redirect URI": func() reply { return post(club.as, "redirect_uri", club.redirect+"/") },
		"no redirect URI":      func() reply { return post(club.as, "redirect_uri", "") },
		"another client":       func() reply { return post(shop.as) },
		"a public client":      func() reply { return post(phone.as) },
		"as a refresh token":   func() reply { return i.post("/token", club.as, "grant_type", "refresh_token", "refresh_token", code) },
	} {
		if got := attempt(); got.status != 400 || got.str("error") != string(oauth.InvalidGrant) {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	post(inForm("club", shopSecret)).want(401, oauth.InvalidClient)
	tokens := post(club.as).want(200, "")
	i.post("/token", club.as, "grant_type", "authorization_code", "code", tokens.refresh(), "redirect_uri", club.redirect).want(400, oauth.InvalidGrant)
	post(shop.as).want(400, oauth.InvalidGrant)
	if !i.introspect(tokens.access()) {
		t.Fatal("somebody else's second use ended the grant")
	}
	post(club.as).want(400, oauth.InvalidGrant)
	if i.introspect(tokens.access()) {
		t.Error("the second use of a code did not end what it gave")
	}

	// Case 6: a verifier where there was no challenge.
	r = club.asking(scope, "code_challenge", "", "code_challenge_method", "")
	code = p.allow(r)
	post(club.as).want(400, oauth.InvalidGrant)
	post(club.as, "code_verifier", "").want(200, "")
}

// TestCodeRace redeems one code a hundred times at once.
func TestCodeRace(t *testing.T) {
	t.Parallel()
	i := start(t)
	r := shop.asking("openid offline_access orders:read")
	code := i.ada().allow(r)
	answers := make([]reply, 100)
	var group sync.WaitGroup
	for k := range answers {
		group.Go(func() { answers[k] = i.redeem(r, code) })
	}
	group.Wait()
	won := 0
	for _, a := range answers {
		if a.status == http.StatusOK {
			won++
			if i.introspect(a.access()) {
				t.Error("what the code gave outlived its second use")
			}
			i.rotate(shop, a.refresh()).want(400, oauth.InvalidGrant)
		} else {
			a.want(400, oauth.InvalidGrant)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d redemptions were answered with 200", won, len(answers))
	}
}

// TestRefreshRace holds case 15: a hundred refreshes at once get the same successor,
// also with a restart in between.
func TestRefreshRace(t *testing.T) {
	t.Parallel()
	i := start(t)
	first := i.ada().tokens(shop, "openid offline_access").refresh()
	successors := map[string]bool{}
	for range 2 {
		answers := make([]reply, 100)
		var group sync.WaitGroup
		for k := range answers {
			group.Go(func() { answers[k] = i.rotate(shop, first) })
		}
		group.Wait()
		for _, a := range answers {
			successors[a.want(200, "").refresh()] = true
		}
		i.stop()
		i.begin()
	}
	if len(successors) != 1 {
		t.Errorf("%d different successors", len(successors))
	}
}

// TestSecondPerson holds cases 38 and 39: whoever logs in next in the same browser
// gets a session of their own, and the first one's is over.
func TestSecondPerson(t *testing.T) {
	t.Parallel()
	i := start(t)
	p := i.ada()
	home, err := url.Parse(i.url)
	if err != nil {
		t.Fatal(err)
	}
	session := func() string {
		for _, c := range p.browser.Jar.Cookies(home) {
			if c.Name == "jeton" {
				return c.Value
			}
		}
		return ""
	}
	bound := p.tokens(shop, "openid orders:read")
	kept := p.tokens(shop, "openid offline_access orders:read")
	ada := payload(t, bound.str("id_token"))["sub"]
	first := session()
	if len(first) < 43 {
		t.Fatalf("the session's cookie is %q", first)
	}

	p.email, p.password = "bob@example.com", bobPassword
	r := shop.asking("openid orders:read", "prompt", "login")
	on := p.authorize(r)
	if !on.has("login") {
		t.Fatalf("prompt=login shows %s", on.body)
	}
	bob := i.redeem(r, p.logIn(on).answer(r).Get("code")).want(200, "")
	if sub := payload(t, bob.str("id_token"))["sub"]; sub == ada {
		t.Error("the second person gets the first one's tokens")
	}
	if session() == first {
		t.Error("the session kept its id")
	}
	if i.introspect(bound.access()) {
		t.Error("what lived in the first person's session lives on")
	}
	if !i.introspect(kept.access()) {
		t.Error("offline access ended with the session")
	}
	i.rotate(shop, kept.refresh()).want(200, "")
	i.rotate(shop, bound.refresh()).want(400, oauth.InvalidGrant)

	// The first session's cookie, should anybody have kept it, opens nothing.
	thief := i.ada()
	thief.browser.Jar.SetCookies(home, []*http.Cookie{{Name: "jeton", Value: first, Path: "/"}})
	silent := shop.asking("openid", "prompt", "none")
	if got := thief.authorize(silent).answer(silent).Get("error"); got != string(oauth.LoginRequired) {
		t.Errorf("the old cookie gives %q", got)
	}
}

// TestForeignForms holds cases 11 and 42 over plain HTTP: our forms come from our own
// pages, in the browser in which the flow began.
func TestForeignForms(t *testing.T) {
	t.Parallel()
	i := start(t)
	mallory := i.person("bob@example.com", bobPassword)
	waiting := mallory.authorize(club.asking("openid"))
	flow := waiting.form().fields.Get("flow")
	send := func(p *person, path string, header http.Header, pairs ...string) page {
		t.Helper()
		req, err := http.NewRequest(http.MethodPost, i.url+path, strings.NewReader(values(pairs...).Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return p.send(req)
	}
	login := []string{"flow", flow, "username", mallory.email, "password", mallory.password, "login", "1"}

	// Login CSRF: the attacker's flow and account in the victim's browser.
	ada := i.ada()
	for _, header := range []http.Header{
		{},
		{"Sec-Fetch-Site": {"same-origin"}},
		{"Origin": {i.url}},
		{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}},
	} {
		on := send(ada, "/login", header, login...)
		if on.status != 400 && on.status != 403 {
			t.Errorf("%v: a flow of another browser is answered with %d to %s", header, on.status, on.at)
		}
		if home, _ := url.Parse(i.url); len(ada.browser.Jar.Cookies(home)) > 0 {
			t.Errorf("%v: the victim got cookies", header)
		}
	}
	// The same browser, but another site's page.
	for _, header := range []http.Header{
		{"Sec-Fetch-Site": {"cross-site"}},
		{"Sec-Fetch-Site": {"same-site"}},
		{"Sec-Fetch-Site": {"cross-site"}, "Origin": {i.url}},
		{"Origin": {"https://evil.example"}},
		{"Origin": {strings.Replace(i.url, "localhost", "127.0.0.1", 1)}},
	} {
		for _, path := range []string{"/login", "/login/cancel", "/consent"} {
			if on := send(mallory, path, header.Clone(), append(login, "allow", "1", "cancel", "1")...); on.status != 403 {
				t.Errorf("POST %s with %v is answered with %d", path, header, on.status)
			}
		}
		if on := send(mallory, "/logout", header.Clone(), "logout", "1"); on.status != 403 {
			t.Errorf("POST /logout with %v is answered with %d", header, on.status)
		}
	}
	// None of it disturbed the flow. No browser is refused for what it doesn't send.
	if on := send(mallory, "/login", http.Header{}, login...); !on.has("allow") {
		t.Errorf("a form without Fetch Metadata is answered with %d: %s", on.status, on.body)
	}
	// Case 49: no step is skipped by an empty or early form.
	for _, pairs := range [][]string{{}, {"flow", ""}, {"flow", "x"}, {"allow", "1"}, {"flow", flow, "allow", "1"}, {"flow", flow, "allow", "1", "subject", "u_0"}} {
		for _, path := range []string{"/login", "/consent", "/login/cancel"} {
			if on := send(i.ada(), path, http.Header{}, pairs...); on.status != 400 {
				t.Errorf("POST %s %v is answered with %d", path, pairs, on.status)
			}
		}
	}
	fresh := i.ada()
	early := fresh.authorize(club.asking("openid")).form().fields.Get("flow")
	if on := send(fresh, "/consent", http.Header{}, "flow", early, "allow", "1"); !on.has("login") {
		t.Errorf("consent before the login is answered with %d: %s", on.status, on.body)
	}
}

var changing = regexp.MustCompile(`value="[A-Za-z0-9_-]{22}"`)

// TestSameAnswerForAll holds case 50: nobody learns from a login whether an account is
// there.
func TestSameAnswerForAll(t *testing.T) {
	t.Parallel()
	i := start(t)
	var first reply
	for k, who := range []string{"ada@example.com", "nobody@example.com", "ADA@EXAMPLE.COM", "x", "u_0", "ada@example.com' OR 1=1 --", strings.Repeat("x", 250)} {
		p := i.person(who, "not the password at all")
		on := p.logIn(p.authorize(club.asking("openid")))
		on.body = changing.ReplaceAllString(strings.Replace(on.body, `value="`+strings.ReplaceAll(who, "'", "&#39;")+`"`, `value=""`, 1), "")
		on.header.Del("X-Request-Id")
		on.header.Del("Date")
		on.header.Del("Content-Length")
		if k == 0 {
			first = on.reply
			continue
		}
		if on.status != first.status || on.body != first.body || fmt.Sprint(on.header) != fmt.Sprint(first.header) {
			t.Errorf("%s: another answer than for an account that is there:\n%d %v %s\n%d %v %s", who, on.status, on.header, on.body, first.status, first.header, first.body)
		}
	}
	// The same holds for clients: a wrong secret looks like an unknown id.
	wrong := i.post("/token", basic("robot", shopSecret), "grant_type", "client_credentials").want(401, oauth.InvalidClient)
	unknown := i.post("/token", basic("nobody", shopSecret), "grant_type", "client_credentials").want(401, oauth.InvalidClient)
	if wrong.body != unknown.body {
		t.Errorf("a wrong secret is answered with %s, an unknown client with %s", wrong.body, unknown.body)
	}
}
