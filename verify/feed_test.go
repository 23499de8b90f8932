package verify

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// feedSigner is the key of the feed.
var feedSigner = sync.OnceValue(func() signer {
	s := newSigner("feed", oauth.ES256, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)))
	s.Feed = true
	return s
})

// revocations is an issuer's log and feed, all of which a test controls.
type revocations struct {
	is *issuer

	mu      sync.Mutex
	inc     string
	was     []string
	entries []feed.Entry
	hashes  []feed.Hash   // at each number, from 0
	base    int64         // of snapshots
	first   int64         // 0: the one after base
	step    time.Duration // that the database's clock is off
	stands  time.Time     // where it stands, if not zero
	life    time.Duration // of entries
	mute    bool          // no heartbeats
	refuse  int           // status of every answer, if not 0
	forms   string        // "stream", "json" or "any"
	sign    func(feed.Heartbeat) string
	mangle  func(event string) string
	gate    chan struct{} // while not nil, nothing is delivered until it is closed
	wake    chan struct{} // closed when there is something new
	cut     chan struct{} // closed to end all streams
	count   served
}

// served is what readers asked for.
type served struct {
	streams, snapshots int
	last               string // query
}

func (l *revocations) served() served {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

func newRevocations(is *issuer) *revocations {
	l := &revocations{is: is, wake: make(chan struct{}), cut: make(chan struct{}), forms: "any", life: 2 * time.Hour}
	l.begin("life-1")
	is.log = l
	is.publish(es256(), feedSigner())
	return l
}

// begin makes an empty log of an incarnation.
func (l *revocations) begin(inc string) {
	l.inc, l.entries, l.hashes, l.base = inc, nil, []feed.Hash{feed.Start(inc)}, 0
}

// do changes the log, or how it is served.
func (l *revocations) do(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	close(l.wake)
	l.wake = make(chan struct{})
}

// drop ends all streams.
func (l *revocations) drop() {
	l.do(func() {
		close(l.cut)
		l.cut = make(chan struct{})
	})
}

// add appends an entry; the caller holds the lock.
func (l *revocations) add(k feed.Kind, value string) int64 {
	e := feed.Entry{N: int64(len(l.entries)) + 1, Kind: k, Value: feed.Value(k, value), Until: time.Now().Add(l.life).Unix()}
	if k.Cutoff() {
		e.At = time.Now().Unix()
	}
	l.entries, l.hashes = append(l.entries, e), append(l.hashes, l.hashes[len(l.hashes)-1].Next(e))
	return e.N
}

func (l *revocations) revoke(k feed.Kind, value string) (n int64) {
	l.do(func() { n = l.add(k, value) })
	return n
}

func (l *revocations) head() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(len(l.entries))
}

// heartbeat is a statement at n; the caller holds the lock.
func (l *revocations) heartbeat(n int64, nonce string) feed.Heartbeat {
	first := l.first
	if first == 0 {
		first = l.base + 1
	}
	now := time.Now().Add(l.step)
	if !l.stands.IsZero() {
		now = l.stands
	}
	l.is.mu.Lock()
	doc := document(l.is.keys)
	l.is.mu.Unlock()
	return feed.Heartbeat{
		Issuer: l.is.url, Incarnation: l.inc, Former: l.was, N: n, Hash: l.hashes[n], First: min(first, n+1),
		JWKS: feed.JWKSHash(doc), AsOf: now.UnixMilli(), Nonce: nonce,
	}
}

func (l *revocations) signed(h feed.Heartbeat) string {
	if l.sign != nil {
		return l.sign(h)
	}
	return heartbeatBy(feedSigner(), h)
}

func heartbeatBy(s signer, h feed.Heartbeat) string {
	return s.jws(s.header(feed.Typ), string(must(h.Payload())))
}

// batch is the entries after a number; the caller holds the lock.
func (l *revocations) batch(after, to int64, based bool) feed.Batch {
	b := feed.Batch{Incarnation: l.inc, From: after, To: to, Entries: l.entries[after:to]}
	if based {
		b.Base = &l.hashes[after]
	}
	return b
}

// place is where a reader is served from.
func (l *revocations) place(r *http.Request) (after int64, snapshot bool) {
	q := r.URL.Query()
	l.count.last = r.URL.RawQuery
	after, err := strconv.ParseInt(q.Get("after"), 10, 64)
	if err != nil || q.Get("inc") != l.inc || after > int64(len(l.entries)) || after < l.base {
		l.count.snapshots++
		return l.base, true
	}
	return after, false
}

func (l *revocations) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	refuse, forms := l.refuse, l.forms
	l.mu.Unlock()
	events := strings.Contains(r.Header.Get("Accept"), eventStream)
	switch path := strings.TrimPrefix(r.URL.Path, "/revocations"); {
	case refuse != 0:
		w.WriteHeader(refuse)
	case path == "/head":
		l.serveHead(w)
	case path != "":
		l.serveSegment(w, path)
	case events && forms != "json":
		l.serveStream(w, r)
	case events && forms == "json":
		w.WriteHeader(http.StatusNotAcceptable)
	default:
		l.servePoll(w, r)
	}
}

func (l *revocations) serveStream(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	l.count.streams++
	at, snapshot := l.place(r)
	cut := l.cut
	l.mu.Unlock()
	w.Header().Set("Content-Type", eventStream)
	nonce := r.URL.Query().Get("nonce")
	beats := time.NewTicker(time.Second)
	defer beats.Stop()
	for beat := true; ; {
		l.mu.Lock()
		if at > int64(len(l.entries)) { // the test took some back
			l.mu.Unlock()
			return
		}
		var out strings.Builder
		emit := func(name string, n int64, data string) {
			event := fmt.Sprintf("event: %s\nid: %d\ndata: %s\n\n", name, n, data)
			if l.mangle != nil {
				event = l.mangle(event)
			}
			out.WriteString(event)
		}
		for to := int64(len(l.entries)); snapshot || at < to; snapshot = false {
			next := min(to, at+feed.MaxBatch)
			name := feed.EventRevocations
			if snapshot {
				name = feed.EventSnapshot
			}
			emit(name, next, string(l.batch(at, next, snapshot).Append(nil)))
			at = next
		}
		if beat && !l.mute {
			emit(feed.EventHeartbeat, at, l.signed(l.heartbeat(at, nonce)))
			nonce = ""
		}
		beat = false
		wake := l.wake
		l.mu.Unlock()
		if _, err := io.WriteString(w, out.String()); err != nil {
			return
		}
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		select {
		case <-wake:
		case <-beats.C:
			beat = true
		case <-cut:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (l *revocations) servePoll(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	after, snapshot := l.place(r)
	if wait, err := time.ParseDuration(r.URL.Query().Get("wait")); err == nil && !snapshot {
		timeout := time.NewTimer(wait)
		for over := false; !over && int64(len(l.entries)) <= after; {
			wake := l.wake
			l.mu.Unlock()
			select {
			case <-wake:
			case <-timeout.C:
				over = true
			case <-r.Context().Done():
				over = true
			}
			l.mu.Lock()
		}
	}
	to := min(int64(len(l.entries)), after+feed.MaxBatch)
	var doc map[string]any
	if err := json.Unmarshal(l.batch(after, to, snapshot).Append(nil), &doc); err != nil {
		panic(err)
	}
	if to < int64(len(l.entries)) {
		doc["more"] = true
	} else if !l.mute {
		doc["heartbeat"] = l.signed(l.heartbeat(to, r.URL.Query().Get("nonce")))
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(doc)
}

func (l *revocations) serveHead(w http.ResponseWriter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := int64(len(l.entries))
	if l.mute {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	tail := l.batch(max(n/feed.SegmentSize*feed.SegmentSize, l.base), n, true)
	json.NewEncoder(w).Encode(feed.Head{Heartbeat: l.signed(l.heartbeat(n, "")), Tail: tail.Append(nil)})
}

func (l *revocations) serveSegment(w http.ResponseWriter, path string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := must(strconv.ParseInt(strings.TrimPrefix(path, "/segments/"), 10, 64))
	switch {
	case (k+1)*feed.SegmentSize > int64(len(l.entries)):
		w.WriteHeader(http.StatusNotFound)
	case (k+1)*feed.SegmentSize <= l.base:
		w.WriteHeader(http.StatusGone)
	default:
		w.Write(l.batch(k*feed.SegmentSize, (k+1)*feed.SegmentSize, true).Append(nil))
	}
}

// streamTo answers with a body that goes on, without a network. What is written waits
// while the log's gate is closed.
func (is *issuer) streamTo(r *http.Request) (*http.Response, error) {
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	body, out := io.Pipe()
	w := &streamWriter{header: http.Header{}, begun: make(chan int, 1), queue: make(chan []byte, 1<<16)}
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(ctx, func() { body.CloseWithError(context.Canceled) })
	go func() {
		for b := range w.queue {
			is.log.held(ctx)
			if _, err := out.Write(b); err != nil {
				cancel()
			}
		}
		out.Close()
		stop()
		cancel()
	}()
	go func() {
		is.ServeHTTP(w, r.WithContext(ctx))
		w.WriteHeader(http.StatusOK)
		close(w.queue)
	}()
	select {
	case status := <-w.begun:
		return &http.Response{StatusCode: status, Header: w.header, Body: body, Request: r}, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// held waits while the gate is closed.
func (l *revocations) held(ctx context.Context) {
	l.mu.Lock()
	gate := l.gate
	l.mu.Unlock()
	if gate == nil {
		return
	}
	select {
	case <-gate:
	case <-ctx.Done():
	}
}

// hold closes the gate, and gives what opens it.
func (l *revocations) hold() (release func()) {
	gate := make(chan struct{})
	l.do(func() { l.gate = gate })
	return func() {
		l.do(func() { l.gate = nil })
		close(gate)
	}
}

type streamWriter struct {
	header http.Header
	once   sync.Once
	begun  chan int
	queue  chan []byte
}

func (w *streamWriter) Header() http.Header { return w.header }

func (w *streamWriter) WriteHeader(status int) { w.once.Do(func() { w.begun <- status }) }

func (w *streamWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	select {
	case w.queue <- append([]byte(nil), b...):
		return len(b), nil
	default:
		return 0, errors.New("the reader does not read")
	}
}
