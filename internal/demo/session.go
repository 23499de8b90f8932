package demo

import (
	"encoding/base64"
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/secret"
)

// cookieName is not one of the issuer's: cookies ignore ports, so on localhost all
// parts get each other's.
const cookieName = "demo_session"

const (
	sessionIdle = 8 * time.Hour
	maxSessions = 1000 // then the one unused for longest goes
	loginAge    = 10 * time.Minute
	maxLogins   = 8 // that one browser has begun and not ended
)

// session is what the app knows about a browser, which holds a random reference to
// it and nothing else.
type session struct {
	used time.Time // guarded by sessions.mu

	mu      sync.Mutex // held for a whole action: two tabs never refresh at once
	logins  map[string]attempt
	account *account           // nil: nobody is signed in
	last    map[string]*result // by the page that shows it
	tv      *device            // nil: no code was asked for
}

// newSession is one that has a result to show on the first page, unless it is nil.
func newSession(r *result) *session {
	return &session{last: map[string]*result{homePage: r}}
}

// attempt is a login that has begun, kept under its state.
type attempt struct {
	nonce    string
	verifier string // PKCE
	began    time.Time
}

// account is somebody signed in.
type account struct {
	claims    map[string]any // of the ID token and of userinfo
	idToken   string
	token     *oauth2.Token
	refreshes int
	revoked   bool
}

// begin notes a new login and gives its state.
func (s *session) begin(a attempt) (state string) {
	for state, old := range s.logins {
		if a.began.Sub(old.began) > loginAge {
			delete(s.logins, state)
		}
	}
	for len(s.logins) >= maxLogins {
		oldest := ""
		for state, old := range s.logins {
			if oldest == "" || old.began.Before(s.logins[oldest].began) {
				oldest = state
			}
		}
		delete(s.logins, oldest)
	}
	if s.logins == nil {
		s.logins = map[string]attempt{}
	}
	state = secret.Random().Reveal()
	s.logins[state] = a
	return state
}

// end takes the login that a state names, once.
func (s *session) end(state string, now time.Time) (attempt, bool) {
	a, ok := s.logins[state]
	delete(s.logins, state)
	return a, ok && now.Sub(a.began) <= loginAge
}

// sessions are all of them, by the hash of their reference.
type sessions struct {
	clock clock.Clock
	mu    sync.Mutex
	all   map[string]*session
}

// find is the session of the request's browser, or nil.
func (s *sessions) find(r *http.Request) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.all[key(r)]
	if found == nil {
		return nil
	}
	now := s.clock.Now()
	if now.Sub(found.used) > sessionIdle {
		delete(s.all, key(r))
		return nil
	}
	found.used = now
	return found
}

// key is under which the request's session would be.
func key(r *http.Request) string {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return ""
	}
	return string(secret.Hash(c.Value))
}

// keep puts a session under a new reference, which the browser gets; what it held
// before leads nowhere.
func (s *sessions) keep(w http.ResponseWriter, r *http.Request, kept *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, key(r))
	for len(s.all) >= maxSessions {
		oldest := ""
		for k, other := range s.all {
			if oldest == "" || other.used.Before(s.all[oldest].used) {
				oldest = k
			}
		}
		delete(s.all, oldest)
	}
	value := base64.RawURLEncoding.EncodeToString(secret.Bytes(32))
	kept.used = s.clock.Now()
	s.all[string(secret.Hash(value))] = kept
	// No Secure: the demo is on plain http, on the loopback alone.
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
}
