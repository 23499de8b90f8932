package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"github.com/jeton-auth/jeton/oauth"
)

// tvPage is a device without a keyboard: it shows a code and waits for a person who types
// it elsewhere. One browser is one device.
const tvPage = "/tv"

// tvView is the page: of the start without any of it, else of a code, of somebody signed
// in, or of an end.
type tvView struct {
	Code    string
	Address string  // verification_uri
	Link    string  // verification_uri_complete
	QR      *qrView // of Link
	Left    string  // how long the code is good, in words
	Account *accountView
	Over    string // why it came to nothing
	Detail  string
}

// tv shows how the device stands, and asks the issuer first where that is due. The page
// comes again by itself as long as there is something to wait for.
func (a *web) tv(w http.ResponseWriter, r *http.Request) {
	s := a.sessions.find(r)
	if s == nil {
		a.showTV(w, nil)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// A browser that goes away does not end a poll: its answer may be the only one.
	if s.tv != nil && a.poll(context.WithoutCancel(r.Context()), s.tv) {
		a.sessions.keep(w, r, s)
	}
	a.showTV(w, s.tv)
}

// beginTV gets a new code. What this browser's device was before is forgotten.
func (a *web) beginTV(w http.ResponseWriter, r *http.Request) {
	s := a.sessions.find(r)
	if s == nil {
		s = newSession(nil)
		a.sessions.keep(w, r, s)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tv = a.beginDevice(context.WithoutCancel(r.Context()))
	http.Redirect(w, r, tvPage, http.StatusSeeOther)
}

func (a *web) showTV(w http.ResponseWriter, d *device) {
	v := view{Title: "Sign in on a TV", Brand: "Demo TV", Wide: true, Options: a.opts, TV: &tvView{}}
	switch now := a.clock.Now(); {
	case d == nil:
		v.Wide = false
	case d.account != nil:
		v.TV.Account = a.describe(d.account)
		v.Title = v.TV.Account.Name
	case d.failed != nil:
		v.Wide = false
		v.TV.Over, v.TV.Detail = whyOver(d.failed)
		v.Title = v.TV.Over
	default:
		v.Reload = 1 + int(max(0, d.next.Sub(now))/time.Second)
		v.TV.Code, v.TV.Address, v.TV.Link = d.codes.User, d.codes.Verification, d.codes.Complete
		v.TV.Left = minutes(d.expires.Sub(now))
		if v.TV.Link != "" {
			v.TV.QR = drawQR(v.TV.Link)
		}
	}
	a.pages.write(w, http.StatusOK, "tv", v, a.opts.Issuer)
}

// minutes is a time in words that needn't be exact.
func minutes(d time.Duration) string {
	switch n := int(d / time.Minute); {
	case n < 1:
		return "less than a minute"
	case n == 1:
		return "a minute"
	default:
		return fmt.Sprintf("%d minutes", n)
	}
}

// whyOver tells kindly why nobody was signed in.
func whyOver(err error) (title, detail string) {
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		switch refused.ErrorCode {
		case string(oauth.AccessDenied):
			return "You were not signed in", "The other screen said no, so this TV got nothing. If that was a slip, just begin again."
		case string(oauth.ExpiredToken):
			return "The code ran out", "Nobody answered in time. That's no harm: a new code is a moment away."
		}
	}
	return "That did not work", explain(err)
}
