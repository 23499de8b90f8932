package manage

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"unicode"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/grant"
	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/revoke"
	"github.com/jeton-auth/jeton/internal/session"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/tokens"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// Target names what is to be revoked: exactly one of its fields.
type Target struct {
	// Token is an access token, or the jti of one. A code or refresh token stands for
	// its grant.
	Token   string `json:"token,omitempty"`
	Grant   string `json:"grant,omitempty"`   // handle; a client's own stands for all of its own tokens
	Session string `json:"session,omitempty"` // sid
	User    string `json:"user,omitempty"`    // subject or e-mail address
	Client  string `json:"client,omitempty"`
	Key     string `json:"key,omitempty"` // kid
	All     bool   `json:"all,omitempty"`
}

// Revoked is what was revoked. Entry is the number in the revocation log of the last
// entry that tells of it; 0: nothing was alive any more.
type Revoked struct {
	Kind  feed.Kind `json:"kind"`
	Name  string    `json:"name,omitempty"`
	Entry int64     `json:"entry,omitempty"`
}

func (r *Revoked) numbered(e store.Revocation) { r.Entry = e.N }

// Revoke revokes what t names, for a reason that the log and the audit trail keep.
func (m *Manager) Revoke(ctx context.Context, by audit.Origin, t Target, reason string) (Revoked, error) {
	named := 0
	for _, set := range []bool{t.Token != "", t.Grant != "", t.Session != "", t.User != "", t.Client != "", t.Key != "", t.All} {
		if set {
			named++
		}
	}
	if named != 1 {
		return Revoked{}, invalid("name one thing to revoke: a token, a grant, a session, a user, a client, a key, or all")
	}
	r := revocation{m, by, cause(reason)}
	switch {
	case t.Token != "":
		return r.token(ctx, t.Token)
	case t.Grant != "":
		return r.grant(ctx, t.Grant)
	case t.Session != "":
		return r.session(ctx, t.Session)
	case t.User != "":
		return r.user(ctx, t.User)
	case t.Client != "":
		return r.client(ctx, t.Client)
	case t.Key != "":
		return r.key(ctx, t.Key)
	}
	return r.write(ctx, Revoked{Kind: feed.All}, audit.Event{Type: audit.CutOff}, func(tx *store.Tx) error {
		// Sessions are compared with the cutoff as grants are; their rows go in the job expire.
		return m.Revoked.Add(tx, r.cause, revoke.Entry{Kind: feed.All})
	})
}

// maxReason bounds a reason, in bytes.
const maxReason = 200

// cause is a reason on one line.
func cause(reason string) string {
	text := strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(reason, ""))
	text = strings.TrimSpace(strings.ToValidUTF8(text[:min(len(text), maxReason)], ""))
	if text == "" {
		return "operator"
	}
	return text
}

// revocation is one wish of an operator.
type revocation struct {
	*Manager
	by    audit.Origin
	cause string
}

// write revokes in one transaction and finds the number of the last entry.
func (r revocation) write(ctx context.Context, out Revoked, e audit.Event, body func(*store.Tx) error) (Revoked, error) {
	err := r.Audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		return r.event(e, out), revoke.Numbered(tx, out.numbered, func() error { return body(tx) })
	})
	return out, err
}

func (r revocation) event(e audit.Event, out Revoked) audit.Event {
	e.Origin, e.Data = r.by, map[string]string{"kind": string(out.Kind), "reason": r.cause}
	if out.Name != "" {
		e.Data["name"] = out.Name
	}
	return e
}

// jti is the form of an access token's identifier: a grant's handle, or a client's own,
// and random bits.
var jti = regexp.MustCompile(`^((c\.)?[A-Za-z0-9_-]{22})\.[A-Za-z0-9_-]{16}$`)

func (r revocation) token(ctx context.Context, token string) (Revoked, error) {
	if grant.Looks(token) {
		_, g, err := r.Grants.Find(ctx, token)
		if errors.Is(err, grant.ErrForged) {
			return Revoked{}, invalid("the code or refresh token is none of this issuer, or its grant is gone")
		}
		if err != nil {
			return Revoked{}, err
		}
		return r.end(ctx, &g)
	}
	if jti.MatchString(token) {
		return r.named(ctx, token)
	}
	t, err := r.Reader.Read(token, r.Store.Now())
	if errors.Is(err, tokens.ErrInvalid) {
		return Revoked{}, invalid("the token is none of this issuer, or it has expired")
	}
	if err != nil {
		return Revoked{}, err
	}
	return r.access(ctx, t)
}

// named revokes an access token by its jti. It has no row, but what it was issued under
// is known while it lives.
func (r revocation) named(ctx context.Context, id string) (Revoked, error) {
	handle := feed.Handle(id)
	if g, ok := grant.ParseHandle(handle); ok {
		row, err := r.Store.Read(ctx).Grant(g)
		if err != nil {
			return Revoked{}, known(err, "grant", handle)
		}
		return r.access(ctx, tokens.Named(id, row.Subject, row.Client, r.Revoked.Head()))
	}
	client, ok := r.ownerOf(handle)
	if !ok {
		return Revoked{}, &Missing{"client that may hold the token", id}
	}
	return r.access(ctx, tokens.Named(id, client, client, r.Revoked.Head()))
}

// ownerOf is the client whose own tokens have a handle now.
func (r revocation) ownerOf(handle string) (client string, ok bool) {
	for _, c := range r.Directory.Clients() {
		if tokens.ClientHandle(c.ID, c.Generation) == handle {
			return c.ID, true
		}
	}
	return "", false
}

func (r revocation) access(ctx context.Context, t *tokens.Token) (Revoked, error) {
	ended, err := r.Revoker.Revoke(ctx, t, r.by, r.cause)
	return Revoked(ended), err
}

func (r revocation) grant(ctx context.Context, handle string) (Revoked, error) {
	if client, ok := r.ownerOf(handle); ok {
		ended, err := r.Revoker.RevokeOwn(ctx, client, handle, r.by, r.cause)
		return Revoked(ended), err
	}
	id, ok := grant.ParseHandle(handle)
	if !ok {
		return Revoked{}, invalid("grant: %q is not a handle that is in use: it is the jti of an access token up to its last dot", handle)
	}
	g, err := r.Store.Read(ctx).Grant(id)
	if err != nil {
		return Revoked{}, known(err, "grant", handle)
	}
	return r.end(ctx, &g)
}

func (r revocation) end(ctx context.Context, g *store.Grant) (Revoked, error) {
	handle := grant.Handle(g.ID)
	e := audit.Event{Type: audit.GrantRevoked, Subject: g.Subject, Client: g.Client, Grant: handle}
	return r.write(ctx, Revoked{Kind: feed.Grant, Name: handle}, e, func(tx *store.Tx) error {
		return r.Grants.End(tx, g.ID, r.cause)
	})
}

func (r revocation) session(ctx context.Context, sid string) (Revoked, error) {
	id, ok := session.ParseSID(sid)
	if !ok {
		return Revoked{}, invalid("session: %q is not the sid of a session", sid)
	}
	who, err := session.Current(r.Store.Read(ctx), id, r.Store.Now())
	if err != nil {
		return Revoked{}, err
	}
	if who == nil {
		return Revoked{}, &Missing{"session", sid}
	}
	e := audit.Event{Type: audit.LoggedOut, Subject: who.Subject}
	return r.write(ctx, Revoked{Kind: feed.Session, Name: sid}, e, func(tx *store.Tx) error {
		return r.Grants.EndSession(tx, id, r.cause)
	})
}

func (r revocation) user(ctx context.Context, name string) (Revoked, error) {
	u, err := r.FindUser(ctx, name)
	if err != nil {
		return Revoked{}, err
	}
	return r.write(ctx, Revoked{Kind: feed.Subject, Name: u.ID}, audit.Event{Type: audit.CutOff, Subject: u.ID}, func(tx *store.Tx) error {
		return r.cutOff(tx, u.ID, r.cause)
	})
}

func (r revocation) client(ctx context.Context, id string) (Revoked, error) {
	if _, ok := r.Directory.Client(id); !ok {
		return Revoked{}, &Missing{"client", id}
	}
	return r.write(ctx, Revoked{Kind: feed.Client, Name: id}, audit.Event{Type: audit.CutOff, Client: id}, func(tx *store.Tx) error {
		return r.Revoked.Add(tx, r.cause, revoke.Entry{Kind: feed.Client, Value: id})
	})
}

// key takes a key out of the ring. A cutoff would not do: who has the key forges rev.
func (r revocation) key(ctx context.Context, kid string) (Revoked, error) {
	out := Revoked{Kind: feed.Key, Name: kid}
	err := r.Ring.Remove(ctx, kid, func(tx *store.Tx) (err error) {
		err = revoke.Numbered(tx, out.numbered, func() error {
			return r.Revoked.Add(tx, r.cause, revoke.Entry{Kind: feed.Key, Value: kid})
		})
		return errors.Join(err, audit.Append(tx, r.event(audit.Event{Type: audit.KeyRevoked}, out)))
	})
	if errors.Is(err, keys.ErrUnknownKey) || errors.Is(err, keys.ErrPepper) {
		return out, &Invalid{err.Error()}
	}
	return out, err
}
