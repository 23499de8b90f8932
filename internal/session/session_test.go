package session_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/grant"
	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/revoke"
	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/session"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/store/sqlite"
	"github.com/jeton-auth/jeton/oauth/feed"
)

var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

type pepper struct{}

func (pepper) Pepper() keys.Root { return keys.Root{ID: 1, Secret: make([]byte, 32)} }

func (p pepper) PepperByID(int64) (keys.Root, bool) { return p.Pepper(), true }

type fixture struct {
	*session.Sessions
	t      *testing.T
	st     *store.Store
	grants *grant.Grants
	clock  *clock.Manual
}

func open(t *testing.T) *fixture {
	t.Helper()
	c := clock.NewManual(begin)
	engine := &sqlite.Engine{}
	st, err := store.Open(t.Context(), engine, filepath.Join(t.TempDir(), "jeton.db"), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(st.Close(), engine.Close()); err != nil {
			t.Error(err)
		}
	})
	f := &fixture{t: t, st: st, clock: c}
	f.write(func(tx *store.Tx) error {
		return errors.Join(
			tx.CreateIssuer(time.Hour),
			tx.PutClient(store.Client{Client: spec.Client{ID: "shop"}}),
			tx.CreateUser(store.User{ID: "u_ada", Email: "ada@example.com"}),
			tx.CreateUser(store.User{ID: "u_bob", Email: "bob@example.com"}))
	})
	log, err := revoke.Open(t.Context(), st, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	f.grants = grant.New(st, pepper{}, log)
	f.Sessions = session.New(f.grants, session.Policy{Idle: time.Hour, Absolute: 3 * time.Hour})
	return f
}

func (f *fixture) write(body func(*store.Tx) error) {
	f.t.Helper()
	if err := f.st.Write(f.t.Context(), body); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) begin(subject string, old []byte) (s store.Session, value secret.Text) {
	f.t.Helper()
	f.write(func(tx *store.Tx) (err error) {
		s, value, err = f.Begin(tx, old, session.Login{Subject: subject, ACR: "acr", AMR: []string{"pwd"}, UserAgent: "Browser\x00\xff/1", Address: "198.51.100.7"})
		return err
	})
	return s, value
}

// grant makes a grant that lives in a session, and returns its code.
func (f *fixture) grant(s store.Session) (code string) {
	f.t.Helper()
	f.write(func(tx *store.Tx) (err error) {
		code, err = f.grants.Create(tx, &store.Grant{
			Client: "shop", Subject: s.Subject, Session: s.ID, AbsoluteAt: begin.Add(time.Hour), Code: &store.CodeDetails{},
		})
		return err
	})
	return code
}

func (f *fixture) live(code string) bool {
	f.t.Helper()
	_, g, err := f.grants.Find(f.t.Context(), code)
	if err != nil {
		f.t.Fatal(err)
	}
	return g.Live()
}

func (f *fixture) current(id []byte) *store.Session {
	f.t.Helper()
	s, err := session.Current(f.st.Read(f.t.Context()), id, f.st.Now())
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

func TestBeginAndCurrent(t *testing.T) {
	t.Parallel()
	f := open(t)
	s, value := f.begin("u_ada", nil)
	jar := read(t, session.Cookies{}, "jeton="+value.Reveal())
	if !bytes.Equal(jar.Session, s.ID) {
		t.Fatal("the cookie does not name the session")
	}
	now := f.current(jar.Session)
	if now == nil || now.Subject != "u_ada" || now.ACR != "acr" || now.UserAgent != "Browser/1" || now.Address != "198.51.100.7" || !now.AuthTime.Equal(begin) {
		t.Errorf("%+v", now)
	}
	if bytes.Contains(s.ID, []byte(value.Reveal())) || len(s.ID) != 16 {
		t.Error("the row's id is not a hash of 128 bits")
	}
	if f.current(nil) != nil || f.current([]byte("no such session!")) != nil {
		t.Error("a session out of nothing")
	}
}

// Case 38: the id is new at every login; the same person's grants move along.
func TestSamePersonAgain(t *testing.T) {
	t.Parallel()
	f := open(t)
	first, _ := f.begin("u_ada", nil)
	code := f.grant(first)
	second, _ := f.begin("u_ada", first.ID)
	if bytes.Equal(first.ID, second.ID) || f.current(first.ID) != nil || f.current(second.ID) == nil {
		t.Error("the session did not change its id")
	}
	if !f.live(code) {
		t.Error("the grant ended though its person stayed")
	}
	f.write(func(tx *store.Tx) error { return f.End(tx, second.ID, grant.CauseLoggedOut) })
	if f.live(code) || f.current(second.ID) != nil {
		t.Error("the grant outlived the session to which it had moved")
	}
}

// Case 39: a second person in the same browser inherits nothing.
func TestAnotherPerson(t *testing.T) {
	t.Parallel()
	f := open(t)
	adas, _ := f.begin("u_ada", nil)
	code := f.grant(adas)
	elsewhere, _ := f.begin("u_ada", nil)
	kept := f.grant(elsewhere)
	bobs, _ := f.begin("u_bob", adas.ID)
	if f.live(code) || f.current(adas.ID) != nil {
		t.Error("Ada's session or grant is alive in Bob's browser")
	}
	if !f.live(kept) || f.current(elsewhere.ID) == nil || f.current(bobs.ID).Subject != "u_bob" {
		t.Error("another browser's session was touched")
	}
	// The end of the session is in the revocation log, once; a cookie that names none
	// leaves no entry.
	f.begin("u_bob", adas.ID)
	f.begin("u_bob", []byte("no such session!"))
	log, err := f.st.Read(t.Context()).Revocations(0, 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(log) != 1 || log[0].Kind != feed.Session || log[0].Value != feed.Value(feed.Session, session.SID(adas.ID)) || log[0].Cause != session.CauseReplaced {
		t.Errorf("the log: %+v", log)
	}
}

// What lived in a session that was over does not come back with a new one.
func TestSessionThatWasOver(t *testing.T) {
	t.Parallel()
	f := open(t)
	first, _ := f.begin("u_ada", nil)
	code := f.grant(first)
	f.clock.Advance(time.Hour)
	f.begin("u_ada", first.ID)
	if f.live(code) {
		t.Error("a grant of an expired session moved on")
	}
}

// Case 40.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	f := open(t)
	s, _ := f.begin("u_ada", nil)
	touch := func() {
		t.Helper()
		f.write(func(tx *store.Tx) error { return f.Touch(tx, f.current(s.ID)) })
	}
	f.clock.Advance(59 * time.Second)
	touch()
	if got := f.current(s.ID).SeenAt; !got.Equal(begin) {
		t.Errorf("noted within a minute, at %s", got)
	}
	f.clock.Advance(58*time.Minute + 59*time.Second)
	touch()
	f.clock.Advance(59 * time.Minute)
	if f.current(s.ID) == nil {
		t.Fatal("a session in use is over")
	}
	touch()
	f.clock.Advance(59 * time.Minute)
	touch()
	f.clock.Advance(begin.Add(3*time.Hour - time.Millisecond).Sub(f.clock.Now()))
	if f.current(s.ID) == nil {
		t.Error("over before its absolute end")
	}
	f.clock.Advance(time.Millisecond)
	if f.current(s.ID) != nil {
		t.Error("alive after its absolute end")
	}

	idle, _ := f.begin("u_bob", nil)
	f.clock.Advance(time.Hour)
	if f.current(idle.ID) != nil {
		t.Error("alive after its idle end")
	}
}

func TestDisabledPerson(t *testing.T) {
	t.Parallel()
	f := open(t)
	s, _ := f.begin("u_ada", nil)
	f.write(func(tx *store.Tx) error {
		u, err := tx.User("u_ada")
		u.Disabled = true
		return errors.Join(err, tx.UpdateUser(u))
	})
	if f.current(s.ID) != nil {
		t.Error("a disabled person's session is alive")
	}
}

func TestSID(t *testing.T) {
	t.Parallel()
	id := secret.Bytes(16)
	if back, ok := session.ParseSID(session.SID(id)); !ok || !bytes.Equal(back, id) {
		t.Error("a sid does not read back")
	}
	for _, bad := range []string{"", "AAAA", session.SID(id) + "=", strings.Repeat("!", 22)} {
		if _, ok := session.ParseSID(bad); ok {
			t.Errorf("%q reads as a sid", bad)
		}
	}
}

func read(t *testing.T, c session.Cookies, header string) session.Jar {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", header)
	return c.Read(r)
}

// Cases 37 and 38: references of 256 bits, bound to the host.
func TestCookieAttributes(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{true, false} {
		c := session.Cookies{Secure: secure}
		w := httptest.NewRecorder()
		c.SetSession(w, secret.Random())
		c.NewBrowser().Set(w)
		c.ClearSession(w)
		cookies := w.Result().Cookies()
		if len(cookies) != 3 {
			t.Fatal(cookies)
		}
		for i, cookie := range cookies {
			if cookie.Path != "/" || cookie.Domain != "" || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Secure != secure {
				t.Errorf("secure %v: %+v", secure, cookie)
			}
			if strings.HasPrefix(cookie.Name, "__Host-") != secure || i < 2 && len(cookie.Value) != 43 {
				t.Errorf("secure %v: %s of %d characters", secure, cookie.Name, len(cookie.Value))
			}
		}
		if cookies[2].MaxAge != -1 || cookies[2].Name != cookies[0].Name {
			t.Errorf("not cleared: %+v", cookies[2])
		}
	}
}

func TestBrowserSecrets(t *testing.T) {
	t.Parallel()
	c := session.Cookies{Secure: true}
	w := httptest.NewRecorder()
	one, two, other := c.NewBrowser(), c.NewBrowser(), c.NewBrowser()
	one.Set(w)
	two.Set(w)
	var pairs []string
	for _, cookie := range w.Result().Cookies() {
		pairs = append(pairs, cookie.Name+"="+cookie.Value)
	}
	// Two tabs that began at once: both secrets are there, neither overwrote the other.
	jar := read(t, c, strings.Join(pairs, "; "))
	if !jar.Holds(one.Hash) || !jar.Holds(two.Hash) || jar.Holds(other.Hash) || jar.Holds(nil) {
		t.Error("the wrong secrets are held")
	}
	if jar.Browser() == nil || jar.Session != nil {
		t.Error("the browser has a secret, and no session")
	}
	if empty := read(t, c, "a=b"); empty.Browser() != nil || empty.Holds(nil) || empty.Holds(one.Hash) {
		t.Error("a browser without a secret holds one")
	}
	// Plain names are not believed where the prefix stands for something.
	value := secret.Random().Reveal()
	if jar := read(t, c, "jeton="+value+"; jeton_browser="+value); jar.Session != nil || jar.Browser() != nil {
		t.Error("a cookie without __Host- was believed")
	}
	if jar := read(t, c, "__Host-jeton="+value[1:]); jar.Session != nil {
		t.Error("a value of another length was believed")
	}
	many := strings.Repeat("__Host-jeton_browser_x="+value+"; ", 1000)
	if jar := read(t, c, many+pairs[0]); jar.Holds(one.Hash) {
		t.Error("any number of cookies is looked at")
	}
}
