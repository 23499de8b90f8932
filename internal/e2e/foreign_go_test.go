package e2e

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// TestForeignGo goes the whole way with golang.org/x/oauth2 and go-oidc, which know
// nothing of Jeton: over TLS, with the default RS256 and with ES256, with and without
// a consent page, with both ways to send a secret.
func TestForeignGo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		app
		secret, alg, bye string
	}{
		{shop, shopSecret, "RS256", "https://shop.example.com/"},
		{club, clubSecret, "ES256", "https://club.example.com/bye"},
	} {
		t.Run(c.id+" "+c.alg, func(t *testing.T) {
			t.Parallel()
			i := start(t, secure)
			f := discover(t, i, c.id, c.secret, c.redirect)
			if algs := f.meta.IDTokenAlgs; !slices.Contains(algs, c.alg) || slices.Contains(algs, "none") {
				t.Errorf("algorithms %q", algs)
			}
			p := i.ada()
			token := f.exchange(p, c.app)
			id := f.verify(token)
			if alg := header(t, token.Extra("id_token").(string))["alg"]; alg != c.alg {
				t.Errorf("ID token signed with %v, want %s", alg, c.alg)
			}
			f.userinfo(token, id.Subject)
			fresh := f.refresh(token)
			if again := f.verify(fresh); again.Subject != id.Subject || again.Nonce != "" {
				t.Errorf("the refreshed ID token: %+v", again)
			}
			f.userinfo(fresh, id.Subject)
			f.revoke(c.app, fresh)
			if _, err := f.provider.UserInfo(f.ctx, oauth2.StaticTokenSource(fresh)); err == nil {
				t.Error("userinfo takes a token of a revoked grant")
			}
			if _, err := f.config.TokenSource(f.ctx, &oauth2.Token{RefreshToken: fresh.RefreshToken}).Token(); err == nil {
				t.Error("a revoked refresh token was redeemed")
			}
			f.logOut(p, c.app, fresh, c.bye)
		})
	}
}

// foreign is a client made of golang.org/x/oauth2 and go-oidc.
type foreign struct {
	t        *testing.T
	i        *issuer
	ctx      context.Context
	provider *oidc.Provider
	config   oauth2.Config
	nonce    string
	meta     struct {
		Revocation  string   `json:"revocation_endpoint"`
		EndSession  string   `json:"end_session_endpoint"`
		IDTokenAlgs []string `json:"id_token_signing_alg_values_supported"`
	}
}

func discover(t *testing.T, i *issuer, id, secret, redirect string) *foreign {
	t.Helper()
	f := &foreign{t: t, i: i, ctx: oidc.ClientContext(t.Context(), i.web)}
	var err error
	if f.provider, err = oidc.NewProvider(f.ctx, i.url); err != nil {
		t.Fatal(err)
	}
	if err := f.provider.Claims(&f.meta); err != nil {
		t.Fatal(err)
	}
	f.config = oauth2.Config{
		ClientID: id, ClientSecret: secret, RedirectURL: redirect, Endpoint: f.provider.Endpoint(),
		Scopes: []string{oidc.ScopeOpenID, "profile", "email", oidc.ScopeOfflineAccess},
	}
	return f
}

// exchange sends a person through the browser part and redeems the code.
func (f *foreign) exchange(p *person, a app) *oauth2.Token {
	f.t.Helper()
	verifier, state := oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	f.nonce = oauth2.GenerateVerifier()
	address, err := url.Parse(f.config.AuthCodeURL(state, oidc.Nonce(f.nonce), oauth2.S256ChallengeOption(verifier)))
	if err != nil {
		f.t.Fatal(err)
	}
	code := p.allow(request{address.Query(), a, verifier})
	token, err := f.config.Exchange(f.ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		f.t.Fatal(err)
	}
	return token
}

// verify checks an ID token with the settings that everybody starts with.
func (f *foreign) verify(token *oauth2.Token) *oidc.IDToken {
	f.t.Helper()
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		f.t.Fatal("no ID token")
	}
	id, err := f.provider.Verifier(&oidc.Config{ClientID: f.config.ClientID}).Verify(f.ctx, raw)
	if err != nil {
		f.t.Fatal(err)
	}
	if id.Nonce != "" && id.Nonce != f.nonce {
		f.t.Error("the nonce is another one")
	}
	if err := id.VerifyAccessToken(token.AccessToken); err != nil {
		f.t.Error(err)
	}
	return id
}

func (f *foreign) userinfo(token *oauth2.Token, subject string) {
	f.t.Helper()
	info, err := f.provider.UserInfo(f.ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		f.t.Fatal(err)
	}
	if info.Subject != subject || info.Email != "ada@example.com" || !info.EmailVerified {
		f.t.Errorf("userinfo: %+v", info)
	}
}

func (f *foreign) refresh(token *oauth2.Token) *oauth2.Token {
	f.t.Helper()
	fresh, err := f.config.TokenSource(f.ctx, &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
	if err != nil {
		f.t.Fatal(err)
	}
	if fresh.RefreshToken == token.RefreshToken || fresh.AccessToken == token.AccessToken {
		f.t.Error("a refresh gave a token that was there before")
	}
	return fresh
}

// revoke is written by hand: x/oauth2 leaves RFC 7009 to its caller.
func (f *foreign) revoke(a app, token *oauth2.Token) {
	f.t.Helper()
	path, ok := strings.CutPrefix(f.meta.Revocation, f.i.url)
	if !ok {
		f.t.Fatalf("revocation_endpoint %q is not below the issuer", f.meta.Revocation)
	}
	f.i.post(path, a.as, "token", token.RefreshToken, "token_type_hint", "refresh_token").want(200, "")
}

// logOut ends the session at the issuer, which sends the browser back.
func (f *foreign) logOut(p *person, a app, token *oauth2.Token, bye string) {
	f.t.Helper()
	silent := a.asking("openid", "prompt", "none")
	if p.authorize(silent).answer(silent).Get("code") == "" {
		f.t.Error("nobody is logged in before the logout")
	}
	q := values("id_token_hint", token.Extra("id_token").(string), "post_logout_redirect_uri", bye, "state", "so long")
	on := p.get(f.meta.EndSession + "?" + q.Encode())
	if on.status != http.StatusSeeOther || on.at.String() != bye+"?state=so+long" {
		f.t.Fatalf("logged out to %d %s: %s", on.status, on.at, on.body)
	}
	if got := p.authorize(silent).answer(silent).Get("error"); got != "login_required" {
		f.t.Errorf("after the logout prompt=none answers %q", got)
	}
}
