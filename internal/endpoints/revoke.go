package endpoints

import (
	"errors"
	"net/http"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/clientauth"
	"github.com/jeton-auth/jeton/internal/grant"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/tokens"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

// Revoke is POST /revoke (RFC 7009). When it has answered 200 the token is dead
// here; a failure of the store is reported, never a false success.
type Revoke struct {
	Door
	Clients *clientauth.Clients
	Store   *store.Store
	Audit   *audit.Log
	Grants  *grant.Grants
	Reader  *tokens.Reader
	Revoker *tokens.Revoker
}

func (v *Revoke) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	params, refusal := web.Form(w, r)
	if refusal != nil {
		v.fail(w, r, refusal)
		return
	}
	client, err := v.Clients.Client(r.Context(), v.credentials(r, params))
	if err != nil {
		v.failClient(w, r, err)
		return
	}
	token := params.Get("token")
	if token == "" {
		v.fail(w, r, oauth.Refuse(oauth.InvalidRequest, "token is missing"))
		return
	}
	if grant.Looks(token) {
		err = v.grant(w, r, client, token)
	} else {
		err = v.access(w, r, client, token)
	}
	if err != nil {
		v.fail(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

// grant ends the grant of a code or refresh token, whatever its number, for its own
// client.
func (v *Revoke) grant(w http.ResponseWriter, r *http.Request, client *store.Client, token string) error {
	_, g, err := v.Grants.Find(r.Context(), token)
	if errors.Is(err, grant.ErrForged) || err == nil && (g.Client != client.ID || !g.EndedAt.IsZero()) {
		return nil
	}
	if err != nil {
		return err
	}
	return v.Audit.Write(r.Context(), func(tx *store.Tx) (audit.Event, error) {
		e := audit.Event{Type: audit.GrantRevoked, Subject: g.Subject, Client: g.Client, Grant: grant.Handle(g.ID), Origin: v.origin(w, r)}
		return e, v.Grants.End(tx, g.ID, grant.CauseRevoked)
	})
}

// access revokes one access token of the client. It is named by its jti, never by
// its bytes: a signature can be spelt in more than one way.
func (v *Revoke) access(w http.ResponseWriter, r *http.Request, client *store.Client, token string) error {
	t, err := v.Reader.Access(token, v.Store.Now())
	if errors.Is(err, tokens.ErrInvalid) || err == nil && t.ClientID != client.ID {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = v.Revoker.Revoke(r.Context(), t, v.origin(w, r), grant.CauseRevoked)
	return err
}
