package endpoints

import (
	"errors"
	"net/http"
	"unicode/utf8"

	"github.com/jeton-auth/jeton/internal/authorize"
	"github.com/jeton-auth/jeton/internal/login"
	"github.com/jeton-auth/jeton/internal/pages"
	"github.com/jeton-auth/jeton/internal/web"
)

// maxUsername bounds, in bytes, what of a typed name is shown again.
const maxUsername = 320

// login is GET /login: the page, or the next step where none is needed any more.
func (b *Browser) login(w http.ResponseWriter, r *http.Request) {
	params, refusal := web.Query(r)
	if refusal != nil {
		b.failPage(w, r, refusal, "")
		return
	}
	p, err := b.open(w, r, params)
	if err != nil {
		b.failPage(w, r, err, "")
		return
	}
	out, err := p.Look(r.Context())
	switch {
	case err != nil:
		b.failPage(w, r, err, p.Request.UILocales)
	case out.Pending == nil || out.Step.Do != authorize.Login:
		b.follow(w, r, out)
	default:
		page := b.loginPage(p)
		if out.Step.Again {
			if page.Username, err = b.account(r, out.Session); err != nil {
				b.failPage(w, r, err, p.Request.UILocales)
				return
			}
			page.Reauthenticate = page.Username != ""
		}
		b.Pages.Write(w, r, http.StatusOK, page)
	}
}

func (b *Browser) loginPage(p *authorize.Pending) pages.Login {
	return pages.Login{
		Action: b.prefix + "/login", CancelAction: b.prefix + "/login/cancel",
		Hidden: map[string]string{flowParameter: p.ID()}, Username: shown(p.Request.LoginHint),
		ClientName: p.Client.DisplayName(), RedirectOrigin: p.To.Origin(), UILocales: p.Request.UILocales,
	}
}

func shown(username string) string {
	if len(username) > maxUsername || !utf8.ValidString(username) {
		return ""
	}
	return username
}

// loginPost is POST /login. What was wrong looks the same whether the account exists
// or not.
func (b *Browser) loginPost(w http.ResponseWriter, r *http.Request, params web.Params) {
	p, err := b.open(w, r, params)
	if err != nil {
		b.failPage(w, r, err, "")
		return
	}
	proof, err := b.Password.Verify(r.Context(), login.Attempt{
		Login: params.Get("username"), Password: params.Get("password"),
		Peer: b.Peers.Addr(r), Origin: b.Door.origin(w, r),
	})
	var out authorize.Outcome
	if err == nil {
		out, err = p.LoggedIn(r.Context(), proof)
	}
	var limited *login.LimitedError
	page := b.loginPage(p)
	page.Username = shown(params.Get("username"))
	switch {
	case err == nil:
		b.follow(w, r, out)
	case errors.Is(err, login.ErrWrong):
		page.Error = pages.WrongCredentials
		b.Pages.Write(w, r, http.StatusBadRequest, page)
	case errors.As(err, &limited):
		retryAfter(w, limited.RetryAfter)
		page.Error = pages.TooMany
		b.Pages.Write(w, r, http.StatusTooManyRequests, page)
	default:
		b.failPage(w, r, err, p.Request.UILocales)
	}
}

// cancel is POST /login/cancel: the person does not want to log in.
func (b *Browser) cancel(w http.ResponseWriter, r *http.Request, params web.Params) {
	p, err := b.open(w, r, params)
	if err != nil {
		b.failPage(w, r, err, "")
		return
	}
	b.deny(w, r, p)
}

func (b *Browser) deny(w http.ResponseWriter, r *http.Request, p *authorize.Pending) {
	out, err := p.Deny(r.Context())
	if err != nil {
		b.failPage(w, r, err, p.Request.UILocales)
		return
	}
	b.follow(w, r, out)
}
