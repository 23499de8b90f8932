package verify

import "time"

// clock tells the time in three ways at once.
type clock func() moment

// moment is one reading of a clock.
type moment struct {
	unix int64 // second by which the times in tokens are judged: by Clock, if that is given
	wall int64 // nanoseconds, by the machine's wall clock
	mono int64 // nanoseconds since the clock was made; it never jumps, but stands while the machine sleeps
}

func newClock(now func() time.Time) clock {
	began := time.Now()
	if now == nil {
		return func() moment {
			t := time.Now()
			return moment{t.Unix(), t.UnixNano(), int64(t.Sub(began))}
		}
	}
	return func() moment {
		t := time.Now()
		return moment{now().Unix(), t.UnixNano(), int64(t.Sub(began))}
	}
}
