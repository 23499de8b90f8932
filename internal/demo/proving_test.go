package demo

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/oauth/dpop"
)

// Tokens are bound to the app's key, and of no use in other hands; an issuer that knows
// no DPoP is no hindrance.
func TestBoundTokens(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.submit("/login").shows(t, 200, `id="key"`, s.demo.web.prover.JKT())
	s.submit("/call-api").shows(t, 200, "The API took the token.")
	token := s.demo.web.sessions.find(withCookie(s.cookie())).account.token.AccessToken
	s.call("GET", token, "").shows(t, 401, "invalid_token", "bearer")

	s.issuer.set(func() { s.issuer.bearer = true })
	if p := s.submit("/login"); strings.Contains(p.body, `id="key"`) {
		t.Error("a bearer token is said to be bound")
	}
	s.submit("/call-api").shows(t, 200, "The API took the token.")
}

// Who wants a nonce in proofs is asked again with it, and from then on at once.
func TestProvingWithNonces(t *testing.T) {
	t.Parallel()
	c := clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	asked, want := 0, "one"
	var srv *httptest.Server
	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		body, _ := io.ReadAll(r.Body)
		p, err := dpop.Check(r.Header.Get(dpop.Header), dpop.Expect{Method: "POST", URL: srv.URL + "/token", Now: c.Now(), Token: "t"})
		if err != nil || string(body) != "a=b" {
			t.Errorf("%q, %v", body, err)
		}
		w.Header().Set(dpop.NonceHeader, want)
		if p.Nonce != want {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(srv.Close)
	transport, err := newProving(http.DefaultTransport, c)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: transport}
	for _, step := range []struct {
		nonce string
		asked int
	}{{"one", 2}, {"one", 1}, {"two", 2}, {"two", 1}} {
		asked, want = 0, step.nonce
		r, _ := http.NewRequest(http.MethodPost, srv.URL+"/token?x=1", strings.NewReader("a=b"))
		r.Header.Set("Authorization", "DPoP t")
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 || asked != step.asked {
			t.Errorf("%d after %d requests, want %d", resp.StatusCode, asked, step.asked)
		}
	}
}
