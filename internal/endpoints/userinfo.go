package endpoints

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/jeton-auth/jeton/internal/claims"
	"github.com/jeton-auth/jeton/internal/directory"
	"github.com/jeton-auth/jeton/internal/grant"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/subject"
	"github.com/jeton-auth/jeton/internal/tokens"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// UserInfo is GET and POST /userinfo (OpenID Connect Core §5.3).
type UserInfo struct {
	Door
	Issuer    string
	Store     *store.Store
	Directory *directory.Directory
	Reader    *tokens.Reader
	Minter    *tokens.Minter
	Names     *subject.Names
}

func (u *UserInfo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	shown, refusal := access(w, r)
	if refusal != nil {
		u.challenge(w, r, refusal, oauth.ScopeOpenID)
		return
	}
	client, info, err := u.answer(w, r, shown)
	var signed string
	if err == nil && client.UserinfoAlg != "" {
		signed, err = u.Minter.UserInfo(client.ID, client.UserinfoAlg, info)
	}
	switch {
	case err != nil:
		u.challenge(w, r, oauth.AsError(err), oauth.ScopeOpenID)
	case signed == "":
		web.JSON(w, http.StatusOK, info)
	default:
		w.Header().Set("Content-Type", signedUserInfo)
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write([]byte(signed))
	}
}

// signedUserInfo is the media type of userinfo that is a JWT (OpenID Connect Core §5.3.2).
const signedUserInfo = "application/jwt"

// access takes the token from the Authorization header or, with POST, from the form
// (RFC 6750 §2.1 and §2.2). It is never taken from the URL.
func access(w http.ResponseWriter, r *http.Request) (p presented, refusal *oauth.Error) {
	auth := r.Header.Values("Authorization")
	form := r.Method == http.MethodPost && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
	inForm := ""
	if form {
		params, refusal := web.Form(w, r)
		if refusal != nil {
			return p, refusal
		}
		inForm = params.Get("access_token")
	}
	switch {
	case len(auth) > 1 || len(auth) == 1 && inForm != "":
		return p, oauth.Refuse(oauth.InvalidRequest, "the request carries more than one token")
	case inForm != "":
		return presented{token: inForm, inForm: true}, nil
	case len(auth) == 0:
		return p, oauth.Refuse("", "send an access token in the Authorization header")
	}
	p, known := authorization(auth[0])
	if !known {
		return p, oauth.Refuse("", "send an access token as Bearer or DPoP in the Authorization header")
	}
	if p.token == "" {
		return p, oauth.Refuse(oauth.InvalidRequest, "the Authorization header holds no access token")
	}
	return p, nil
}

func (u *UserInfo) answer(w http.ResponseWriter, r *http.Request, shown presented) (*store.Client, map[string]any, error) {
	t, err := u.Reader.Access(shown.token, u.Store.Now())
	if errors.Is(err, tokens.ErrInvalid) {
		return nil, nil, oauth.Refuse(oauth.InvalidToken, "the access token is expired, revoked or not from here")
	}
	if err != nil {
		return nil, nil, err
	}
	client, ok := u.Directory.Client(t.ClientID)
	if !ok {
		return nil, nil, oauth.Refuse(oauth.InvalidToken, "the client of this token is no longer registered here")
	}
	if shown.inForm && !client.Profile.BearerInBody() {
		return nil, nil, oauth.Refuse(oauth.InvalidRequest, "send the access token in the Authorization header")
	}
	if err := u.holds(w, r, shown, t.Confirmation, client); err != nil {
		return nil, nil, err
	}
	if !t.For(u.Issuer) && !client.UserinfoAnyAudience {
		return nil, nil, oauth.Refuse(oauth.InvalidToken, "the access token is for another audience: ask for one without a resource")
	}
	id, ok := grant.ParseHandle(feed.Handle(t.ID))
	if !ok || !slices.Contains(t.Scopes, oauth.ScopeOpenID) {
		return nil, nil, oauth.Refuse(oauth.InsufficientScope, "userinfo needs the scope openid")
	}
	g, err := u.Store.Read(r.Context()).Grant(id)
	if errors.Is(err, store.ErrNotFound) || err == nil && !g.Live() {
		return nil, nil, oauth.Refuse(oauth.InvalidToken, "the login that this token came from is over")
	}
	if err != nil {
		return nil, nil, err
	}
	info := claims.UserInfo(&g.User, t.Scopes, claims.Still(client, g.Details.Claims.UserInfo))
	info["sub"] = u.Names.For(client, g.Subject)
	return client, info, nil
}
