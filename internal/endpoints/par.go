package endpoints

import (
	"net/http"

	"github.com/jeton-auth/jeton/internal/authorize"
	"github.com/jeton-auth/jeton/internal/clientauth"
	"github.com/jeton-auth/jeton/internal/proof"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth/dpop"
)

// PAR is POST /par: a client pushes an authorization request (RFC 9126 §2).
type PAR struct {
	Door
	Clients *clientauth.Clients
	Flows   *authorize.Flows
}

type parAnswer struct {
	RequestURI string `json:"request_uri"`
	ExpiresIn  int64  `json:"expires_in"`
}

func (p *PAR) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	params, refusal := web.Form(w, r)
	if refusal != nil {
		p.fail(w, r, refusal)
		return
	}
	var made dpop.Proof
	shown := p.credentials(r, params)
	shown.Before = func(c *store.Client) (err error) {
		made, err = p.prove(w, r, proof.Request{Algs: c.Profile.SigningAlgs()})
		return err
	}
	client, err := p.Clients.Client(r.Context(), shown)
	if err != nil {
		p.failClient(w, r, err)
		return
	}
	uri, err := p.Flows.Push(r.Context(), authorize.PushRequest{Client: client, Params: params, JKT: made.JKT, Origin: p.origin(w, r)})
	if err != nil {
		p.failClient(w, r, err)
		return
	}
	web.JSON(w, http.StatusCreated, parAnswer{RequestURI: uri, ExpiresIn: int64(authorize.PushedLifetime.Seconds())})
}
