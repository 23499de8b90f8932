// Package clientauth authenticates clients at the token endpoint and its kin, by
// exactly the method that each registered: one file for each method.
package clientauth

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/jeton-auth/jeton/internal/directory"
	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

// Request is what a client sent, as far as authenticating goes.
type Request struct {
	Header http.Header
	Params web.Params
	// Endpoint is the address that was called, under the issuer's own name.
	Endpoint string
	// Certificates are those that the client showed, its own first.
	Certificates []*x509.Certificate
	// Before is asked once the client is known, before a credential that is good once is
	// spent: with its error, as when a DPoP proof lacks a nonce, the client may come again
	// with the same one. It may be nil.
	Before func(*store.Client) error
}

// bare tells whether a request only names its client: no credential stands in it.
func (r Request) bare() bool {
	return len(r.Header["Authorization"]) == 0 && !r.Params.Has("client_secret") &&
		!r.Params.Has("client_assertion") && !r.Params.Has("client_assertion_type")
}

// Method is one way to authenticate.
type Method interface {
	Name() oauth.AuthMethod
	// Presented tells whether the request uses this method, and for which client.
	Presented(Request) (clientID string, ok bool, err *oauth.Error)
	// Check verifies the credential of a client that registered this method: ErrRefused
	// if it is not right, or an *oauth.Error that says more to who proved to be the
	// client. Any other error is a failure of ours.
	Check(context.Context, Request, *store.Client) error
}

// spender is a Method whose credentials are good once. Spend is called for one that Check
// found right; its errors are *oauth.Error, or failures of ours.
type spender interface {
	Spend(context.Context, Request, *store.Client) error
}

// ErrRefused says that a credential is not the client's.
var ErrRefused = errors.New("clientauth: not the client's credential")

// Clients authenticates clients and, for introspection, resources.
type Clients struct {
	dir     *directory.Directory
	methods []Method
}

// New makes a Clients that knows the given methods.
func New(dir *directory.Directory, methods ...Method) *Clients { return &Clients{dir, methods} }

// Methods lists the known methods, for the metadata.
func (c *Clients) Methods() []oauth.AuthMethod {
	names := make([]oauth.AuthMethod, len(c.methods))
	for i, m := range c.methods {
		names[i] = m.Name()
	}
	return names
}

// refused is the one answer to every failed authentication: it does not tell
// whether the client exists.
func refused() *oauth.Error {
	return oauth.Refuse(oauth.InvalidClient, "the client is unknown, or it did not authenticate as it registered: check client_id, secret and auth_method")
}

// Client authenticates the client of a request. A request that uses two methods is
// refused (RFC 6749 §2.3). An error is an *oauth.Error, or a failure of ours.
func (c *Clients) Client(ctx context.Context, r Request) (*store.Client, error) {
	var used []Method
	var id string
	for _, m := range c.methods {
		presented, ok, err := m.Presented(r)
		if err != nil {
			return nil, err
		}
		if ok {
			used, id = append(used, m), presented
		}
	}
	switch sent := r.Params.Get("client_id"); {
	case len(used) == 0:
		return nil, oauth.Refuse(oauth.InvalidClient, "the request names no client: send client_id, or authenticate")
	case len(used) > 1 && !r.bare():
		return nil, oauth.Refuse(oauth.InvalidRequest, "the client authenticates in two ways at once: send one of them")
	case sent != "" && sent != id:
		return nil, oauth.Refuse(oauth.InvalidRequest, "client_id in the body is not the client that authenticates")
	}
	client, ok := c.dir.Client(id)
	if !ok {
		client = &nobody
	}
	// Of a request that only names its client the registration says what it is to prove.
	method := used[0]
	for _, m := range used {
		if m.Name() == client.AuthMethod {
			method = m
		}
	}
	if err := method.Check(ctx, r, client); err != nil && !errors.Is(err, ErrRefused) {
		return nil, err
	} else if err != nil || !ok || client.AuthMethod != method.Name() || client.Disabled {
		return nil, refused()
	}
	if r.Before != nil {
		if err := r.Before(client); err != nil {
			return nil, err
		}
	}
	if s, ok := method.(spender); ok {
		if err := s.Spend(ctx, r, client); err != nil {
			return nil, err
		}
	}
	return client, nil
}

// nobody is the client that an unknown id is checked against, so that it costs the
// same. Nothing has its hash.
var nobody = store.Client{SecretHash: secret.Bytes(32)}

// Resource authenticates a protected API by its introspection secret, in the header or
// in the body.
func (c *Clients) Resource(r Request) (*store.Resource, bool) {
	id, presented, ok := basic(r.Header)
	if len(r.Header["Authorization"]) == 0 && r.Params.Has("client_secret") {
		id, presented, ok = r.Params.Get("client_id"), password{r.Params.Get("client_secret"), r.Params.Get("client_secret")}, true
	}
	if !ok {
		return nil, false
	}
	res, known := c.dir.Resource(id)
	if !known {
		return nil, false
	}
	return res, len(res.SecretHash) > 0 && presented.matches(res.SecretHash)
}

// password is the secret of a Basic header. The standard form-url-encodes it; a
// client that forgot to is understood too, since both spellings must match the hash
// of one secret.
type password struct{ decoded, raw string }

func (p password) matches(hash []byte) bool {
	good := secret.Matches(hash, p.decoded)
	if p.raw != p.decoded {
		good = secret.Matches(hash, p.raw) || good
	}
	return good
}

// basic reads a Basic header (RFC 7617), id and secret form-url-encoded (RFC 6749
// §2.3.1).
func basic(h http.Header) (id string, p password, ok bool) {
	auth := h["Authorization"]
	if len(auth) != 1 || len(auth[0]) < 6 || !strings.EqualFold(auth[0][:6], "Basic ") {
		return "", p, false
	}
	text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(auth[0][6:]))
	if err != nil {
		return "", p, false
	}
	rawID, raw, ok := strings.Cut(string(text), ":")
	if !ok {
		return "", p, false
	}
	if id, err = url.QueryUnescape(rawID); err != nil {
		return "", p, false
	}
	p = password{decoded: raw, raw: raw}
	if decoded, err := url.QueryUnescape(raw); err == nil {
		p.decoded = decoded
	}
	return id, p, true
}
