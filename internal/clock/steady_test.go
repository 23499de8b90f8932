package clock

import (
	"testing"
	"time"
)

// stepped is a machine's clock: it has a monotonic reading, and can be set.
type stepped struct {
	began  time.Time
	passed time.Duration
	set    time.Duration
}

func (s *stepped) Now() time.Time {
	now := s.began.Add(s.passed)
	if s.set != 0 {
		now = now.Round(0).Add(s.set) // what is set has no monotonic reading to compare
	}
	return now
}

func TestSteady(t *testing.T) {
	t.Parallel()
	source := NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	s := NewSteady(source)
	at := s.Now()
	source.Advance(time.Minute)
	if got := s.Now(); !got.Equal(at.Add(time.Minute)) {
		t.Errorf("after a minute it is %v", got)
	}
	source.Advance(-time.Hour)
	held := s.Now()
	if held.Before(at.Add(time.Minute)) {
		t.Errorf("the clock went back to %v", held)
	}
	source.Advance(time.Second)
	if got := s.Now(); !got.Equal(held.Add(time.Second)) {
		t.Errorf("a second after it was set back it is %v, not a second later", got)
	}
	source.Advance(2 * time.Hour)
	if got, want := s.Now(), held.Add(2*time.Hour+time.Second); !got.Equal(want) {
		t.Errorf("it is %v, want %v", got, want)
	}
	s.NotBefore(at.Add(100 * time.Hour))
	if got := s.Now(); got.Before(at.Add(100 * time.Hour)) {
		t.Errorf("it is %v, before what it was told", got)
	}
}

// The machine's own clock, with its monotonic reading, set back and forth.
func TestSteadyMonotonic(t *testing.T) {
	t.Parallel()
	source := &stepped{began: time.Now()}
	s := NewSteady(source)
	last := s.Now()
	for _, set := range []time.Duration{0, -time.Hour, time.Hour, 0, -2 * time.Hour} {
		source.set = set
		source.passed += time.Second
		now := s.Now()
		if now.Round(0).Before(last.Round(0)) {
			t.Errorf("set by %v, the clock went back from %v to %v", set, last, now)
		}
		last = now
	}
}
