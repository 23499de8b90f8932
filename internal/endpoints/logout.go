package endpoints

import (
	"net/http"

	"github.com/jeton-auth/jeton/internal/logout"
	"github.com/jeton-auth/jeton/internal/pages"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/web"
)

// logout is GET /logout (OpenID Connect RP-Initiated Logout §2).
func (b *Browser) logout(w http.ResponseWriter, r *http.Request) {
	params, refusal := web.Query(r)
	if refusal != nil {
		b.failPage(w, r, refusal, "")
		return
	}
	req, refusal := b.Logouts.Parse(params)
	if refusal != nil {
		b.failPage(w, r, refusal, req.UILocales)
		return
	}
	b.beginLogout(w, r, req)
}

// logoutPost is POST /logout: a client's request, or the answer to our own question.
func (b *Browser) logoutPost(w http.ResponseWriter, r *http.Request) {
	params, refusal := web.Form(w, r)
	if refusal != nil {
		b.failPage(w, r, refusal, "")
		return
	}
	answered := params.Has("logout") || params.Has("stay")
	if answered && web.Foreign(r, b.site) {
		b.foreign(w, r)
		return
	}
	req, refusal := b.Logouts.Parse(params)
	jar := b.Cookies.Read(r)
	switch {
	case refusal != nil:
		b.failPage(w, r, refusal, req.UILocales)
	case params.Has("stay"):
		redirect(w, b.prefix+"/")
	case params.Has("logout"):
		frames, err := b.Logouts.End(r.Context(), req, jar.Session, b.Door.origin(w, r))
		if err != nil {
			b.failPage(w, r, err, req.UILocales)
			return
		}
		b.loggedOut(w, r, req, frames)
	case jar.Session == nil:
		// With a form that another site posts, the Lax cookie is not sent; it is when
		// the browser comes again by GET.
		redirect(w, b.prefix+"/logout?"+req.Forward().Encode())
	default:
		b.beginLogout(w, r, req)
	}
}

func (b *Browser) beginLogout(w http.ResponseWriter, r *http.Request, req logout.Request) {
	who, frames, err := b.Logouts.Begin(r.Context(), req, b.Cookies.Read(r).Session, b.Door.origin(w, r))
	switch {
	case err != nil:
		b.failPage(w, r, err, req.UILocales)
	case who == nil:
		b.loggedOut(w, r, req, frames)
	default:
		b.askLogout(w, r, req, who)
	}
}

func (b *Browser) askLogout(w http.ResponseWriter, r *http.Request, req logout.Request, who *store.Session) {
	account, err := b.account(r, who)
	if err != nil {
		b.failPage(w, r, err, req.UILocales)
		return
	}
	page := pages.Logout{Action: b.prefix + "/logout", Hidden: map[string]string{}, Account: account, UILocales: req.UILocales}
	for name, values := range req.Forward() {
		page.Hidden[name] = values[0]
	}
	if req.Client != nil {
		page.ClientName = req.Client.DisplayName()
	}
	if req.To != nil {
		page.RedirectOrigin = req.To.Origin()
	}
	b.Pages.Write(w, r, http.StatusOK, page)
}

// loggedOut leads the browser on. Where clients end their sessions in frames, a page of
// ours loads these first.
func (b *Browser) loggedOut(w http.ResponseWriter, r *http.Request, req logout.Request, frames []string) {
	b.Cookies.ClearSession(w)
	page := pages.LoggedOut{UILocales: req.UILocales, Frames: frames}
	if req.To != nil {
		if len(frames) == 0 {
			redirect(w, req.To.Location())
			return
		}
		page.ContinueURL, page.ContinueName = req.To.Location(), req.Client.DisplayName()
	}
	b.Pages.Write(w, r, http.StatusOK, page)
}
