package feed

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/revoke"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// answer reads what Poll gives.
func (f *fixture) answer(doc []byte) (feed.Batch, polled, feed.Heartbeat) {
	f.t.Helper()
	b, err := feed.ParseBatch(doc)
	must(f.t, err)
	var p polled
	must(f.t, json.Unmarshal(doc, &p))
	if p.Heartbeat == "" {
		return b, p, feed.Heartbeat{}
	}
	h, err := (&reader{t: f.t, f: f}).heartbeat(p.Heartbeat)
	must(f.t, err)
	return b, p, h
}

func (f *fixture) poll(r Request, wait time.Duration) (feed.Batch, polled, feed.Heartbeat) {
	f.t.Helper()
	doc, err := f.Poll(f.t.Context(), r, wait)
	must(f.t, err)
	return f.answer(doc)
}

func TestPoll(t *testing.T) {
	t.Parallel()
	f := open(t)
	b, _, h := f.poll(Request{After: -1, Nonce: "x"}, time.Hour) // a snapshot does not wait
	if b.Base == nil || b.To != 0 || h.Nonce != "x" {
		t.Errorf("an empty log: %+v, %+v", b, h)
	}
	const many = batch + 5
	f.revoke(many)
	b, p, _ := f.poll(Request{After: -1}, 0)
	if !p.More || p.Heartbeat != "" || b.To != batch {
		t.Fatalf("the first part goes to %d, more = %t, heartbeat %q", b.To, p.More, p.Heartbeat)
	}
	at := feed.Position{Incarnation: b.Incarnation, Hash: *b.Base}
	must(t, at.Extend(b))
	b, p, h = f.poll(Request{After: b.To, Incarnation: b.Incarnation}, time.Hour) // nor does who lacks something
	must(t, at.Extend(b))
	if p.More || b.Base != nil || h.Position() != at || at.N != many {
		t.Errorf("the rest goes to %d, more = %t, %+v", at.N, p.More, h)
	}
	if b, _, h := f.poll(Request{After: many}, time.Millisecond); len(b.Entries) != 0 || h.N != many {
		t.Errorf("nothing new: %d entries, %+v", len(b.Entries), h)
	}
	// Who waits is answered by the next entry.
	answered := make(chan []byte)
	go func() {
		doc, err := f.Poll(t.Context(), Request{After: many}, time.Hour)
		if err != nil {
			t.Error(err)
		}
		answered <- doc
	}()
	f.revoke(1)
	if b, _, h := f.answer(<-answered); b.From != many || b.To != many+1 || h.N != many+1 {
		t.Errorf("the answer to who waited: %d to %d, %+v", b.From, b.To, h)
	}
}

// Head and segments together are the whole log, and end where the head's heartbeat
// says.
func TestSegments(t *testing.T) {
	t.Parallel()
	f := open(t)
	const n = 2*feed.SegmentSize + 10
	f.revoke(n)
	must(t, f.beat(t.Context()))
	doc, err := f.Head()
	must(t, err)
	var head feed.Head
	must(t, json.Unmarshal(doc, &head))
	h, err := (&reader{t: t, f: f}).heartbeat(head.Heartbeat)
	must(t, err)
	at := feed.Position{Incarnation: h.Incarnation, Hash: feed.Start(h.Incarnation)}
	for k := range int64(2) {
		doc, err := f.Segment(t.Context(), k)
		must(t, err)
		b, err := feed.ParseBatch(doc)
		must(t, err)
		if len(b.Entries) != feed.SegmentSize || *b.Base != at.Hash {
			t.Errorf("segment %d has %d entries", k, len(b.Entries))
		}
		must(t, at.Extend(b))
	}
	tail, err := feed.ParseBatch(head.Tail)
	must(t, err)
	must(t, at.Extend(tail))
	if at != h.Position() || at.N != n {
		t.Errorf("segments and tail end at %v, the heartbeat at %v", at, h.Position())
	}
	for _, k := range []int64{-1, 2, 1 << 40} {
		if _, err := f.Segment(t.Context(), k); !errors.Is(err, revoke.ErrAhead) {
			t.Errorf("segment %d: %v", k, err)
		}
	}
	f.clock.Advance(2 * time.Hour)
	f.log.Forget(f.clock.Now())
	must(t, f.beat(t.Context()))
	if doc, err = f.Head(); err != nil {
		t.Fatal(err)
	}
	must(t, json.Unmarshal(doc, &head))
	if tail, err = feed.ParseBatch(head.Tail); err != nil || tail.From != n || tail.To != n {
		t.Errorf("nothing is needed, and the tail goes from %d to %d: %v", tail.From, tail.To, err)
	}
}
