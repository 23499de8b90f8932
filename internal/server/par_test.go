package server

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/authorize"
	"github.com/jeton-auth/jeton/oauth"
)

var pushable = []string{
	"response_type", "code", "redirect_uri", callback, "scope", "openid", "state", "st",
	"code_challenge", s256(testVerifier), "code_challenge_method", "S256",
}

// visit is GET /authorize with a request_uri, from a browser without cookies.
func (i *issuer) visit(client, uri string) reply {
	i.t.Helper()
	return i.do(httptest.NewRequest(http.MethodGet, "/authorize?"+url.Values{"client_id": {client}, "request_uri": {uri}}.Encode(), nil))
}

// A pushed request is a row: it outlives a restart, is there for whichever node the browser
// comes to, and goes when no flow can need it.
func TestPushedRequestIsARow(t *testing.T) {
	t.Parallel()
	i := start(t)
	uri := i.post("/par", shop, pushable...).want(t, 201, "").str(t, "request_uri")
	rows := func(want int) {
		t.Helper()
		n := 0
		if err := i.count("SELECT count(*) FROM pushed_requests", &n); err != nil || n != want {
			t.Fatalf("%d rows, want %d: %v", n, want, err)
		}
	}
	rows(1)
	i.restart()
	if r := i.visit("shop-web", uri); r.status != http.StatusSeeOther || !strings.HasPrefix(r.header.Get("Location"), "/login?flow=") {
		t.Fatalf("after a restart: %d %s", r.status, r.header.Get("Location"))
	}
	// The database has neither the request_uri nor anything that opens it.
	found := 0
	name := strings.TrimPrefix(uri, oauth.RequestURIPrefix)
	if err := i.count("SELECT count(*) FROM pushed_requests WHERE CAST(key AS TEXT) LIKE '%"+name+"%' OR request LIKE '%"+name+"%'", &found); err != nil || found != 0 {
		t.Errorf("the request_uri stands in the database: %d %v", found, err)
	}
	i.clock.Advance(authorize.PushedLifetime)
	if err := i.expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	rows(1) // a login that began in time may still go on
	if r := i.visit("shop-web", uri); !strings.Contains(r.header.Get("Location"), "error=invalid_request_uri") {
		t.Errorf("expired: %d %s", r.status, r.header.Get("Location"))
	}
	i.clock.Advance(authorize.Lifetime + time.Second)
	if err := i.expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	rows(0)
	if r := i.visit("shop-web", uri); r.status != http.StatusBadRequest {
		t.Errorf("long over: %d", r.status)
	}
}

// Many clients push at once: each gets a request_uri of its own, which no other may use.
func TestPushedAtOnce(t *testing.T) {
	t.Parallel()
	i := start(t)
	uris := make([]string, 40)
	var wg sync.WaitGroup
	for k := range uris {
		wg.Go(func() {
			as, values := shop, pushable
			if k%2 == 1 {
				as, values = other, []string{"response_type", "code", "redirect_uri", "https://other.example.com/callback", "scope", "openid"}
			}
			uris[k] = i.post("/par", as, values...).want(t, 201, "").str(t, "request_uri")
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for k, uri := range uris {
		mine, others := "shop-web", "other-web"
		if k%2 == 1 {
			mine, others = others, mine
		}
		if seen[uri] || i.visit(mine, uri).status != http.StatusSeeOther || i.visit(others, uri).status != http.StatusBadRequest {
			t.Errorf("%d: %s", k, uri)
		}
		seen[uri] = true
	}
}

// A public client may push, by its name alone; one that must show a secret may not.
func TestWhoMayPush(t *testing.T) {
	t.Parallel()
	i := start(t)
	i.post("/par", phone, "response_type", "code", "redirect_uri", "http://127.0.0.1:4711/callback", "scope", "openid", "code_challenge", s256(testVerifier), "code_challenge_method", "S256").want(t, 201, "")
	i.post("/par", form("shop-web", ""), pushable...).want(t, 401, oauth.InvalidClient)
	i.post("/par", basic("shop-web", otherSecret), pushable...).want(t, 401, oauth.InvalidClient)
	i.post("/par", nil, pushable...).want(t, 401, oauth.InvalidClient)
	i.post("/par", robot, pushable...).want(t, 400, oauth.InvalidRequest)
}
