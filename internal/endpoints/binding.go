package endpoints

import (
	"net/http"

	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/mtls"
)

// bind finds the key that a client's new tokens are bound to.
func (d *Door) bind(r *http.Request, client *store.Client) (oauth.Confirmation, *oauth.Error) {
	if !client.MTLSBound {
		return oauth.Confirmation{}, nil
	}
	cnf := mtls.Confirm(d.certificates(r))
	if cnf.X5TS256 == "" {
		return cnf, oauth.Refuse(oauth.InvalidRequest, "this client's tokens are bound to its certificate: connect with one")
	}
	return cnf, nil
}

// holds refuses a token that is bound to a key which the request does not show (RFC 8705
// §3).
func (d *Door) holds(r *http.Request, cnf *oauth.Confirmation) *oauth.Error {
	switch {
	case cnf == nil:
		return nil
	case cnf.JKT != "" || cnf.X5TS256 == "":
		return oauth.Refuse(oauth.InvalidToken, "the access token is bound to a key, so it can't be used as a bearer token")
	case mtls.Confirm(d.certificates(r)).X5TS256 != cnf.X5TS256:
		return oauth.Refuse(oauth.InvalidToken, "the access token is bound to a certificate, and the request came without it")
	}
	return nil
}
