package verify

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jeton-auth/jeton/oauth/feed"
	"github.com/jeton-auth/jeton/oauth/jwks"
)

type vectors struct {
	Issuer string
	Names  []struct{ K, Value, V string }
	Hashes struct {
		Inc, Start string
		Entries    []struct {
			N    int64
			K, V string
			U, T int64
			Hash string
		}
	}
	JWKS       string
	JWKSHash   string `json:"jwks_hash"`
	Heartbeats []struct {
		Name, JWS string
		Valid     bool
		Claims    json.RawMessage
	}
	Tokens []struct {
		Name, Kid string
		Claims    json.RawMessage
		Revoked   bool
	}
	Transcripts []struct {
		Name, Nonce, Stream string
		OK                  bool
		N                   int64
		Hash                string
	}
}

// reader is a follower of the vectors' issuer without a network.
func (v *vectors) reader(t *testing.T) *follower {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	k := &keyring{raw: v.Issuer, ctx: ctx, clock: newClock(nil), maxAge: time.Hour, log: quiet}
	k.now.Store(&published{keys: must(jwks.Parse([]byte(v.JWKS))), hash: v.JWKSHash})
	f := &follower{freshness: newFreshness(time.Minute), keys: k, clock: k.clock, log: quiet, confirmed: make(chan struct{}), stale: func() {}}
	f.view, f.told = feed.NewView(0), func([]feed.Entry) {}
	return f
}

// follow reads a whole stream.
func (v *vectors) follow(t *testing.T, f *follower, nonce, stream string) error {
	q := &question{nonce: nonce}
	q.leaves(f.clock())
	s := session{follower: f, question: q, watchdog: time.NewTimer(time.Hour), most: measured}
	events := newEvents(strings.NewReader(stream))
	for {
		e, err := events.next()
		if err != nil {
			return nil // the end of it
		}
		if err := s.event(t.Context(), e); err != nil {
			return err
		}
	}
}

// The test vectors of docs/revocation-feed.md, by which readers in other languages are
// tested too.
func TestVectors(t *testing.T) {
	t.Parallel()
	var v vectors
	if err := json.Unmarshal(must(os.ReadFile("../oauth/feed/testdata/vectors.json")), &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Names) == 0 || len(v.Hashes.Entries) == 0 || len(v.Heartbeats) == 0 || len(v.Tokens) == 0 || len(v.Transcripts) == 0 {
		t.Fatal("something is lacking")
	}
	for _, n := range v.Names {
		if got := feed.Value(feed.Kind(n.K), n.Value); got != n.V {
			t.Errorf("%s %q is %s, want %s", n.K, n.Value, got, n.V)
		}
	}
	h := feed.Start(v.Hashes.Inc)
	if h.String() != v.Hashes.Start {
		t.Errorf("it starts at %s, want %s", h, v.Hashes.Start)
	}
	for _, e := range v.Hashes.Entries {
		if h = h.Next(feed.Entry{N: e.N, Kind: feed.Kind(e.K), Value: e.V, Until: e.U, At: e.T}); h.String() != e.Hash {
			t.Errorf("at %d: %s, want %s", e.N, h, e.Hash)
		}
	}
	if got := feed.JWKSHash([]byte(v.JWKS)); got != v.JWKSHash {
		t.Errorf("the key set's hash is %s, want %s", got, v.JWKSHash)
	}
	f := v.reader(t)
	for _, b := range v.Heartbeats {
		got, err := f.heartbeat(t.Context(), b.JWS)
		if (err == nil) != b.Valid {
			t.Errorf("a heartbeat %s: %v", b.Name, err)
		}
		if b.Valid {
			var want any
			var have any
			json.Unmarshal(b.Claims, &want)
			json.Unmarshal(must(got.Payload()), &have)
			if d := cmp.Diff(want, have); d != "" {
				t.Errorf("a heartbeat %s: %s", b.Name, d)
			}
		}
	}
	for _, tr := range v.Transcripts {
		f := v.reader(t)
		err := v.follow(t, f, tr.Nonce, tr.Stream)
		if tr.OK != (err == nil) || err != nil && !errors.As(err, new(fault)) {
			t.Errorf("transcript %s: %v", tr.Name, err)
		}
		newest, _ := f.head()
		if newest.N != tr.N || tr.OK && newest.Hash.String() != tr.Hash {
			t.Errorf("transcript %s: confirmed up to %d, want %d", tr.Name, newest.N, tr.N)
		}
		if tr.Name != "whole" {
			continue
		}
		for _, token := range v.Tokens {
			var s sighting
			if err := s.principal.decode(token.Claims); err != nil {
				t.Fatal(err)
			}
			s.principal.KeyID = token.Kid
			s.name(&Verifier{feed: f})
			if f.view.Revoked(&s.names) != token.Revoked {
				t.Errorf("the token %q: revoked is not %v", token.Name, token.Revoked)
			}
		}
	}
}
