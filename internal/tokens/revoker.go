package tokens

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/directory"
	"github.com/jeton-auth/jeton/internal/grant"
	"github.com/jeton-auth/jeton/internal/recent"
	"github.com/jeton-auth/jeton/internal/revoke"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// The bounds of what single tokens may add to the revocation log (decision 0009).
const (
	perGrant    = 256                   // entries of tokens of one grant that are alive
	perOwn      = 1 << 14               // entries of a client's own tokens under one handle
	busy        = time.Minute           // how long after a collapse a client's revocations are gathered
	gatherFor   = 20 * time.Millisecond // and for how long
	handlesKept = 1 << 15               // under how many handles entries are counted
)

// CauseCollapsed is why a handle was revoked in the place of its many tokens.
const CauseCollapsed = "many_tokens_revoked"

// Revoker revokes single access tokens. A token that is revoked already costs
// nothing, and many tokens of one handle cost what the handle costs: the next one
// ends the grant, or gives the client's own tokens another handle.
type Revoker struct {
	st     *store.Store
	audit  *audit.Log
	dir    *directory.Directory
	grants *grant.Grants
	log    *revoke.Log

	// PerGrant and PerOwn are how many entries of single tokens of a grant, and of a
	// client's own, may be alive. They are set before the first use, if at all.
	PerGrant, PerOwn int

	mu      sync.Mutex
	counted *recent.Cache[string, *account] // by handle
	busy    map[string]*burst               // by client: those that ever collapsed
}

// NewRevoker makes a Revoker.
func NewRevoker(st *store.Store, log *audit.Log, dir *directory.Directory, grants *grant.Grants, revoked *revoke.Log) *Revoker {
	return &Revoker{
		st: st, audit: log, dir: dir, grants: grants, log: revoked, PerGrant: perGrant, PerOwn: perOwn,
		counted: recent.New[string, *account](handlesKept), busy: map[string]*burst{},
	}
}

// Ended is what was revoked: a token, or the handle that it was issued under. Entry
// is the number of its entry in the log; 0: it was revoked already.
type Ended struct {
	Kind  feed.Kind
	Name  string
	Entry int64
}

func (e *Ended) numbered(r store.Revocation) { e.Entry = r.N }

// account counts the entries of tokens under one handle. Whoever holds its lock
// revokes; the others wait, and find their token revoked or counted.
type account struct {
	mu    sync.Mutex
	until []time.Time // until when each entry is kept, oldest first
}

// alive is how many entries are kept at now.
func (a *account) alive(now time.Time) int {
	for len(a.until) > 0 && a.until[0].Before(now) {
		a.until = a.until[1:]
	}
	return len(a.until)
}

// burst gathers the revocations of a client that collapsed a while ago.
type burst struct {
	mu    sync.Mutex
	since time.Time // of the last collapse
	next  *gathering
}

// gathering is what waits for one entry.
type gathering struct {
	handles map[string]bool
	tokens  int
	done    chan struct{}
	ended   Ended
	err     error
}

// Revoke revokes a token. When it returns without an error the token is dead. by is
// who wants it, and cause is why.
func (v *Revoker) Revoke(ctx context.Context, t *Token, by audit.Origin, cause string) (Ended, error) {
	out := Ended{Kind: feed.Token, Name: t.ID}
	if v.log.Revoked(t.names) {
		return out, nil
	}
	handle := feed.Handle(t.ID)
	own := strings.HasPrefix(handle, ownPrefix)
	if own {
		if b := v.burst(t.ClientID, false); b != nil && b.on(v.st.Now()) {
			return v.gather(ctx, b, t, by)
		}
	}
	limit := v.PerGrant
	if own {
		limit = v.PerOwn
	}
	a := v.account(handle)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case v.log.Revoked(t.names):
		return out, nil
	case a.alive(v.st.Now()) < limit:
		return v.single(ctx, a, t, by, cause)
	case own:
		return v.many(ctx, t.ClientID, map[string]bool{handle: true}, 1, by)
	}
	return v.end(ctx, t, by)
}

func (v *Revoker) account(handle string) *account {
	v.mu.Lock()
	defer v.mu.Unlock()
	a, ok := v.counted.Get(handle)
	if !ok {
		a = &account{}
		v.counted.Put(strings.Clone(handle), a, 1)
	}
	return a
}

// burst is that of a client; nil where it has none and create is false.
func (v *Revoker) burst(client string, create bool) *burst {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.busy[client] == nil && create {
		v.busy[client] = &burst{}
	}
	return v.busy[client]
}

// on tells whether the last collapse is less than a minute ago.
func (b *burst) on(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return now.Sub(b.since) < busy
}

// single writes an entry of the token itself.
func (v *Revoker) single(ctx context.Context, a *account, t *Token, by audit.Origin, cause string) (Ended, error) {
	out := Ended{Kind: feed.Token, Name: t.ID}
	var until time.Time
	err := v.audit.Write(ctx, func(tx *store.Tx) (e audit.Event, err error) {
		e = audit.Event{Type: audit.TokenRevoked, Subject: t.Subject, Client: t.ClientID, Grant: feed.Handle(t.ID), Origin: by}
		if cause != grant.CauseRevoked {
			e.Data = map[string]string{"name": t.ID, "reason": cause}
		}
		return e, revoke.Numbered(tx, func(r store.Revocation) { out.Entry, until = r.N, r.Until }, func() error {
			return v.log.Add(tx, cause, revoke.Entry{Kind: feed.Token, Value: t.ID})
		})
	})
	if err == nil {
		a.until = append(a.until, until)
	}
	return out, err
}

// end ends the grant of a token that is alive: its row is there, and whoever ended it
// a moment ago wrote the entry.
func (v *Revoker) end(ctx context.Context, t *Token, by audit.Origin) (Ended, error) {
	out := Ended{Kind: feed.Grant, Name: feed.Handle(t.ID)}
	id, ok := grant.ParseHandle(out.Name)
	if !ok {
		return out, errors.New("tokens: a token's handle names no grant")
	}
	err := v.audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		e := audit.Event{
			Type: audit.GrantRevoked, Subject: t.Subject, Client: t.ClientID, Grant: out.Name, Origin: by,
			Data: map[string]string{"reason": CauseCollapsed},
		}
		return e, revoke.Numbered(tx, out.numbered, func() error { return v.grants.End(tx, id, CauseCollapsed) })
	})
	return out, err
}

// gather has a token wait for the entry that is written next. The caller may go; the
// entry is written for the others.
func (v *Revoker) gather(ctx context.Context, b *burst, t *Token, by audit.Origin) (Ended, error) {
	b.mu.Lock()
	g := b.next
	if g == nil {
		g = &gathering{handles: map[string]bool{}, done: make(chan struct{})}
		b.next = g
		client, detached := strings.Clone(t.ClientID), context.WithoutCancel(ctx)
		time.AfterFunc(gatherFor, func() {
			b.mu.Lock()
			b.next = nil
			b.mu.Unlock()
			g.ended, g.err = v.many(detached, client, g.handles, g.tokens, by)
			close(g.done)
		})
	}
	g.handles[feed.Handle(t.ID)] = true
	g.tokens++
	b.mu.Unlock()
	select {
	case <-g.done:
		return g.ended, g.err
	case <-ctx.Done():
		return Ended{}, ctx.Err()
	}
}

// many revokes the handle of a client's own tokens in the place of several of them,
// and remembers that the client is busy.
func (v *Revoker) many(ctx context.Context, client string, handles map[string]bool, tokens int, by audit.Origin) (Ended, error) {
	now := v.st.Now()
	out, err := v.own(ctx, client, handles, by, map[string]string{"reason": CauseCollapsed, "tokens": strconv.Itoa(tokens)})
	if err == nil && out.Entry > 0 {
		b := v.burst(client, true)
		b.mu.Lock()
		defer b.mu.Unlock()
		if now.After(b.since) {
			b.since = now
		}
	}
	return out, err
}

// RevokeOwn revokes a handle of a client's own tokens, and so all of them.
func (v *Revoker) RevokeOwn(ctx context.Context, client, handle string, by audit.Origin, cause string) (Ended, error) {
	return v.own(ctx, client, map[string]bool{handle: true}, by, map[string]string{"reason": cause})
}

// own revokes the handle of a client's own tokens, if it is among handles, and gives
// the client another. Every other handle of the client was revoked when it was
// replaced, and all of them are when the client is gone. why is for the event, and its
// reason for the log.
func (v *Revoker) own(ctx context.Context, client string, handles map[string]bool, by audit.Origin, why map[string]string) (Ended, error) {
	var out Ended
	err := v.audit.Write(ctx, func(tx *store.Tx) (e audit.Event, err error) {
		out = Ended{Kind: feed.Grant}
		c, err := tx.Client(client)
		if errors.Is(err, store.ErrNotFound) {
			return e, nil
		}
		if err != nil {
			return e, err
		}
		if out.Name = ClientHandle(client, c.Generation); !handles[out.Name] {
			return e, nil
		}
		// The new handle is in use before the old one is dead.
		if won, err := v.dir.RenewClient(tx, client, c.Generation); err != nil || !won {
			return e, err // who won revoked it
		}
		e = audit.Event{Type: audit.GrantRevoked, Client: client, Grant: out.Name, Origin: by, Data: why}
		return e, revoke.Numbered(tx, out.numbered, func() error {
			return v.log.Add(tx, why["reason"], revoke.Entry{Kind: feed.Grant, Value: out.Name})
		})
	})
	return out, err
}
