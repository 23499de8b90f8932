package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jeton-auth/jeton/internal/revoke"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// Request is where a reader stands, and what it wants to see signed.
type Request struct {
	After       int64 // -1: nowhere yet
	Incarnation string
	Nonce       string
}

var (
	// ErrBusy says that there are as many streams as can be served.
	ErrBusy = errors.New("feed: too many streams")
	// ErrSlow ends the stream of a reader that does not keep up. It goes on with what it
	// has.
	ErrSlow = errors.New("feed: the reader is too slow")
	// ErrOver ends streams when the server ends, or when the reader may not read any
	// more.
	ErrOver = errors.New("feed: the stream is over")
)

// begin is the number after which a reader is served, and whether it begins anew.
func (f *Feed) begin(r Request) (after int64, anew bool) {
	at, _ := f.log.Position()
	first := f.log.First()
	if r.After < 0 || r.After > at.N || r.After < first-1 && r.After < at.N || r.Incarnation != "" && r.Incarnation != at.Incarnation {
		return first - 1, true
	}
	return r.After, false
}

// Stream sends a reader what it lacks, a heartbeat with its nonce, and then all that
// comes, until ctx ends, send fails or may is false. send is given whole events. It
// is called for the first time when the log has been confirmed.
func (f *Feed) Stream(ctx context.Context, r Request, may func() bool, send func([]byte) error) error {
	if err := f.join(); err != nil {
		return err
	}
	defer f.leave()
	if _, _, err := f.confirm(ctx); err != nil {
		return err
	}
	after, anew := f.begin(r)
	event := feed.EventRevocations
	if anew {
		event = feed.EventSnapshot
	}
	var at int64
	var err error
	for {
		if at, event, err = f.catchUp(ctx, after, event, send); err != nil {
			return err
		}
		if after == at {
			break
		}
		after = at
	}
	asOf, n, err := f.confirm(ctx)
	if err != nil {
		return err
	}
	position, seq, err := f.reach(ctx, n)
	if err != nil {
		return err
	}
	if err := f.sendTo(ctx, at, position.N, event, send); err != nil {
		return err
	}
	signed, err := f.sign(position, asOf, r.Nonce)
	if err != nil {
		return err
	}
	if err := send(appendEvent(nil, feed.EventHeartbeat, position.N, []byte(signed))); err != nil {
		return err
	}
	return f.follow(ctx, seq, may, send)
}

func (f *Feed) join() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return ErrOver
	case f.streams >= maxStreams:
		return ErrBusy
	}
	f.streams++
	return nil
}

func (f *Feed) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.streams--
}

// catchUp sends what there is after a number, in batches, and gives the number where
// it ended with the name of the event that comes next.
func (f *Feed) catchUp(ctx context.Context, after int64, event string, send func([]byte) error) (int64, string, error) {
	f.mu.Lock()
	to := f.sent.N
	f.mu.Unlock()
	if to < after || to == after && event == feed.EventRevocations {
		return after, event, nil
	}
	if err := f.sendTo(ctx, after, to, event, send); err != nil {
		return after, event, err
	}
	return to, feed.EventRevocations, nil
}

// sendTo sends the entries after a number up to another one. A snapshot is sent even
// if there are none.
func (f *Feed) sendTo(ctx context.Context, after, to int64, event string, send func([]byte) error) error {
	for after < to || event == feed.EventSnapshot {
		b, err := f.log.Since(ctx, after, min(batch, int(to-after)))
		if err != nil {
			return err
		}
		if event != feed.EventSnapshot {
			b.Base = nil
		}
		if err := send(appendEvent(nil, event, b.To, b.Append(nil))); err != nil {
			return err
		}
		after, event = b.To, feed.EventRevocations
	}
	return nil
}

// reach waits until the chunks go as far as n, and gives where they end and the
// number of the chunk to come.
func (f *Feed) reach(ctx context.Context, n int64) (feed.Position, int64, error) {
	for {
		f.mu.Lock()
		at, seq, wake, closed := f.sent, f.next, f.wake, f.closed
		f.mu.Unlock()
		if at.N >= n {
			return at, seq, nil
		}
		if closed {
			return at, seq, ErrOver
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return at, seq, ctx.Err()
		}
	}
}

// follow sends the chunks from a number on as they come.
func (f *Feed) follow(ctx context.Context, seq int64, may func() bool, send func([]byte) error) error {
	var events []byte
	for {
		f.mu.Lock()
		chunks, wake, closed := f.chunks[max(0, int64(len(f.chunks))-(f.next-seq)):], f.wake, f.closed
		slow := f.next-seq > int64(len(f.chunks))
		seq = f.next
		f.mu.Unlock()
		switch {
		case slow:
			return ErrSlow
		case len(chunks) > 0:
			events = events[:0]
			beat := false
			for _, c := range chunks {
				events = append(events, c.event...)
				beat = beat || c.beat
			}
			if beat && !may() {
				return ErrOver
			}
			if err := send(events); err != nil {
				return err
			}
			continue
		case closed:
			return ErrOver
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// polled is the answer to a reader that does not stream.
type polled struct {
	More      bool   `json:"more,omitempty"`
	Heartbeat string `json:"heartbeat,omitempty"`
}

// Poll is a batch of what a reader lacks as a JSON document, with a heartbeat if it
// is all. If there is nothing, the answer waits for it, as long as wait.
func (f *Feed) Poll(ctx context.Context, r Request, wait time.Duration) ([]byte, error) {
	if _, _, err := f.confirm(ctx); err != nil {
		return nil, err
	}
	after, anew := f.begin(r)
	if !anew {
		f.await(ctx, after, wait)
	}
	asOf, n, err := f.confirm(ctx)
	if err != nil {
		return nil, err
	}
	b, err := f.log.Since(ctx, after, batch)
	if err != nil {
		return nil, err
	}
	at := feed.Position{Incarnation: b.Incarnation, N: after, Hash: *b.Base}
	if err := at.Extend(b); err != nil {
		return nil, err
	}
	answer := polled{More: at.N < n}
	if !answer.More {
		if answer.Heartbeat, err = f.sign(at, asOf, r.Nonce); err != nil {
			return nil, err
		}
	}
	if !anew {
		b.Base = nil
	}
	members, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	doc := b.Append(nil)
	doc[len(doc)-1] = ','
	return append(doc, members[1:]...), nil
}

// await returns when there is an entry after a number, or the time is over.
func (f *Feed) await(ctx context.Context, after int64, wait time.Duration) {
	t := time.NewTimer(wait)
	defer t.Stop()
	for {
		changed := f.log.Changed()
		f.mu.Lock()
		over, wake := f.closed, f.wake
		f.mu.Unlock()
		if over || wait <= 0 || f.log.Head() > after {
			return
		}
		select {
		case <-changed:
		case <-wake: // a heartbeat, or the end
		case <-t.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// keepHead makes the document beside the segments for as long as its heartbeat is
// the newest.
func (f *Feed) keepHead(ctx context.Context, at feed.Position, signed string) error {
	full := at.N / feed.SegmentSize * feed.SegmentSize
	tail, err := f.read(ctx, max(full, f.log.First()-1), at.N)
	if err != nil {
		return err
	}
	doc, err := json.Marshal(feed.Head{Heartbeat: signed, Tail: tail.Append(nil)})
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.head = head{doc, time.Now()}
	return nil
}

// Head is the signed document beside the segments, which is made each second.
func (f *Feed) Head() ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.head.doc == nil || time.Since(f.head.made) > 3*beat {
		return nil, ErrUnconfirmed
	}
	return f.head.doc, nil
}

// Segment is the batch of a segment's entries. revoke.ErrAhead: it is not full yet;
// revoke.ErrGone: it is no longer needed.
func (f *Feed) Segment(ctx context.Context, k int64) ([]byte, error) {
	at, _ := f.log.Position()
	if k < 0 || k >= at.N/feed.SegmentSize {
		return nil, revoke.ErrAhead
	}
	b, err := f.read(ctx, k*feed.SegmentSize, (k+1)*feed.SegmentSize)
	if err != nil {
		return nil, err
	}
	return b.Append(nil), nil
}

// read reads all entries after a number up to another one, and the hash at the first.
func (f *Feed) read(ctx context.Context, after, to int64) (feed.Batch, error) {
	whole, err := f.log.Since(ctx, after, int(to-after))
	for err == nil && whole.To < to {
		var b feed.Batch
		if b, err = f.log.Since(ctx, whole.To, int(to-whole.To)); err == nil && len(b.Entries) == 0 {
			err = fmt.Errorf("feed: the log ends at %d, before %d", whole.To, to)
		}
		whole.Entries, whole.To = append(whole.Entries, b.Entries...), b.To
	}
	return whole, err
}
