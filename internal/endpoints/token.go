package endpoints

import (
	"net/http"

	"github.com/jeton-auth/jeton/internal/clientauth"
	"github.com/jeton-auth/jeton/internal/redeem"
	"github.com/jeton-auth/jeton/internal/revoke"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

// Token is POST /token (RFC 6749 §3.2).
type Token struct {
	Door
	Clients *clientauth.Clients
	Redeem  *redeem.Dispatcher
	Revoked *revoke.Log
}

type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	Scope        string `json:"scope,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`

	Details []oauth.AuthorizationDetail `json:"authorization_details,omitempty"` // RFC 9396 §7
}

func (t *Token) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	params, refusal := web.Form(w, r)
	if refusal != nil {
		t.fail(w, r, refusal)
		return
	}
	head := t.Revoked.Rev()
	var cnf oauth.Confirmation
	shown := t.credentials(r, params)
	shown.Before = func(c *store.Client) (err error) {
		cnf, err = t.bind(w, r, c)
		return err
	}
	client, err := t.Clients.Client(r.Context(), shown)
	if err != nil {
		t.failClient(w, r, err)
		return
	}
	out, err := t.Redeem.Redeem(r.Context(), redeem.Request{
		Client: client, Params: params, Origin: t.origin(w, r), Head: head, Confirmation: cnf,
	})
	if err != nil {
		t.failClient(w, r, err)
		return
	}
	web.JSON(w, http.StatusOK, tokenAnswer{
		AccessToken: out.AccessToken, TokenType: out.TokenType, ExpiresIn: out.ExpiresIn,
		Scope: out.Scope, RefreshToken: out.RefreshToken, IDToken: out.IDToken,
		Details: out.Details,
	})
}
