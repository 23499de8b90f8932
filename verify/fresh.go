package verify

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/jeton-auth/jeton/oauth/feed"
)

// Policy is what happens to tokens while it isn't known well enough what is
// revoked: Refuse, Introspect or Degrade.
type Policy time.Duration

const (
	// Refuse answers ErrUnavailable, over HTTP 503 with Retry-After.
	Refuse Policy = 0
	// Introspect asks the issuer about each token, with Introspection's credentials or
	// else the feed's. An answer counts for a second at most.
	Introspect Policy = -1
)

// Degrade takes tokens that were issued less than maxAge ago, and answers
// ErrUnavailable to others: a revoked token may then be taken until it is so old.
func Degrade(maxAge time.Duration) Policy { return Policy(max(maxAge, 0)) }

// allowance is how far the wall clock may run ahead of the monotonic one before the
// machine is taken to have slept.
const allowance = 2 * time.Second

// freshness knows how old the knowledge of what is revoked is. It is asked at every
// sight of a token: that is one load and two comparisons.
type freshness struct {
	bound time.Duration
	now   atomic.Pointer[knowledge]

	mu       sync.Mutex // held by who changes it
	anchored bool
	sent     moment // when the request left whose nonce came back
	at       int64  // as_of of the heartbeat that brought it, in nanoseconds
}

// knowledge is what is known since a heartbeat. It never changes.
type knowledge struct {
	sure      bool  // there is any
	mono      int64 // all that was revoked by this monotonic time is known
	wall      int64 // the same by the wall clock
	spare     int64 // how much older it may be by the wall clock than by the other
	asOf      int64 // newest as_of in milliseconds
	received  int64 // monotonic time of its receipt
	forgotten int64 // no token that expired before this millisecond is judged alive again
}

func newFreshness(bound time.Duration) *freshness {
	f := &freshness{bound: bound}
	f.now.Store(&knowledge{})
	return f
}

// fresh tells whether tokens may be judged by what is known.
func (f *freshness) fresh(m moment) bool {
	k := f.now.Load()
	return k.sure && m.mono-k.mono <= int64(f.bound) && m.wall-k.wall <= int64(f.bound)+k.spare
}

// age is how old the knowledge is; ok is false if there is none that counts.
func (f *freshness) age(m moment) (age time.Duration, ok bool) {
	k := f.now.Load()
	return time.Duration(max(0, m.mono-k.mono, m.wall-k.wall-k.spare)), k.sure
}

// unix is the second by which expiry is judged: the later of the wall clock and the
// issuer's newest time with what has passed since, so that a clock that is set back
// revives nothing.
func (f *freshness) unix(m moment) int64 {
	k := f.now.Load()
	return max(m.unix, (k.asOf+(m.mono-k.received)/int64(time.Millisecond))/1000, k.forgotten/1000)
}

// anchor begins the measure anew: a nonce that was sent at a moment came back in h.
func (f *freshness) anchor(sent moment, h feed.Heartbeat) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.anchored, f.sent, f.at = true, sent, nanos(h)
}

func nanos(h feed.Heartbeat) int64 { return h.AsOf * int64(time.Millisecond) }

// measure is anchor for an answer that may have been held back: if it makes the
// knowledge younger than it is by the anchor there is, or that one is worthless.
func (f *freshness) measure(sent moment, h feed.Heartbeat, m moment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.anchored || nanos(h)-sent.mono < f.at-f.sent.mono || f.lag(h, m) < -maxLead || apart(f.sent, m) {
		f.anchored, f.sent, f.at = true, sent, nanos(h)
	}
}

// apart tells whether the wall clock and the monotonic one have not gone alike between
// two moments: the machine slept, or its clock was set.
func apart(from, to moment) bool {
	d := time.Duration((to.wall - from.wall) - (to.mono - from.mono))
	return d > allowance || d < -allowance
}

// lag is by how much a heartbeat that is received at m is older than it would be if
// it had come at once. It is below zero if the issuer's clock went faster than time,
// which makes the measure worthless.
func (f *freshness) lag(h feed.Heartbeat, m moment) time.Duration {
	return time.Duration(m.mono - f.sent.mono - (nanos(h) - f.at))
}

// slept tells whether the clocks have not gone alike since the anchor.
func (f *freshness) slept(m moment) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.anchored && apart(f.sent, m)
}

// confirm takes note that all that was revoked before h is known, at m. The
// knowledge is as old as the longer of the time since m and what the lag adds. The
// lag is returned; without an anchor nothing is confirmed.
//
// An error says that a clock did not go as time does, here or at the issuer. Then
// nobody knows how old anything is, until it is measured anew.
func (f *freshness) confirm(h feed.Heartbeat, m moment) (lag time.Duration, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.anchored {
		return 0, nil
	}
	lag = f.lag(h, m)
	switch {
	case apart(f.sent, m):
		err = errSlept
	case lag < -maxLead:
		err = errClock
	}
	if err != nil {
		f.void()
		return lag, err
	}
	since := m.mono - max(0, int64(lag))
	f.raise(h, m, since, m.wall-(m.mono-since), int64(allowance))
	return lag, nil
}

// maxLead is how much faster than time the issuer's clock may go before the measure
// begins anew.
const maxLead = time.Second

// confirmCached is confirm for a heartbeat that a cache may have held back for any
// time. Its age is measured by the wall clock, and by the monotonic one since it was
// first seen.
func (f *freshness) confirmCached(h feed.Heartbeat, m moment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h.AsOf > f.now.Load().asOf {
		f.raise(h, m, m.mono, nanos(h), 0)
	}
}

func (f *freshness) raise(h feed.Heartbeat, m moment, mono, wall, spare int64) {
	old := f.now.Load()
	k := &knowledge{sure: true, mono: mono, wall: wall, spare: spare, asOf: h.AsOf, received: m.mono, forgotten: max(old.forgotten, h.AsOf)}
	if old.sure && old.mono > mono { // known before by a shorter way
		k.mono, k.wall, k.spare = old.mono, old.wall, old.spare
	}
	f.now.Store(k)
}

// distrust makes the knowledge worthless until it is measured anew.
func (f *freshness) distrust() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.void()
}

func (f *freshness) void() {
	f.anchored = false
	k := *f.now.Load()
	k.sure = false
	f.now.Store(&k)
}

// forgotten is the time before which no token is judged alive again.
func (f *freshness) forgotten() time.Time { return time.UnixMilli(f.now.Load().forgotten) }
