package endpoints

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/jeton-auth/jeton/internal/authorize"
	"github.com/jeton-auth/jeton/internal/login"
	"github.com/jeton-auth/jeton/internal/logout"
	"github.com/jeton-auth/jeton/internal/pages"
	"github.com/jeton-auth/jeton/internal/password"
	"github.com/jeton-auth/jeton/internal/session"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

// Browser is the doors that people go through. They show pages, keep cookies and
// lead from one step of a flow to the next; what a step is, the flows decide.
type Browser struct {
	Door
	Issuer   string
	Store    *store.Store
	Pages    *pages.Renderer
	Cookies  session.Cookies
	Flows    *authorize.Flows
	Password *login.Password
	Logouts  *logout.Logouts

	prefix string // path under which the issuer lies
	site   string // the issuer's origin
}

// Register puts the doors on mux, under the path that the issuer's identifier has.
// Whatever nobody else registered is answered with a page too.
func (b *Browser) Register(mux *http.ServeMux, prefix string) error {
	issuer, err := url.Parse(b.Issuer)
	if err != nil {
		return err
	}
	b.prefix, b.site = prefix, web.Origin(issuer)
	for _, route := range []struct {
		path      string
		get, post http.HandlerFunc
	}{
		{"/authorize", b.authorize, b.authorizePost},
		{"/login", b.login, b.own(b.loginPost)},
		{"/login/cancel", nil, b.own(b.cancel)},
		{devicePath, b.device, b.own(b.devicePost)},
		{"/consent", b.consent, b.own(b.consentPost)},
		{"/logout", b.logout, b.logoutPost},
		{"/{$}", b.home, nil},
	} {
		allow := ""
		if route.get != nil {
			mux.HandleFunc("GET "+prefix+route.path, getOnly(route.get))
			allow = "GET, HEAD, "
		}
		if route.post != nil {
			mux.HandleFunc("POST "+prefix+route.path, route.post)
			allow += "POST, "
		}
		mux.HandleFunc(prefix+route.path, b.otherMethod(allow[:len(allow)-2]))
	}
	mux.Handle("GET "+prefix+"/assets/", b.Pages.Assets())
	mux.HandleFunc("/", b.notFound)
	return nil
}

// getOnly answers HEAD without doing what GET does: it must begin no flow.
func getOnly(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			return
		}
		next(w, r)
	}
}

// own lets a form in that one of our own pages posted. Login and approval can't be
// driven by another origin.
func (b *Browser) own(next func(http.ResponseWriter, *http.Request, web.Params)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if web.Foreign(r, b.site) {
			b.foreign(w, r)
			return
		}
		params, refusal := web.Form(w, r)
		if refusal != nil {
			b.failPage(w, r, refusal, "")
			return
		}
		next(w, r, params)
	}
}

// visitor is the browser that asks. fresh is a secret for one that has none yet; it
// is to be set when a flow is bound to it.
func (b *Browser) visitor(w http.ResponseWriter, r *http.Request) (v authorize.Visitor, fresh *session.Browser) {
	v = authorize.Visitor{Jar: b.Cookies.Read(r), UserAgent: r.UserAgent(), Origin: b.Door.origin(w, r)}
	if v.Browser = v.Jar.Browser(); v.Browser == nil {
		made := b.Cookies.NewBrowser()
		v.Browser, fresh = made.Hash, &made
	}
	return v, fresh
}

// open takes up the flow that a step's parameters name.
func (b *Browser) open(w http.ResponseWriter, r *http.Request, params web.Params) (*authorize.Pending, error) {
	v, _ := b.visitor(w, r)
	return b.Flows.Open(r.Context(), params.Get(flowParameter), v)
}

// flowParameter names a flow in our URLs and forms.
const flowParameter = "flow"

// follow leads the browser to where a flow stands.
func (b *Browser) follow(w http.ResponseWriter, r *http.Request, out authorize.Outcome) {
	if out.Cookie != "" {
		b.Cookies.SetSession(w, out.Cookie)
	}
	switch {
	case out.Pending == nil:
		b.respond(w, r, out.Answer)
	case out.Step.Do == authorize.Consent:
		redirect(w, b.step("/consent", out.Pending))
	default:
		redirect(w, b.step("/login", out.Pending))
	}
}

// respond takes an answer to its client: by a redirect, or by a form that the browser posts.
func (b *Browser) respond(w http.ResponseWriter, r *http.Request, a authorize.Answer) {
	response, err := b.Flows.Response(a)
	switch {
	case err != nil:
		b.failPage(w, r, err, "")
	case response.Device:
		b.Pages.Write(w, r, http.StatusOK, pages.DeviceDone{Refused: response.Refused})
	case response.Location != "":
		redirect(w, response.Location)
	default:
		b.Pages.Write(w, r, http.StatusOK, pages.FormPost{Action: response.Action, Origin: response.Origin, Fields: response.Fields})
	}
}

func (b *Browser) step(path string, p *authorize.Pending) string {
	return b.prefix + path + "?" + flowParameter + "=" + p.ID()
}

// redirect is a 303: a form that was posted is not posted on (RFC 9700 §4.12).
func redirect(w http.ResponseWriter, location string) {
	h := w.Header()
	h.Set("Location", location)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
}

// failPage shows why a request ends here. A failure of ours is logged with its cause
// under the request's id, which the page names.
func (b *Browser) failPage(w http.ResponseWriter, r *http.Request, err error, locales string) {
	page := pages.Error{RequestID: web.RequestID(w), UILocales: locales}
	var refusal *oauth.Error
	status := http.StatusBadRequest
	switch {
	case errors.Is(err, authorize.ErrNoFlow):
		page.Code = string(oauth.LoginRequired)
	case errors.Is(err, password.ErrBusy):
		retryAfter(w, time.Second)
		status, page.Code = http.StatusServiceUnavailable, string(oauth.TemporarilyUnavailable)
	case errors.Is(err, store.ErrUnavailable):
		retryAfter(w, time.Second)
		status, page.Code = http.StatusServiceUnavailable, string(oauth.TemporarilyUnavailable)
		b.failed(w, r, err)
	case errors.As(err, &refusal):
		page.Code, page.Message = string(refusal.Code), refusal.Description
	default:
		status, page.Code = http.StatusInternalServerError, string(oauth.ServerError)
		b.failed(w, r, err)
	}
	b.Pages.Write(w, r, status, page)
}

func (b *Browser) failed(w http.ResponseWriter, r *http.Request, err error) {
	b.Log.ErrorContext(r.Context(), "a request failed", slog.String("path", r.URL.Path),
		slog.String("request", web.RequestID(w)), slog.Any("error", err))
}

func retryAfter(w http.ResponseWriter, d time.Duration) {
	seconds := int64(max(d+time.Second-1, time.Second) / time.Second)
	w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
}

func (b *Browser) foreign(w http.ResponseWriter, r *http.Request) {
	b.Pages.Write(w, r, http.StatusForbidden, pages.Error{
		Code: string(oauth.InvalidRequest), RequestID: web.RequestID(w),
		Message: "This form was sent from another site. Please start from your app again.",
	})
}

func (b *Browser) notFound(w http.ResponseWriter, r *http.Request) {
	b.Pages.Write(w, r, http.StatusNotFound, pages.Error{RequestID: web.RequestID(w)})
}

func (b *Browser) otherMethod(allow string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allow)
		b.Pages.Write(w, r, http.StatusMethodNotAllowed, pages.Error{RequestID: web.RequestID(w)})
	}
}

// account is how a person knows their account; empty for nobody.
func (b *Browser) account(r *http.Request, who *store.Session) (string, error) {
	if who == nil {
		return "", nil
	}
	u, err := b.Store.Read(r.Context()).User(who.Subject)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return u.Email, err
}
