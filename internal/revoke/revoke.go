// Package revoke is the revocation log: one entry for each cause, written in the
// transaction that causes it, and a view of the log in memory against which every
// token is checked. The log's head number stands in every token as rev, so that
// "everything before this" needs no clock.
package revoke

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jeton-auth/jeton/internal/store"
)

// Kind says what an entry names.
type Kind string

// Absolute kinds revoke what they name. Cutoff kinds revoke every token that they
// name and that carries a lower rev than the entry's number.
const (
	Token   Kind = "token"
	Grant   Kind = "grant"
	Session Kind = "session"
	Key     Kind = "key"
	Subject Kind = "subject"
	Client  Kind = "client"
	All     Kind = "all"
)

func (k Kind) cutoff() bool { return k == Subject || k == Client || k == All }

// plain kinds stand in the log as they are, the others by their hash: only who
// holds a token recognises its entry.
func (k Kind) plain() bool { return k == Key || k == Client || k == All }

// kept is how long an entry outlives the longest token: more than any verifier's
// leeway and any request's age.
const kept = 10 * time.Minute

// Entry names what is to be revoked. Value is the whole jti of a token, the handle
// of a grant, the sid of a session, the kid of a key, the subject, the client id;
// empty for All.
type Entry struct {
	Kind  Kind
	Value string
}

// Name is how an entry's value stands in the log: for most kinds the first 16
// bytes of SHA-256(kind ‖ ":" ‖ value) in base64url.
func Name(k Kind, value string) string {
	if k.plain() {
		return value
	}
	h := sha256.Sum256([]byte(string(k) + ":" + value))
	return base64.RawURLEncoding.EncodeToString(h[:16])
}

// Claims are what a token says of itself, as far as revocation asks.
type Claims struct {
	ID       string // jti: handle ‖ "." ‖ random
	Subject  string
	ClientID string
	KeyID    string
	Rev      int64
}

// Handle is the part of a jti that names the token's grant.
func Handle(jti string) string {
	i := strings.LastIndexByte(jti, '.')
	if i < 0 {
		return ""
	}
	return jti[:i]
}

// Log is the revocation log of one database, with its view in memory. It is safe
// for concurrent use.
type Log struct {
	mu       sync.RWMutex
	head     int64
	absolute map[string]time.Time // kind ‖ name → until
	cutoffs  map[string]cut       // kind ‖ name → number
}

type cut struct {
	n     int64
	until time.Time
}

// Open reads the log into memory.
func Open(ctx context.Context, st *store.Store) (*Log, error) {
	l := &Log{absolute: map[string]time.Time{}, cutoffs: map[string]cut{}}
	issuer, err := st.Read(ctx).Issuer()
	if err != nil {
		return nil, fmt.Errorf("revocation log: %w", err)
	}
	l.head = issuer.Head
	if issuer.Cutoff > 0 {
		l.cutoffs[string(All)+":"] = cut{issuer.Cutoff, forever}
	}
	const page = 10_000
	for after := int64(0); ; {
		entries, err := st.Read(ctx).Revocations(after, page)
		if err != nil {
			return nil, fmt.Errorf("revocation log: %w", err)
		}
		l.take(entries)
		if len(entries) < page {
			return l, nil
		}
		after = entries[len(entries)-1].N
	}
}

// forever is later than any entry's end.
var forever = time.Unix(1<<40, 0)

// Head is the number of the newest revocation. Read before a grant is read, it is
// what the tokens made from that reading carry.
func (l *Log) Head() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.head
}

// Entries is how many entries the view holds.
func (l *Log) Entries() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.absolute) + len(l.cutoffs)
}

// Add appends entries in a transaction. A cutoff is also written on the row that
// it names, where it stands for good. The view changes after the commit and before
// the writer's caller gets its answer.
func (l *Log) Add(tx *store.Tx, cause string, entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	issuer, err := tx.Issuer()
	if err != nil {
		return err
	}
	until := tx.Now().Add(issuer.Longest + kept)
	rows := make([]store.Revocation, len(entries))
	for i, e := range entries {
		rows[i] = store.Revocation{Kind: string(e.Kind), Value: Name(e.Kind, e.Value), Until: until, Cause: cause}
	}
	if err := tx.AppendRevocations(rows); err != nil {
		return err
	}
	for i, e := range entries {
		if err := standing(tx, e, rows[i].N); err != nil {
			return err
		}
	}
	tx.AfterCommit(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.take(rows)
	})
	return nil
}

// standing writes a cutoff on the row that it names. A row that is gone needs
// none: without it no grant is live.
func standing(tx *store.Tx, e Entry, n int64) (err error) {
	switch e.Kind {
	case Subject:
		err = tx.CutOffUser(e.Value, n)
	case Client:
		err = tx.CutOffClient(e.Value, n)
	case All:
		err = tx.CutOffAll(n)
	}
	if err == store.ErrNotFound {
		return nil
	}
	return err
}

// take adds rows to the view; the caller holds the lock or is alone. Entries
// compose: the later end, the higher cutoff.
func (l *Log) take(rows []store.Revocation) {
	for _, r := range rows {
		name := r.Kind + ":" + r.Value
		if Kind(r.Kind).cutoff() {
			c := l.cutoffs[name]
			l.cutoffs[name] = cut{max(c.n, r.N), later(c.until, r.Until)}
		} else {
			l.absolute[name] = later(l.absolute[name], r.Until)
		}
		l.head = max(l.head, r.N)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Revoked tells whether a token is revoked.
func (l *Log) Revoked(c Claims) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if len(l.absolute) > 0 {
		if l.named(Token, c.ID) || l.named(Grant, Handle(c.ID)) || l.named(Key, c.KeyID) {
			return true
		}
	}
	if len(l.cutoffs) == 0 {
		return false
	}
	return l.cutOff(Subject, c.Subject, c.Rev) || l.cutOff(Client, c.ClientID, c.Rev) || l.cutOff(All, "", c.Rev)
}

func (l *Log) named(k Kind, value string) bool {
	_, ok := l.absolute[string(k)+":"+Name(k, value)]
	return ok
}

func (l *Log) cutOff(k Kind, value string, rev int64) bool {
	c, ok := l.cutoffs[string(k)+":"+Name(k, value)]
	return ok && rev < c.n
}

// Forget drops from the view what ended before now: the tokens named are dead.
func (l *Log) Forget(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, until := range l.absolute {
		if until.Before(now) {
			delete(l.absolute, name)
		}
	}
	for name, c := range l.cutoffs {
		if c.until.Before(now) {
			delete(l.cutoffs, name)
		}
	}
}
