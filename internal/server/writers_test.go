package server

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/manage"
	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/session"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// entry is an entry of the revocation log as a test expects it.
type entry struct {
	Kind  feed.Kind
	Value string // hashed
	Cause string
}

func says(kind feed.Kind, name, cause string) entry {
	return entry{kind, feed.Value(kind, name), cause}
}

// entries reads the revocation log.
func (i *issuer) entries() (all []entry) {
	i.t.Helper()
	rows, err := i.store.Read(i.t.Context()).Revocations(0, 10_000)
	if err != nil {
		i.t.Fatal(err)
	}
	for _, r := range rows {
		all = append(all, entry{r.Kind, r.Value, r.Cause})
	}
	return all
}

// browserSession logs Ada in in a browser: its cookie, and the session's id.
func (i *issuer) browserSession() (*http.Cookie, []byte) {
	i.t.Helper()
	cookie := &http.Cookie{Name: "jeton", Value: secret.Random().Reveal()}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(cookie)
	id := session.Cookies{}.Read(r).Session
	err := i.audit.Write(i.t.Context(), func(tx *store.Tx) (audit.Event, error) {
		return audit.Event{Type: audit.LoginSucceeded}, tx.CreateSession(store.Session{
			ID: id, Subject: i.ada().ID, AuthTime: tx.Now(), IdleAt: tx.Now().Add(time.Hour), AbsoluteAt: tx.Now().Add(time.Hour),
		})
	})
	if err != nil {
		i.t.Fatal(err)
	}
	return cookie, id
}

// held is what Ada has given the shop before something happens.
type held struct {
	code, access, refresh, id string
	jti, handle, sid          string
	cookie                    *http.Cookie
	session                   []byte
}

func (i *issuer) held() (h held) {
	i.t.Helper()
	h.cookie, h.session = i.browserSession()
	h.sid = session.SID(h.session)
	a := readOrders("shop-web", callback)
	a.session = h.session
	h.code = i.code(a)
	r := i.redeem(shop, h.code, callback).want(i.t, 200, "")
	h.access, h.refresh, h.id = r.str(i.t, "access_token"), r.str(i.t, "refresh_token"), r.str(i.t, "id_token")
	h.jti = payload(i.t, h.access)["jti"].(string)
	h.handle = feed.Handle(h.jti)
	return h
}

// kid is the id of the active key of a purpose.
func (i *issuer) kid(p keys.Purpose, alg oauth.Alg) string {
	i.t.Helper()
	for _, k := range i.ring.List() {
		if k.Purpose == p && k.Alg == alg && k.State == keys.Active {
			return k.ID
		}
	}
	i.t.Fatalf("no active key for %s %s", p, alg)
	return ""
}

var operator = audit.Origin{Actor: "operator"}

// Everything that ends a token writes its entry, in the transaction that does it. What
// is named is refused when the act is done, and after a restart.
func TestEveryWriterOfTheLog(t *testing.T) {
	t.Parallel()
	revoke := func(i *issuer, target manage.Target) error {
		_, err := i.manager.Revoke(i.t.Context(), operator, target, "")
		return err
	}
	for name, act := range map[string]func(*issuer, held) ([]entry, error){
		"/revoke of an access token": func(i *issuer, h held) ([]entry, error) {
			i.post("/revoke", shop, "token", h.access).want(i.t, 200, "")
			return []entry{says(feed.Token, h.jti, "revoked")}, nil
		},
		"/revoke of a refresh token": func(i *issuer, h held) ([]entry, error) {
			i.post("/revoke", shop, "token", h.refresh).want(i.t, 200, "")
			return []entry{says(feed.Grant, h.handle, "revoked")}, nil
		},
		"logout": func(i *issuer, h held) ([]entry, error) {
			r := httptest.NewRequest(http.MethodGet, "/logout?"+url.Values{"id_token_hint": {h.id}}.Encode(), nil)
			r.AddCookie(h.cookie)
			if got := i.do(r); got.status != 200 {
				i.t.Fatalf("logout: %d %s", got.status, got.body)
			}
			return []entry{says(feed.Grant, h.handle, "logged_out"), says(feed.Session, h.sid, "logged_out")}, nil
		},
		"a session that is over": func(i *issuer, h held) ([]entry, error) {
			// Shorter than the token lives.
			err := i.audit.Write(i.t.Context(), func(tx *store.Tx) (audit.Event, error) {
				return audit.Event{Type: audit.SessionTouched}, tx.TouchSession(h.session, tx.Now())
			})
			if err != nil {
				return nil, err
			}
			return []entry{says(feed.Grant, h.handle, "session_over"), says(feed.Session, h.sid, "session_over")}, i.expire(i.t.Context())
		},
		"replay of a code": func(i *issuer, h held) ([]entry, error) {
			i.redeem(shop, h.code, callback).want(i.t, 400, oauth.InvalidGrant)
			return []entry{says(feed.Grant, h.handle, "replayed")}, nil
		},
		"replay of a refresh token": func(i *issuer, h held) ([]entry, error) {
			two := i.refresh(shop, h.refresh).want(i.t, 200, "").str(i.t, "refresh_token")
			i.refresh(shop, two).want(i.t, 200, "")
			i.clock.Advance(time.Minute)
			i.refresh(shop, h.refresh).want(i.t, 400, oauth.InvalidGrant)
			return []entry{says(feed.Grant, h.handle, "replayed")}, nil
		},
		"a disabled client": func(i *issuer, _ held) ([]entry, error) {
			return []entry{says(feed.Client, "shop-web", "client_disabled")}, i.manager.DisableClient(i.t.Context(), operator, "shop-web", true)
		},
		"a deleted client": func(i *issuer, _ held) ([]entry, error) {
			return []entry{says(feed.Client, "shop-web", "client_deleted")}, i.manager.DeleteClient(i.t.Context(), operator, "shop-web")
		},
		"a disabled user": func(i *issuer, _ held) ([]entry, error) {
			return []entry{says(feed.Subject, i.ada().ID, "user_disabled")}, i.manager.DisableUser(i.t.Context(), operator, "ada@example.com", true)
		},
		"a deleted user": func(i *issuer, _ held) ([]entry, error) {
			return []entry{says(feed.Subject, i.ada().ID, "user_deleted")}, i.manager.DeleteUser(i.t.Context(), operator, "ada@example.com")
		},
		"a new password": func(i *issuer, _ held) ([]entry, error) {
			return []entry{says(feed.Subject, i.ada().ID, "password_set")}, i.manager.SetPassword(i.t.Context(), operator, "ada@example.com", "nine copper kettles at dawn")
		},
		"jeton revoke --token, the token": func(i *issuer, h held) ([]entry, error) {
			return []entry{says(feed.Token, h.jti, "operator")}, revoke(i, manage.Target{Token: h.access})
		},
		"jeton revoke --token, its jti": func(i *issuer, h held) ([]entry, error) {
			return []entry{says(feed.Token, h.jti, "operator")}, revoke(i, manage.Target{Token: h.jti})
		},
		"jeton revoke --token, a refresh token": func(i *issuer, h held) ([]entry, error) {
			return []entry{says(feed.Grant, h.handle, "operator")}, revoke(i, manage.Target{Token: h.refresh})
		},
		"jeton revoke --token, a code": func(i *issuer, h held) ([]entry, error) {
			return []entry{says(feed.Grant, h.handle, "operator")}, revoke(i, manage.Target{Token: h.code})
		},
		"jeton revoke --grant": func(i *issuer, h held) ([]entry, error) {
			return []entry{says(feed.Grant, h.handle, "operator")}, revoke(i, manage.Target{Grant: h.handle})
		},
		"jeton revoke --session": func(i *issuer, h held) ([]entry, error) {
			return []entry{says(feed.Grant, h.handle, "operator"), says(feed.Session, h.sid, "operator")}, revoke(i, manage.Target{Session: h.sid})
		},
		"jeton revoke --user, by address": func(i *issuer, _ held) ([]entry, error) {
			return []entry{says(feed.Subject, i.ada().ID, "operator")}, revoke(i, manage.Target{User: "ada@example.com"})
		},
		"jeton revoke --user, by subject": func(i *issuer, _ held) ([]entry, error) {
			return []entry{says(feed.Subject, i.ada().ID, "operator")}, revoke(i, manage.Target{User: i.ada().ID})
		},
		"jeton revoke --client": func(i *issuer, _ held) ([]entry, error) {
			return []entry{says(feed.Client, "shop-web", "operator")}, revoke(i, manage.Target{Client: "shop-web"})
		},
		"jeton revoke --key": func(i *issuer, _ held) ([]entry, error) {
			kid := i.kid(keys.Sign, oauth.ES256)
			return []entry{says(feed.Key, kid, "operator")}, revoke(i, manage.Target{Key: kid})
		},
		"jeton revoke --all": func(i *issuer, _ held) ([]entry, error) {
			return []entry{says(feed.All, "", "operator")}, revoke(i, manage.Target{All: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := start(t)
			h := i.held()
			if !i.active(h.access) || len(i.entries()) > 0 {
				t.Fatal("revoked before anything was done")
			}
			want, err := act(i, h)
			if err != nil {
				t.Fatal(err)
			}
			if i.active(h.access) {
				t.Error("the token is active")
			}
			if diff := cmp.Diff(want, i.entries()); diff != "" {
				t.Error(diff)
			}
			if want[0].Kind != feed.Token && want[0].Kind != feed.Key {
				if r := i.refresh(shop, h.refresh); r.status < 400 {
					t.Error("the refresh token gives another")
				}
			}
			i.restart()
			if i.active(h.access) {
				t.Error("the token is active after a restart")
			}
		})
	}
}

// What an operator's revocation leaves alone goes on.
func TestRevokeLeavesTheRest(t *testing.T) {
	t.Parallel()
	i := start(t)
	by := func(target manage.Target) manage.Revoked {
		t.Helper()
		out, err := i.manager.Revoke(t.Context(), operator, target, "")
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	h, second := i.held(), i.held()
	if out := by(manage.Target{Token: h.jti}); out != (manage.Revoked{Kind: feed.Token, Name: h.jti, Entry: 1}) {
		t.Errorf("%+v", out)
	}
	if out := by(manage.Target{Token: h.access}); out.Entry != 0 {
		t.Errorf("a token that is revoked already: %+v", out)
	}
	i.refresh(shop, h.refresh).want(t, 200, "")
	if out := by(manage.Target{Session: h.sid}); out != (manage.Revoked{Kind: feed.Session, Name: h.sid, Entry: 3}) {
		t.Errorf("%+v", out)
	}
	if out := by(manage.Target{Grant: h.handle}); out.Entry != 0 {
		t.Errorf("a grant that is over already: %+v", out)
	}
	if !i.active(second.access) {
		t.Error("the session's end reached another session")
	}
	// A client that was cut off goes on with new tokens; so does one after all were.
	machine := i.post("/token", robot, "grant_type", "client_credentials").want(t, 200, "").str(t, "access_token")
	by(manage.Target{Client: "robot"})
	if i.active(machine) || !i.active(second.access) {
		t.Error("the cutoff of a client killed too little or too much")
	}
	machine = i.post("/token", robot, "grant_type", "client_credentials").want(t, 200, "").str(t, "access_token")
	if !i.active(machine) {
		t.Error("a client that was cut off gets no new token")
	}
	by(manage.Target{All: true})
	for name, token := range map[string]string{"the robot's": machine, "Ada's": second.access} {
		if i.active(token) {
			t.Errorf("%s token outlived all", name)
		}
	}
	if who, err := session.Current(i.store.Read(t.Context()), second.session, i.clock.Now()); who != nil || err != nil {
		t.Error("a session outlived all")
	}
	i.login()
	if !i.active(i.post("/token", robot, "grant_type", "client_credentials").want(t, 200, "").str(t, "access_token")) {
		t.Error("a new token is dead")
	}
}

// A key that was removed verifies nothing, what other keys signed goes on, and so does
// signing.
func TestRevokeKey(t *testing.T) {
	t.Parallel()
	i := start(t)
	h := i.held()
	for _, p := range []struct {
		purpose keys.Purpose
		alg     oauth.Alg
	}{{keys.Seal, ""}, {keys.Feed, oauth.ES256}, {keys.Sign, oauth.RS256}} {
		if _, err := i.manager.Revoke(t.Context(), operator, manage.Target{Key: i.kid(p.purpose, p.alg)}, "lost disk"); err != nil {
			t.Fatal(err)
		}
	}
	if !i.active(h.access) {
		t.Error("the removal of other keys killed the token")
	}
	kid := i.kid(keys.Sign, oauth.ES256)
	if _, err := i.manager.Revoke(t.Context(), operator, manage.Target{Key: kid}, "lost disk"); err != nil {
		t.Fatal(err)
	}
	if i.active(h.access) || i.kid(keys.Sign, oauth.ES256) == kid {
		t.Error("the key is still in use")
	}
	if !i.active(i.refresh(shop, h.refresh).want(t, 200, "").str(t, "access_token")) {
		t.Error("the next key signs nothing that is active")
	}
	if !i.wasAudited(audit.KeyRevoked) {
		t.Error("not audited")
	}
}

func TestRevokeUnknown(t *testing.T) {
	t.Parallel()
	i := start(t)
	unknown := strings.Repeat("A", 22)
	for says, target := range map[string]manage.Target{
		"one thing":               {},
		"name one thing":          {All: true, Client: "robot"},
		"none of this issuer, or": {Token: "a.b.c"},
		"its grant is gone":       {Token: "jtr_" + strings.Repeat("A", 72)},
		`no grant "` + unknown:    {Token: unknown + ".AAAAAAAAAAAAAAAA"},
		"no client that may hold": {Token: "c." + unknown + ".AAAAAAAAAAAAAAAA"},
		"no grant":                {Grant: unknown},
		"not a handle that is in": {Grant: "x"},
		"no session":              {Session: unknown},
		"is not the sid":          {Session: "x"},
		"no user":                 {User: "eve@example.com"},
		"no client":               {Client: "nobody"},
		"no key with this id":     {Key: "nothing"},
		"a pepper can't":          {Key: i.kid(keys.Pepper, "")},
	} {
		if _, err := i.manager.Revoke(t.Context(), operator, target, ""); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %q", target, err, says)
		}
	}
	if len(i.entries()) > 0 {
		t.Error(i.entries())
	}
}

// A reason is one short line wherever it is kept.
func TestRevokeReason(t *testing.T) {
	t.Parallel()
	i := start(t)
	for reason, want := range map[string]string{
		" laptop stolen ":                     "laptop stolen",
		"a\r\nlevel=ERROR\x00\u202eb":         "a  level=ERROR  b",
		"\xff\xfe":                            "operator",
		strings.Repeat("x", 199) + "ä and so": strings.Repeat("x", 199),
	} {
		before := len(i.entries())
		if _, err := i.manager.Revoke(t.Context(), operator, manage.Target{Client: "robot"}, reason); err != nil {
			t.Fatal(err)
		}
		if got := i.entries()[before].Cause; got != want {
			t.Errorf("%q is kept as %q, want %q", reason, got, want)
		}
		events, err := i.store.Read(t.Context()).AuditEvents(time.Time{}, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(events, func(e store.AuditEvent) bool {
			return e.Type == string(audit.CutOff) && e.Client == "robot" && e.Actor == "operator" && strings.Contains(e.Data, `"reason":"`+want+`"`)
		}) {
			t.Errorf("%q is not audited", want)
		}
	}
	if strings.Contains(i.log.String(), "\nlevel=ERROR") {
		t.Error("a reason forges a line of the log")
	}
}

// Grants that a cutoff killed end by and by, and nothing of them comes back.
func TestCutOffGrantsEnd(t *testing.T) {
	t.Parallel()
	i := start(t)
	h := i.held()
	for _, target := range []manage.Target{{User: "ada@example.com"}, {Client: "shop-web"}, {All: true}} {
		if _, err := i.manager.Revoke(t.Context(), operator, target, ""); err != nil {
			t.Fatal(err)
		}
		var ended int
		alive := i.login()
		if err := i.count(`SELECT count(*) FROM grants WHERE ended_at > 0`, &ended); err != nil || ended != 0 {
			t.Fatalf("%+v: %d rows ended within the request, %v", target, ended, err)
		}
		if err := i.expire(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := i.count(`SELECT count(*) FROM grants WHERE ended_by = 'cut_off'`, &ended); err != nil || ended != 1 {
			t.Errorf("%+v: %d rows ended in the background, %v", target, ended, err)
		}
		i.refresh(shop, h.refresh).want(t, 400, oauth.InvalidGrant)
		i.refresh(shop, alive.str(t, "refresh_token")).want(t, 200, "")
		i.post("/revoke", shop, "token", alive.str(t, "refresh_token")).want(t, 200, "")
		i.clock.Advance(time.Hour)
		if err := i.expire(t.Context()); err != nil || i.grantRows() != 0 {
			t.Errorf("%+v: %d rows left, %v", target, i.grantRows(), err)
		}
		h = i.held()
	}
}
