package demo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/dpop"
)

// web is the web app: a confidential client that keeps tokens on the server.
type web struct {
	handler  http.Handler
	opts     Options
	clock    clock.Clock
	pages    *renderer
	sessions sessions
	client   *http.Client // proves the app's key with each request
	prover   *dpop.Prover
	provider *oidc.Provider
	oauth    oauth2.Config
	ids      *oidc.IDTokenVerifier
	tvIDs    *oidc.IDTokenVerifier
	ends     endpoints
	times    times
}

// The pages to which actions lead back.
const (
	homePage  = "/"
	timesPage = "/times"
)

// endpoints are those that go-oidc leaves to its caller.
type endpoints struct {
	Revocation  string `json:"revocation_endpoint"`
	EndSession  string `json:"end_session_endpoint"`
	Device      string `json:"device_authorization_endpoint"`
	NamesItself bool   `json:"authorization_response_iss_parameter_supported"` // RFC 9207
}

func newWeb(ctx context.Context, o Options, p *renderer, client *http.Client) (*web, error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, client), o.Issuer)
	if err != nil {
		return nil, err
	}
	prover, err := newProving(client.Transport, o.Clock)
	if err != nil {
		return nil, err
	}
	own := *client
	own.Transport = prover
	a := &web{
		opts: o, clock: o.Clock, pages: p, client: &own, provider: provider, prover: prover.prover,
		sessions: sessions{clock: o.Clock, all: map[string]*session{}},
		ids:      provider.Verifier(&oidc.Config{ClientID: o.ClientID, Now: o.Clock.Now}),
		tvIDs:    provider.Verifier(&oidc.Config{ClientID: o.TVClientID, Now: o.Clock.Now}),
	}
	if err := provider.Claims(&a.ends); err != nil {
		return nil, err
	}
	if a.ends.Revocation == "" || a.ends.EndSession == "" || a.ends.Device == "" {
		return nil, errors.New("the issuer's metadata lacks revocation_endpoint, end_session_endpoint or device_authorization_endpoint")
	}
	a.oauth = oauth2.Config{
		ClientID: o.ClientID, ClientSecret: o.ClientSecret.Reveal(), Endpoint: provider.Endpoint(),
		RedirectURL: o.Web + "/callback",
		// No offline_access: what this app is given ends with the person's session.
		Scopes: []string{oauth.ScopeOpenID, oauth.ScopeProfile, oauth.ScopeEmail, ScopeRead, ScopeWrite},
	}
	a.oauth.Endpoint.AuthStyle = oauth2.AuthStyleInHeader

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.home)
	mux.HandleFunc("POST /login", a.login)
	mux.HandleFunc("GET /callback", a.callback)
	mux.HandleFunc("POST /call-api", a.act(homePage, a.callAPI))
	mux.HandleFunc("POST /refresh", a.act(homePage, a.refresh))
	mux.HandleFunc("POST /revoke", a.act(homePage, a.revoke))
	mux.HandleFunc("POST /logout", a.logout)
	mux.HandleFunc("GET "+timesPage, a.showTimes)
	mux.HandleFunc("POST "+timesPage, a.act(timesPage, a.measure))
	mux.HandleFunc("GET "+tvPage, a.tv)
	mux.HandleFunc("POST "+tvPage, a.beginTV)
	files(mux)
	a.handler = a.here(http.NewCrossOriginProtection().Handler(mux))
	return a, nil
}

// here sends whoever came by another name of this machine to the one that the
// redirect URI has: cookies of 127.0.0.1 are not those of localhost.
func (a *web) here(next http.Handler) http.Handler {
	_, host, _ := strings.Cut(a.opts.Web, "://")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Host == host:
			next.ServeHTTP(w, r)
		case r.Method == http.MethodGet || r.Method == http.MethodHead:
			http.Redirect(w, r, a.opts.Web+r.URL.RequestURI(), http.StatusSeeOther)
		default:
			http.Error(w, "this app is at "+a.opts.Web, http.StatusMisdirectedRequest)
		}
	})
}

func (a *web) home(w http.ResponseWriter, r *http.Request) {
	s := a.sessions.find(r)
	if s == nil {
		a.show(w, http.StatusOK, nil, nil)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a.show(w, http.StatusOK, s.account, s.last[homePage])
}

// show writes the page; acc is nil when nobody is signed in.
func (a *web) show(w http.ResponseWriter, status int, acc *account, last *result) {
	v := view{Title: "Log in", Brand: "Demo web app", Options: a.opts, Last: last}
	name := "signedout"
	if acc != nil {
		name, v.Wide, v.Account = "signedin", true, a.describe(acc)
		v.Title = v.Account.Name
	}
	a.pages.write(w, status, name, v, a.opts.Issuer)
}

func (a *web) back(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, homePage, http.StatusSeeOther)
}

// login sends the browser to the issuer.
func (a *web) login(w http.ResponseWriter, r *http.Request) {
	s := a.sessions.find(r)
	if s == nil {
		s = newSession(nil)
		a.sessions.keep(w, r, s)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := attempt{nonce: secret.ID(), verifier: oauth2.GenerateVerifier(), began: a.clock.Now()}
	state := s.begin(l)
	http.Redirect(w, r, a.oauth.AuthCodeURL(state, oidc.Nonce(l.nonce), oauth2.S256ChallengeOption(l.verifier)), http.StatusSeeOther)
}

// callback is where the issuer sends the browser back to.
func (a *web) callback(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s := a.sessions.find(r)
	if s == nil {
		a.show(w, http.StatusBadRequest, nil, &result{Title: "This login did not begin in this browser, or too long ago. Please try again."})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.end(q.Get("state"), a.clock.Now())
	if !ok {
		a.show(w, http.StatusBadRequest, s.account, &result{Title: "This login did not begin in this browser, or too long ago. Please try again."})
		return
	}
	if iss := q.Get("iss"); iss != a.opts.Issuer && (iss != "" || a.ends.NamesItself) {
		a.show(w, http.StatusBadRequest, s.account, &result{Title: "The answer names another issuer than the one that was asked. The login was stopped."})
		return
	}
	if code := q.Get("error"); code != "" {
		s.last[homePage] = a.result(&result{Title: "You were not logged in.", Detail: refusal(code, q.Get("error_description"))})
		a.back(w, r)
		return
	}
	acc, err := a.signIn(r.Context(), q.Get("code"), l)
	if err != nil {
		s.last[homePage] = a.result(&result{Title: "The login failed.", Detail: explain(err)})
		a.back(w, r)
		return
	}
	s.account, s.last[homePage] = acc, a.result(&result{Good: true, Title: "You are logged in."})
	a.sessions.keep(w, r, s)
	a.back(w, r)
}

// signIn turns a code into somebody signed in.
func (a *web) signIn(ctx context.Context, code string, l attempt) (*account, error) {
	ctx = oidc.ClientContext(ctx, a.client)
	token, err := a.oauth.Exchange(ctx, code, oauth2.VerifierOption(l.verifier))
	if err != nil {
		return nil, err
	}
	return a.meet(ctx, a.ids, token, l.nonce)
}

// meet finds out whom a token is about.
func (a *web) meet(ctx context.Context, ids *oidc.IDTokenVerifier, token *oauth2.Token, nonce string) (*account, error) {
	acc := &account{token: token, claims: map[string]any{}}
	id, err := identify(ctx, ids, acc, token)
	if err != nil {
		return nil, err
	}
	if id == nil {
		return nil, errors.New("the issuer sent no ID token")
	}
	if id.Nonce != nonce {
		return nil, errors.New("the ID token's nonce is not the one that was sent")
	}
	info, err := a.provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return nil, fmt.Errorf("userinfo: %w", err)
	}
	if info.Subject != id.Subject { // OpenID Connect Core §5.3.2
		return nil, errors.New("userinfo speaks of another person than the ID token")
	}
	claims := map[string]any{}
	if err := info.Claims(&claims); err != nil {
		return nil, fmt.Errorf("userinfo: %w", err)
	}
	for name, v := range acc.claims { // signed, so they win
		claims[name] = v
	}
	acc.claims = claims
	return acc, nil
}

// identify verifies the ID token that came with an access token and keeps it. It is
// nil when none came, as an answer to a refresh may do.
func identify(ctx context.Context, ids *oidc.IDTokenVerifier, acc *account, token *oauth2.Token) (*oidc.IDToken, error) {
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return nil, nil
	}
	id, err := ids.Verify(ctx, raw)
	if err != nil {
		return nil, err
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(token.AccessToken); err != nil {
			return nil, err
		}
	}
	if was, ok := acc.claims["sub"]; ok && was != id.Subject { // OpenID Connect Core §12.2
		return nil, errors.New("the new ID token is about another person")
	}
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil {
		return nil, err
	}
	acc.idToken = raw
	maps.Copy(acc.claims, claims)
	return id, nil
}

// logout forgets the person here and goes on to the issuer, which ends their
// session and all that it gave (OpenID Connect RP-Initiated Logout §2).
func (a *web) logout(w http.ResponseWriter, r *http.Request) {
	s := a.sessions.find(r)
	if s == nil {
		a.back(w, r)
		return
	}
	s.mu.Lock()
	acc := s.account
	s.mu.Unlock()
	if acc == nil {
		a.back(w, r)
		return
	}
	a.sessions.keep(w, r, newSession(a.result(&result{Good: true, Title: "You are logged out here."})))
	q := url.Values{
		"id_token_hint":            {acc.idToken},
		"client_id":                {a.opts.ClientID},
		"post_logout_redirect_uri": {a.opts.Web + "/"},
	}
	http.Redirect(w, r, a.ends.EndSession+"?"+q.Encode(), http.StatusSeeOther)
}

// refusal is an error code with its description.
func refusal(code, description string) string {
	if description == "" {
		return code
	}
	return code + ": " + description
}

// explain is what the page says about a failure at the issuer.
func explain(err error) string {
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok && refused.ErrorCode != "" {
		return refusal(refused.ErrorCode, refused.ErrorDescription)
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return "the issuer can't be reached: " + failed.Err.Error()
	}
	return err.Error()
}
