package server

import (
	"html"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/manage"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// A logout is told to each client that took part in the session, by its own names for the
// session and the person, at once; to nobody else, and once.
func TestBackchannelLogout(t *testing.T) {
	t.Parallel()
	a := startApps(t, nil, "elsewhere")
	s, other := a.browser(), a.browser()
	shop := a.signIn(s, "shop").str(t, "id_token")
	bank := a.signIn(s, "bank", "scope", "openid").str(t, "id_token")
	a.signIn(other, "elsewhere")
	// What a client was issued may be long over; its session is not.
	a.clock.Advance(30 * time.Minute)
	a.tell()
	a.visit(s, logoutWith(bank, "https://bank.example.com/bye"), http.StatusOK)
	all := []heard{a.next(), a.next()}
	slices.SortFunc(all, func(x, y heard) int { return strings.Compare(x.client, y.client) })
	one, two := a.readLogout(all[0], "bank", bank, oauth.RS256), a.readLogout(all[1], "shop", shop, oauth.ES256)
	if one == two {
		t.Error("two logout tokens have one jti")
	}
	if payload(t, shop)["sub"] == payload(t, bank)["sub"] {
		t.Error("the bank knows the person by the name that others know")
	}
	got, _ := a.askIn(s, a.clients["shop"], "prompt", "none")
	if got.Get("error") != string(oauth.LoginRequired) {
		t.Errorf("after a logout, prompt=none is answered with %v", got)
	}
	a.eventually("all is told", func() bool { return len(a.pending()) == 0 })
	a.restart()
	a.quiet()
	if !a.wasAudited(audit.LogoutTold) {
		t.Error("not audited")
	}
}

// visit opens an address and wants a status.
func (a *apps) visit(s *visitor, target string, status int) (r reply, left string) {
	a.probe.t.Helper()
	if r, left = s.page(target); left == "" && r.status != status {
		a.probe.t.Fatalf("%s is answered %d %s", target, r.status, r.body)
	}
	return r, left
}

func (a *apps) pending() []store.PendingLogout {
	a.probe.t.Helper()
	all, err := a.store.Read(a.probe.t.Context()).PendingLogouts(100)
	if err != nil {
		a.probe.t.Fatal(err)
	}
	return all
}

func (a *apps) eventually(what string, is func() bool) {
	a.probe.t.Helper()
	for range 400 {
		if is() {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	a.probe.t.Fatalf("not in time: %s; %s", what, a.log.String())
}

// However a session ends, its clients are told.
func TestEveryEndIsTold(t *testing.T) {
	t.Parallel()
	revoked := func(target func(sid string) manage.Target) func(*apps, *visitor, string) error {
		return func(a *apps, _ *visitor, sid string) error {
			_, err := a.manager.Revoke(t.Context(), operator, target(sid), "")
			return err
		}
	}
	for name, end := range map[string]func(a *apps, s *visitor, sid string) error{
		"asked and answered": func(a *apps, s *visitor, _ string) error {
			r, _ := a.visit(s, "/logout", http.StatusOK)
			s.submit(r, "logout", "1")
			return nil
		},
		"the session is revoked": revoked(func(sid string) manage.Target { return manage.Target{Session: sid} }),
		"the person is cut off":  revoked(func(string) manage.Target { return manage.Target{User: "ada@example.com"} }),
		"the person is switched off": func(a *apps, _ *visitor, _ string) error {
			return a.manager.DisableUser(t.Context(), operator, "ada@example.com", true)
		},
		"the person is deleted": func(a *apps, _ *visitor, _ string) error {
			return a.manager.DeleteUser(t.Context(), operator, "ada@example.com")
		},
		"all is revoked": func(a *apps, s *visitor, sid string) error {
			if err := revoked(func(string) manage.Target { return manage.Target{All: true} })(a, s, sid); err != nil {
				return err
			}
			return a.expire(t.Context())
		},
		"its time is over": func(a *apps, _ *visitor, _ string) error {
			a.clock.Advance(40 * 24 * time.Hour)
			return a.expire(t.Context())
		},
		"somebody else logs in": func(a *apps, s *visitor, _ string) error {
			r, _ := s.page(a.target(a.clients["bank"], a.request(a.clients["bank"], "prompt", "login")))
			s.submit(r, "username", "bob@example.com", "password", adaPassword, "login", "1")
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startApps(t, nil)
			s := a.browser()
			id := a.signIn(s, "shop").str(t, "id_token")
			a.tell()
			if err := end(a, s, payload(t, id)["sid"].(string)); err != nil {
				t.Fatal(err)
			}
			a.readLogout(a.next(), "shop", id, oauth.ES256)
			a.eventually("all is told", func() bool { return len(a.pending()) == 0 })
			a.quiet()
		})
	}
}

// The same person confirms who they are, and the session has another id: clients are told
// by each name by which they know it.
func TestLogoutOfMovedSession(t *testing.T) {
	t.Parallel()
	a := startApps(t, nil)
	s := a.browser()
	before := a.signIn(s, "shop").str(t, "id_token")
	after := a.signIn(s, "bank", "prompt", "login").str(t, "id_token")
	a.tell()
	a.quiet()
	a.visit(s, logoutWith(before, "https://shop.example.com/bye"), http.StatusOK)
	all := []heard{a.next(), a.next()}
	slices.SortFunc(all, func(x, y heard) int { return strings.Compare(x.client, y.client) })
	a.readLogout(all[0], "bank", after, oauth.RS256)
	a.readLogout(all[1], "shop", before, oauth.ES256)
}

// A client that fails is told again, also by another process, with a new token; one that
// refuses the token is not.
func TestLogoutIsToldAgain(t *testing.T) {
	t.Parallel()
	tries := make(chan int, 10)
	tries <- http.StatusInternalServerError
	tries <- http.StatusFound
	tries <- http.StatusNoContent
	huge := strings.Repeat("x", 4<<20)
	a := startApps(t, map[string]http.HandlerFunc{
		"shop": func(w http.ResponseWriter, r *http.Request) {
			status := <-tries
			if status == http.StatusFound {
				w.Header().Set("Location", "/bank")
			}
			w.WriteHeader(status)
		},
		"bank": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusBadRequest) },
		"huge": func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, huge) },
	}, "huge")
	s := a.browser()
	id := a.signIn(s, "shop").str(t, "id_token")
	a.tell()
	a.visit(s, logoutWith(id, "https://shop.example.com/bye"), http.StatusOK)
	first := a.readLogout(a.next(), "shop", id, oauth.ES256)
	noted := func(attempts int, text string) {
		t.Helper()
		a.eventually("the failure is noted", func() bool {
			all := a.pending()
			return len(all) == 1 && all[0].Attempts == attempts && strings.Contains(all[0].Error, text)
		})
		a.quiet()
	}
	noted(1, "500")
	a.clock.Advance(time.Second)
	a.restart()
	second := a.readLogout(a.next(), "shop", id, oauth.ES256)
	noted(2, "302") // and was not followed
	a.clock.Advance(5 * time.Second)
	a.restart()
	third := a.readLogout(a.next(), "shop", id, oauth.ES256)
	a.eventually("it is told", func() bool { return len(a.pending()) == 0 })
	if first == second || second == third {
		t.Error("a token is sent twice")
	}

	// 400 is the client's last word.
	s = a.browser()
	id = a.signIn(s, "bank").str(t, "id_token")
	a.visit(s, logoutWith(id, "https://bank.example.com/bye"), http.StatusOK)
	a.readLogout(a.next(), "bank", id, oauth.RS256)
	noted(1, "400")
	if !a.wasAudited(audit.LogoutNotTold) || a.pending()[0].FailedAt.IsZero() {
		t.Error("a refusal is not the end of it")
	}
	a.clock.Advance(8 * 24 * time.Hour)
	if err := a.expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.restart()
	a.quiet()

	// An answer without an end is none.
	s = a.browser()
	id = a.signIn(s, "huge").str(t, "id_token")
	a.visit(s, logoutWith(id, "https://huge.example.com/bye"), http.StatusOK)
	a.readLogout(a.next(), "huge", id, oauth.RS256)
	noted(1, "octets")
	// After a day it is given up.
	a.clock.Advance(25 * time.Hour)
	a.restart()
	a.next()
	a.eventually("it is given up", func() bool { return !a.pending()[0].FailedAt.IsZero() })
}

// A client that does not answer keeps nobody waiting, neither other clients nor people.
func TestSlowClientDelaysNobody(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	a := startApps(t, map[string]http.HandlerFunc{"slow": func(http.ResponseWriter, *http.Request) { <-release }}, "slow")
	defer close(release)
	a.tell()
	for range 6 {
		s := a.browser()
		id := a.signIn(s, "slow").str(t, "id_token")
		a.visit(s, logoutWith(id, "https://slow.example.com/bye"), http.StatusOK)
	}
	for range 4 { // no more at once at one client
		if h := a.next(); h.client != "slow" {
			t.Fatalf("%s is told", h.client)
		}
	}
	a.quiet()
	s := a.browser()
	id := a.signIn(s, "shop").str(t, "id_token")
	a.visit(s, logoutWith(id, "https://shop.example.com/bye"), http.StatusOK)
	a.readLogout(a.next(), "shop", id, oauth.ES256)
}

// What a client's server says can't keep a failure from being noted, wherever the text of
// it is cut.
func TestLogoutFailureOfAnyText(t *testing.T) {
	t.Parallel()
	garbage := func(w http.ResponseWriter, _ *http.Request) {
		if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_, _ = io.WriteString(c, strings.Repeat("€", 200)+"\r\n\r\n")
			_ = c.Close()
		}
	}
	names := []string{"a", "aa", "aaa"} // of a letter that takes three bytes, two are cut in it
	answers := map[string]http.HandlerFunc{}
	for _, name := range names {
		answers[name] = garbage
	}
	a := startApps(t, answers, names...)
	a.tell()
	s := a.browser()
	id := ""
	for _, name := range names {
		id = a.signIn(s, name).str(t, "id_token")
	}
	a.visit(s, logoutWith(id, "https://aaa.example.com/bye"), http.StatusOK)
	a.eventually("all failures are noted", func() bool {
		all := a.pending()
		return len(all) == 3 && !slices.ContainsFunc(all, func(l store.PendingLogout) bool { return l.Error == "" })
	})
}

// What could not even be tried for days is given up without another attempt: a queue that
// is longer than its client is fast ends.
func TestLogoutTooOldToTell(t *testing.T) {
	t.Parallel()
	a := startApps(t, nil)
	s := a.browser()
	id := a.signIn(s, "bank").str(t, "id_token")
	a.visit(s, logoutWith(id, "https://bank.example.com/bye"), http.StatusOK)
	a.clock.Advance(48 * time.Hour)
	a.tell()
	a.eventually("it is given up", func() bool { all := a.pending(); return len(all) == 1 && !all[0].FailedAt.IsZero() })
	a.quiet()
	if !a.wasAudited(audit.LogoutNotTold) {
		t.Error("no event tells that it was given up")
	}
}

// The page after a logout loads what the session's clients registered, under a policy that
// lets in these alone, and leads on by a link.
func TestFrontchannelLogout(t *testing.T) {
	t.Parallel()
	a := startApps(t, nil)
	s := a.browser()
	id := a.signIn(s, "shop").str(t, "id_token")
	bank := a.signIn(s, "bank").str(t, "id_token")
	r, left := a.visit(s, logoutWith(bank, "https://bank.example.com/bye"), http.StatusOK)
	if left != "" {
		t.Fatalf("the browser is led to %q, past the page with frames", left)
	}
	page := html.UnescapeString(string(r.body))
	for _, part := range []string{
		`<iframe src="https://shop.example.com/out?tenant=1&iss=https%3A%2F%2Fid.example.com&sid=` + payload(t, id)["sid"].(string) + `"`,
		`id="continue" href="https://bank.example.com/bye?state=s"`,
	} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %s: %s", part, page)
		}
	}
	if n := strings.Count(page, "<iframe"); n != 1 {
		t.Errorf("%d frames", n)
	}
	if csp := r.header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-src https://shop.example.com;") || !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("the policy is %q", csp)
	}
	// Where no client has a frame, the browser is led on at once.
	s = a.browser()
	bank = a.signIn(s, "bank").str(t, "id_token")
	if _, left := a.visit(s, logoutWith(bank, "https://bank.example.com/bye"), http.StatusOK); left != "https://bank.example.com/bye?state=s" {
		t.Errorf("the browser is led to %q", left)
	}
}
