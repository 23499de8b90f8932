// Package feed tells protected APIs what is revoked, as it happens: it follows the
// revocation log, confirms each second by the database how far the log goes, and
// signs that. What is sent is made once for all readers. The form of it all is in
// oauth/feed and docs/revocation-feed.md; HTTP is the business of the endpoint.
package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/revoke"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth/feed"
)

const (
	beat = time.Second
	// batch is how many entries are sent as one: even with the longest names they stay
	// within what readers take.
	batch      = feed.MaxBatch / 4
	chunksKept = 2048 // for readers that are behind; who is further behind is cut off
	maxStreams = 20_000
	// pauseEach is how long the next entries are gathered for each reader that was
	// woken, so that many readers and many revocations don't multiply.
	pauseEach = 25 * time.Microsecond
	maxPause  = 50 * time.Millisecond
)

// Feed follows one revocation log. It is safe for concurrent use.
type Feed struct {
	issuer string
	st     *store.Store
	log    *revoke.Log
	ring   *keys.Ring
	out    *slog.Logger

	mu      sync.Mutex
	sent    feed.Position // where the chunks end
	chunks  []chunk       // the newest last
	next    int64         // number of the chunk to come
	wake    chan struct{} // closed when there is one
	streams int
	closed  bool
	head    head
}

// chunk is an event as it goes over the wire.
type chunk struct {
	event []byte
	beat  bool // a heartbeat, or a word that there is none
}

// head is the signed document beside the segments.
type head struct {
	doc  []byte
	made time.Time
}

// New makes a Feed of an issuer. Nothing is sent before Run.
func New(issuer string, st *store.Store, log *revoke.Log, ring *keys.Ring, out *slog.Logger) *Feed {
	f := &Feed{issuer: issuer, st: st, log: log, ring: ring, out: out, wake: make(chan struct{})}
	f.sent, _ = log.Position()
	return f
}

// Run sends what is revoked, and a heartbeat each second, until ctx ends. Then it
// ends every stream.
func (f *Feed) Run(ctx context.Context) {
	defer f.close()
	beats := time.NewTicker(beat)
	defer beats.Stop()
	f.beat(ctx)
	for failing := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-f.log.Changed():
			f.publish(ctx)
			f.pause(ctx)
		case <-beats.C:
			err := f.beat(ctx)
			if err != nil && !failing && ctx.Err() == nil {
				f.out.Error("the revocation feed can't be confirmed by the database: no heartbeat is sent until it can", slog.Any("error", err))
			} else if err == nil && failing {
				f.out.Info("the revocation feed is confirmed again")
			}
			failing = err != nil
		}
	}
}

func (f *Feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	close(f.wake)
	f.wake = make(chan struct{})
}

// Restart begins anew where the log stands: entries are gone that were never sent.
// Every stream is cut, and its reader gets a snapshot.
func (f *Feed) Restart() {
	at, _ := f.log.Position()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent, f.chunks = at, nil
	f.next += 2 // nobody is in time for what was never there
	close(f.wake)
	f.wake = make(chan struct{})
}

// pause gathers entries for a while, the longer the more readers there are.
func (f *Feed) pause(ctx context.Context) {
	f.mu.Lock()
	d := min(time.Duration(f.streams)*pauseEach, maxPause)
	f.mu.Unlock()
	if d < time.Millisecond {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// publish makes chunks of the entries that are in none yet.
func (f *Feed) publish(ctx context.Context) {
	for {
		f.mu.Lock()
		at := f.sent
		f.mu.Unlock()
		b, err := f.log.Since(ctx, at.N, batch)
		if err == nil && len(b.Entries) == 0 {
			return
		}
		b.Base = nil
		if err == nil {
			err = at.Extend(b)
		}
		if err != nil {
			if ctx.Err() == nil {
				f.out.Error("the revocation feed can't follow the log", slog.Any("error", err))
			}
			return
		}
		f.add(at, chunk{event: appendEvent(nil, feed.EventRevocations, at.N, b.Append(nil))})
	}
}

// add appends a chunk, after which the feed stands at a position.
func (f *Feed) add(at feed.Position, c chunk) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent = at
	f.chunks = append(f.chunks, c)
	if len(f.chunks) > 2*chunksKept {
		f.chunks = append([]chunk(nil), f.chunks[len(f.chunks)-chunksKept:]...)
	}
	f.next++
	close(f.wake)
	f.wake = make(chan struct{})
}

// appendEvent writes a server-sent event.
func appendEvent(dst []byte, name string, id int64, data []byte) []byte {
	dst = fmt.Appendf(dst, "event: %s\nid: %d\ndata: ", name, id)
	dst = append(dst, data...)
	return append(dst, "\n\n"...)
}

// beat sends a heartbeat, or a comment that there is none.
func (f *Feed) beat(ctx context.Context) error {
	asOf, _, err := f.confirm(ctx)
	if err != nil {
		f.mu.Lock()
		at := f.sent
		f.mu.Unlock()
		f.add(at, chunk{event: []byte(": the database does not confirm the log\n\n"), beat: true})
		return err
	}
	f.publish(ctx)
	f.mu.Lock()
	at := f.sent
	f.mu.Unlock()
	signed, err := f.sign(at, asOf, "")
	if err != nil {
		return err
	}
	// Whoever has seen the heartbeat finds a head that is as new.
	err = f.keepHead(ctx, at, signed)
	f.add(at, chunk{event: appendEvent(nil, feed.EventHeartbeat, at.N, []byte(signed)), beat: true})
	return err
}

// ErrUnconfirmed says that the database does not tell how far the log goes.
var ErrUnconfirmed = errors.New("feed: the database does not confirm how far the revocation log goes")

// confirmTimeout bounds how long the log in memory may lag behind the table.
const confirmTimeout = 2 * time.Second

// confirm reads how far the log goes, and returns when memory goes as far. At asOf
// nothing was revoked that memory does not hold then.
func (f *Feed) confirm(ctx context.Context) (asOf time.Time, n int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	before, _ := f.log.Position()
	asOf = f.st.Now() // before the reading, so that the statement is true
	issuer, err := f.st.Look(ctx).Issuer()
	if err != nil {
		return asOf, 0, fmt.Errorf("%w: %w", ErrUnconfirmed, err)
	}
	if issuer.Incarnation != before.Incarnation || issuer.Head < before.N {
		return asOf, 0, fmt.Errorf("%w: it ends at %d of %s, in memory at %d of %s: the database was replaced under the running server; restart it", ErrUnconfirmed, issuer.Head, issuer.Incarnation, before.N, before.Incarnation)
	}
	for {
		changed := f.log.Changed()
		if f.log.Head() >= issuer.Head {
			return asOf, issuer.Head, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return asOf, 0, fmt.Errorf("%w: memory is at %d, the table at %d", ErrUnconfirmed, f.log.Head(), issuer.Head)
		}
	}
}

// sign makes the heartbeat at a position that was confirmed.
func (f *Feed) sign(at feed.Position, asOf time.Time, nonce string) (string, error) {
	_, former := f.log.Position()
	payload, err := feed.Heartbeat{
		Issuer: f.issuer, Incarnation: at.Incarnation, Former: former, N: at.N, Hash: at.Hash, First: min(f.log.First(), at.N+1),
		JWKS: feed.JWKSHash(f.ring.JWKS()), AsOf: asOf.UnixMilli(), Nonce: nonce,
	}.Payload()
	if err != nil {
		return "", err
	}
	return f.ring.FeedSigner().JWS(feed.Typ, payload)
}
