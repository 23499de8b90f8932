package revoke

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jeton-auth/jeton/internal/store"
)

// errBehind says that other nodes added entries that are not here yet.
var errBehind = errors.New("revoke: entries of other nodes come first")

// ErrLeftBehind says that this node was away for so long that entries which it never
// saw are gone. What they named is dead.
var ErrLeftBehind = errors.New("revoke: this node was away for too long")

// ErrUnconfirmed says that the database did not tell in time how far the log goes.
var ErrUnconfirmed = fmt.Errorf("%w: it does not confirm how far the revocation log goes", store.ErrUnavailable)

// confirmBound is how long a question may wait for the database.
const confirmBound = 500 * time.Millisecond

// committed takes rows that this node has just written. They count at once, even
// where those of other nodes are still to be read. What this node changed with them is
// in memory already.
func (l *Log) committed(rows []store.Revocation) {
	err := l.take(rows)
	if last := rows[len(rows)-1].N; !l.st.Shared() {
		l.Settle(last)
	} else {
		l.rev.CompareAndSwap(rows[0].N-1, last) // unless something of others comes first
	}
	if errors.Is(err, errBehind) {
		ctx, cancel := context.WithTimeout(context.Background(), confirmBound)
		defer cancel()
		err = l.Follow(ctx)
	}
	if err != nil {
		l.log.Error("the revocation log in memory is behind the table", slog.Any("error", err))
	}
}

// Follow takes what other nodes added. After ErrLeftBehind the log goes on from what
// there is.
func (l *Log) Follow(ctx context.Context) error {
	l.following.Lock()
	defer l.following.Unlock()
	for {
		after := l.Head()
		rows, err := l.st.Look(ctx).Revocations(after, page)
		if err != nil {
			return fmt.Errorf("revocation log: %w", err)
		}
		var left error
		if len(rows) > 0 && rows[0].N > after+1 {
			l.skip(rows[0])
			left = ErrLeftBehind
		}
		if err := l.take(rows); err != nil {
			return fmt.Errorf("revocation log: %w", err)
		}
		if left != nil || len(rows) < page {
			return left
		}
	}
}

// skip begins anew with a row.
func (l *Log) skip(row store.Revocation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail, l.segments = nil, segments{}
	l.position.N, l.position.Hash = row.N-1, row.Before
}

// confirmations are the looks at the database's head: one under way, and one that
// waits. Whoever asks joins the first look that begins after they did.
type confirmations struct {
	mu      sync.Mutex
	running bool
	waiting *confirmation
	within  time.Duration // how old a look may be; 0: it begins after the question
	looked  time.Time     // when the newest good one began
}

type confirmation struct {
	done chan struct{}
	err  error
}

// Confirm returns when the view holds everything that any node acknowledged before the
// call. With a single writer it always does.
func (l *Log) Confirm(ctx context.Context) error {
	if !l.st.Shared() {
		return nil
	}
	c := l.join()
	if c == nil {
		return nil
	}
	t := time.NewTimer(confirmBound)
	defer t.Stop()
	select {
	case <-c.done:
		return c.err
	case <-t.C:
		return ErrUnconfirmed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Within has Confirm be content with a look that began so long ago at most.
func (l *Log) Within(d time.Duration) { l.confirmations.within = d }

// join gives the look to wait for; nil: none is needed.
func (l *Log) join() *confirmation {
	cs := &l.confirmations
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.within > 0 && time.Since(cs.looked) < cs.within {
		return nil
	}
	if cs.waiting == nil {
		cs.waiting = &confirmation{done: make(chan struct{})}
	}
	if !cs.running {
		cs.running = true
		go l.confirm()
	}
	return cs.waiting
}

// confirm looks as long as somebody waits.
func (l *Log) confirm() {
	cs := &l.confirmations
	for {
		cs.mu.Lock()
		c := cs.waiting
		cs.waiting = nil
		if c == nil {
			cs.running = false
			cs.mu.Unlock()
			return
		}
		cs.mu.Unlock()
		began := time.Now()
		if c.err = l.look(); c.err == nil {
			cs.mu.Lock()
			cs.looked = began
			cs.mu.Unlock()
		}
		close(c.done)
	}
}

// look reads the head, and what is lacking up to it.
func (l *Log) look() error {
	ctx, cancel := context.WithTimeout(context.Background(), confirmBound)
	defer cancel()
	at, _ := l.Position() // before the look: the log goes on meanwhile
	p, err := l.st.Look(ctx).Pulse()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnconfirmed, err)
	}
	if p.Incarnation != at.Incarnation || p.Head < at.N {
		return fmt.Errorf("%w: it is another database than at the start", ErrUnconfirmed)
	}
	if p.Head <= l.Head() {
		return nil
	}
	if err := l.Follow(ctx); err != nil && !errors.Is(err, ErrLeftBehind) {
		return fmt.Errorf("%w: %w", ErrUnconfirmed, err)
	}
	return nil
}
