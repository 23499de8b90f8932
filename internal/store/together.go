package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Transactions that append revocations change the head, one row, and hold it until their
// commit is durable. Of this node one at a time does: the bodies that come to it
// meanwhile wait, and are then run again in one transaction, with one change of the head.
type heads struct {
	mu      sync.Mutex
	busy    bool
	waiting []*waiter
}

// waiter is a body that waits for a transaction with others.
type waiter struct {
	began time.Time
	body  func(*Tx) error
	done  chan struct{}
	err   error
}

const (
	// togetherLimit bounds how many bodies share a transaction.
	togetherLimit = 64
	// waitFor is how long a body waits at most for those before it; then there is time left
	// to run it.
	waitFor = writeFor - time.Second
)

var (
	errTogether = errors.New("store: another transaction of this node changes the head")
	errAlone    = errors.New("store: the body is to run alone")
)

// enter tells whether the caller may change the head now; then it is to leave.
func (h *heads) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.busy {
		return false
	}
	h.busy = true
	return true
}

// join waits for the one that changes the head; nil where nobody does any more.
func (h *heads) join(began time.Time, body func(*Tx) error) *waiter {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.busy {
		return nil
	}
	j := &waiter{began: began, body: body, done: make(chan struct{})}
	h.waiting = append(h.waiting, j)
	return j
}

// take gives those who are to change the head now; none: nobody waits, and the head is
// free.
func (h *heads) take() []*waiter {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := min(togetherLimit, len(h.waiting))
	group := h.waiting[:n:n]
	h.waiting = h.waiting[n:]
	h.busy = n > 0
	return group
}

// drop tells whether a body waited still; it waits no more.
func (h *heads) drop(j *waiter) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.Index(h.waiting, j)
	if i >= 0 {
		h.waiting = slices.Delete(h.waiting, i, i+1)
	}
	return i >= 0
}

// leave hands the head to those who wait.
func (w *shared) leave() {
	if group := w.head.take(); len(group) > 0 {
		go func() {
			for ; len(group) > 0; group = w.head.take() {
				w.commit(group)
			}
		}()
	}
}

// together waits until the body was committed with others. errAlone: it was not, and is to
// be run alone; errTogether: there is nobody to wait for any more. Where it is not run yet
// the caller may go; afterwards it stays, since the body works on what is the caller's.
func (w *shared) together(ctx context.Context, began time.Time, body func(*Tx) error) error {
	j := w.head.join(began, body)
	if j == nil {
		return errTogether
	}
	t := time.NewTimer(time.Until(began.Add(waitFor)))
	defer t.Stop()
	var gone error
	select {
	case <-j.done:
		return j.err
	case <-ctx.Done():
		gone = ctx.Err()
	case <-t.C:
		gone = fmt.Errorf("%w: revocations before this one take too long", ErrUnavailable)
	}
	if w.head.drop(j) {
		return gone
	}
	<-j.done
	return j.err
}

// commit runs the bodies in one transaction. Where one of them fails all leave it, and
// each is run alone: so only that one fails.
func (w *shared) commit(group []*waiter) {
	oldest := slices.MinFunc(group, func(a, b *waiter) int { return a.began.Compare(b.began) })
	err := w.keepTrying(context.Background(), oldest.began, w.alone, func(tx *Tx) error {
		bodies := make([]*Tx, len(group))
		for i, j := range group {
			bodies[i] = &Tx{Reader: tx.Reader, s: tx.s, now: tx.now}
			if err := w.contained(bodies[i], j.body); err != nil {
				return err
			}
		}
		tx.AfterCommit(func() {
			for _, b := range bodies {
				for _, f := range b.after {
					f()
				}
			}
		})
		return finish(bodies...)
	})
	if err != nil && !errors.Is(err, ErrUnavailable) {
		err = errAlone
	}
	for _, j := range group {
		j.err = err
		close(j.done)
	}
}
