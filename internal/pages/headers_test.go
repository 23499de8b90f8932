package pages

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jeton-auth/jeton/internal/i18n"
	"github.com/jeton-auth/jeton/internal/spec"
)

func TestHeaders(t *testing.T) {
	t.Parallel()
	r := newRenderer(t)
	for name, s := range samples {
		h := write(t, r, s.status, s.page, i18n.English).Header().Clone()
		want := http.Header{
			"Content-Security-Policy": {policyOf(s.page)},
			"X-Frame-Options":         {"DENY"},
			"X-Content-Type-Options":  {"nosniff"},
			"Referrer-Policy":         {"no-referrer"},
			"Cache-Control":           {"no-store"},
			"Permissions-Policy":      {"accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), usb=()"},
			"Content-Type":            {"text/html; charset=utf-8"},
			"Content-Language":        {"en"},
		}
		h.Del("Content-Length")
		if diff := cmp.Diff(want, h); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	const want = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'%; frame-ancestors 'none'; base-uri 'none'"
	for origin, added := range map[string]string{
		"":                             "",
		"https://shop.example.com":     " https://shop.example.com",
		"https://shop.example.com:444": " https://shop.example.com:444",
		"http://localhost:8082":        " http://localhost:8082",
		"http://127.0.0.1:51004":       " http://127.0.0.1:51004",
		"http://[::1]:51004":           " http://*:51004",
		"https://[2001:db8::1]":        " https://*",
		"com.example.app:":             " com.example.app:",
		"http:":                        " http:",

		"https://a.example; script-src *":   "",
		"https://a.example;script-src":      "",
		"https://a.example, default-src *":  "",
		"https://a.example 'unsafe-inline'": "",
		"https://a.example\r\nX: y":         "",
		"https://a.example\n":               "",
		"\nhttps://a.example":               "",
		"https://a.example\tb":              "",
		"https://a.example/":                "",
		"https://a.example/path":            "",
		"https://a.example?q":               "",
		"https://user@a.example":            "",
		"https://*.example":                 "",
		"https://*":                         "",
		"*":                                 "",
		"'unsafe-inline'":                   "",
		"'self'":                            "",
		"javascript:":                       "",
		"data:":                             "",
		"blob:":                             "",
		"ftp://a.example":                   "",
		"https://a..example":                "",
		"https://":                          "",
		"https://a.example:":                "",
		"https://a.example:x":               "",
		"https://a.example:123456":          "",
		"https://[::1":                      "",
		"https://[:::::]":                   "",
		"https://bücher.example":            "",
		"https://a.example\x00":             "",
		"com.example.app:/cb":               "",
		"com.example.app: *":                "",
		"com.example;app:":                  "",
		"https://" + strings.Repeat("a.", 200) + "host": "",
	} {
		if got := policy(origin); got != strings.Replace(want, "%", added, 1) {
			t.Errorf("policy(%q) = %q", origin, got)
		}
	}
}

// What spec gives for a registered URI has its place in the policy.
func TestPolicyTakesValidatedOrigins(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{
		"https://shop.example.com/callback", "https://shop.example.com:8443/a/b?c=d",
		"http://localhost:8082/callback", "http://127.0.0.1/callback", "http://[::1]:3000/callback",
		"com.example.app:/callback",
	} {
		origin := spec.RedirectOrigin(uri)
		want := strings.Replace(origin, "[::1]", "*", 1)
		if origin == "" || formAction(origin) != want {
			t.Errorf("%s: origin %q, source %q", uri, origin, formAction(origin))
		}
	}
}

func FuzzFormAction(f *testing.F) {
	for _, s := range []string{"https://a.example:1", "http://[::1]:2", "com.example.app:", "https://a;b", "'self'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, origin string) {
		if source := formAction(origin); strings.ContainsFunc(source, func(r rune) bool {
			return r <= ' ' || r > '~' || strings.ContainsRune(`;,'"<>\@#?`, r)
		}) {
			t.Errorf("formAction(%q) = %q", origin, source)
		}
	})
}

// The page that carries an answer to a client lets its form go there alone.
func TestPostPolicy(t *testing.T) {
	t.Parallel()
	const want = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; form-action %; frame-ancestors 'none'; base-uri 'none'"
	for origin, action := range map[string]string{
		"https://shop.example.com": "https://shop.example.com", "https://shop.example.com; script-src *": "'none'", "": "'none'", "https://*.example.com": "'none'",
	} {
		if got := policyOf(FormPost{Origin: origin}); got != strings.Replace(want, "%", action, 1) {
			t.Errorf("%q: %s", origin, got)
		}
	}
}
