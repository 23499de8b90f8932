package demo

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/secret"
)

// stage is a demo with an issuer, and a browser before it.
type stage struct {
	t      *testing.T
	clock  *clock.Manual
	issuer *issuer
	demo   *Demo
	api    string
	web    string
	*browser
}

func newStage(t *testing.T) *stage {
	t.Helper()
	// oauth2 counts expires_in from the machine's time, so the manual clock starts there.
	s := &stage{t: t, clock: clock.NewManual(time.Now().Truncate(time.Second))}
	s.issuer = newIssuer(t, s.clock)
	api, web := listen(t), listen(t)
	s.api, s.web = "http://"+api.Addr().String(), "http://"+web.Addr().String()
	s.issuer.set(func() { s.issuer.api = s.api })
	d, err := New(t.Context(), Options{
		Issuer: s.issuer.URL, API: s.api, APISecret: secret.Text(apiSecret), Web: s.web,
		ClientID: clientID, ClientSecret: secret.Text(clientSecret), TVClientID: tvID, User: "ada@example.com",
		Clock: s.clock, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.demo = d
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- d.Serve(ctx, api, web) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error("Serve:", err)
		}
		d.Close()
	})
	s.browser = newBrowser(t, s.web)
	return s
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// browser is one that keeps cookies and follows redirects.
type browser struct {
	t    *testing.T
	base string
	http *http.Client
}

func newBrowser(t *testing.T, base string) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &browser{t, base, &http.Client{Jar: jar, Transport: tr}}
}

type page struct {
	*http.Response
	body string
}

func (b *browser) do(req *http.Request) page {
	b.t.Helper()
	resp, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return page{resp, string(body)}
}

func (b *browser) request(method, url, body string) *http.Request {
	b.t.Helper()
	if strings.HasPrefix(url, "/") {
		url = b.base + url
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	return req
}

func (b *browser) get(url string) page     { b.t.Helper(); return b.do(b.request("GET", url, "")) }
func (b *browser) submit(path string) page { b.t.Helper(); return b.do(b.request("POST", path, "")) }

// stopped is b without following redirects.
func (b *browser) stopped() *browser {
	c := *b.http
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &browser{b.t, b.base, &c}
}

func (b *browser) cookie() string {
	u, err := url.Parse(b.base)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.http.Jar.Cookies(u) {
		if c.Name == cookieName {
			return c.Value
		}
	}
	return ""
}

// shows fails unless the page has the status and holds every one of texts.
func (p page) shows(t *testing.T, status int, texts ...string) {
	t.Helper()
	if p.StatusCode != status {
		t.Errorf("status %d, not %d", p.StatusCode, status)
	}
	for _, text := range texts {
		if !strings.Contains(p.body, text) {
			t.Errorf("the page lacks %q", text)
		}
	}
	if t.Failed() {
		t.Log(p.body)
		t.FailNow()
	}
}

func TestNewNeedsIssuer(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	_, err := New(t.Context(), Options{
		Issuer: s.URL, API: "http://localhost:1", APISecret: apiSecret, Web: "http://localhost:2",
		ClientID: clientID, ClientSecret: clientSecret, Log: slog.New(slog.DiscardHandler),
	})
	if err == nil || !strings.Contains(err.Error(), "demo API") {
		t.Errorf("New: %v", err)
	}
}

func TestServeFails(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	api, web := listen(t), listen(t)
	web.Close()
	if err := s.demo.Serve(t.Context(), api, web); err == nil {
		t.Error("a listener that can't accept ended without an error")
	}
}
