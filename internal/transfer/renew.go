package transfer

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// Jump is how far the log's numbers go on in a new incarnation beyond the last that is
// known: more revocations than any issuer makes between two backups. So every token
// that was ever issued has a rev below the new incarnation's first cutoff. Readers take
// numbers exactly up to 2^53: there is room for two million jumps.
const Jump = 1 << 32

// maxFormer is how many earlier incarnations a heartbeat names.
const maxFormer = 64

// lineage is what a new incarnation comes after: every incarnation that readers may
// have followed, the newest last, and the highest number that is known of any.
type lineage struct {
	Former []string `json:"former"`
	Head   int64    `json:"head"`
}

// add puts an incarnation and those before it into the lineage.
func (l *lineage) add(i store.Issuer) {
	for _, inc := range append(slices.Clone(i.Former), i.Incarnation) {
		if inc != "" && !slices.Contains(l.Former, inc) {
			l.Former = append(l.Former, inc)
		}
	}
	l.Head = max(l.Head, i.Head)
}

// Renewed is a new incarnation.
type Renewed struct {
	Incarnation string   `json:"incarnation"`
	Former      []string `json:"former"`
	Head        int64    `json:"head"`   // number of the newest revocation
	Cutoff      int64    `json:"cutoff"` // every access token with a lower rev is dead
}

// renew begins a new incarnation. Its log begins a jump beyond the lineage, at the
// beginning of a segment, with the keys that are revoked, since who has one forges rev,
// and a cutoff of every access token. Where all is true that stands for good, and ends
// every grant and session too.
func renew(tx *store.Tx, l lineage, keys []store.Revocation, all bool) (out Renewed, err error) {
	was, err := tx.Issuer()
	if err != nil {
		return out, err
	}
	base := l.Head + Jump
	base += (feed.SegmentSize - base%feed.SegmentSize) % feed.SegmentSize
	next := store.Issuer{
		Incarnation: secret.ID(), Former: l.Former[max(0, len(l.Former)-maxFormer):],
		Head: base, Cutoff: was.Cutoff,
	}
	next.Hash = feed.Start(next.Incarnation)
	if err := tx.Renew(next); err != nil {
		return out, err
	}
	entries := slices.Clone(keys)
	entries = append(entries, store.Revocation{Kind: feed.All, Cause: "new_incarnation"})
	if err := tx.AppendRevocations(entries); err != nil {
		return out, err
	}
	last := base + int64(len(entries)) // no other node runs
	if all {
		err = tx.CutOffAll(last)
	}
	return Renewed{next.Incarnation, next.Former, last, last}, err
}

// revokedKeys are the entries of revoked keys that readers still need.
func revokedKeys(entries []store.Revocation, now time.Time) (keys []store.Revocation) {
	for _, e := range entries {
		if e.Kind == feed.Key && e.Until.After(now) {
			keys = append(keys, e)
		}
	}
	return keys
}

// Recover makes a database that went back in time fit to be served: it begins a new
// incarnation, ends every grant and session, and cuts off every token.
type Recover struct {
	Store *store.Store
	Log   *slog.Logger
	// Mark is the high-water mark, if there is one: it may know of incarnations and
	// numbers that the database lost.
	Mark *Mark
}

// Recovered is what Recover did.
type Recovered struct {
	Renewed
	Because string `json:"because,omitempty"` // why the database is known to have gone back
}

// Run recovers. No server may run on the database.
func (r Recover) Run(ctx context.Context) (out Recovered, err error) {
	holds, err := r.Store.Read(ctx).Holds()
	if err != nil {
		return out, err
	}
	if err := holdError(unfit(holds)); err != nil {
		return out, err
	}
	i, err := r.Store.Read(ctx).Issuer()
	if errors.Is(err, store.ErrNotFound) {
		return out, refuse("there is no issuer in this database")
	}
	if err == nil {
		err = Quiet(ctx, r.Store)
	}
	if err != nil {
		return out, err
	}
	var because []string
	for _, h := range holds {
		because = append(because, h.Detail)
	}
	var l lineage
	l.add(i)
	if r.Mark != nil {
		if says := r.Mark.Beyond(i); says != "" && len(holds) == 0 {
			because = append(because, says)
		}
		l.add(r.Mark.issuer())
		// The database's own incarnation is the one before the new.
	}
	out.Because = strings.Join(because, "; ")
	return out, audit.New(r.Store, r.Log).Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		e := audit.Event{Type: audit.Recovered, Origin: operator()}
		keys, err := livingKeys(tx)
		if err != nil {
			return e, err
		}
		if out.Renewed, err = renew(tx, l, keys, true); err != nil {
			return e, err
		}
		e.Data = map[string]string{"incarnation": out.Incarnation, "because": out.Because}
		return e, errors.Join(tx.DropHold(store.HoldRecover), tx.Alive())
	})
}

// livingKeys reads the entries of revoked keys that readers still need.
func livingKeys(tx *store.Tx) (keys []store.Revocation, err error) {
	for after := int64(0); ; {
		page, err := tx.Revocations(after, batch)
		if err != nil {
			return nil, err
		}
		keys = append(keys, revokedKeys(page, tx.Now())...)
		if len(page) < batch {
			return keys, nil
		}
		after = page[len(page)-1].N
	}
}
