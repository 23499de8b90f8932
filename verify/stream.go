package verify

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jeton-auth/jeton/oauth/feed"
)

// question is a request to the feed. sent is the moment before which its nonce was
// known to nobody else.
type question struct {
	*http.Request
	nonce     string
	sent      atomic.Pointer[moment]
	connected atomic.Bool
}

func (q *question) leaves(m moment) { q.sent.Store(&m) }

// ask makes a request for what comes after what is known.
func (f *follower) ask(ctx context.Context, accept string, wait time.Duration) (*question, error) {
	endpoint, err := f.endpoint(ctx)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	if err := f.keys.out.check(u); err != nil {
		return nil, fmt.Errorf("the revocation feed: %w", err)
	}
	q := &question{nonce: rand.Text()}
	query := u.Query()
	query.Set("nonce", q.nonce)
	at, begun := f.position()
	if begun {
		query.Set("after", strconv.FormatInt(at.N, 10))
		query.Set("inc", at.Incarnation)
	}
	if wait > 0 {
		query.Set("wait", wait.String())
	} else if f.newestToken != "" {
		query.Set("heartbeat", f.newestToken) // by which an issuer sees that it lost what it had signed
	}
	u.RawQuery = query.Encode()
	q.leaves(f.clock())
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		if !q.connected.Swap(true) { // until now nothing was sent
			q.leaves(f.clock())
		}
	}})
	if q.Request, err = http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil); err != nil {
		return nil, err
	}
	q.Header.Set("Accept", accept)
	q.Header.Set("Accept-Encoding", "identity") // a packed stream is a stream held back
	q.Header.Set("Cache-Control", "no-store")
	if begun {
		q.Header.Set("Last-Event-ID", strconv.FormatInt(at.N, 10))
	}
	return q, f.credentials.present(q.Request)
}

// brief leaves the query out of an error's address: it holds a whole heartbeat.
func brief(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		e.URL, _, _ = strings.Cut(e.URL, "?")
	}
	return err
}

const eventStream = "text/event-stream"

// stream follows the feed by server-sent events.
func (f *follower) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(firstWait, func() { cancel(errSilent) })
	defer watchdog.Stop()
	why := func(err error) error {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	q, err := f.ask(ctx, eventStream, 0)
	if err != nil {
		return why(err)
	}
	resp, err := f.client.Do(q.Request)
	if err != nil {
		f.silence(q)
		return why(brief(err))
	}
	defer resp.Body.Close()
	if err := streams(resp); err != nil {
		return err
	}
	s := session{follower: f, question: q, watchdog: watchdog, most: early(measured)}
	events := newEvents(resp.Body)
	for {
		e, err := events.next()
		switch {
		case errors.Is(err, errEvent):
			return fault{err}
		case err != nil:
			if !s.heard {
				f.silence(q)
			}
			return why(err)
		}
		s.heard, f.silent = true, 0
		if err := s.event(ctx, e); err != nil {
			return err
		}
	}
}

// silence counts a stream in which nothing came for a long time, as when something on
// the way gathers what it should hand on.
func (f *follower) silence(q *question) {
	if q.connected.Load() && f.clock().mono-q.sent.Load().mono >= int64(firstWait-time.Second) {
		f.silent++
	}
}

// streams tells why an answer is not a stream of events.
func streams(resp *http.Response) error {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	at := resp.Request.URL.Redacted()
	switch {
	case resp.StatusCode == http.StatusOK && kind == eventStream:
		return nil
	case resp.StatusCode == http.StatusOK, resp.StatusCode == http.StatusNotAcceptable:
		return fmt.Errorf("%w: the answer is %d and %q", errNoStream, resp.StatusCode, kind)
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	return statusError{at, resp.StatusCode}
}

// session is one stream.
type session struct {
	*follower
	*question
	watchdog *time.Timer
	heard    bool
	anchored bool          // the nonce came back
	late     int64         // monotonic time since which heartbeats come late, or 0
	most     time.Duration // that it lasts
}

func (s *session) event(ctx context.Context, e event) error {
	switch e.name {
	case feed.EventSnapshot, feed.EventRevocations:
		snapshot := e.name == feed.EventSnapshot
		if !s.anchored {
			s.watchdog.Reset(firstWait)
		}
		b, err := feed.ParseBatch(e.data)
		if err != nil {
			return fault{err}
		}
		return s.batch(b, snapshot)
	case feed.EventHeartbeat:
		return s.beat(ctx, string(e.data))
	}
	return nil // what a later version adds
}

func (s *session) beat(ctx context.Context, token string) error {
	h, err := s.heartbeat(ctx, token)
	if err != nil {
		return err
	}
	if !s.anchored && h.Nonce != s.nonce {
		s.hooks.feed(FeedBadHeartbeat)
		return fault{errors.New("the first heartbeat does not bear the nonce that was sent")}
	}
	m := s.clock()
	if err := s.accept(h, token); err != nil {
		if s.anchored && errors.Is(err, errOlder) {
			return nil // it confirms nothing, and harms nothing
		}
		return err
	}
	first := !s.anchored
	if first {
		s.anchored = true
		s.anchor(*s.sent.Load(), h)
	}
	s.watchdog.Reset(patience)
	lag, err := s.freshness.confirm(h, m)
	s.beaten()
	if err != nil {
		return err
	}
	switch {
	case time.Duration(m.mono-s.sent.Load().mono) > s.most:
		return errDrift
	case first && lag > slowTrip && !s.remeasured: // the snapshot was large, or the issuer had to wait
		s.remeasured = true
		return errMeasure
	case lag <= s.bound/2:
		s.late = 0
		s.remeasured = s.remeasured && first
	case s.late == 0:
		s.late = m.mono
	case m.mono-s.late > int64(900*time.Millisecond): // not all that was held back came at once
		return errLate
	}
	return nil
}
