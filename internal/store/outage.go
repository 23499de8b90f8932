package store

import (
	"slices"
	"sync"
	"time"
)

// Outages remembers the recent times in which the issuer could not answer: the
// database refused writes, or the process was down. Time in an outage is not
// held against a client that comes back late.
type Outages struct {
	mu   sync.Mutex
	past []span
	open time.Time
}

type span struct{ from, to time.Time }

func (o *Outages) begin(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open.IsZero() {
		o.open = now
	}
}

func (o *Outages) end(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.open.IsZero() {
		o.add(span{o.open, now})
		o.open = time.Time{}
	}
}

func (o *Outages) add(s span) {
	if len(o.past) == outagesKept {
		o.past = o.past[1:]
	}
	o.past = append(o.past, s)
}

// set replaces what is remembered by what the database keeps.
func (o *Outages) set(past []span) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.past = past
}

// Served is the time between from and to, outages left out. What two of them have in
// common counts once: the database's record of one and this process's own may overlap.
func (o *Outages) Served(from, to time.Time) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := slices.Clone(o.past)
	if !o.open.IsZero() {
		all = append(all, span{o.open, to})
	}
	slices.SortFunc(all, func(a, b span) int { return a.from.Compare(b.from) })
	d, counted := to.Sub(from), from
	for _, s := range all {
		d -= overlap(s, counted, to)
		if s.to.After(counted) {
			counted = s.to
		}
	}
	return max(d, 0)
}

func overlap(s span, from, to time.Time) time.Duration {
	if s.from.Before(from) {
		s.from = from
	}
	if s.to.After(to) {
		s.to = to
	}
	return max(s.to.Sub(s.from), 0)
}
