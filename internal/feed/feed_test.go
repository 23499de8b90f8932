package feed

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/revoke"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/store/sqlite"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/feed"
	"github.com/jeton-auth/jeton/oauth/jwks"
	"github.com/jeton-auth/jeton/verify"
)

const issuer = "https://id.example.com"

type fixture struct {
	*Feed
	t     testing.TB
	st    *store.Store
	log   *revoke.Log
	clock *clock.Manual
	path  string
	once  sync.Once
}

func open(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{t: t, path: filepath.Join(t.TempDir(), "jeton.db"), clock: clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))}
	out := slog.New(slog.NewTextHandler(io.Discard, nil))
	engine := &sqlite.Engine{}
	var err error
	if f.st, err = store.Open(t.Context(), engine, f.path, f.clock, out); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(f.cut(), engine.Close()); err != nil {
			t.Error(err)
		}
	})
	must(t, f.st.Write(t.Context(), func(tx *store.Tx) error { return tx.CreateIssuer(time.Hour) }))
	ring, err := keys.Open(t.Context(), audit.New(f.st, out), f.st, bytes.Repeat([]byte{1, 2}, 16), keys.Policy{Algs: []oauth.Alg{oauth.ES256}, RetireAfter: time.Hour})
	must(t, err)
	f.log, err = revoke.Open(t.Context(), f.st, out)
	must(t, err)
	f.Feed = New(issuer, f.st, f.log, ring, out)
	return f
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// cut closes the database.
func (f *fixture) cut() (err error) {
	f.once.Do(func() { err = f.st.Close() })
	return err
}

// run sends what comes until the test ends.
func (f *fixture) run() {
	ctx, cancel := context.WithCancel(f.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { f.Run(ctx) })
	f.t.Cleanup(func() { cancel(); wg.Wait() })
}

// revoke revokes n tokens in one transaction.
func (f *fixture) revoke(n int) {
	f.t.Helper()
	must(f.t, f.st.Write(f.t.Context(), func(tx *store.Tx) error {
		entries := make([]revoke.Entry, n)
		for i := range entries {
			entries[i] = revoke.Entry{Kind: feed.Token, Value: fmt.Sprintf("g.%p.%d", &entries, i)}
		}
		return f.log.Add(tx, "test", entries...)
	}))
}

// reader follows a stream as the page describes it.
type reader struct {
	t         testing.TB
	f         *fixture
	at        feed.Position
	snapshots int
	beats     []feed.Heartbeat
	comments  int
	reached   int64 // send stops the stream once a heartbeat is here
}

var errEnough = errors.New("enough")

// send takes events, and stops when a heartbeat stands at the number to be reached.
func (r *reader) send(events []byte) error {
	for event := range strings.SplitSeq(strings.TrimSuffix(string(events), "\n\n"), "\n\n") {
		if strings.HasPrefix(event, ":") {
			r.comments++
			continue
		}
		lines := strings.Split(event, "\n")
		if len(lines) != 3 {
			return fmt.Errorf("an event of %d lines: %q", len(lines), event)
		}
		name, data := strings.TrimPrefix(lines[0], "event: "), strings.TrimPrefix(lines[2], "data: ")
		if err := r.take(name, data); err != nil {
			return err
		}
		if want := fmt.Sprintf("id: %d", r.at.N); lines[1] != want {
			return fmt.Errorf("%s has %s, want %s", name, lines[1], want)
		}
	}
	if n := len(r.beats); n > 0 && r.beats[n-1].N >= r.reached {
		return errEnough
	}
	return nil
}

func (r *reader) take(name, data string) error {
	if name == feed.EventHeartbeat {
		h, err := r.heartbeat(data)
		if err != nil {
			return err
		}
		if h.Position() != r.at {
			return fmt.Errorf("a heartbeat at %v, the reader at %v", h.Position(), r.at)
		}
		r.beats = append(r.beats, h)
		return nil
	}
	b, err := feed.ParseBatch([]byte(data))
	if err != nil {
		return err
	}
	if name == feed.EventSnapshot {
		r.snapshots++
		r.at = feed.Position{Incarnation: b.Incarnation, N: b.From, Hash: *b.Base}
	} else if b.Base != nil {
		return errors.New("a batch that continues brings a hash")
	}
	return r.at.Extend(b)
}

func (r *reader) heartbeat(token string) (feed.Heartbeat, error) {
	set, err := jwks.Parse(r.f.ring.JWKS())
	if err != nil {
		return feed.Heartbeat{}, err
	}
	payload, _, err := verify.Signed(token, feed.Typ, set.FeedKey)
	if err != nil {
		return feed.Heartbeat{}, err
	}
	h, err := feed.ParseHeartbeat(payload, issuer)
	if err == nil && len(r.beats) > 0 {
		err = h.Follows(r.beats[len(r.beats)-1])
	}
	return h, err
}

func always() bool { return true }

// read streams until a heartbeat stands at n.
func (f *fixture) read(r Request, n int64) *reader {
	f.t.Helper()
	got := &reader{t: f.t, f: f, reached: n, at: feed.Position{Incarnation: r.Incarnation, N: r.After}}
	if r.After >= 0 && r.After <= f.log.Head() && r.Incarnation != "" {
		b, err := f.log.Since(f.t.Context(), r.After, 1)
		must(f.t, err)
		got.at.Hash = *b.Base
	}
	if err := f.Stream(f.t.Context(), r, always, got.send); !errors.Is(err, errEnough) {
		f.t.Fatalf("the stream ended at %v: %v", got.at, err)
	}
	return got
}

func TestStream(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.run()
	empty := f.read(Request{After: -1, Nonce: "n0"}, 0)
	if empty.snapshots != 1 || empty.beats[0].Nonce != "n0" || empty.beats[0].First != 1 {
		t.Errorf("an empty log: %d snapshots, %+v", empty.snapshots, empty.beats)
	}
	f.revoke(3)
	all := f.read(Request{After: -1, Nonce: "n1"}, 3)
	if h := all.beats[0]; all.snapshots != 1 || h.Nonce != "n1" || h.N != 3 || h.First != 1 || h.JWKS != feed.JWKSHash(f.ring.JWKS()) || h.AsOf != f.clock.Now().UnixMilli() {
		t.Errorf("a snapshot: %d, %+v", all.snapshots, h)
	}
	inc := all.at.Incarnation
	on := f.read(Request{After: 1, Incarnation: inc}, 3)
	if on.snapshots != 0 || on.at != all.at {
		t.Errorf("who goes on gets %d snapshots and ends at %v", on.snapshots, on.at)
	}
	for name, r := range map[string]Request{
		"another incarnation": {After: 3, Incarnation: "other"},
		"beyond the end":      {After: 4, Incarnation: inc},
	} {
		if got := f.read(r, 3); got.snapshots != 1 || got.at != all.at {
			t.Errorf("%s: %d snapshots, at %v", name, got.snapshots, got.at)
		}
	}
	f.clock.Advance(2 * time.Hour)
	f.log.Forget(f.clock.Now())
	late := f.read(Request{After: 1, Incarnation: inc}, 3)
	if late.snapshots != 1 || late.at.N != 3 || late.beats[0].First != 4 {
		t.Errorf("who comes when nothing is needed: %d snapshots, %+v", late.snapshots, late.beats)
	}
}

// Many readers see every entry once and in order, while entries are added from all
// sides; a snapshot of many entries comes in parts.
func TestManyReaders(t *testing.T) {
	t.Parallel()
	f := open(t)
	const before, after, writers = 2*batch + 100, 200, 4
	f.revoke(before)
	f.run()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			got := &reader{t: t, f: f, reached: before + writers*after}
			if err := f.Stream(t.Context(), Request{After: -1}, always, got.send); !errors.Is(err, errEnough) {
				t.Errorf("the stream ended at %d: %v", got.at.N, err)
			}
		})
	}
	for range writers {
		wg.Go(func() {
			for range after {
				f.revoke(1)
			}
		})
	}
	wg.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.streams; n != 0 {
		t.Errorf("%d streams are left", n)
	}
}

// A node that is cut from its database signs nothing, to those who follow as to those
// who come, and says so at each beat. What was revoked before still goes out.
func TestCutFromDatabase(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.revoke(2)
	f.publish(t.Context())
	must(t, f.cut())
	if err := f.beat(t.Context()); !errors.Is(err, ErrUnconfirmed) {
		t.Errorf("beat: %v", err)
	}
	if _, err := f.Head(); !errors.Is(err, ErrUnconfirmed) {
		t.Errorf("head: %v", err)
	}
	if _, err := f.Poll(t.Context(), Request{After: -1}, 0); !errors.Is(err, ErrUnconfirmed) {
		t.Errorf("poll: %v", err)
	}
	if err := f.Stream(t.Context(), Request{After: -1}, always, func([]byte) error { return nil }); !errors.Is(err, ErrUnconfirmed) {
		t.Errorf("stream: %v", err)
	}
	got := &reader{t: t, f: f, at: feed.Position{Incarnation: f.sent.Incarnation}, reached: 9}
	ctx, cancel := context.WithCancel(t.Context())
	got.at.Hash = feed.Start(got.at.Incarnation)
	err := f.follow(ctx, 0, always, func(events []byte) error { defer cancel(); return got.send(events) })
	if !errors.Is(err, context.Canceled) || len(got.beats) != 0 || got.comments != 1 {
		t.Errorf("who follows: %v, %d heartbeats, %d comments", err, len(got.beats), got.comments)
	}
}

// A database that was replaced by an older copy under the running server is noticed.
func TestRolledBackDatabase(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.revoke(2)
	must(t, f.beat(t.Context()))
	db, err := sql.Open("sqlite", f.path)
	must(t, err)
	defer db.Close()
	_, err = db.Exec(`UPDATE issuer SET head = 1`)
	must(t, err)
	if err := f.beat(t.Context()); !errors.Is(err, ErrUnconfirmed) || !strings.Contains(err.Error(), "restart it") {
		t.Errorf("head went back: %v", err)
	}
	_, err = db.Exec(`UPDATE issuer SET head = 2, incarnation = 'restored'`)
	must(t, err)
	if err := f.beat(t.Context()); !errors.Is(err, ErrUnconfirmed) {
		t.Errorf("another incarnation: %v", err)
	}
	_, err = db.Exec(`UPDATE issuer SET head = 3, incarnation = ?`, f.sent.Incarnation)
	must(t, err)
	if err := f.beat(t.Context()); !errors.Is(err, ErrUnconfirmed) {
		t.Errorf("an entry that memory does not get: %v", err)
	}
}

func TestSlowReader(t *testing.T) {
	t.Parallel()
	f := open(t)
	at := f.sent
	for range 2*chunksKept + 1 {
		f.add(at, chunk{event: []byte(": \n\n")})
	}
	if err := f.follow(t.Context(), 0, always, func([]byte) error { return nil }); !errors.Is(err, ErrSlow) {
		t.Errorf("a reader that is %d chunks behind: %v", f.next, err)
	}
	if got := len(f.chunks); got > 2*chunksKept {
		t.Errorf("%d chunks are kept", got)
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.run()
	// The stream is cut at the first beat after the reader lost the right to it.
	err := f.Stream(t.Context(), Request{After: -1}, func() bool { return false }, func([]byte) error { return nil })
	if !errors.Is(err, ErrOver) {
		t.Errorf("a reader that may not read any more: %v", err)
	}
	failure := errors.New("gone")
	if err := f.Stream(t.Context(), Request{After: -1}, always, func([]byte) error { return failure }); !errors.Is(err, failure) {
		t.Errorf("a reader that went away: %v", err)
	}
	over := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	over.Run(ctx)
	if err := over.Stream(t.Context(), Request{After: -1}, always, func([]byte) error { return nil }); !errors.Is(err, ErrOver) {
		t.Errorf("after the end: %v", err)
	}
	over.await(t.Context(), 0, time.Hour) // returns at once
}
