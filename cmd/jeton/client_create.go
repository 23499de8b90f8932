package main

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/jeton-auth/jeton/internal/adminapi"
	"github.com/jeton-auth/jeton/internal/config"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/oauth"
)

type clientCreate struct {
	instance
	ID                    string            `arg:"" help:"Client id."`
	Name                  string            `help:"What people are shown."`
	Profile               spec.Profile      `help:"oidc, oauth21, fapi2 or fapi2-message-signing (the server's)."`
	AuthMethod            oauth.AuthMethod  `default:"client_secret_basic" help:"client_secret_basic, client_secret_post, private_key_jwt, tls_client_auth, self_signed_tls_client_auth or none (${default})."`
	JWKS                  string            `name:"jwks" placeholder:"FILE" help:"Its public keys, a JWK Set."`
	JWKSURI               string            `name:"jwks-uri" placeholder:"URL" help:"Where it publishes them."`
	SubjectDN             string            `name:"tls-subject-dn" help:"Subject of its certificate, for tls_client_auth."`
	GrantType             []oauth.GrantType `required:"" help:"authorization_code, refresh_token, client_credentials, implicit or device_code; may be repeated."`
	RedirectURI           []string          `name:"redirect-uri" sep:"none" help:"May be repeated."`
	PostLogoutRedirectURI []string          `name:"post-logout-redirect-uri" sep:"none" help:"May be repeated."`
	Scope                 []string          `help:"What it may be granted at most; may be repeated."`
	Resource              []string          `sep:"none" help:"Identifier of an API it may ask tokens for; may be repeated."`
	FirstParty            bool              `help:"No consent page."`
	RequirePKCE           bool              `name:"require-pkce" default:"true" negatable:"" help:"Every authorization request has a PKCE challenge (the default)."`

	DPoPBound            bool     `name:"dpop-bound" help:"Bind every access token to a DPoP key."`
	MTLSBound            bool     `name:"mtls-bound" help:"Bind every access token to its certificate."`
	RequirePAR           bool     `name:"require-par" help:"Take pushed authorization requests alone."`
	RequireSignedRequest bool     `help:"Take signed authorization requests alone."`
	RequestURI           []string `name:"request-uri" sep:"none" help:"Where its request objects are; may be repeated."`

	ResponseType []oauth.ResponseType `sep:"," help:"code, and what else it is given at /authorize, as in 'code id_token'; may be repeated."`
	ResponseMode []oauth.ResponseMode `help:"query, fragment, form_post, jwt, query.jwt, fragment.jwt or form_post.jwt; may be repeated."`
	IDTokenAlg   oauth.Alg            `name:"id-token-alg" help:"ES256, ES384, EdDSA, RS256 or PS256."`
	ResponseAlg  oauth.Alg            `help:"Signs responses in a JWT."`
	UserinfoAlg  oauth.Alg            `help:"Signs userinfo."`

	AuthorizationDetailsType []string          `help:"Type of authorization_details that it may ask for; may be repeated."`
	SubjectType              oauth.SubjectType `help:"public or pairwise."`
	SectorIdentifierURI      string            `name:"sector-identifier-uri" placeholder:"URL" help:"Lists the redirect URIs of its sector."`
	BackchannelLogoutURI     string            `name:"backchannel-logout-uri" placeholder:"URL" help:"Is told when a session ends."`
	FrontchannelLogoutURI    string            `name:"frontchannel-logout-uri" placeholder:"URL" help:"Is loaded in the browser at a logout."`
}

func (c *clientCreate) Run(ctx context.Context, std *streams) error {
	s := spec.Client{
		ID: c.ID, Name: c.Name, Profile: c.Profile, AuthMethod: c.AuthMethod, JWKSURI: c.JWKSURI, TLSSubjectDN: c.SubjectDN,
		GrantTypes: c.GrantType, RedirectURIs: c.RedirectURI, PostLogoutRedirectURIs: c.PostLogoutRedirectURI,
		Scopes: c.Scope, Resources: c.Resource, FirstParty: c.FirstParty, DPoPBound: c.DPoPBound, MTLSBound: c.MTLSBound,
		RequirePAR: c.RequirePAR, RequireSignedRequest: c.RequireSignedRequest, RequestURIs: c.RequestURI,
		ResponseTypes: c.ResponseType, ResponseModes: c.ResponseMode, IDTokenAlg: c.IDTokenAlg, ResponseAlg: c.ResponseAlg,
		UserinfoAlg: c.UserinfoAlg, AuthorizationDetailsTypes: c.AuthorizationDetailsType, SubjectType: c.SubjectType,
		SectorIdentifierURI: c.SectorIdentifierURI, BackchannelLogoutURI: c.BackchannelLogoutURI, FrontchannelLogoutURI: c.FrontchannelLogoutURI,
	}
	if !c.RequirePKCE {
		s.RequirePKCE = &c.RequirePKCE
	}
	if c.JWKS != "" {
		keys, err := readKeys(c.JWKS)
		if err != nil {
			return err
		}
		s.JWKS = keys
	}
	var out adminapi.Client
	if err := c.call(ctx, std, http.MethodPost, "/clients", s, &out); err != nil {
		return err
	}
	return c.showClients(std, out, out)
}

func readKeys(path string) (spec.JWKS, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > config.MaxSize {
		err = fmt.Errorf("%s is larger than 1 MiB", path)
	}
	if err != nil {
		return "", err
	}
	data, err := os.ReadFile(path)
	return spec.JWKS(data), err
}
