package authorize

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

// PushedLifetime is how long after a push the browser may come with its request_uri; FAPI
// 2.0 Security Profile §5.3.2.2 wants less than ten minutes. A flow that began in time
// takes as long as any other.
const PushedLifetime = 5 * time.Minute

// pushedBytes is the random part of a request_uri.
const pushedBytes = 32

// PushRequest is a pushed authorization request of a client that is authenticated.
type PushRequest struct {
	Client *store.Client
	Params web.Params
	// JKT is the thumbprint of the DPoP key that the push was proved by; empty: of none.
	JKT    string
	Origin audit.Origin
}

// Push checks an authorization request as the authorization endpoint would, and keeps it
// for the client's browser (RFC 9126 §2). The request_uri is good for PushedLifetime. A
// refusal is an *oauth.Error.
func (f *Flows) Push(ctx context.Context, r PushRequest) (requestURI string, err error) {
	if r.Params.Has("request_uri") {
		return "", oauth.Refuse(oauth.InvalidRequest, "request_uri must not be pushed: send the parameters, or a request object in request")
	}
	// The client is known, however it said who it is.
	parsed, err := f.read(ctx, r.Params.With("client_id", r.Client.ID), via{pushed: true, jkt: r.JKT})
	if err != nil {
		return "", err
	}
	name := base64.RawURLEncoding.EncodeToString(secret.Bytes(pushedBytes))
	now := f.Store.Now()
	kept := store.Pushed{
		Key: pushedKey(name), Request: parsed.Request,
		ExpiresAt: now.Add(PushedLifetime), KeptUntil: now.Add(PushedLifetime + Lifetime),
	}
	err = f.Audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		return audit.Event{Type: audit.RequestPushed, Client: r.Client.ID, Origin: r.Origin}, tx.CreatePushed(kept)
	})
	return oauth.RequestURIPrefix + name, err
}

func pushedKey(name string) []byte {
	sum := sha256.Sum256([]byte(name))
	return sum[:]
}

// pushed finds a request that its client pushed. Of the parameters beside request_uri
// client_id alone counts, and must be whose request it is (RFC 9126 §4).
func (f *Flows) pushed(ctx context.Context, params web.Params, name string) (Parsed, error) {
	s := &parsing{Parser: f.Parser, params: params}
	if refusal := s.client(); refusal != nil {
		return s.Parsed, refusal
	}
	kept, err := f.Store.Read(ctx).Pushed(pushedKey(name))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return s.Parsed, err
	}
	if err != nil || kept.Request.Client != s.Client.ID {
		return s.Parsed, oauth.Refuse(oauth.InvalidRequestURI, "request_uri is none that this client was given, or it is long over")
	}
	kept.Request.Pushed = kept.Key
	parsed, err := f.again(kept.Request)
	switch {
	case err != nil:
		return parsed, err
	case kept.Used:
		return parsed, usedBefore()
	case !f.Store.Now().Before(kept.ExpiresAt):
		return parsed, oauth.Refuse(oauth.InvalidRequestURI, "request_uri is over: it lives %d seconds", int(PushedLifetime.Seconds()))
	}
	return parsed, nil
}

func usedBefore() *oauth.Error {
	return oauth.Refuse(oauth.InvalidRequestURI, "the request behind request_uri was answered before: push a new one")
}

// spend consumes what the answer of a request ends: the flow, and the pushed request with
// which it began. Of all flows that began with one, one is answered.
func (p *Pending) spend(tx *store.Tx) error {
	if p.flow != nil {
		if err := p.flows.consume(tx, p.flow.ID); err != nil {
			return err
		}
	}
	if len(p.Request.Pushed) == 0 {
		return nil
	}
	won, err := tx.UsePushed(p.Request.Pushed)
	if err == nil && !won {
		return usedBefore()
	}
	return err
}
