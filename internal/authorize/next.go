package authorize

import (
	"math"
	"slices"
	"time"

	"github.com/jeton-auth/jeton/internal/login"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// Do says what comes next in a flow.
type Do int

const (
	Refuse  Do = iota // tell the client no
	Login             // ask the person who they are
	Consent           // ask the person whether the client may
	Respond           // give the client its code
)

func (d Do) String() string { return [...]string{"refuse", "login", "consent", "respond"}[d] }

// Step is what Next decides.
type Step struct {
	Do      Do
	Refusal *oauth.Error
	// Again tells of a Login that whoever is logged in is to confirm who they are.
	Again bool
	// Ask are the scopes that the person has yet to allow, by resource; "" is the
	// issuer.
	Ask map[string][]string
}

// State is all that a decision depends on.
type State struct {
	Request *store.AuthorizationRequest
	Now     time.Time
	// Session is nil where nobody is logged in.
	Session *store.Session
	// Name is what the client calls who is logged in.
	Name string
	// Proved tells that the person logged in for this very request.
	Proved bool
	// Needs are the scopes that take the person's consent, by resource; none for a
	// first-party client.
	Needs map[string][]string
	// Details tells that the request asks for authorization details: the person allows them
	// for each request anew.
	Details bool
	// Device tells that a device asks: whoever typed its code sees each time what they allow.
	Device bool
	// Remembered is what the person allowed this client before.
	Remembered map[string][]string
	// Allowed tells that the person allowed this very request.
	Allowed bool
}

// Next decides how a request goes on. It looks at nothing but its argument.
func Next(s State) Step {
	silent := s.prompts(oauth.PromptNone)
	switch {
	case !slices.ContainsFunc(login.ACRs(), func(acr string) bool { return meets(s.Request, acr) }):
		return refuse(oauth.UnmetAuthentication, "the acr that the claims parameter calls essential can't be reached here: ask for one of acr_values_supported")
	case s.Session == nil && silent:
		return refuse(oauth.LoginRequired, "nobody is logged in: send the request without prompt=none")
	case s.Session == nil:
		return Step{Do: Login}
	case !wants(s.Request, s.Name) && (silent || s.Proved):
		return refuse(oauth.LoginRequired, "somebody else is logged in than the request names")
	case !wants(s.Request, s.Name):
		return Step{Do: Login}
	case !s.Proved && s.stale() && silent:
		return refuse(oauth.LoginRequired, "the login is older than max_age")
	case !s.Proved && s.stale():
		return Step{Do: Login, Again: !s.prompts(oauth.PromptSelectAccount)}
	case !meets(s.Request, s.Session.ACR) && (silent || s.Proved):
		return refuse(oauth.UnmetAuthentication, "the login did not reach the acr that the claims parameter calls essential")
	case !meets(s.Request, s.Session.ACR):
		return Step{Do: Login, Again: true}
	}
	ask := s.missing()
	switch {
	case len(ask) == 0 && (!s.Details && !s.Device || s.Allowed):
		return Step{Do: Respond}
	case silent:
		return refuse(oauth.ConsentRequired, "the person has not allowed all of this yet: send the request without prompt=none")
	}
	return Step{Do: Consent, Ask: ask}
}

func refuse(code oauth.ErrorCode, why string) Step {
	return Step{Do: Refuse, Refusal: oauth.Refuse(code, "%s", why)}
}

func (s *State) prompts(value string) bool { return slices.Contains(s.Request.Prompt, value) }

// stale tells whether the request asks for a login of its own. Who is to choose an
// account logs in anew too: one browser holds one session.
func (s *State) stale() bool {
	if s.prompts(oauth.PromptLogin) || s.prompts(oauth.PromptSelectAccount) {
		return true
	}
	if s.Request.MaxAge == nil {
		return false
	}
	const longest = math.MaxInt64 / int64(time.Second)
	return s.Now.Sub(s.Session.AuthTime) > time.Duration(min(*s.Request.MaxAge, longest))*time.Second
}

// missing is what the person has yet to allow: what they have not allowed before, or
// all of it where the client wants them to be asked.
func (s *State) missing() map[string][]string {
	if s.Allowed || len(s.Needs) == 0 {
		return nil
	}
	if s.Device || s.prompts(oauth.PromptConsent) {
		return s.Needs
	}
	ask := map[string][]string{}
	for resource, scopes := range s.Needs {
		before, known := s.Remembered[resource]
		fresh := slices.DeleteFunc(slices.Clone(scopes), func(scope string) bool { return slices.Contains(before, scope) })
		if len(fresh) > 0 || !known {
			ask[resource] = fresh
		}
	}
	return ask
}
