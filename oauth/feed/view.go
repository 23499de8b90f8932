package feed

import (
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// ErrFull says that a view has no room for another entry. What it holds stays;
// whoever relies on it must take it for stale.
var ErrFull = errors.New("feed: the view has reached its memory limit")

// View is what is revoked, in memory. Looking takes no lock but for the few tokens
// that may be under a cutoff of their subject. It is safe for concurrent use.
type View struct {
	limit  int // octets
	table  atomic.Pointer[table]
	common atomic.Pointer[common]

	mu   sync.Mutex    // held by who changes the view
	ends map[int64]int // entries in the table, by the minute in which they end

	subjects  map[ID]cutoff // changed under both locks
	subjectMu sync.RWMutex
}

// cutoff revokes tokens with a rev below n, and without one those issued at or
// before the second at.
type cutoff struct{ n, at, until int64 }

func (c cutoff) revokes(n *Names) bool {
	if n.hasRev {
		return n.rev < c.n
	}
	return c.n > 0 && n.issued <= c.at
}

// with is both cutoffs together: the higher number, the later times.
func (c cutoff) with(o cutoff) cutoff {
	return cutoff{max(c.n, o.n), max(c.at, o.at), max(c.until, o.until)}
}

// common are the entries that concern many tokens. They are few: a change copies
// them.
type common struct {
	version uint64
	all     cutoff
	clients map[ID]cutoff
	keys    map[ID]int64 // until
}

// DefaultLimit bounds the memory of a View where nobody says otherwise: room for
// about five million entries.
const DefaultLimit = 256 << 20

// NewView makes an empty view that takes about limit octets at most; 0 stands for
// DefaultLimit.
func NewView(limit int) *View {
	if limit <= 0 {
		limit = DefaultLimit
	}
	v := &View{limit: limit, subjects: map[ID]cutoff{}, ends: map[int64]int{}}
	v.table.Store(newTable(0))
	v.common.Store(&common{version: 1})
	return v
}

// Names are what a token answers to, hashed once for all checks of it.
type Names struct {
	token, grant, session, subject, client, key ID

	rev, issued       int64
	hasRev            bool
	hasSession, keyed bool
	cleared           atomic.Uint64 // version of the common entries that don't concern it
}

// Claims are what a token says of itself, as far as revocation asks.
type Claims struct {
	ID        string // jti
	SessionID string // sid, if it has one
	Subject   string // sub
	ClientID  string // client_id
	KeyID     string // of the key that signed it, if one did
	IssuedAt  int64  // iat
	Rev       int64  // rev
	HasRev    bool
}

// NewNames hashes what a token answers to.
func NewNames(c Claims) *Names {
	n := new(Names)
	n.Set(c)
	return n
}

// Set is NewNames into n, which must be new.
func (n *Names) Set(c Claims) {
	n.token, n.grant = NewID(Token, c.ID), NewID(Grant, Handle(c.ID))
	n.subject, n.client = NewID(Subject, c.Subject), NewID(Client, c.ClientID)
	n.rev, n.hasRev, n.issued = c.Rev, c.HasRev, c.IssuedAt
	if n.hasSession = c.SessionID != ""; n.hasSession {
		n.session = NewID(Session, c.SessionID)
	}
	if n.keyed = c.KeyID != ""; n.keyed {
		n.key = NewID(Key, c.KeyID)
	}
}

// IDs are the token's names as entries of absolute kinds give them: those of the
// token itself, its grant and its session.
func (n *Names) IDs() []ID {
	ids := []ID{n.token, n.grant}
	if n.hasSession {
		ids = append(ids, n.session)
	}
	return ids
}

// CutoffIDs are the token's names as cutoffs of some tokens give them: those of its
// subject and its client.
func (n *Names) CutoffIDs() []ID { return []ID{n.subject, n.client} }

// Revoked tells whether a token is revoked. An entry counts for as long as it is
// held, whatever the time.
func (v *View) Revoked(n *Names) bool {
	c := v.common.Load()
	if n.cleared.Load() != c.version {
		if c.revokes(n) {
			return true
		}
		n.cleared.Store(c.version)
	}
	t := v.table.Load()
	if t.may(n.token) && t.has(n.token) || t.may(n.grant) && t.has(n.grant) || n.hasSession && t.may(n.session) && t.has(n.session) {
		return true
	}
	if !t.may(n.subject) {
		return false
	}
	v.subjectMu.RLock()
	cut, ok := v.subjects[n.subject]
	v.subjectMu.RUnlock()
	return ok && cut.revokes(n)
}

func (c *common) revokes(n *Names) bool {
	if c.all.revokes(n) {
		return true
	}
	if cut, ok := c.clients[n.client]; ok && cut.revokes(n) {
		return true
	}
	_, ok := c.keys[n.key]
	return ok && n.keyed
}

// Add takes an entry. Entries of one name compose: the higher number, the later
// end. After ErrFull the entry is not in the view.
func (v *View) Add(e Entry) error {
	id, err := e.ID()
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	cut := cutoff{e.N, e.At, e.Until}
	switch e.Kind {
	case All, Client, Key:
		v.change(func(c *common) {
			switch e.Kind {
			case All:
				c.all = c.all.with(cut)
			case Client:
				c.clients[id] = c.clients[id].with(cut)
			default:
				c.keys[id] = max(c.keys[id], e.Until)
			}
		})
	case Subject:
		_, known := v.subjects[id]
		if !known {
			if err := v.reserveSubject(); err != nil {
				return err
			}
		}
		v.subjectMu.Lock()
		v.subjects[id] = v.subjects[id].with(cut)
		v.subjectMu.Unlock()
		if !known {
			v.table.Load().mark(id)
		}
	default:
		if !v.table.Load().has(id) {
			if err := v.reserve(); err != nil {
				return err
			}
		}
		if was, added := v.table.Load().put(id, e.Until); added {
			v.ends[minute(e.Until)]++
		} else if e.Until > was {
			v.ends[minute(was)]--
			v.ends[minute(e.Until)]++
		}
	}
	return nil
}

// change replaces the common entries; the caller holds the lock.
func (v *View) change(f func(*common)) {
	old := v.common.Load()
	next := &common{old.version + 1, old.all, maps.Clone(old.clients), maps.Clone(old.keys)}
	if next.clients == nil {
		next.clients, next.keys = map[ID]cutoff{}, map[ID]int64{}
	}
	f(next)
	v.common.Store(next)
}

// subjectCost is about what a cutoff of a subject takes, in octets.
const subjectCost = 96

// reserve makes room for one more entry; the caller holds the lock.
func (v *View) reserve() error {
	t := v.table.Load()
	if t.used < t.room() && t.marked < t.marks() {
		return nil
	}
	want := 2 * (t.used + len(v.subjects) + minSlots/4)
	if most := v.limit - v.limit/8 - subjectCost*len(v.subjects); tableBytes(want) > most {
		// Not twice the room, then: as much as is allowed, but for some cutoffs.
		want = max(0, most) / tableBytes(1)
		if want*3/4 <= t.used+len(v.subjects) {
			return ErrFull
		}
	}
	v.rebuild(want, 0)
	return nil
}

// reserveSubject is reserve for one more cutoff of a subject.
func (v *View) reserveSubject() error {
	if err := v.reserve(); err != nil {
		return err
	}
	if tableBytes(len(v.table.Load().slots))+subjectCost*(len(v.subjects)+1) > v.limit {
		return ErrFull
	}
	return nil
}

// rebuild moves all that ends at or after the Unix second since into a new table.
// Those who look meanwhile see the old one, in which nothing is lacking.
func (v *View) rebuild(slots int, since int64) {
	old, next := v.table.Load(), newTable(slots)
	for id, until := range old.all {
		if until >= since {
			next.put(id, until)
		}
	}
	v.subjectMu.Lock()
	maps.DeleteFunc(v.subjects, func(_ ID, c cutoff) bool { return c.until < since })
	v.subjectMu.Unlock()
	for id := range v.subjects {
		next.mark(id)
	}
	v.table.Store(next)
}

func minute(second int64) int64 { return second / 60 }

// Forget drops entries that ended before now, since no token that they name is
// alive: once they are many, for dropping means to build anew.
func (v *View) Forget(now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	second := now.Unix()
	v.forgetCommon(second)
	over := 0
	for m, n := range v.ends {
		if m < minute(second) {
			over += n
		}
	}
	t := v.table.Load()
	for _, c := range v.subjects {
		if c.until < second {
			over++
		}
	}
	if over == 0 || over*4 < t.used+len(v.subjects) {
		return
	}
	// Whole minutes, as counted.
	v.rebuild(2*(t.used+len(v.subjects)-over)+minSlots/4, minute(second)*60)
	for m := range v.ends {
		if m < minute(second) {
			delete(v.ends, m)
		}
	}
}

func (v *View) forgetCommon(second int64) {
	c := v.common.Load()
	over := c.all.n > 0 && c.all.until < second
	for _, cut := range c.clients {
		over = over || cut.until < second
	}
	for _, until := range c.keys {
		over = over || until < second
	}
	if !over {
		return
	}
	v.change(func(c *common) {
		if c.all.until < second {
			c.all = cutoff{}
		}
		maps.DeleteFunc(c.clients, func(_ ID, cut cutoff) bool { return cut.until < second })
		maps.DeleteFunc(c.keys, func(_ ID, until int64) bool { return until < second })
	})
}

// Entries is how many entries the view holds.
func (v *View) Entries() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := v.common.Load()
	n := v.table.Load().used + len(v.subjects) + len(c.clients) + len(c.keys)
	if c.all.n > 0 {
		n++
	}
	return n
}

// Bytes is about how much memory the view takes.
func (v *View) Bytes() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	t, c := v.table.Load(), v.common.Load()
	return tableBytes(len(t.slots)) + subjectCost*(len(v.subjects)+len(c.clients)+len(c.keys))
}
