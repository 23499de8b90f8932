package verify

import (
	"container/heap"
	"slices"
	"sync"
	"time"

	"github.com/jeton-auth/jeton/oauth/feed"
)

// Done is closed when the token should no longer be relied on: it was revoked, has
// expired, or its key was removed; or what is known of revocations became too old
// and MaxStale says Refuse; or the Verifier was closed. It is for whoever goes on
// working for one request, such as a stream of events:
//
//	select {
//	case <-p.Done():
//		return // the client comes back with a token that is good, or with none
//	case e := <-events:
//		…
//
// Without a Feed it knows of expiry and keys alone. It is nil for a Principal that
// no Verifier made.
func (p *Principal) Done() <-chan struct{} {
	if p.sight == nil {
		return nil
	}
	if w := p.sight.watch.Load(); w != nil {
		return w.done
	}
	return p.sight.by.watched.add(p.sight.by, p.sight)
}

var over = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// watchlist is the tokens that somebody waits for. It has no goroutine: whoever
// changes what is known tells it, and one timer stands for all expiries.
type watchlist struct {
	mu     sync.Mutex
	byName map[feed.ID][]*watch
	byTime expiries
	all    map[*watch]struct{}
	timer  *time.Timer
	closed bool
}

type watch struct {
	of    *sighting
	done  chan struct{}
	names []feed.ID
	until int64 // Unix second in which it expires
	index int   // in byTime, or -1
}

func newWatchlist() *watchlist {
	return &watchlist{byName: map[feed.ID][]*watch{}, all: map[*watch]struct{}{}}
}

// add registers a token, unless it isn't good now.
func (l *watchlist) add(v *Verifier, s *sighting) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := s.watch.Load(); w != nil {
		return w.done
	}
	if l.closed {
		return over
	}
	w := &watch{of: s, done: make(chan struct{}), index: -1}
	if v.feed != nil {
		w.names = append(s.names.IDs(), s.names.CutoffIDs()...)
	}
	for _, id := range w.names {
		l.byName[id] = append(l.byName[id], w)
	}
	l.all[w] = struct{}{}
	if exp := s.principal.Expiry; exp != 0 {
		w.until = exp + v.exp
		heap.Push(&l.byTime, w)
	}
	s.watch.Store(w)
	// Only now: what changes from here on finds it registered.
	if !v.good(s) {
		l.finish(w)
		return over
	}
	l.arm(v)
	return w.done
}

// finish closes and forgets a watch. Who asks for the principal's Done afterwards is
// judged anew.
func (l *watchlist) finish(w *watch) {
	close(w.done)
	w.of.watch.Store(nil)
	delete(l.all, w)
	if w.index >= 0 {
		heap.Remove(&l.byTime, w.index)
	}
	for _, id := range w.names {
		rest := l.byName[id]
		if i := slices.Index(rest, w); i >= 0 {
			rest = slices.Delete(rest, i, i+1)
		}
		if len(rest) == 0 {
			delete(l.byName, id)
		} else {
			l.byName[id] = rest
		}
	}
}

// revoked looks at the tokens that entries name, which are in the view already.
func (l *watchlist) revoked(v *Verifier, entries []feed.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == 0 {
		return
	}
	all := false
	for _, e := range entries {
		if e.Kind == feed.Key || e.Kind == feed.All {
			all = true
			continue
		}
		id, err := e.ID()
		if err != nil {
			continue
		}
		for _, w := range slices.Clone(l.byName[id]) {
			if v.feed.view.Revoked(&w.of.names) { // a cutoff names newer tokens too
				l.finish(w)
			}
		}
	}
	if all {
		l.sweepLocked(v)
	}
}

// sweep finishes all that isn't good any more.
func (l *watchlist) sweep(v *Verifier) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweepLocked(v)
}

func (l *watchlist) sweepLocked(v *Verifier) {
	for w := range l.all {
		if !v.good(w.of) {
			l.finish(w)
		}
	}
}

// longestSleep bounds how late an expiry is noticed after the clock was set forward.
const longestSleep = 10 * time.Second

// arm sets the timer for the first expiry.
func (l *watchlist) arm(v *Verifier) {
	if l.closed || len(l.byTime) == 0 {
		return
	}
	// Seconds are whole: the last of them is waited for in small steps.
	wait := time.Duration(l.byTime[0].until-v.unix(v.clock())-1) * time.Second
	wait = min(max(wait, 0)+100*time.Millisecond, longestSleep)
	if l.timer == nil {
		l.timer = time.AfterFunc(wait, func() { l.expire(v) })
		return
	}
	l.timer.Reset(wait)
}

func (l *watchlist) expire(v *Verifier) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := v.unix(v.clock())
	for len(l.byTime) > 0 && l.byTime[0].until <= now {
		l.finish(l.byTime[0])
	}
	l.arm(v)
}

// close finishes all, now and later.
func (l *watchlist) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.timer != nil {
		l.timer.Stop()
	}
	for w := range l.all {
		l.finish(w)
	}
}

// expiries is a heap with the first to expire on top.
type expiries []*watch

func (e expiries) Len() int           { return len(e) }
func (e expiries) Less(i, j int) bool { return e[i].until < e[j].until }

func (e expiries) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].index, e[j].index = i, j
}

func (e *expiries) Push(x any) {
	w := x.(*watch)
	w.index = len(*e)
	*e = append(*e, w)
}

func (e *expiries) Pop() any {
	last := len(*e) - 1
	w := (*e)[last]
	(*e)[last], *e = nil, (*e)[:last]
	w.index = -1
	return w
}
