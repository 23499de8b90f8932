// Package redeem answers the token endpoint: one file for each grant type. Each
// goes the same way: everything is read and checked first, then tokens are signed,
// then one conditional write spends what was presented. A check that fails spends
// nothing, and a token that lost the race is never sent.
package redeem

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/claims"
	"github.com/jeton-auth/jeton/internal/directory"
	"github.com/jeton-auth/jeton/internal/grant"
	"github.com/jeton-auth/jeton/internal/session"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/subject"
	"github.com/jeton-auth/jeton/internal/tokens"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

// Request is a token request of a client that is authenticated.
type Request struct {
	Client *store.Client
	Params web.Params
	Origin audit.Origin
	// Head is the head of the revocation log, read before the client was: a cutoff that
	// commits meanwhile reaches the tokens made here.
	Head int64
	// Confirmation is the key that the request proved: the access token is bound to it.
	Confirmation oauth.Confirmation
}

// tokenType is how the access token is presented (RFC 9449 §5).
func (r *Request) tokenType() string {
	if r.Confirmation.JKT != "" {
		return oauth.TokenTypeDPoP
	}
	return oauth.TokenTypeBearer
}

// GrantType redeems one grant type.
type GrantType interface {
	Name() oauth.GrantType
	Redeem(context.Context, Request) (Issued, error)
}

// Issued is what goes out (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3).
type Issued struct {
	AccessToken  string
	ExpiresIn    int64 // seconds
	Scope        string
	RefreshToken string
	IDToken      string
	TokenType    string
	// Details are the authorization details that the access token stands for.
	Details []oauth.AuthorizationDetail
}

// Issuer is what the grant types share.
type Issuer struct {
	Store     *store.Store
	Audit     *audit.Log
	Directory *directory.Directory
	Grants    *grant.Grants
	Minter    *tokens.Minter
	Names     *subject.Names
}

// Dispatcher finds the grant type of a request.
type Dispatcher struct {
	types []GrantType
}

// NewDispatcher knows the given grant types.
func NewDispatcher(types ...GrantType) *Dispatcher { return &Dispatcher{types} }

// Names lists the grant types, for the metadata.
func (d *Dispatcher) Names() []oauth.GrantType {
	names := make([]oauth.GrantType, len(d.types))
	for i, t := range d.types {
		names[i] = t.Name()
	}
	return names
}

// Redeem answers a token request. Every error is, or wraps, an *oauth.Error, or is a
// failure of ours.
func (d *Dispatcher) Redeem(ctx context.Context, r Request) (Issued, error) {
	name := oauth.GrantType(r.Params.Get("grant_type"))
	if name == "" {
		return Issued{}, oauth.Refuse(oauth.InvalidRequest, "grant_type is missing")
	}
	for _, t := range d.types {
		if t.Name() != name {
			continue
		}
		if !r.Client.MayUse(name) {
			return Issued{}, oauth.Refuse(oauth.UnauthorizedClient, "this client did not register the grant type %s", name)
		}
		return t.Redeem(ctx, r)
	}
	return Issued{}, oauth.Refuse(oauth.UnsupportedGrantType, "this server supports %s", list(d.Names()))
}

func list(names []oauth.GrantType) string {
	s := ""
	for i, n := range names {
		if i > 0 {
			s += ", "
		}
		s += string(n)
	}
	return s
}

// notOurs is the one answer to a credential that is forged, foreign or gone.
func notOurs(what string) *oauth.Error {
	return oauth.Refuse(oauth.InvalidGrant, "the %s is not one that this client was given, or it is over", what)
}

// find reads the grant of a presented credential and checks whose it is.
func (i *Issuer) find(ctx context.Context, r Request, presented string, kind grant.Kind, what string) (c grant.Credential, g store.Grant, err error) {
	c, g, err = i.Grants.Find(ctx, presented)
	if errors.Is(err, grant.ErrForged) {
		return c, g, notOurs(what)
	}
	if err != nil {
		return c, g, err
	}
	if c.Kind != kind || g.Client != r.Client.ID {
		return c, g, notOurs(what)
	}
	return c, g, nil
}

// recall is find from memory: ok only for the credential that comes next, of a grant
// that this client used a moment ago. It decides nothing (grant.Grants.Recall).
func (i *Issuer) recall(r Request, presented string, kind grant.Kind) (c grant.Credential, g store.Grant, ok bool) {
	c, g, ok = i.Grants.Recall(presented)
	return c, g, ok && c.Kind == kind && g.Client == r.Client.ID && c.Number == g.Number
}

// answer signs the tokens that a grant gives now. nonce is the code's; a refreshed ID
// token has none.
func (i *Issuer) answer(r Request, g *store.Grant, nonce string) (Issued, time.Time, error) {
	now := i.Store.Now()
	t, refusal := i.narrow(r.Client, g, r.Params)
	if refusal != nil {
		return Issued{}, now, refusal
	}
	access := i.access(r.Client, g, &t)
	access.Rev, access.Confirmation = r.Head, r.Confirmation
	token, expires, err := i.Minter.Access(now, access)
	if err != nil {
		return Issued{}, now, err
	}
	out := Issued{AccessToken: token, TokenType: r.tokenType(), ExpiresIn: expires.Unix() - now.Unix(), Scope: oauth.JoinScope(t.scopes), Details: t.details}
	if t.openID {
		id := i.id(r.Client, g)
		id.Nonce, id.AccessToken, id.Claims = nonce, token, claims.IDToken(&g.User, t.identity, claims.Still(r.Client, g.Details.Claims.IDToken))
		out.IDToken, err = i.Minter.ID(now, id)
	}
	return out, expires, err
}

// sid names the session in which a grant began: by this name its client knows the session,
// also after its person confirmed who they are and its id became another.
func sid(g *store.Grant) string {
	if g.Details.SID == "" && len(g.Session) > 0 {
		return session.SID(g.Session)
	}
	return g.Details.SID
}

// consented looks again whether the person still allows a third party what the
// grant holds.
func (i *Issuer) consented(ctx context.Context, client *store.Client, g *store.Grant) (bool, error) {
	if client.FirstParty {
		return true, nil
	}
	_, err := i.Store.Read(ctx).Consent(g.Subject, g.Client)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// end ends a grant in a transaction of its own and names the reason.
func (i *Issuer) end(ctx context.Context, r Request, g *store.Grant, event audit.Type, cause string) error {
	return i.Audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		return i.event(r, g, event), i.Grants.End(tx, g.ID, cause)
	})
}

// lost ends a grant whose row is behind a number that was given out: the database went
// back in time. No server starts on it any more until an operator has acted.
func (i *Issuer) lost(ctx context.Context, r Request, g *store.Grant, number int64) error {
	return i.Audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		why := fmt.Sprintf("grant %s stands at number %d, and its client has number %d", grant.Handle(g.ID), g.Number, number)
		return i.event(r, g, audit.WritesLost), errors.Join(tx.PutHold(store.HoldRecover, why), i.Grants.End(tx, g.ID, grant.CauseWritesLost))
	})
}

func (i *Issuer) event(r Request, g *store.Grant, t audit.Type) audit.Event {
	return audit.Event{Type: t, Subject: g.Subject, Client: g.Client, Grant: grant.Handle(g.ID), Origin: r.Origin}
}
