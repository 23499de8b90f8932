package verify

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeton-auth/jeton/oauth/feed"
)

// sighted makes what the cache holds for a token of a client.
func sighted(client string, octets int) *sighting {
	return &sighting{principal: Principal{Claims: Claims{ClientID: client, payload: strings.Repeat("x", octets)}}}
}

func TestCache(t *testing.T) {
	t.Parallel()
	c := newCache(1 << 20)
	a, b := sighted("a", 100), sighted("a", 100)
	c.put("one", a)
	c.put("two", b)
	if c.get("one") != a || c.get("two") != b || c.get("three") != nil || c.get("") != nil {
		t.Error("it gives another thing than was put in")
	}
	c.put("one", sighted("a", 50))
	if c.get("one") == a {
		t.Error("a newer sighting does not replace the one before")
	}
	if n, _ := c.holds(); n != 2 {
		t.Errorf("%d tokens", n)
	}
	c.put("huge", sighted("a", 1<<20))
	if c.get("huge") != nil {
		t.Error("one token may fill all")
	}
	none := newCache(0)
	none.put("one", a)
	if none.get("one") != nil {
		t.Error("a cache of no octets holds a token")
	}
}

// Whatever is put in, the bound holds, and the books are right.
func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	c := newCache(256 << 10)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 20_000 {
		token := fmt.Sprint("token-", r.IntN(2000))
		if s := c.get(token); s != nil && s.token != token {
			t.Fatal("it gives another token's")
		}
		c.put(token, sighted(fmt.Sprint("client-", r.IntN(40)), r.IntN(2000)))
		if _, n := c.holds(); n > c.limit {
			t.Fatalf("%d octets after %d", n, i)
		}
	}
	count, bytes, per := 0, 0, map[string]int{}
	for i := range c.slots {
		if s := c.slots[i].at.Load(); s != nil {
			count++
			bytes += s.size
			per[s.principal.ClientID] += s.size
			if s.slot != i || c.get(s.token) != s {
				t.Errorf("%s is lost", s.token)
			}
		}
	}
	if n, b := c.holds(); n != count || b != bytes {
		t.Errorf("it says %d tokens of %d octets, and holds %d of %d", n, b, count, bytes)
	}
	if len(c.shares) != len(per) || len(c.bySize) != len(per) {
		t.Errorf("%d shares of %d clients", len(c.shares), len(per))
	}
	for client, n := range per {
		if c.shares[client].bytes != n {
			t.Errorf("%s: %d octets, counted %d", client, n, c.shares[client].bytes)
		}
	}
}

// A client that mints thousands of tokens pushes out its own.
func TestCacheIsShared(t *testing.T) {
	t.Parallel()
	c := newCache(1 << 20)
	for client := range 10 {
		for i := range 10 {
			c.put(fmt.Sprint("quiet-", client, "-", i), sighted(fmt.Sprint("quiet-", client), 500))
		}
	}
	for i := range 50_000 {
		c.put(fmt.Sprint("loud-", i), sighted("loud", 500))
	}
	lost := 0
	for client := range 10 {
		for i := range 10 {
			if c.get(fmt.Sprint("quiet-", client, "-", i)) == nil {
				lost++
			}
		}
	}
	if lost > 0 {
		t.Errorf("a loud client pushed %d of 100 tokens of quiet ones out", lost)
	}
	if c.get("loud-49999") == nil {
		t.Error("its newest token is not there")
	}
	// Among its own, what is used stays.
	c = newCache(1 << 20)
	c.put("kept", sighted("a", 500))
	for i := range 5000 {
		c.get("kept")
		c.put(fmt.Sprint("passing-", i), sighted("a", 500))
	}
	if c.get("kept") == nil {
		t.Error("what is used each time was pushed out")
	}
}

func TestCacheConcurrently(t *testing.T) {
	t.Parallel()
	c := newCache(128 << 10)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 3000 {
				token := fmt.Sprint("token-", (i*7+w)%300)
				if s := c.get(token); s != nil && s.token != token {
					t.Error("it gives another token's")
				}
				c.put(token, sighted(fmt.Sprint("client-", i%5), 300))
			}
		})
	}
	wg.Wait()
}

// What a hit must judge anew.
func TestSecondSight(t *testing.T) {
	inTime(t, func(tr *trial) {
		var seen, first atomic.Int32
		tr.follow(Observe(Hooks{Token: func(o TokenOutcome) {
			switch o {
			case TokenSeen:
				seen.Add(1)
			case TokenFirstSight:
				first.Add(1)
			}
		}}))
		token := tr.token(map[string]any{"exp": time.Now().Add(10 * time.Second).Unix(), "nbf": time.Now().Unix()})
		tr.takes("first", token)
		tr.takes("second", token)
		if seen.Load() != 1 || first.Load() != 1 {
			tr.Errorf("%d first and %d second sights", first.Load(), seen.Load())
		}
		p, _ := tr.v.Verify(tr.Context(), token)
		q, _ := tr.v.Verify(tr.Context(), token)
		if p != q || p.KeyID != "es256" {
			tr.Error("the principal is not shared")
		}
		tr.wall.Store(int64(-31 * time.Second)) // the issuer's time counts too, so nothing changes
		tr.pass(2 * time.Second)
		tr.takes("clock set back", token)
		tr.wall.Store(0)
		time.Sleep(8 * time.Second)
		if _, err := tr.v.Verify(tr.Context(), token); !refused(err, "expired") {
			tr.Errorf("expired: %v", err)
		}
	})
}

func TestSecondSightWithoutFeed(t *testing.T) {
	t.Parallel()
	now := start
	v := newIssuer(es256()).verifier(t, Clock(func() time.Time { return now }))
	token := es256().token(map[string]any{"nbf": start.Unix()})
	verdict := func() error { _, err := v.Verify(t.Context(), token); return err }
	for range 3 {
		if err := verdict(); err != nil {
			t.Fatal(err)
		}
	}
	if h := v.Health(); h.CachedTokens != 1 || h.CacheBytes == 0 || h.KeysAge < 0 {
		t.Errorf("%+v", h)
	}
	now = start.Add(-time.Minute)
	if err := verdict(); !refused(err, "not valid yet") {
		t.Errorf("before nbf: %v", err)
	}
	now = start.Add(5 * time.Minute)
	if err := verdict(); !refused(err, "expired") {
		t.Errorf("expired: %v", err)
	}
	// Nothing that is refused is kept.
	for _, bad := range []string{es256().token(map[string]any{"exp": 1}), es256().token(map[string]any{"cnf": map[string]any{"jkt": "x"}}), es256().token(nil) + "x"} {
		v.Verify(t.Context(), bad)
	}
	if h := v.Health(); h.CachedTokens != 1 {
		t.Errorf("%d tokens are kept", h.CachedTokens)
	}
	off := newIssuer(es256()).verifier(t, CacheBytes(0))
	if _, err := off.Verify(t.Context(), token); err != nil || off.Health().CachedTokens != 0 {
		t.Errorf("without a cache: %v, %+v", err, off.Health())
	}
}

// A key that was taken back ends the tokens that it signed, seen ones too, as soon as
// a heartbeat tells that the keys have changed.
func TestRemovedKey(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.follow()
		tr.pass(2 * time.Second)
		token := tr.token(nil)
		p, err := tr.v.Verify(tr.Context(), token)
		if err != nil {
			tr.Fatal(err)
		}
		done := p.Done()
		before := tr.is.count("/jwks")
		tr.is.publish(other(), feedSigner())
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if n := tr.is.count("/jwks") - before; n != 1 {
			tr.Errorf("%d fetches of the keys", n)
		}
		if _, err := tr.v.Verify(tr.Context(), token); !refused(err, "does not publish") {
			tr.Errorf("its key was removed: %v", err)
		}
		<-done
		// Keys that are never those that were signed are not fetched for ever.
		tr.log.do(func() {
			tr.log.sign = func(h feed.Heartbeat) string {
				h.JWKS = "another"
				return heartbeatBy(feedSigner(), h)
			}
		})
		before = tr.is.count("/jwks")
		time.Sleep(10 * time.Minute)
		if n := tr.is.count("/jwks") - before; n < 3 || n > 30 {
			tr.Errorf("%d fetches of the keys in ten minutes", n)
		}
	})
}

// A feed key that is not known is fetched, once.
func TestRotatedFeedKey(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.follow()
		live := tr.token(nil)
		next := newSigner("feed-2", "ES256", feedSigner().private)
		next.Feed = true
		tr.pass(2 * time.Second)
		before := tr.is.count("/jwks")
		tr.is.publish(es256(), next)
		tr.log.do(func() { tr.log.sign = func(h feed.Heartbeat) string { return heartbeatBy(next, h) } })
		for range 10 {
			tr.pass(time.Second)
			tr.takes("all the while", live)
		}
		if n := tr.is.count("/jwks") - before; n != 1 || tr.count(FeedBadHeartbeat) != 0 {
			tr.Errorf("%d fetches of the keys, %v", n, tr.events)
		}
	})
}
