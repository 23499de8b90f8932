// Package logout ends a session at a client's request (OpenID Connect RP-Initiated
// Logout 1.0). A request that shows it knows the session, by an ID token of it or by
// its sid, ends it at once; any other asks the person first. Where the browser goes
// afterwards is a URI that the client registered, or nowhere.
package logout

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/directory"
	"github.com/jeton-auth/jeton/internal/grant"
	"github.com/jeton-auth/jeton/internal/session"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/subject"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

// Bounds of the parameters, in bytes.
const (
	maxHint    = 16 << 10
	maxState   = 2048
	maxLocales = 1024
)

// Hints reads ID tokens of ours that come back.
type Hints interface {
	// Subject verifies an ID token, expired or not.
	Subject(idToken string) (sub, sid, clientID string, err error)
}

// Logouts ends sessions.
type Logouts struct {
	Store     *store.Store
	Audit     *audit.Log
	Directory *directory.Directory
	Sessions  *session.Sessions
	Hints     Hints
	Names     *subject.Names
	Issuer    string
}

// Request is a checked request.
type Request struct {
	Client *store.Client // nil: nobody says who asks
	// To is where the browser goes afterwards; nil: to a page of ours.
	To        *Destination
	UILocales string

	sub, sid string // of a verified hint
	sidHint  string // logout_hint, which is a sid here
}

// Destination is a registered post-logout redirect URI with the state that goes
// there. Only Parse makes one.
type Destination struct{ uri, state string }

// Location is the URI to redirect to.
func (d *Destination) Location() string {
	if d.state == "" {
		return d.uri
	}
	separator := "?"
	if strings.Contains(d.uri, "?") {
		separator = "&"
	}
	return d.uri + separator + url.Values{"state": {d.state}}.Encode()
}

// Origin is the source expression that lets a page's form-action follow the redirect.
func (d *Destination) Origin() string { return spec.RedirectOrigin(d.uri) }

// Parse checks a request. A refusal is for a page of ours, and nothing has ended.
func (l *Logouts) Parse(p web.Params) (Request, *oauth.Error) {
	r := Request{sidHint: p.Get("logout_hint")}
	if locales := p.Get("ui_locales"); len(locales) <= maxLocales {
		r.UILocales = locales
	}
	id := p.Get("client_id")
	// A hint that can't be read proves nothing, so it counts as absent: the person
	// is asked.
	if hint := p.Get("id_token_hint"); hint != "" && len(hint) <= maxHint {
		if sub, sid, client, err := l.Hints.Subject(hint); err == nil {
			if id != "" && id != client {
				return r, oauth.Refuse(oauth.InvalidRequest, "client_id is not the client to which id_token_hint was issued")
			}
			r.sub, r.sid, id = sub, sid, client
		}
	}
	if id != "" {
		client, ok := l.Directory.Client(id)
		if !ok || client.Disabled {
			return r, oauth.Refuse(oauth.InvalidClient, "no client with this client_id is registered here, or it is switched off")
		}
		r.Client = client
	}
	refusal := l.destination(&r, p)
	return r, refusal
}

func (l *Logouts) destination(r *Request, p web.Params) *oauth.Error {
	uri, state := p.Get("post_logout_redirect_uri"), p.Get("state")
	switch {
	case uri == "":
		return nil
	case r.Client == nil:
		return oauth.Refuse(oauth.InvalidRequest, "post_logout_redirect_uri needs client_id, or a valid id_token_hint, beside it")
	case !slices.Contains(r.Client.PostLogoutRedirectURIs, uri):
		return oauth.Refuse(oauth.InvalidRequest, "post_logout_redirect_uri is not one that this client registered: it is compared as an exact string")
	case len(state) > maxState:
		return oauth.Refuse(oauth.InvalidRequest, "state is longer than %d bytes", maxState)
	}
	r.To = &Destination{uri, state}
	return nil
}

// Forward are the parameters with which the same request may be made again by GET,
// where the session's cookie is sent. The ID token is not among them: its sid is
// hint enough, and no token belongs in a URL of ours.
func (r *Request) Forward() url.Values {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	if r.Client != nil {
		set("client_id", r.Client.ID)
	}
	if r.To != nil {
		set("post_logout_redirect_uri", r.To.uri)
		set("state", r.To.state)
	}
	set("ui_locales", r.UILocales)
	if r.sid != "" {
		set("logout_hint", r.sid)
	} else {
		set("logout_hint", r.sidHint)
	}
	return v
}

// Begin ends the session if the request knows it, and otherwise returns it: its
// person is to be asked. It returns nil when nobody is logged in (any more), and what the
// browser is to load then.
func (l *Logouts) Begin(ctx context.Context, r Request, id []byte, origin audit.Origin) (who *store.Session, frames []string, err error) {
	reader, now := l.Store.Read(ctx), l.Store.Now()
	who, err = session.Current(reader, id, now)
	if err != nil || who == nil {
		return nil, nil, err
	}
	known := r.sidHint == session.SID(who.ID)
	if r.sub != "" && r.sub == l.Names.For(r.Client, who.Subject) && !known {
		// The sid changes when a person confirms who they are, so an ID token may name
		// one that is gone. A sid that lives names another browser.
		other, ok := session.ParseSID(r.sid)
		if known = !ok; ok {
			elsewhere, err := session.Current(reader, other, now)
			if err != nil {
				return nil, nil, err
			}
			known = elsewhere == nil || slices.Equal(elsewhere.ID, who.ID)
		}
	}
	if !known {
		return who, nil, nil
	}
	frames, err = l.End(ctx, r, who.ID, origin)
	return nil, frames, err
}

// End ends the session of that id, if there is one, and the grants that live in it. It
// returns the addresses that the browser is to load now.
func (l *Logouts) End(ctx context.Context, r Request, id []byte, origin audit.Origin) (frames []string, err error) {
	err = l.Audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		who, err := session.Current(tx.Reader, id, tx.Now())
		if err != nil || who == nil {
			return audit.Event{}, err
		}
		e := audit.Event{Type: audit.LoggedOut, Subject: who.Subject, Origin: origin}
		if r.Client != nil {
			e.Client = r.Client.ID
		}
		if frames, err = l.frames(tx.Reader, who.ID); err != nil {
			return e, err
		}
		return e, l.Sessions.End(tx, who.ID, grant.CauseLoggedOut)
	})
	return frames, err
}
