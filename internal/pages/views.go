package pages

import (
	"net/http"

	"github.com/jeton-auth/jeton/oauth"
)

// Page is a view struct of this package.
type Page interface {
	template() string       // its name among names
	locales() string        // ui_locales, "" if the browser's word decides
	redirectOrigin() string // added to the policy's form-action
}

// Login is the sign-in form: a POST to Action with the fields username and
// password, and the submit button login.
type Login struct {
	Action     string            // relative URL
	Hidden     map[string]string // hidden fields of both forms
	ClientName string            // "" when no app asked
	Username   string            // prefilled
	Error      LoginError
	// Reauthenticate asks a person who is known already for the password alone. Username
	// stays a field that can be changed: browsers that fill in both find it so.
	Reauthenticate bool
	// CancelAction, where not empty, gets a second form whose only button is
	// named cancel.
	CancelAction string
	// RedirectOrigin is the verified origin of the redirect URI to which the form
	// may lead in the end, or "" (see spec.RedirectOrigin).
	RedirectOrigin string
	UILocales      string // ui_locales of the request, OpenID Connect Core §3.1.2.1
}

// LoginError says why the form is shown again.
type LoginError string

const (
	WrongCredentials LoginError = "wrong_credentials"
	TooMany          LoginError = "too_many"        // too many attempts; try again later
	SessionExpired   LoginError = "session_expired" // the flow is over; a new one begins
)

// loginErrors are the catalog keys of what the form says.
var loginErrors = map[LoginError]string{
	WrongCredentials: "login.error.wrong",
	TooMany:          "login.error.many",
	SessionExpired:   "login.error.expired",
}

// Consent asks whether a client may have the scopes: a POST to Action by one of
// the buttons allow and deny.
type Consent struct {
	Action     string
	Hidden     map[string]string
	ClientName string
	Account    string // whose account it is, as its owner knows it
	Scopes     []ScopeLine
	Details    []Detail
	// UserCode is the code of the device that asks, to be compared; "": none does.
	UserCode       string
	RedirectOrigin string // as in Login
	RedirectHost   string // where the browser goes next, shown
	UILocales      string
}

// ScopeLine is one scope that is asked for.
type ScopeLine struct {
	Name     string // the scope itself
	Resource string // display name of the API it belongs to, "" for an identity scope
	Text     string // what it means; when empty, the catalog's text for an identity scope
}

// Detail is an authorization detail that is asked for (RFC 9396 §2).
type Detail struct {
	Type  string
	Facts []Fact
}

// Fact is a member of an authorization detail. Names that all types share are shown in the
// words of the catalog.
type Fact struct {
	Name   string
	Values []string
}

// factNames are the catalog keys of the names that all types share (RFC 9396 §2.2).
var factNames = map[string]string{
	"locations":  "detail.locations",
	"actions":    "detail.actions",
	"datatypes":  "detail.datatypes",
	"privileges": "detail.privileges",
	"identifier": "detail.identifier",
}

// scopeTexts are the catalog keys of the identity scopes.
var scopeTexts = map[string]string{
	oauth.ScopeOpenID:        "scope.openid",
	oauth.ScopeProfile:       "scope.profile",
	oauth.ScopeEmail:         "scope.email",
	oauth.ScopeAddress:       "scope.address",
	oauth.ScopePhone:         "scope.phone",
	oauth.ScopeOfflineAccess: "scope.offline_access",
	oauth.ScopeRoles:         "scope.roles",
	oauth.ScopeGroups:        "scope.groups",
}

// Error tells a person that the request ends here. An empty Title or Message
// follows from Code, or from the status where Code is empty too.
type Error struct {
	Title, Message string // plain text
	Code           string // an oauth.ErrorCode, shown small
	RequestID      string // shown small, for whoever is asked for help
	UILocales      string
}

// texts are the catalog keys of a title and what stands under it.
type texts struct{ Title, Text string }

var (
	requestError  = texts{"error.request.title", "error.request.text"}
	clientError   = texts{"error.client.title", "error.client.text"}
	deniedError   = texts{"error.denied.title", "error.denied.text"}
	loginError    = texts{"error.login.title", "error.login.text"}
	notFoundError = texts{"error.notfound.title", "error.notfound.text"}
	busyError     = texts{"error.busy.title", "error.busy.text"}
	serverError   = texts{"error.server.title", "error.server.text"}
)

// codeErrors are the codes that say something to a person. Every other 4xx is
// a request that did not work.
var codeErrors = map[oauth.ErrorCode]texts{
	oauth.InvalidClient:          clientError,
	oauth.UnauthorizedClient:     clientError,
	oauth.AccessDenied:           deniedError,
	oauth.LoginRequired:          loginError,
	oauth.InteractionRequired:    loginError,
	oauth.AccountSelection:       loginError,
	oauth.TemporarilyUnavailable: busyError,
	oauth.ServerError:            serverError,
}

var statusErrors = map[int]texts{
	http.StatusForbidden:          deniedError,
	http.StatusNotFound:           notFoundError,
	http.StatusTooManyRequests:    busyError,
	http.StatusServiceUnavailable: busyError,
}

// errorTexts chooses what an error page says that brings no words of its own.
func errorTexts(code string, status int) texts {
	if t, ok := codeErrors[oauth.ErrorCode(code)]; ok {
		return t
	}
	if t, ok := statusErrors[status]; ok && code == "" {
		return t
	}
	if status >= http.StatusInternalServerError {
		return serverError
	}
	return requestError
}

// Logout asks whether to sign out: a POST to Action by one of the buttons logout
// and stay.
type Logout struct {
	Action         string
	Hidden         map[string]string
	Account        string
	ClientName     string // the app that asks, "" for none
	RedirectOrigin string // as in Login
	UILocales      string
}

// Home is the front page, for whoever comes without an app.
type Home struct {
	Account string // who is signed in, "" for nobody
	Issuer  string // URL
}

func (Login) template() string   { return "login" }
func (Consent) template() string { return "consent" }
func (Error) template() string   { return "error" }
func (Logout) template() string  { return "logout" }
func (Home) template() string    { return "home" }

func (p Login) locales() string   { return p.UILocales }
func (p Consent) locales() string { return p.UILocales }
func (p Error) locales() string   { return p.UILocales }
func (p Logout) locales() string  { return p.UILocales }
func (Home) locales() string      { return "" }

func (p Login) redirectOrigin() string   { return p.RedirectOrigin }
func (p Consent) redirectOrigin() string { return p.RedirectOrigin }
func (Error) redirectOrigin() string     { return "" }
func (p Logout) redirectOrigin() string  { return p.RedirectOrigin }
func (Home) redirectOrigin() string      { return "" }
