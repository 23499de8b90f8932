package spec

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestRedirectURIs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		uri        string
		confident  string // part of the message for a confidential client; empty: allowed
		public     string
		logoutOnly bool // allowed after logout although not as a redirect URI
	}{
		{uri: "https://shop.example.com/callback"},
		{uri: "https://shop.example.com"},
		{uri: "https://shop.example.com/"},
		{uri: "https://shop.example.com:8443/cb?tenant=a&x=%20"},
		{uri: "https://shop.example.com/a%2Fb;p=1"},
		{uri: "https://192.0.2.1/cb"},
		{uri: "https://[2001:db8::1]:8443/cb"},
		{uri: "http://localhost/cb"},
		{uri: "http://localhost:3000/cb"},
		{uri: "http://127.0.0.1/cb"},
		{uri: "http://127.9.9.9:1/cb"},
		{uri: "http://[::1]:3000/cb"},
		{uri: "com.example.app:/callback", confident: "public clients alone"},
		{uri: "com.example.app://callback", confident: "public clients alone"},
		{uri: "com.example.app:///callback", confident: "public clients alone"},

		{uri: "", confident: "is empty", public: "is empty"},
		{uri: "/callback", confident: "is relative", public: "is relative"},
		{uri: "//shop.example.com/callback", confident: "is relative", public: "is relative"},
		{uri: "shop.example.com/callback", confident: "is relative", public: "is relative"},
		{uri: "https:shop.example.com", confident: "lacks a slash", public: "lacks a slash"},
		{uri: "https:/shop.example.com", confident: "no host", public: "no host"},
		{uri: "https:///cb", confident: "no host", public: "no host"},
		{uri: "https://:443/cb", confident: "host or port", public: "host or port"},
		{uri: "https://shop.example.com:/cb", confident: "host or port", public: "host or port"},
		{uri: "https://shop.example.com:0/cb", confident: "host or port", public: "host or port"},
		{uri: "https://shop.example.com:0443/cb", confident: "host or port", public: "host or port"},
		{uri: "https://shop.example.com:65536/cb", confident: "host or port", public: "host or port"},
		{uri: "https://shop.example.com:x/cb", confident: "not a URI", public: "not a URI"},
		{uri: "https://shop.example.com;script-src/cb", confident: "host or port", public: "host or port"},
		{uri: "https://shop.example.com,evil.example/cb", confident: "host or port", public: "host or port"},
		{uri: "https://'self'/cb", confident: "host or port", public: "host or port"},
		{uri: "https://[fe80::1%25eth0]/cb", confident: "host or port", public: "host or port"},
		{uri: "https://shop.%65xample.com/cb", confident: "not a URI", public: "not a URI"},
		{uri: "https://shop.example.com/cb#", confident: "fragment", public: "fragment"},
		{uri: "https://shop.example.com/cb#x", confident: "fragment", public: "fragment"},
		{uri: "https://*.example.com/cb", confident: "wildcard", public: "wildcard"},
		{uri: "https://shop.example.com/*", confident: "wildcard", public: "wildcard"},
		{uri: "https://user@shop.example.com/cb", confident: "before the @", public: "before the @"},
		{uri: "http://localhost:80@evil.example/cb", confident: "before the @", public: "before the @"},
		{uri: "https://shop.example.com/a b", confident: "white space", public: "white space"},
		{uri: " https://shop.example.com/", confident: "white space", public: "white space"},
		{uri: "https://shop.example.com/\n", confident: "white space", public: "white space"},
		{uri: "https://shop.example.com/\x00", confident: "white space", public: "white space"},
		{uri: "https://shop.example.com/\u00e9", confident: "outside ASCII", public: "outside ASCII"},
		{uri: `https://evil.example\@shop.example.com/`, confident: "backslash", public: "backslash"},
		{uri: "https://shop.example.com/" + strings.Repeat("a", MaxURI), confident: "longer", public: "longer"},
		{uri: "HTTPS://shop.example.com/cb", confident: `write "https://shop`, public: `write "https://shop`},
		{uri: "https://shop.example.com/{id}", confident: `write "https://shop.example.com/%7Bid%7D"`, public: "%7B"},
		{uri: "https://shop.example.com/%zz", confident: "not a URI", public: "not a URI"},
		{uri: "https://shop.example.com/?a=%zz", confident: "malformed query", public: "malformed query"},
		{uri: "https://shop.example.com/?a=1;b=2", confident: "malformed query", public: "malformed query"},
		{uri: "http://shop.example.com/cb", confident: "must use https", public: "must use https"},
		{uri: "http://localhost.example.com/cb", confident: "must use https", public: "must use https"},
		{uri: "http://127.0.0.1.example.com/cb", confident: "must use https", public: "must use https"},
		{uri: "http://127.1/cb", confident: "must use https", public: "must use https"},
		{uri: "http://2130706433/cb", confident: "must use https", public: "must use https"},
		{uri: "http://0.0.0.0/cb", confident: "must use https", public: "must use https"},
		{uri: "http://[::ffff:127.0.0.1]/cb", confident: "must use https", public: "must use https"},
		{uri: "http://LOCALHOST/cb", confident: "must use https", public: "must use https"},
		{uri: "javascript:alert(1)", confident: "slash after the scheme", public: "slash after the scheme"},
		{uri: "javascript://shop.example.com/%0aalert(1)", confident: "not allowed", public: "not allowed"},
		{uri: "data:text/html,x", confident: "slash", public: "slash"},
		{uri: "file:///etc/passwd", confident: "not allowed", public: "not allowed"},
		{uri: "vbscript://x", confident: "not allowed", public: "not allowed"},
		{uri: "blob:https://shop.example.com/1", confident: "slash", public: "slash"},
		{uri: "myapp:/callback", confident: "not allowed", public: "not allowed"},
		{uri: "urn:ietf:wg:oauth:2.0:oob", confident: "slash", public: "slash"},

		{uri: "https://shop.example.com/cb?code=1", confident: "the parameter code", public: "the parameter code", logoutOnly: true},
		{uri: "https://shop.example.com/cb?a=b&%63ode=1", confident: "the parameter code", public: "the parameter code", logoutOnly: true},
		{uri: "https://shop.example.com/cb?ISS", confident: "the parameter iss", public: "the parameter iss", logoutOnly: true},
		{uri: "https://shop.example.com/cb?state=1", confident: "the parameter state", public: "the parameter state"},
	}
	for _, tt := range tests {
		check := func(kind, want string, confidential bool, reserved []string) {
			var p problems
			p.uri("f", tt.uri, confidential, reserved)
			switch {
			case want == "" && len(p) != 0:
				t.Errorf("%s: %q: %s", kind, tt.uri, p[0].Message)
			case want != "" && (len(p) != 1 || !strings.Contains(p[0].Message, want)):
				t.Errorf("%s: %q: got %q, want one problem with %q", kind, tt.uri, p, want)
			}
		}
		check("confidential", tt.confident, true, responseParameters)
		check("public", tt.public, false, responseParameters)
		want := tt.public
		if tt.logoutOnly {
			want = ""
		}
		check("logout", want, false, logoutParameters)
	}
}

func TestEveryResponseParameterIsReserved(t *testing.T) {
	t.Parallel()
	for _, name := range responseParameters {
		var p problems
		p.uri("f", "https://shop.example.com/?"+name+"=1", true, responseParameters)
		if len(p) != 1 {
			t.Errorf("%s: %q", name, p)
		}
	}
}

func TestURIProblemHidesPassword(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{"https://u:hunter2@shop.example.com/", "HTTPS://u:hunter2@shop.example.com/", "x://u:hunter2@y/"} {
		if _, problem := parseRedirect(uri); problem == "" || strings.Contains(problem, "hunter2") {
			t.Errorf("%s: %q", uri, problem)
		}
	}
}

// hostile are presented URIs that no registered one below allows.
var hostile = []string{
	"",
	"http://localhost:80@evil.example/cb",
	"http://localhost@evil.example/cb",
	"http://localhost:3000@evil.example/cb",
	"http://localhost.evil.example/cb",
	"http://localhost:3000.evil.example/cb",
	"http://localhost:evil.example/cb",
	`http://localhost\@evil.example/cb`,
	"http://localhost/cb/",
	"http://localhost/cb?x=1",
	"http://localhost/cb#x",
	"http://localhost/CB",
	"http://localhost/x/../cb",
	"http://localhost/%63b",
	"http://localhost//cb",
	"http://localhost/",
	"http://localhost",
	"http://localhost:/cb",
	"http://localhost:0/cb",
	"http://localhost:03000/cb",
	"http://localhost:65536/cb",
	"http://localhost:+80/cb",
	"http://localhost:80:80/cb",
	"http://localhost:80/evil/cb",
	"http://localhost:80?/cb",
	"http://localhost: 80/cb",
	"http://LOCALHOST/cb",
	"HTTP://localhost/cb",
	"https://localhost/cb",
	"http://user@localhost/cb",
	"http://127.0.0.2:3000/cb",
	"http://127.1:3000/cb",
	"http://[::1]:3000/cb/x",
	"http://[::1]evil.example/cb",
	"http://[0:0:0:0:0:0:0:1]:3000/cb",
	"https://shop.example.com:8443/cb",
	"https://shop.example.com:443/cb",
	"https://SHOP.example.com/cb",
	"https://shop.example.com/cb/",
	"https://shop.example.com/cb?a=1",
	"https://shop.example.com/cb#a",
	"https://shop.example.com/cb\n",
	"https://shop.example.com./cb",
	"https://evil.example/cb?https://shop.example.com/cb",
	"com.example.app:/cb/x",
	"com.example.app://cb",
	"COM.example.app:/cb",
	"javascript:alert(1)",
}

var registered = []string{
	"https://shop.example.com/cb",
	"http://localhost/cb",
	"http://127.0.0.1:7777/cb",
	"http://[::1]/cb",
	"com.example.app:/cb",
}

func TestMatchRedirect(t *testing.T) {
	t.Parallel()
	for _, uri := range hostile {
		if MatchRedirect(registered, uri) {
			t.Errorf("%q matched", uri)
		}
	}
	allowed := append([]string{
		"http://localhost:1/cb",
		"http://localhost:65535/cb",
		"http://127.0.0.1/cb",
		"http://127.0.0.1:80/cb",
		"http://[::1]:51004/cb",
	}, registered...)
	for _, uri := range allowed {
		if !MatchRedirect(registered, uri) {
			t.Errorf("%q did not match", uri)
		}
	}
	if MatchRedirect([]string{"https://localhost/cb"}, "https://localhost:3000/cb") {
		t.Error("the port of an https URI may not vary")
	}
	if !MatchRedirect([]string{"http://127.0.0.1"}, "http://127.0.0.1:3000") {
		t.Error("the port of a URI without a path may vary")
	}
	if MatchRedirect(nil, "https://shop.example.com/cb") || MatchRedirect([]string{""}, "http://localhost") {
		t.Error("matched without a registered URI")
	}
}

func TestRedirectOrigin(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"https://shop.example.com/cb?x=1": "https://shop.example.com",
		"https://shop.example.com:8443":   "https://shop.example.com:8443",
		"http://localhost:3000/cb":        "http://localhost:3000",
		"http://127.0.0.1/cb":             "http://127.0.0.1",
		"http://[::1]:3000/cb":            "http://[::1]:3000",
		"https://[2001:db8::1]/cb":        "https://[2001:db8::1]",
		"com.example.app:/cb":             "com.example.app:",
		"com.example.app://cb/x":          "com.example.app:",
		"javascript:alert(1)":             "",
		"https://a;script-src/":           "",
		"":                                "",
	}
	for uri, want := range tests {
		if got := RedirectOrigin(uri); got != want {
			t.Errorf("%q: got %q, want %q", uri, got, want)
		}
	}
}

// FuzzMatchRedirect: whatever matches is a registered URI, or a valid loopback
// URI that differs from a registered one in the port alone.
func FuzzMatchRedirect(f *testing.F) {
	for _, uri := range slices.Concat(hostile, registered) {
		f.Add("http://localhost/cb", uri)
	}
	f.Fuzz(func(t *testing.T, reg, presented string) {
		if !MatchRedirect([]string{reg}, presented) || reg == presented {
			return
		}
		r, problem := parseRedirect(reg)
		if problem != "" {
			t.Fatalf("registered %q: %s", reg, problem)
		}
		p, err := url.Parse(presented)
		if err != nil {
			t.Fatalf("presented %q: %v", presented, err)
		}
		if p.User != nil || p.Hostname() != r.Hostname() || !Loopback(p.Hostname()) {
			t.Fatalf("%q matched %q", presented, reg)
		}
		r.Host, p.Host = "", ""
		if *r != *p {
			t.Fatalf("%q matched %q", presented, reg)
		}
	})
}

// FuzzRedirectOrigin: nothing that ends or extends a Content-Security-Policy
// directive comes out.
func FuzzRedirectOrigin(f *testing.F) {
	for _, uri := range slices.Concat(hostile, registered) {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		if s := RedirectOrigin(uri); strings.ContainsAny(s, ";,'\" \t\r\n@\\") || !visibleASCII(s) {
			t.Fatalf("%q: %q", uri, s)
		}
	})
}
