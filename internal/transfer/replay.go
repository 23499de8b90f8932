package transfer

import (
	"encoding/json"
	"io"
	"slices"
	"time"

	"github.com/jeton-auth/jeton/internal/grant"
	"github.com/jeton-auth/jeton/internal/revoke"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// replay is what revocation journals say happened after a backup, and with it which
// grants can be vouched for: those that the backup holds, that no journal ends, and
// whose refresh token does not change with use, so that its number is known. All other
// grants end: where tokens rotate, the number in the backup may be one that was replaced
// since, and a stolen copy of it would come back to life.
type replay struct {
	ended    map[string]bool // handles
	subjects map[string]int64
	clients  map[string]int64
	keys     map[string]time.Time // until when readers must know
	all      int64
	lines    int

	steady map[string]bool // clients whose refresh tokens don't rotate
	kept   int64           // live grants that go on
	over   int64           // live grants that ended
}

// numbers are those of the revocations that journals hold, or name.
type numbers struct {
	seen    map[int64]bool
	highest int64
	since   time.Time // the earliest line
}

// readJournals reads what happened after a backup. It refuses journals that can't know
// all of it.
func readJournals(journals []io.Reader, of store.Issuer, at time.Time, mark *Mark) (*replay, error) {
	p := &replay{
		ended: map[string]bool{}, subjects: map[string]int64{}, clients: map[string]int64{},
		keys: map[string]time.Time{}, steady: map[string]bool{},
	}
	n := numbers{seen: map[int64]bool{}, highest: of.Head}
	for _, r := range journals {
		err := revoke.ReadJournal(r, func(l revoke.Line) error {
			switch {
			case slices.Contains(of.Former, l.Incarnation):
				return nil
			case l.Incarnation != of.Incarnation:
				return refuse("a journal holds revocations of incarnation %s, which is neither the backup's (%s) nor one before it: the issuer was restored since this backup. Restore a later one, or without --replay", l.Incarnation, of.Incarnation)
			}
			if when := time.UnixMilli(l.At); n.since.IsZero() || when.Before(n.since) {
				n.since = when
			}
			p.take(l, of.Head, &n)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	switch {
	case mark == nil:
	case mark.Incarnation == of.Incarnation:
		n.highest = max(n.highest, mark.Head)
	case slices.Contains(mark.Former, of.Incarnation):
		return nil, refuse("the high-water mark is of incarnation %s: the issuer was restored since this backup. Restore a later one, or without --replay", mark.Incarnation)
	}
	if n.since.IsZero() || n.since.After(at) {
		return nil, refuse("the journals begin after the backup: what happened in between is not known. Give the older ones too, or restore without --replay")
	}
	for k := of.Head + 1; k <= n.highest; k++ {
		if !n.seen[k] {
			return nil, refuse("revocation %d is in none of the journals, and there were %d: give those of every node, and those that were put away since the backup; or restore without --replay", k, n.highest)
		}
	}
	return p, nil
}

func (p *replay) take(l revoke.Line, head int64, n *numbers) {
	n.highest = max(n.highest, l.N)
	if l.Kind == revoke.Opened {
		return
	}
	if l.N > 0 && l.N <= head {
		return // the backup holds it
	}
	if l.N > 0 {
		n.seen[l.N] = true
	}
	p.lines++
	switch l.Kind {
	case feed.Grant:
		p.ended[l.Value] = true
	case feed.Subject:
		p.subjects[l.Value] = max(p.subjects[l.Value], l.N)
	case feed.Client:
		p.clients[l.Value] = max(p.clients[l.Value], l.N)
	case feed.Key:
		p.keys[l.Value] = time.UnixMilli(l.Until)
	case feed.All:
		p.all = max(p.all, l.N)
	}
	// Access tokens are all cut off, and sessions all end.
}

// row changes a row of the backup to what it has become since; false: it is gone.
func (p *replay) row(t store.Table, r store.Row, now time.Time) (bool, error) {
	switch t.Name {
	case "issuer":
		raise(t, r, "cutoff", p.all)
	case "keys":
		_, revoked := p.keys[r[t.Index("id")].(string)]
		return !revoked, nil
	case "users":
		raise(t, r, "cutoff", p.subjects[r[t.Index("id")].(string)])
	case "clients":
		id := r[t.Index("id")].(string)
		raise(t, r, "cutoff", p.clients[id])
		var c spec.Client
		if err := json.Unmarshal([]byte(r[t.Index("spec")].(string)), &c); err != nil {
			return false, err
		}
		p.steady[id] = c.RefreshToken.Rotate == spec.RotateNever
	case "sessions":
		return false, nil
	case "grants":
		p.grant(t, r, now)
	}
	return true, nil
}

func raise(t store.Table, r store.Row, column string, to int64) {
	i := t.Index(column)
	r[i] = max(r[i].(int64), to)
}

func (p *replay) grant(t store.Table, r store.Row, now time.Time) {
	if r[t.Index("ended_at")].(int64) > 0 {
		return
	}
	handle := grant.Handle(store.GrantID(r[t.Index("id")].([]byte)))
	bound := len(r[t.Index("session")].([]byte)) > 0
	if !p.ended[handle] && !bound && r[t.Index("number")].(int64) > 0 && p.steady[r[t.Index("client")].(string)] {
		p.kept++
		return
	}
	p.over++
	r[t.Index("ended_at")] = now.UnixMilli()
	r[t.Index("ended_by")] = "restored"
	r[t.Index("code")] = ""
	r[t.Index("unredeemed_until")] = int64(0)
}
