package demo

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// deviceDesk is what the issuer knows of its one device. A test changes it.
type deviceDesk struct {
	begun, polls int
	answer       string // the error of the next polls; empty: somebody allowed it
	broken       bool   // the next polls get no answer that can be read
	change       map[string]any
}

func (is *issuer) deviceCodes(w http.ResponseWriter, r *http.Request) {
	if r.PostFormValue("client_id") != tvID || r.PostFormValue("scope") != "openid profile email orders:read" {
		send(w, 400, map[string]string{"error": "invalid_scope", "error_description": "not <these>"})
		return
	}
	is.device.begun++
	is.device.answer = "authorization_pending"
	answer := map[string]any{
		"device_code": fmt.Sprint("device", is.device.begun), "user_code": "BCDF-GHJK", "verification_uri": is.URL + "/device",
		"verification_uri_complete": is.URL + "/device?user_code=BCDF-GHJK", "expires_in": 600, "interval": 5,
	}
	for name, v := range is.device.change {
		answer[name] = v
	}
	send(w, 200, answer)
}

func (is *issuer) poll(w http.ResponseWriter, r *http.Request) {
	is.device.polls++
	switch {
	case r.PostFormValue("client_id") != tvID || r.PostFormValue("device_code") != fmt.Sprint("device", is.device.begun):
		send(w, 400, map[string]string{"error": "invalid_grant"})
	case is.device.broken:
		http.Error(w, "<html>", http.StatusBadGateway)
	case is.device.answer != "":
		send(w, 400, map[string]string{"error": is.device.answer, "error_description": "not <today>"})
	default:
		is.issue(w, r, tvID, "", "")
	}
}

// say is what the next polls are answered with.
func (s *stage) say(answer string) { s.issuer.set(func() { s.issuer.device.answer = answer }) }

// polled lets time pass, loads the page, and fails unless that led to so many polls.
func (s *stage) polled(after time.Duration, want int) page {
	s.t.Helper()
	before := 0
	s.issuer.set(func() { before = s.issuer.device.polls })
	s.clock.Advance(after)
	p := s.get("/tv")
	s.issuer.set(func() {
		if got := s.issuer.device.polls - before; got != want {
			s.t.Fatalf("%d polls, not %d", got, want)
		}
	})
	return p
}

const waiting = `id="tv-waits"`

func TestTV(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.get("/").shows(t, 200, `href="/tv"`)
	if p := s.get("/tv"); s.cookie() != "" || strings.Contains(p.body, "refresh") {
		t.Error("looking at the page begins something")
	}
	address := s.issuer.URL + "/device"
	p := s.submit("/tv")
	p.shows(t, 200, waiting, `<code id="tv-code">BCDF-GHJK</code>`, `<bdi id="tv-address">`+address+`</bdi>`,
		`href="`+address+`?user_code=BCDF-GHJK"`, `role="img" aria-labelledby="qr-title"`, `<title id="qr-title">QR code`,
		"10 minutes", `http-equiv="refresh" content="6"`)
	if got := readQR(t, p.body); got != address+"?user_code=BCDF-GHJK" {
		t.Errorf("the QR code says %q", got)
	}
	if regexp.MustCompile(`<script| style=|<style`).MatchString(p.body) {
		t.Error("the page has what its policy refuses")
	}

	before := s.cookie()
	s.polled(4*time.Second, 0).shows(t, 200, waiting, `content="2"`, "9 minutes")
	s.polled(time.Second, 1).shows(t, 200, waiting, `content="6"`)
	s.say("")
	s.polled(time.Second, 0).shows(t, 200, waiting)
	p = s.polled(4*time.Second, 1)
	p.shows(t, 200, "Hello, Ada Lovelace", `<bdi id="tv-account">ada@example.com</bdi>`, "email_verified", `id="token-payload"`,
		"orders:read", s.demo.web.prover.JKT(), "5 min 0 s left")
	if strings.Contains(p.body, "http-equiv") {
		t.Error("the page goes on when all is done")
	}
	if s.cookie() == before {
		t.Error("the sign-in kept the session's reference")
	}
	s.polled(time.Minute, 0).shows(t, 200, "Hello, Ada Lovelace", "4 min 0 s left")
	newBrowser(t, s.web).get("/tv").shows(t, 200, "Show me a code")
	s.get("/").shows(t, 200, `id="login"`) // the TV is not the web app

	s.submit("/tv").shows(t, 200, waiting)
}

// A TV polls as often as it is told to, and less where it is told so or hears nothing.
func TestTVSlowsDown(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.issuer.set(func() { s.issuer.device.change = map[string]any{"interval": 7} })
	s.submit("/tv").shows(t, 200, `content="8"`)
	s.polled(6*time.Second, 0)
	s.say("slow_down")
	s.polled(time.Second, 1).shows(t, 200, waiting, `content="13"`)
	s.say("authorization_pending")
	s.polled(11*time.Second, 0)
	s.polled(time.Second, 1).shows(t, 200, waiting, `content="13"`)
	s.issuer.set(func() { s.issuer.device.broken = true })
	s.polled(12*time.Second, 1).shows(t, 200, waiting, `content="25"`)
	s.issuer.set(func() { s.issuer.device.broken = false })
	s.say("")
	s.polled(23*time.Second, 0)
	s.polled(time.Second, 1).shows(t, 200, "Hello, Ada Lovelace")
}

func TestTVIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*issuer)
		after  time.Duration
		texts  []string
	}{
		"denied":           {func(is *issuer) { is.device.answer = "access_denied" }, 5 * time.Second, []string{"You were not signed in"}},
		"expired":          {func(is *issuer) { is.device.answer = "expired_token" }, 5 * time.Second, []string{"The code ran out"}},
		"expired, by time": {nil, 10 * time.Minute, []string{"The code ran out"}},
		"another error":    {func(is *issuer) { is.device.answer = "invalid_grant" }, 5 * time.Second, []string{"That did not work", "invalid_grant: not &lt;today&gt;"}},
		"other audience": {
			func(is *issuer) { is.device.answer, is.idToken["aud"] = "", clientID }, 5 * time.Second,
			[]string{"That did not work", "audience"},
		},
		"a nonce":        {func(is *issuer) { is.device.answer, is.idToken["nonce"] = "", "x" }, 5 * time.Second, []string{"That did not work", "nonce"}},
		"another person": {func(is *issuer) { is.device.answer, is.userinfo["sub"] = "", "u_eve" }, 5 * time.Second, []string{"another person"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.submit("/tv").shows(t, 200, waiting)
			if c.change == nil {
				s.issuer.Close() // the TV knows it without asking
			} else {
				s.issuer.set(func() { c.change(s.issuer) })
			}
			s.clock.Advance(c.after)
			p := s.get("/tv")
			p.shows(t, 200, append(c.texts, "Start again", `id="tv-over"`)...)
			if strings.Contains(p.body, "http-equiv") || strings.Contains(p.body, "Hello") {
				t.Error(p.body)
			}
			s.polled(time.Minute, 0).shows(t, 200, "Start again") // what is over is not asked for
		})
	}
}

// What the issuer says about its pages is shown as text, and no link leads to a script.
func TestTVOfAnIssuer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change map[string]any
		texts  []string
		none   string
	}{
		"no link":     {map[string]any{"verification_uri_complete": ""}, []string{waiting, "BCDF-GHJK"}, `id="qr"`},
		"long link":   {map[string]any{"verification_uri_complete": "http://x/" + strings.Repeat("a", 4000)}, []string{waiting}, `id="qr"`},
		"script":      {map[string]any{"verification_uri_complete": "javascript:alert(1)"}, []string{waiting}, "javascript:"},
		"markup":      {map[string]any{"user_code": "<b>1</b>"}, []string{"&lt;b&gt;"}, "<b>1"},
		"no interval": {map[string]any{"interval": 0}, []string{`content="6"`}, `content="1"`},
		"incomplete":  {map[string]any{"user_code": ""}, []string{"That did not work", "incomplete", "Start again"}, waiting},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.issuer.set(func() { s.issuer.device.change = c.change })
			p := s.submit("/tv")
			p.shows(t, 200, c.texts...)
			if strings.Contains(p.body, c.none) {
				t.Errorf("the page has %q", c.none)
			}
		})
	}
	t.Run("down", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		s.issuer.Close()
		s.submit("/tv").shows(t, 200, "That did not work", "the issuer can&#39;t be reached", "Start again")
	})
	t.Run("foreign form", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		req := s.request("POST", "/tv", "")
		req.Header.Set("Origin", "http://evil.example")
		s.do(req).shows(t, http.StatusForbidden)
	})
}
