package web_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

func TestQuery(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		raw  string
		want oauth.ErrorCode
	}{
		{"a=1&b=2", ""},
		{"", ""},
		{"a=1&a=2", oauth.InvalidRequest},
		{"a=1&a=1", oauth.InvalidRequest},
		{"resource=x&resource=y", ""},
		{"a=%00", oauth.InvalidRequest},
		{"a=%ff", oauth.InvalidRequest},
		{"a=%ed%a0%80", oauth.InvalidRequest},
		{"a=%c3%a9", ""},
		{"a=%zz", oauth.InvalidRequest},
		{"a;b", oauth.InvalidRequest},
		{strings.Repeat("a&", web.MaxParameters), oauth.InvalidRequest},
		{"evil%22%0d%0a=1&evil%22%0d%0a=2", oauth.InvalidRequest},
	} {
		_, err := web.Query(&http.Request{URL: &url.URL{RawQuery: c.raw}})
		switch {
		case (err == nil) != (c.want == ""), err != nil && err.Code != c.want:
			t.Errorf("%.40q: %v, want %q", c.raw, err, c.want)
		case err != nil && strings.ContainsAny(err.Description, "\r\n\x00"):
			t.Errorf("%.40q: the description %q holds control characters", c.raw, err.Description)
		}
	}
}

// RFC 6749 §3.1 and §3.2: a parameter without a value was not sent.
func TestEmptyParameters(t *testing.T) {
	t.Parallel()
	p, err := web.Query(&http.Request{URL: &url.URL{RawQuery: "a=&resource=&resource=x&audience="}})
	if err != nil {
		t.Fatal(err)
	}
	if p.Has("a") || p.Has("audience") || len(p.All("audience")) > 0 || len(p.All("b")) > 0 {
		t.Error("an empty parameter counts as sent")
	}
	if got := p.All("resource"); len(got) != 1 || got[0] != "x" {
		t.Errorf("resource: %q", got)
	}
}

func TestForm(t *testing.T) {
	t.Parallel()
	const formType = "application/x-www-form-urlencoded"
	for _, c := range []struct {
		name, contentType, body string
		chunked, ok             bool
	}{
		{"plain", formType, "a=1", false, true},
		{"with a charset", formType + "; charset=utf-8", "a=1", false, true},
		{"capitals", "Application/X-WWW-Form-Urlencoded", "a=1", false, true},
		{"chunked", formType, "a=1", true, true},
		{"empty", formType, "", false, true},
		{"no type", "", "a=1", false, false},
		{"JSON", "application/json", "a=1", false, false},
		{"multipart", "multipart/form-data; boundary=x", "a=1", false, false},
		{"too large", formType, "a=" + strings.Repeat("x", web.MaxForm), false, false},
		{"too large, chunked", formType, "a=" + strings.Repeat("x", web.MaxForm), true, false},
		{"twice", formType, "a=1&a=2", false, false},
	} {
		r := httptest.NewRequest(http.MethodPost, "/?a=url", bytes.NewReader([]byte(c.body)))
		r.Header.Set("Content-Type", c.contentType)
		if c.chunked {
			r.ContentLength = -1
		}
		p, err := web.Form(httptest.NewRecorder(), r)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.ok && c.body != "" && p.Get("a") != "1" {
			t.Errorf("%s: a = %q: what stands in the URL must not count", c.name, p.Get("a"))
		}
	}
}

// Case 53: forwarded headers count from listed peers alone.
func TestPeers(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		name, remote string
		forwarded    []string
		trusted      []netip.Prefix
		want         string
	}{
		{"direct", "192.0.2.1:1000", nil, nil, "192.0.2.1"},
		{"a header from nobody we list", "192.0.2.1:1000", []string{"198.51.100.7"}, trusted, "192.0.2.1"},
		{"no proxy listed", "10.0.0.1:1000", []string{"198.51.100.7"}, nil, "10.0.0.1"},
		{"a listed proxy", "10.0.0.1:1000", []string{"198.51.100.7"}, trusted, "198.51.100.7"},
		{"the client wrote some itself", "10.0.0.1:1000", []string{"1.1.1.1, 198.51.100.7"}, trusted, "198.51.100.7"},
		{"two proxies", "10.0.0.1:1000", []string{"198.51.100.7, 10.0.0.2"}, trusted, "198.51.100.7"},
		{"two headers", "10.0.0.1:1000", []string{"198.51.100.7", "10.0.0.2"}, trusted, "198.51.100.7"},
		{"garbage", "10.0.0.1:1000", []string{"evil"}, trusted, "10.0.0.1"},
		{"garbage in front", "10.0.0.1:1000", []string{"evil, 198.51.100.7"}, trusted, "198.51.100.7"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:1000", []string{"::ffff:198.51.100.7"}, trusted, "198.51.100.7"},
		{"IPv6", "[fd00::1]:1000", []string{"2001:db8::1"}, trusted, "2001:db8::1"},
		{"only proxies", "10.0.0.1:1000", []string{"10.0.0.3, 10.0.0.2"}, trusted, "10.0.0.3"},
	} {
		r := &http.Request{RemoteAddr: c.remote, Header: http.Header{"X-Forwarded-For": c.forwarded}}
		if got := web.NewPeers(c.trusted).Addr(r); got.String() != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if web.NewPeers(nil).Addr(&http.Request{RemoteAddr: "@"}).IsValid() {
		t.Error("a unix socket's peer has an address")
	}
}

func TestForeign(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		site, origin string
		want         bool
	}{
		{"same-origin", "null", false},
		{"none", "", false},
		{"cross-site", "", true},
		{"same-site", "https://id.example.com", true},
		{"", "", false},
		{"", "null", false},
		{"", "https://id.example.com", false},
		{"", "https://evil.example", true},
		{"", "http://id.example.com", true},
	} {
		r := &http.Request{Header: http.Header{}}
		if c.site != "" {
			r.Header.Set("Sec-Fetch-Site", c.site)
		}
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		if got := web.Foreign(r, "https://id.example.com"); got != c.want {
			t.Errorf("Sec-Fetch-Site %q, Origin %q: foreign = %t", c.site, c.origin, got)
		}
	}
}
