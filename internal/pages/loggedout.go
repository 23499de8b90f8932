package pages

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/jeton-auth/jeton/internal/spec"
)

// LoggedOut tells that the session is over. ContinueURL is a registered
// post-logout redirect URI or empty; ContinueName says whose it is. Frames are registered
// addresses of apps that end their own sessions when the browser loads them (OpenID Connect
// Front-Channel Logout §2); where there are any, a script of ours goes on afterwards.
type LoggedOut struct {
	ContinueURL, ContinueName string
	Frames                    []string
	UILocales                 string
}

func (LoggedOut) template() string       { return "loggedout" }
func (p LoggedOut) locales() string      { return p.UILocales }
func (LoggedOut) redirectOrigin() string { return "" }

//go:embed assets/leave.js
var leave []byte

// framePolicy is the policy of a page with frames: of these addresses' origins alone.
func framePolicy(frames []string) string {
	var origins []string
	for _, address := range frames {
		if origin := formAction(spec.RedirectOrigin(address)); origin != "" && !slices.Contains(origins, origin) {
			origins = append(origins, origin)
		}
	}
	if len(origins) == 0 {
		return policy("")
	}
	return strings.Replace(policy(""), "img-src", "script-src 'self'; frame-src "+strings.Join(origins, " ")+"; img-src", 1)
}
