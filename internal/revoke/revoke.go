// Package revoke is the revocation log: one entry for each cause, written in the
// transaction that causes it, and a view of the log in memory against which every
// token is checked. The log's head number stands in every token as rev, so that
// "everything before this" needs no clock. What readers of the feed are told comes
// from here too.
package revoke

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// Entry names what is to be revoked. Value is the whole jti of a token, the handle
// of a grant, the sid of a session, the kid of a key, the subject, the client id;
// empty for all.
type Entry struct {
	Kind  feed.Kind
	Value string
}

// Log is the revocation log of one database, with its view in memory. It is safe
// for concurrent use.
type Log struct {
	st   *store.Store
	log  *slog.Logger
	view *feed.View
	head atomic.Int64

	journal atomic.Pointer[Journal] // nil: none is kept
	rev     atomic.Int64

	mu       sync.RWMutex
	position feed.Position
	former   []string
	tail     []record // the newest entries, without gaps, up to the position
	segments segments
	changed  chan struct{}

	following     sync.Mutex
	confirmations confirmations
}

// record is an entry with the running hash before it.
type record struct {
	feed.Entry
	before feed.Hash
}

// kept in memory for those who follow: those who are further behind read the table.
const (
	tailKept = 8192
	page     = feed.MaxBatch
)

// Open reads the log into memory.
func Open(ctx context.Context, st *store.Store, log *slog.Logger) (*Log, error) {
	issuer, err := st.Read(ctx).Issuer()
	if err != nil {
		return nil, fmt.Errorf("revocation log: %w", err)
	}
	l := &Log{
		st: st, log: log, view: feed.NewView(math.MaxInt), former: issuer.Former, changed: make(chan struct{}),
		position: feed.Position{Incarnation: issuer.Incarnation, N: issuer.Head, Hash: issuer.Hash},
	}
	l.head.Store(issuer.Head)
	l.rev.Store(issuer.Head)
	if issuer.Cutoff > 0 {
		// It stands for good, when its entry is long gone.
		err := l.view.Add(feed.Entry{N: issuer.Cutoff, Kind: feed.All, Until: math.MaxInt64})
		if err != nil {
			return nil, fmt.Errorf("revocation log: %w", err)
		}
	}
	first := true
	for after := int64(0); ; {
		rows, err := st.Read(ctx).Revocations(after, page)
		if err != nil {
			return nil, fmt.Errorf("revocation log: %w", err)
		}
		if first && len(rows) > 0 {
			l.position.N, l.position.Hash = rows[0].N-1, rows[0].Before
		}
		first = false
		if err := l.take(rows); err != nil {
			return nil, fmt.Errorf("revocation log: %w", err)
		}
		if len(rows) < page {
			break
		}
		after = rows[len(rows)-1].N
	}
	// Other nodes may have added more meanwhile.
	if l.position.N < issuer.Head || l.position.N == issuer.Head && l.position.Hash != issuer.Hash {
		return nil, fmt.Errorf("revocation log: its entries end at %d and don't lead to what is noted at %d: rows were lost or changed; restore the database from a backup", l.position.N, issuer.Head)
	}
	return l, nil
}

// Head is the number of the newest revocation that memory holds.
func (l *Log) Head() int64 { return l.head.Load() }

// Rev is the number of a revocation up to which memory holds all that happened, clients
// and keys as well as the log. Read before a grant is read, it is what the tokens made
// from that reading carry: so a cutoff reaches those that a node makes which does not
// know yet that their client was switched off.
func (l *Log) Rev() int64 { return l.rev.Load() }

// Settle tells that memory holds all that happened up to the revocation n.
func (l *Log) Settle(n int64) {
	for had := l.rev.Load(); had < n && !l.rev.CompareAndSwap(had, n); had = l.rev.Load() {
	}
}

// Position is how far the log goes, with the incarnations before its own.
func (l *Log) Position() (feed.Position, []string) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.position, l.former
}

// Entries is how many entries the view holds.
func (l *Log) Entries() int { return l.view.Entries() }

// Revoked tells whether a token is revoked.
func (l *Log) Revoked(n *feed.Names) bool { return l.view.Revoked(n) }

// Changed is closed when the log goes further than it does now.
func (l *Log) Changed() <-chan struct{} {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.changed
}

// Add appends entries in a transaction. A cutoff is also written on the row that
// it names, where it stands for good. The view changes after the commit and before
// the writer's caller gets its answer.
func (l *Log) Add(tx *store.Tx, cause string, entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	rows := make([]store.Revocation, len(entries))
	for i, e := range entries {
		rows[i] = store.Revocation{Kind: e.Kind, Value: feed.Value(e.Kind, e.Value), Cause: cause}
	}
	if err := lock(tx, entries); err != nil {
		return err
	}
	if err := tx.AppendRevocations(rows); err != nil {
		return err
	}
	tx.OnceNumbered(func() error {
		for i, e := range entries {
			if err := standing(tx, e, rows[i].N); err != nil {
				return err
			}
		}
		return nil
	})
	tx.AfterCommit(func() {
		l.committed(rows)
		l.note(entries, rows)
	})
	return nil
}

// lock takes the rows of cutoffs before the head's, as everybody does.
func lock(tx *store.Tx, entries []Entry) error {
	ordered := slices.SortedFunc(slices.Values(entries), func(a, b Entry) int {
		return cmp.Or(-strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Value, b.Value)) // subjects before clients
	})
	for _, e := range ordered {
		var err error
		switch e.Kind {
		case feed.Subject:
			err = tx.LockUser(e.Value)
		case feed.Client:
			err = tx.LockClient(e.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Numbered runs body and, once the transaction is durable, tells of the last entry that
// body added, if any.
func Numbered(tx *store.Tx, tell func(store.Revocation), body func() error) error {
	before := tx.LastAppended()
	if err := body(); err != nil {
		return err
	}
	if last := tx.LastAppended(); last != before {
		tx.AfterCommit(func() { tell(*last) })
	}
	return nil
}

// standing writes a cutoff on the row that it names. A row that is gone needs
// none: without it no grant is live.
func standing(tx *store.Tx, e Entry, n int64) (err error) {
	switch e.Kind {
	case feed.Subject:
		err = tx.CutOffUser(e.Value, n)
	case feed.Client:
		err = tx.CutOffClient(e.Value, n)
	case feed.All:
		err = tx.CutOffAll(n)
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// take adds rows to the view, and then moves the head: a token that carries the new
// head was made when its entries were there.
func (l *Log) take(rows []store.Revocation) error {
	if len(rows) == 0 {
		return nil
	}
	for _, r := range rows {
		if err := l.view.Add(r.Entry()); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.position.N
	err := l.append(rows)
	if l.position.N == before {
		return err
	}
	if len(l.tail) > 2*tailKept {
		l.tail = append([]record(nil), l.tail[len(l.tail)-tailKept:]...)
	}
	l.head.Store(l.position.N)
	close(l.changed)
	l.changed = make(chan struct{})
	return err
}

// append moves the position over the rows that follow it; the caller holds the lock.
func (l *Log) append(rows []store.Revocation) error {
	for _, r := range rows {
		e := r.Entry()
		switch {
		case e.N <= l.position.N:
			continue
		case e.N > l.position.N+1:
			return errBehind
		case r.Before != l.position.Hash:
			return fmt.Errorf("entry %d does not follow %d: the table is not the log that was read before", e.N, l.position.N)
		}
		l.tail = append(l.tail, record{e, r.Before})
		l.position.N, l.position.Hash = e.N, r.Before.Next(e)
		l.segments.add(e)
	}
	return nil
}

// Forget drops from memory what ended before now: the tokens named are dead.
func (l *Log) Forget(now time.Time) {
	l.view.Forget(now)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments.forget(now.Unix())
}
