package session

import (
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/jeton-auth/jeton/internal/secret"
)

// Names of the cookies behind the __Host- prefix, which binds them to the host, the
// path / and TLS.
const (
	prefix      = "__Host-"
	sessionName = "jeton"
	browserName = "jeton_browser"
)

// idLength is the length of a session's row id: 128 bits of the cookie's hash.
const idLength = 16

// valueLength is that of 256 random bits in base64url.
const valueLength = 43

// maxBrowsers bounds how many browser secrets of one request are looked at.
const maxBrowsers = 16

// Cookies reads and writes the cookies. They carry references of 256 random bits;
// the store keeps hashes.
type Cookies struct {
	// Secure is false only for an issuer on plain http, whose host is loopback: the
	// prefix and the Secure attribute are then left out, as not every browser and
	// tool takes them there.
	Secure bool
}

// Jar is what the cookies of one request say.
type Jar struct {
	Session  []byte // row id of the session; nil: no cookie
	browsers [][]byte
}

// Holds tells whether this browser has the secret with that hash, in constant time.
func (j Jar) Holds(hash []byte) bool {
	held := false
	for _, b := range j.browsers {
		held = subtle.ConstantTimeCompare(b, hash) == 1 || held
	}
	return held
}

// Browser is the hash of the browser's secret; nil: it has none yet.
func (j Jar) Browser() []byte {
	if len(j.browsers) == 0 {
		return nil
	}
	return j.browsers[0]
}

// Read takes the cookies out of a request. A value that is none of ours counts as
// absent.
func (c Cookies) Read(r *http.Request) (j Jar) {
	session, browser := c.name(sessionName), c.name(browserName)
	for _, cookie := range r.Cookies() {
		switch {
		case len(cookie.Value) != valueLength:
		case cookie.Name == session && j.Session == nil:
			j.Session = rowID(cookie.Value)
		case strings.HasPrefix(cookie.Name, browser) && len(j.browsers) < maxBrowsers:
			j.browsers = append(j.browsers, secret.Hash(cookie.Value))
		}
	}
	return j
}

// SetSession gives the browser a session.
func (c Cookies) SetSession(w http.ResponseWriter, value secret.Text) {
	http.SetCookie(w, c.cookie(sessionName, value.Reveal()))
}

// ClearSession takes the session from the browser.
func (c Cookies) ClearSession(w http.ResponseWriter) {
	cookie := c.cookie(sessionName, "")
	cookie.MaxAge = -1
	http.SetCookie(w, cookie)
}

// Browser is a new secret for a browser that has none. Its cookie's name ends at
// random: two tabs that begin at once would otherwise overwrite each other's, and
// the first one's request would be lost.
type Browser struct {
	Hash   []byte
	cookie *http.Cookie
}

// NewBrowser makes a secret that Set gives to the browser.
func (c Cookies) NewBrowser() Browser {
	value := secret.Random().Reveal()
	return Browser{secret.Hash(value), c.cookie(browserName+"_"+secret.ID()[:6], value)}
}

// Set gives the secret to the browser.
func (b Browser) Set(w http.ResponseWriter) { http.SetCookie(w, b.cookie) }

func (c Cookies) name(name string) string {
	if c.Secure {
		return prefix + name
	}
	return name
}

func (c Cookies) cookie(name, value string) *http.Cookie {
	return &http.Cookie{
		Name: c.name(name), Value: value, Path: "/", HttpOnly: true, Secure: c.Secure, SameSite: http.SameSiteLaxMode,
	}
}

func rowID(value string) []byte { return secret.Hash(value)[:idLength] }
