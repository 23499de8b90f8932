package endpoints

import (
	"net/http"

	"github.com/jeton-auth/jeton/internal/pages"
	"github.com/jeton-auth/jeton/internal/session"
)

// home is GET /: for whoever comes without an app.
func (b *Browser) home(w http.ResponseWriter, r *http.Request) {
	who, err := session.Current(b.Store.Read(r.Context()), b.Cookies.Read(r).Session, b.Store.Now())
	account := ""
	if err == nil {
		account, err = b.account(r, who)
	}
	if err != nil {
		b.failPage(w, r, err, "")
		return
	}
	b.Pages.Write(w, r, http.StatusOK, pages.Home{Account: account, Issuer: b.Issuer})
}
