package clock

import (
	"sync"
	"time"
)

// Steady is the machine's clock, but for going back: while the machine's clock is
// behind what was told before, time goes on by the monotonic clock. What has expired
// stays so, whatever is done to the machine's clock.
type Steady struct {
	source Clock // the machine's; its times have a monotonic reading

	mu   sync.Mutex
	seen time.Time // from the source
	told time.Time // at that moment
}

// NewSteady makes a Steady over a source, System in programs.
func NewSteady(source Clock) *Steady {
	now := source.Now()
	return &Steady{source: source, seen: now, told: now}
}

// Now is the time, never before what it was. It has a monotonic reading where the
// source's times have one and are told unchanged.
func (s *Steady) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.source.Now()
	told := s.told.Add(max(0, now.Sub(s.seen))) // monotonic
	if !now.Round(0).Before(told.Round(0)) {
		told = now
	}
	s.seen, s.told = now, told
	return told
}

// NotBefore has the clock tell no time before t.
func (s *Steady) NotBefore(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told.Round(0).Before(t) {
		s.told = t
	}
}
