package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"net/url"
	"strings"
)

// browser logs a person in through the pages, from an empty cookie jar.
type browser struct {
	*conn
	addr     string
	jar      map[string]string
	requests int
}

// hops bounds the redirects of one login.
const hops = 10

// flow is one authorization code flow with PKCE: it takes the redirects, fills in
// the first form of the login page, and redeems the code.
func flow(c *conn, t target, scope, username string) (tokens []byte, requests int, err error) {
	b := &browser{conn: c, addr: t.addr, jar: map[string]string{}}
	verifier, state := rand.Text()+rand.Text(), rand.Text()
	challenge := sha256.Sum256([]byte(verifier))
	a, err := b.get("/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {webClient}, "redirect_uri": {callback}, "scope": {scope},
		"state": {state}, "nonce": {rand.Text()},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}.Encode())
	if err != nil {
		return nil, b.requests, err
	}
	for a.location == "" {
		action, form, err := firstForm(string(a.body))
		if err != nil {
			return nil, b.requests, err
		}
		form.Set("username", username)
		form.Set("password", t.password)
		if a, err = b.post(action, form); err != nil {
			return nil, b.requests, err
		}
	}
	back, err := url.Parse(a.location)
	if err != nil {
		return nil, b.requests, err
	}
	q := back.Query()
	if q.Get("state") != state || q.Get("iss") != "http://"+t.addr || q.Get("code") == "" {
		return nil, b.requests, fmt.Errorf("the answer to the authorization request is %q", a.location)
	}
	b.requests++
	tokens, err = c.ok(post(t.addr, "/token", basic(webClient, t.webSecret), url.Values{
		"grant_type": {"authorization_code"}, "code": {q.Get("code")}, "redirect_uri": {callback}, "code_verifier": {verifier},
	}))
	return tokens, b.requests, err
}

func (b *browser) get(location string) (answer, error) {
	return b.follow(get(b.addr, location, b.cookies()))
}

func (b *browser) post(location string, form url.Values) (answer, error) {
	return b.follow(post(b.addr, location, b.cookies(), form))
}

// follow sends a request and takes the redirects, up to the one to the client or to
// a page.
func (b *browser) follow(request []byte) (answer, error) {
	for range hops {
		b.requests++
		a, err := b.do(request)
		if err != nil {
			return a, err
		}
		for _, c := range a.cookies {
			b.keep(c)
		}
		switch {
		case strings.HasPrefix(a.location, callback):
			return a, nil
		case a.status == 303 && strings.HasPrefix(a.location, "/"):
			request = get(b.addr, a.location, b.cookies())
		case a.status == 200:
			return a, nil
		default:
			return a, fmt.Errorf("status %d, to %q: %.300s", a.status, a.location, a.body)
		}
	}
	return answer{}, errors.New("the redirects do not end")
}

// keep puts a Set-Cookie value into the jar; an empty cookie leaves it.
func (b *browser) keep(cookie string) {
	pair, _, _ := strings.Cut(cookie, ";")
	name, value, _ := strings.Cut(pair, "=")
	if value == "" {
		delete(b.jar, name)
		return
	}
	b.jar[name] = value
}

func (b *browser) cookies() string {
	if len(b.jar) == 0 {
		return ""
	}
	line := ""
	for name, value := range b.jar {
		line += "; " + name + "=" + value
	}
	return "Cookie: " + line[2:] + "\r\n"
}

// firstForm finds a page's first form: where it goes, and what it sends when its
// first button is pressed.
func firstForm(page string) (action string, values url.Values, err error) {
	_, page, found := strings.Cut(page, "<form ")
	page, _, closed := strings.Cut(page, "</form>")
	tag, inside, _ := strings.Cut(page, ">")
	if action = attribute(tag, "action"); !found || !closed || action == "" {
		return "", nil, errors.New("the page has no form")
	}
	values = url.Values{}
	for _, element := range []string{"<input ", "<button "} {
		for i, rest := range strings.Split(inside, element)[1:] {
			tag, _, _ := strings.Cut(rest, ">")
			if name := attribute(tag, "name"); name != "" && (i == 0 || element == "<input ") {
				values.Set(name, attribute(tag, "value"))
			}
		}
	}
	return action, values, nil
}

// attribute reads an attribute of a tag, as our pages write it.
func attribute(tag, name string) string {
	_, rest, _ := strings.Cut(" "+tag, " "+name+`="`)
	value, _, _ := strings.Cut(rest, `"`)
	return html.UnescapeString(value)
}

// text reads a member of a flat JSON object whose value needs no unescaping.
func text(object []byte, name string) (string, error) {
	_, rest, found := bytes.Cut(object, []byte(`"`+name+`":"`))
	value, _, closed := bytes.Cut(rest, []byte(`"`))
	if !found || !closed {
		return "", fmt.Errorf("the answer has no %s: %.300s", name, object)
	}
	return string(value), nil
}

// es256 checks that a token is a JWT whose header says ES256.
func es256(token string) error {
	head, _, _ := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil || !bytes.Contains(raw, []byte(`"alg":"ES256"`)) {
		return fmt.Errorf("the token's header is %q, not that of a JWT with ES256", raw)
	}
	return nil
}

func basic(id, secret string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret))) + "\r\n"
}
