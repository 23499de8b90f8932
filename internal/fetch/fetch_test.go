package fetch

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// serve starts a server with a certificate of a made-up authority, counts its requests,
// and makes a Client that trusts it and reaches the networks in allow.
func serve(t *testing.T, allow []netip.Prefix, h http.HandlerFunc) (c *Client, address string, asked *atomic.Int64) {
	t.Helper()
	asked = &atomic.Int64{}
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		h(w, r)
	}))
	s.Config.ErrorLog = nil
	t.Cleanup(s.Close)
	c, err := New(allow, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	if err != nil {
		t.Fatal(err)
	}
	return c, s.URL, asked
}

func TestReaches(t *testing.T) {
	t.Parallel()
	c, err := New([]netip.Prefix{netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("fd00:1::/32")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"8.8.8.8": true, "93.184.216.34": true, "2606:2800:220:1::1": true, "10.20.1.1": true, "fd00:1::7": true,
		"10.21.1.1": false, "192.168.1.1": false, "172.16.0.1": false, "127.0.0.1": false, "169.254.169.254": false, "100.100.100.200": false,
		"0.0.0.0": false, "255.255.255.255": false, "224.0.0.1": false, "198.18.0.1": false, "192.0.2.1": false, "203.0.113.1": false, "240.0.0.1": false,
		"::": false, "::1": false, "fe80::1": false, "fd00:2::7": false, "fc00::1": false, "ff02::1": false, "2001:db8::1": false,
		"64:ff9b::7f00:1": false, "64:ff9b:1::1": false, "2002:7f00:1::": false, "::7f00:1": false, "2001:0:4136:e378::": false,
		"fec0::1": false, "::ffff:0:7f00:1": false, "5f00::1": false, "3fff::1": false, "4000::1": false, "200::1": false,
	} {
		if got := c.reaches(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: reached %t", address, got)
		}
	}
	// An IPv4 address in IPv6's clothes, and a zone.
	for _, address := range []string{"[::ffff:127.0.0.1]:443", "[::ffff:169.254.169.254]:443", "[fe80::1%eth0]:443", "127.0.0.1:443", "nonsense"} {
		if err := c.control("tcp", address, nil); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestGet(t *testing.T) {
	t.Parallel()
	c, address, _ := serve(t, loopback, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "application/json" || r.Header.Get("User-Agent") != "jeton" || r.Header.Get("Cookie")+r.Header.Get("Authorization") != "" {
			t.Errorf("sent %v", r.Header)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "public, max-age=60")
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		if r.URL.Path == "/none" {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, `{}`)
	})
	for range 2 {
		a, err := c.Get(t.Context(), address, "application/json")
		if err != nil || string(a.Body) != "{}" || a.ContentType != "application/json" || a.MaxAge != time.Minute {
			t.Errorf("%+v, %v", a, err)
		}
	}
	if _, err := c.Get(t.Context(), address+"/none", "application/json"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("404 is %v", err)
	}
}

func TestPostForm(t *testing.T) {
	t.Parallel()
	c, address, _ := serve(t, loopback, func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("logout_token") != "a b" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		w.WriteHeader(http.StatusBadRequest)
	})
	if a, err := c.PostForm(t.Context(), address, url.Values{"logout_token": {"a b"}}); err != nil || a.Status != http.StatusBadRequest {
		t.Errorf("%+v, %v", a, err)
	}
}

// Nothing is asked at an address that may not be reached, in whatever form it is written.
func TestRefused(t *testing.T) {
	t.Parallel()
	c, address, asked := serve(t, nil, func(http.ResponseWriter, *http.Request) {})
	_, port, err := net.SplitHostPort(strings.TrimPrefix(address, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1", "0.0.0.0", "2130706433"} {
		if _, err := c.Get(t.Context(), "https://"+host+":"+port, ""); err == nil {
			t.Errorf("%s is reached", host)
		}
	}
	if _, err := c.Get(t.Context(), address, ""); !errors.Is(err, ErrRefused) {
		t.Errorf("%s: %v", address, err)
	}
	allowed, address, asked2 := serve(t, loopback, func(http.ResponseWriter, *http.Request) {})
	for _, a := range []string{
		strings.Replace(address, "https://", "http://intern.example@", 1), strings.Replace(address, "https://", "https://user:word@", 1),
		"http://example.com/", "file:///etc/passwd", "ftp://127.0.0.1/", "//127.0.0.1/", "", "https://", "::",
	} {
		if _, err := allowed.Get(t.Context(), a, ""); err == nil {
			t.Errorf("%q is fetched", a)
		}
	}
	if n := asked.Load() + asked2.Load(); n != 0 {
		t.Errorf("the servers were asked %d times", n)
	}
}

// Plain http is for this machine, where it is allowed.
func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(s.Close)
	for _, tt := range []struct {
		allow []netip.Prefix
		want  bool
	}{{loopback, true}, {nil, false}, {[]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, false}} {
		c, err := New(tt.allow, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Get(t.Context(), s.URL, ""); (err == nil) != tt.want {
			t.Errorf("%v: %v", tt.allow, err)
		}
	}
}

// A redirect is an answer, whereto it leads is never asked.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	for _, to := range []string{"http://169.254.169.254/latest/meta-data/", "/elsewhere", "https://example.com/"} {
		c, address, asked := serve(t, loopback, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) })
		if _, err := c.Get(t.Context(), address, ""); err == nil || !strings.Contains(err.Error(), "302") {
			t.Errorf("%s: %v", to, err)
		}
		if a, err := c.PostForm(t.Context(), address, nil); err != nil || a.Status != http.StatusFound {
			t.Errorf("%s: %+v, %v", to, a, err)
		}
		if n := asked.Load(); n != 2 {
			t.Errorf("%s: %d requests", to, n)
		}
	}
	if c, err := New(nil, nil); err != nil || c.http.Transport.(*http.Transport).Proxy != nil {
		t.Errorf("a proxy would resolve names itself: %v", err)
	}
}

// What a hostile server sends costs no more than the bounds.
func TestHostileServers(t *testing.T) {
	t.Parallel()
	forever := func(w http.ResponseWriter, r *http.Request, b []byte) {
		for r.Context().Err() == nil {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	}
	for name, h := range map[string]http.HandlerFunc{
		"a body without end": func(w http.ResponseWriter, r *http.Request) { forever(w, r, bytes.Repeat([]byte("x"), 4096)) },
		"a byte too much":    func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, MaxSize+1)) },
		"a bomb": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.CopyN(gzip.NewWriter(w), zeros{}, 64<<20)
		},
		"a large header": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 2*header)) },
		"no answer":      func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"drop by drop": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte("x"))
				w.(http.Flusher).Flush()
				time.Sleep(10 * time.Millisecond)
			}
		},
		"half an answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("x"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, address, _ := serve(t, loopback, h)
			c.http.Timeout = time.Second // Timeout of the package is for the patient
			if a, err := c.Get(t.Context(), address, ""); err == nil {
				t.Errorf("taken: %d octets", len(a.Body))
			}
		})
	}
	c, address, _ := serve(t, loopback, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, MaxSize)) })
	if a, err := c.Get(t.Context(), address, ""); err != nil || len(a.Body) != MaxSize {
		t.Errorf("%d octets, %v", len(a.Body), err)
	}
	if c.http.Timeout != Timeout {
		t.Errorf("a request takes up to %s", c.http.Timeout)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Get(ctx, address, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled request: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A certificate of an authority that nobody named is not taken.
func TestUnknownAuthority(t *testing.T) {
	t.Parallel()
	_, address, asked := serve(t, loopback, func(http.ResponseWriter, *http.Request) {})
	c, err := New(loopback, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), address, ""); err == nil || asked.Load() != 0 {
		t.Errorf("%v, %d requests", err, asked.Load())
	}
	if _, err := New(nil, []byte("no certificate")); err == nil {
		t.Error("a file without certificates is taken")
	}
}

// A name is judged by the address of the very connection: one that resolves to a public
// address when somebody looks, and to a private one when it is fetched, gains nothing.
func TestNameThatChanges(t *testing.T) {
	t.Parallel()
	c, address, asked := serve(t, nil, func(http.ResponseWriter, *http.Request) {})
	_, port, err := net.SplitHostPort(strings.TrimPrefix(address, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	var looked atomic.Int64
	c.dialer.Resolver = resolver(t, func() [4]byte {
		if looked.Add(1) == 1 {
			return [4]byte{93, 184, 216, 34}
		}
		return [4]byte{127, 0, 0, 1}
	})
	got, err := c.dialer.Resolver.LookupNetIP(t.Context(), "ip4", "rebind.example")
	if err != nil || !slices.ContainsFunc(got, c.reaches) {
		t.Fatalf("the first look: %v, %v", got, err)
	}
	if _, err := c.Get(t.Context(), "https://rebind.example:"+port, ""); !errors.Is(err, ErrRefused) {
		t.Errorf("the second: %v", err)
	}
	if looked.Load() < 2 || asked.Load() != 0 {
		t.Errorf("looked up %d times, asked %d times", looked.Load(), asked.Load())
	}
}

// resolver asks a name server of the test for each IPv4 address.
func resolver(t *testing.T, answer func() [4]byte) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		b := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(b[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Additionals = true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}, Body: &dnsmessage.AResource{A: answer()},
				}}
			}
			if out, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(out, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp4", conn.LocalAddr().String())
	}}
}

func TestMaxAge(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{
		"": 0, "max-age=60": time.Minute, "public, Max-Age=60": time.Minute, `max-age="60"`: time.Minute, "no-store": 0,
		"max-age=-1": 0, "max-age=99999999999999": 0, "max-age=1.5": 0, "max-age": 0, "s-maxage=5": 0,
	} {
		if got := maxAge(http.Header{"Cache-Control": {value}}); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

func FuzzMaxAge(f *testing.F) {
	f.Add("public, max-age=60")
	f.Fuzz(func(t *testing.T, value string) {
		if d := maxAge(http.Header{"Cache-Control": {value}}); d < 0 || d > (1<<31)*time.Second {
			t.Errorf("%q: %s", value, d)
		}
	})
}
