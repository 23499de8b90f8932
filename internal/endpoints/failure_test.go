package endpoints_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/jeton-auth/jeton/internal/password"
)

// A failure of ours is a page that names the request; its cause is in the log alone.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := s.browser()
	flow := b.authorize().to("/login")
	page := b.get(flow).want(http.StatusOK)
	b.login("ada").client(callback)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, a := range map[string]answer{
		"authorize": b.authorize(), "login page": b.get(flow), "consent page": b.get(strings.Replace(flow, "login", "consent", 1)),
		"login": b.submit(page, 0, "username", "ada@example.com", "password", password1), "cancel": b.submit(page, 1),
		"logout": b.get("/logout"), "home": b.get("/"), "logout answer": b.post("/logout", "logout", "1"),
		"posted request": b.do(http.MethodPost, "/authorize", authorize()),
	} {
		a.want(http.StatusInternalServerError)
		id := a.header.Get("X-Request-Id")
		said := strings.Replace(a.body, id, "", 1) // it is random, and may look like anything
		if strings.Contains(said, "store") || strings.Contains(said, "sql") || said == a.body {
			t.Errorf("%s: %s", name, a.body)
		}
		if !strings.Contains(s.log.String(), "request="+id) {
			t.Errorf("%s: the log does not name the request", name)
		}
	}
}

// Case 45: a flood of logins is told to come back, and nothing is counted against it.
func TestBusy(t *testing.T) {
	t.Parallel()
	s := startWith(t, "https://id.example.com", password.New(password.Params{Memory: 32 << 10, Iterations: 6, Parallelism: 1}, 1, 0))
	b := s.browser()
	page := b.get(b.authorize().to("/login"))
	answers := make([]answer, 8)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = b.submit(page, 0, "username", "eve@example.com", "password", "wrong") })
	}
	wg.Wait()
	busy := 0
	for _, a := range answers {
		if a.status == http.StatusServiceUnavailable {
			busy++
			if a.want(a.status).header.Get("Retry-After") != "1" {
				t.Error(a.header)
			}
			continue
		}
		a.want(http.StatusBadRequest)
	}
	if busy == 0 || busy == len(answers) {
		t.Errorf("%d of %d were turned away", busy, len(answers))
	}
}
