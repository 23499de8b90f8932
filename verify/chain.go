package verify

import (
	"errors"
	"fmt"
	"sync"

	"github.com/jeton-auth/jeton/oauth/feed"
)

// Why a reader starts again from a snapshot, or waits.
var (
	errFork  = errors.New("there are two revocation logs with the same numbers")
	errShort = errors.New("the snapshot lacks entries that are still needed")
	errOlder = errors.New("the heartbeat is older than one before it")
)

// chain is what a reader has taken from a feed: how far, and by which heartbeat that
// was last confirmed. It knows nothing of connections and clocks.
type chain struct {
	view *feed.View
	told func([]feed.Entry) // after they are in the view

	mu     sync.Mutex
	begun  bool // at means something
	at     feed.Position
	from   int64          // where a snapshot began that no heartbeat has confirmed, or -1
	newest feed.Heartbeat // ever taken
	taken  bool           // there is one
}

// position is how far the reader is; ok is false if it must begin with a snapshot.
func (c *chain) position() (at feed.Position, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at, c.begun
}

// head is the newest heartbeat ever taken.
func (c *chain) head() (feed.Heartbeat, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.newest, c.taken
}

// restart forgets the position, and nothing else: the next batch is a snapshot.
func (c *chain) restart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun = false
}

// take puts the entries of a batch into the view and moves over them. Entries count
// at once and whether or not they follow what was taken before: one that is wrong
// could only refuse too much.
func (c *chain) take(b feed.Batch, snapshot bool) error {
	for _, e := range b.Entries {
		if err := c.view.Add(e); err != nil {
			return err
		}
	}
	c.told(b.Entries)
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.at
	switch {
	case snapshot && b.Base == nil:
		return fmt.Errorf("%w: a snapshot without a hash", feed.ErrGap)
	case snapshot:
		at = feed.Position{Incarnation: b.Incarnation, N: b.From, Hash: *b.Base}
	case !c.begun:
		return fmt.Errorf("%w: there was no snapshot", feed.ErrGap)
	}
	if err := c.extend(&at, b); err != nil {
		return err
	}
	if c.at = at; snapshot {
		c.begun, c.from = true, b.From
	}
	return nil
}

// extend moves a position over a batch, and sees a fork when it passes the number of
// the newest heartbeat.
func (c *chain) extend(at *feed.Position, b feed.Batch) error {
	if n := c.newest.N; c.taken && b.Incarnation == c.newest.Incarnation && b.From <= n && n <= b.To {
		before := b
		before.To, before.Entries = n, b.Entries[:n-b.From]
		if err := at.Extend(before); err != nil {
			return err
		}
		if at.Hash != c.newest.Hash {
			return fmt.Errorf("%w: at %d", errFork, n)
		}
		b.From, b.Entries = n, b.Entries[n-b.From:]
	}
	return at.Extend(b)
}

// confirm takes a heartbeat whose signature was checked. After errOlder nothing is
// wrong with what was taken; other errors ask for a new beginning.
func (c *chain) confirm(h feed.Heartbeat) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch at := h.Position(); {
	case !c.begun:
		return fmt.Errorf("%w: there was no snapshot", feed.ErrGap)
	case at.Incarnation == c.at.Incarnation && at.N == c.at.N && at.Hash != c.at.Hash:
		return fmt.Errorf("%w: at %d", errFork, at.N)
	case at != c.at:
		return fmt.Errorf("%w: at %d of %s a heartbeat is at %d of %s", feed.ErrGap, c.at.N, c.at.Incarnation, at.N, at.Incarnation)
	case c.from >= h.First:
		return fmt.Errorf("%w: it begins after %d, and %d is the first", errShort, c.from, h.First)
	}
	if c.taken {
		// What one node of the issuer read first may come after what another read later.
		if h.Incarnation == c.newest.Incarnation && h.N >= c.newest.N && h.AsOf < c.newest.AsOf {
			return errOlder
		}
		if err := h.Follows(c.newest); err != nil {
			return err
		}
	}
	c.newest, c.taken, c.from = h, true, -1
	return nil
}
