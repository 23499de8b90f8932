package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/jeton-auth/jeton/oauth/feed"
)

const (
	pollWait    = time.Second           // which is how long the issuer holds an answer back
	pollPause   = 20 * time.Millisecond // between two answers that bring entries
	pollTimeout = 10 * time.Second
	cachedEvery = time.Second
)

// pause waits, or says why not.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// poll follows the feed by questions, each of which waits for an answer.
func (f *follower) poll(ctx context.Context) error {
	for wait := time.Duration(0); f.clock().mono < f.pollUntil; {
		more, err := f.pollOnce(ctx, wait)
		if err != nil {
			return err
		}
		if wait = pollWait; more {
			wait = 0
			continue
		}
		if err := pause(ctx, pollPause); err != nil {
			return err
		}
	}
	return errStreams
}

func (f *follower) pollOnce(ctx context.Context, wait time.Duration) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	q, err := f.ask(ctx, "application/json", wait)
	if err != nil {
		return false, err
	}
	doc, _, err := f.do(q.Request)
	if err != nil {
		return false, err
	}
	b, err := feed.ParseBatch(doc)
	if err != nil {
		return false, fault{err}
	}
	var rest struct {
		More      bool   `json:"more"`
		Heartbeat string `json:"heartbeat"`
	}
	if err := json.Unmarshal(doc, &rest); err != nil {
		return false, fault{err}
	}
	if err := f.batch(b, b.Base != nil); err != nil || rest.More {
		return rest.More, err
	}
	h, err := f.heartbeat(ctx, rest.Heartbeat)
	if err != nil {
		return false, err
	}
	if h.Nonce != q.nonce {
		f.hooks.feed(FeedBadHeartbeat)
		return false, fault{errors.New("a heartbeat does not bear the nonce that was sent")}
	}
	m := f.clock()
	if err := f.accept(h, rest.Heartbeat); err != nil {
		return false, err
	}
	f.measure(*q.sent.Load(), h, m)
	_, err = f.freshness.confirm(h, m)
	f.beaten()
	return false, err
}

// do makes a request within the bounds of a batch.
func (f *follower) do(req *http.Request) ([]byte, http.Header, error) {
	out := f.keys.out
	out.client = f.client
	return out.do(req, feed.MaxBatchSize)
}

// readCached follows the form of the feed that a cache may serve.
func (f *follower) readCached(ctx context.Context) error {
	for {
		if err := f.readHead(ctx); err != nil && !errors.Is(err, errOlder) {
			return err
		}
		if err := pause(ctx, cachedEvery); err != nil {
			return err
		}
	}
}

func (f *follower) readHead(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if f.keys.now.Load() == nil {
		if err := f.keys.refresh(ctx, missingEvery); err != nil {
			return err
		}
	}
	doc, err := f.cached(ctx, "/head", true)
	if err != nil {
		return err
	}
	var head feed.Head
	if err := json.Unmarshal(doc, &head); err != nil {
		return fault{err}
	}
	h, err := f.heartbeat(ctx, head.Heartbeat)
	if err != nil {
		return err
	}
	tail, err := feed.ParseBatch(head.Tail)
	if err != nil {
		return fault{err}
	}
	if newest, ok := f.head(); ok && h.Incarnation == newest.Incarnation && h.AsOf < newest.AsOf {
		return errOlder // the cache has another copy, and a newer one
	}
	at, begun := f.position()
	if begun && at.Incarnation != h.Incarnation {
		f.restart()
		begun = false
	}
	next := (h.First - 1) / feed.SegmentSize
	if begun {
		next = at.N / feed.SegmentSize
	}
	if err := f.segments(ctx, next, tail.From/feed.SegmentSize); err != nil {
		return err
	}
	if err := f.advance(tail); err != nil {
		return err
	}
	m := f.clock()
	if err := f.accept(h, head.Heartbeat); err != nil {
		return err
	}
	f.confirmCached(h, m)
	f.beaten()
	return nil
}

func (f *follower) cached(ctx context.Context, path string, secret bool) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.cache.String()+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	if secret {
		if err := f.credentials.present(req); err != nil {
			return nil, err
		}
	}
	doc, _, err := f.do(req)
	return doc, err
}

// abreast is how many segments are fetched at once.
const abreast = 8

// segments takes those from one number on, up to another one.
func (f *follower) segments(ctx context.Context, from, to int64) error {
	for ; from < to; from += abreast {
		var docs [abreast][]byte
		var errs [abreast]error
		n := min(abreast, to-from)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { docs[i], errs[i] = f.cached(ctx, fmt.Sprintf("/segments/%d", from+i), false) })
		}
		wg.Wait()
		for i := range n {
			if err := f.segment(docs[i], errs[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *follower) segment(doc []byte, err error) error {
	if status := (statusError{}); errors.As(err, &status) && status.status == http.StatusGone {
		return fault{fmt.Errorf("%w: %w", feed.ErrGap, err)}
	}
	if err != nil {
		return err
	}
	b, err := feed.ParseBatch(doc)
	if err != nil {
		return fault{err}
	}
	return f.advance(b)
}

// advance takes what is new of a batch.
func (f *follower) advance(b feed.Batch) error {
	at, begun := f.position()
	if !begun {
		return f.batch(b, true)
	}
	if skip := at.N - b.From; skip > 0 && skip <= int64(len(b.Entries)) && b.Incarnation == at.Incarnation {
		b.From, b.Entries = at.N, b.Entries[skip:]
	} else if skip > 0 && b.To <= at.N && b.Incarnation == at.Incarnation {
		return nil
	}
	return f.batch(b, false)
}
