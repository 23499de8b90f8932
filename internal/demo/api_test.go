package demo

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jeton-auth/jeton/oauth/feed"
)

// call asks the API with an access token; an empty one is left out.
func (s *stage) call(method, token, body string) page {
	s.t.Helper()
	req := s.request(method, s.api+"/orders", body)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return s.do(req)
}

func TestAPI(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	good := s.issuer.accessToken(nil)
	for name, c := range map[string]struct {
		method, token, body string
		status              int
		text                string
	}{
		"no token":       {"GET", "", "", 401, ""},
		"not a token":    {"GET", "x", "", 401, "invalid_token"},
		"read":           {"GET", good, "", 200, "Espresso machine"},
		"may not read":   {"GET", s.issuer.accessToken(map[string]any{"scope": "orders:write"}), "", 403, "insufficient_scope"},
		"may not write":  {"POST", s.issuer.accessToken(map[string]any{"scope": "orders:read"}), `{"item":"x","quantity":1}`, 403, "insufficient_scope"},
		"other audience": {"GET", s.issuer.accessToken(map[string]any{"aud": "https://api.example.com"}), "", 401, "another API"},
		"expired":        {"GET", s.issuer.accessToken(map[string]any{"exp": s.clock.Now().Unix() - 1}), "", 401, "expired"},
		"write":          {"POST", good, `{"item":" Green tea ","quantity":2}`, 201, `"item": "Green tea"`},
		"not JSON":       {"POST", good, `item=x`, 400, "send JSON"},
		"unknown member": {"POST", good, `{"item":"x","quantity":1,"price":0}`, 400, "send JSON"},
		"two values":     {"POST", good, `{"item":"x","quantity":1}{}`, 400, "send JSON"},
		"no item":        {"POST", good, `{"item":" ","quantity":1}`, 400, "send JSON"},
		"long item":      {"POST", good, `{"item":"` + strings.Repeat("é", 81) + `","quantity":1}`, 400, "send JSON"},
		"none":           {"POST", good, `{"item":"x","quantity":0}`, 400, "send JSON"},
		"large":          {"POST", good, strings.Repeat(" ", maxBody) + `{"item":"x","quantity":1}`, 400, "send JSON"},
		"other method":   {"PUT", good, "", 405, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := s.call(c.method, c.token, c.body)
			p.shows(t, c.status, c.text)
			if p.StatusCode == 401 && !strings.Contains(p.Header.Get("WWW-Authenticate"), "/.well-known/oauth-protected-resource") {
				t.Errorf("challenge: %s", p.Header.Get("WWW-Authenticate"))
			}
		})
	}
}

// answers waits until the API answers a call with a status.
func (s *stage) answers(token string, status int) page {
	s.t.Helper()
	tick, late := time.NewTicker(time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for {
		p := s.call("GET", token, "")
		if p.StatusCode == status {
			return p
		}
		select {
		case <-tick.C:
		case <-late:
			s.t.Fatalf("the API answers %d, not %d", p.StatusCode, status)
		}
	}
}

func TestAPIHearsOfRevocations(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	token, other := s.issuer.accessToken(nil), s.issuer.accessToken(nil)
	s.call("GET", token, "").shows(t, 200)
	s.issuer.set(func() { s.issuer.log.revoke(feed.Token, s.issuer.jti(token), 0) })
	s.answers(token, 401).shows(t, 401, "invalid_token")
	s.call("GET", other, "").shows(t, 200)
	s.issuer.set(s.issuer.end)
	s.answers(other, 401)
}

// Without the issuer, tokens are taken for as long as what is known is fresh.
func TestAPIDoesNotTrustSilence(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	token := s.issuer.accessToken(nil)
	s.issuer.Close()
	s.call("GET", token, "").shows(t, 200)
	if p := s.answers(token, 503); p.Header.Get("Retry-After") == "" || p.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("what can't be decided is answered with %v", p.Header)
	}
}

func TestAPIKeepsTheNewestOrders(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	token := s.issuer.accessToken(nil)
	for range maxOrders {
		s.call("POST", token, `{"item":"Cup","quantity":1}`).shows(t, 201)
	}
	var list struct {
		AskedBy caller  `json:"asked_by"`
		Orders  []order `json:"orders"`
	}
	if err := json.Unmarshal([]byte(s.call("GET", token, "").body), &list); err != nil {
		t.Fatal(err)
	}
	if n := len(list.Orders); n != maxOrders || list.Orders[n-1].ID != maxOrders+3 {
		t.Errorf("%d orders, the last %+v", n, list.Orders[n-1])
	}
	want := caller{subject, clientID, []string{"openid", "profile", "email", ScopeRead, ScopeWrite}}
	if diff := cmp.Diff(want, list.AskedBy); diff != "" {
		t.Error(diff)
	}
}

func TestAPIPages(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.get(s.api+"/").shows(t, 200, "verify.New", s.api, "verify.Feed", s.web+"/times")
	s.get(s.api+"/.well-known/oauth-protected-resource").shows(t, 200, ScopeRead, s.issuer.URL)
	s.get(s.api+"/nothing").shows(t, http.StatusNotFound)
}
