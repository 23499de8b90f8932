// Package clientauth authenticates clients at the token endpoint and its kin, by
// exactly the method that each registered: one file for each method.
package clientauth

import (
	"encoding/base64"
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
}

// Method is one way to authenticate.
type Method interface {
	Name() oauth.AuthMethod
	// Presented tells whether the request uses this method, and for which client.
	Presented(Request) (clientID string, ok bool, err *oauth.Error)
	// Check verifies the credential of a client that registered this method.
	Check(Request, *store.Client) bool
}

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
// refused (RFC 6749 §2.3).
func (c *Clients) Client(r Request) (*store.Client, *oauth.Error) {
	var used Method
	var id string
	for _, m := range c.methods {
		presented, ok, err := m.Presented(r)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if used != nil {
			return nil, oauth.Refuse(oauth.InvalidRequest, "the client authenticates in two ways at once: send one of them")
		}
		used, id = m, presented
	}
	if used == nil {
		return nil, oauth.Refuse(oauth.InvalidClient, "the request names no client: send client_id, or authenticate")
	}
	if sent := r.Params.Get("client_id"); sent != "" && sent != id {
		return nil, oauth.Refuse(oauth.InvalidRequest, "client_id in the body is not the client that authenticates")
	}
	client, ok := c.dir.Client(id)
	if !ok {
		client = &nobody
	}
	good := used.Check(r, client)
	if !ok || !good || client.AuthMethod != used.Name() || client.Disabled {
		return nil, refused()
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
