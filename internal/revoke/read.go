package revoke

import (
	"context"
	"errors"
	"fmt"

	"github.com/jeton-auth/jeton/oauth/feed"
)

// segments knows until when each segment of the log is needed.
type segments struct {
	first int64   // number of the first segment in until
	until []int64 // Unix seconds
}

func (s *segments) add(e feed.Entry) {
	k := (e.N - 1) / feed.SegmentSize
	if len(s.until) == 0 {
		s.first = k
	}
	for int64(len(s.until)) <= k-s.first {
		s.until = append(s.until, 0)
	}
	i := k - s.first
	s.until[i] = max(s.until[i], e.Until)
}

func (s *segments) forget(second int64) {
	for len(s.until) > 0 && s.until[0] < second {
		s.until = s.until[1:]
		s.first++
	}
}

// First is the number of the oldest entry that is still needed, or one over the head
// if none is.
func (l *Log) First() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if len(l.segments.until) == 0 {
		return l.position.N + 1
	}
	// The table keeps whole segments; the first may have begun before.
	return l.segments.first*feed.SegmentSize + 1
}

// ErrGone says that entries are not there any more: no token that they name is
// alive.
var ErrGone = errors.New("revoke: these entries are no longer needed")

// ErrAhead says that entries are not there yet.
var ErrAhead = errors.New("revoke: the log does not go that far")

// Since reads up to limit entries after a number, in order, from memory where they
// are recent. With them comes the running hash at that number.
func (l *Log) Since(ctx context.Context, after int64, limit int) (feed.Batch, error) {
	limit = min(limit, feed.MaxBatch)
	b, oldest, err := l.recent(after, limit)
	if err != nil || after >= oldest {
		return b, err
	}
	rows, err := l.st.Read(ctx).Revocations(after, max(1, min(limit, int(oldest-after)))) // one has the hash
	if err != nil {
		return b, fmt.Errorf("revocation log: %w", err)
	}
	if len(rows) == 0 || rows[0].N != after+1 {
		return b, ErrGone
	}
	b.Base = &rows[0].Before
	for _, r := range rows[:min(limit, len(rows))] {
		b.Entries, b.To = append(b.Entries, r.Entry()), r.N
	}
	return b, nil
}

// recent reads from memory, which has the entries after oldest.
func (l *Log) recent(after int64, limit int) (b feed.Batch, oldest int64, err error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	oldest = l.position.N - int64(len(l.tail))
	b = feed.Batch{Incarnation: l.position.Incarnation, From: after, To: after}
	switch {
	case after < 0 || after > l.position.N:
		return b, oldest, ErrAhead
	case after < oldest:
		return b, oldest, nil
	case after == l.position.N:
		hash := l.position.Hash
		b.Base = &hash
		return b, oldest, nil
	}
	records := l.tail[after-oldest:]
	base := records[0].before
	records = records[:min(limit, len(records))]
	b.Base, b.To = &base, after+int64(len(records))
	b.Entries = make([]feed.Entry, len(records))
	for i, r := range records {
		b.Entries[i] = r.Entry
	}
	return b, oldest, nil
}
