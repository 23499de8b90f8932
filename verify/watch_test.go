package verify

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeton-auth/jeton/oauth/feed"
)

// principal verifies a token that must be good.
func (tr *trial) principal(token string) *Principal {
	tr.Helper()
	p, err := tr.v.Verify(tr.Context(), token)
	if err != nil {
		tr.Fatal(err)
	}
	return p
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestDone(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.follow()
		for name, c := range map[string]struct {
			kind    feed.Kind
			value   string
			changes map[string]any
		}{
			"token":   {feed.Token, "a.1", map[string]any{"jti": "a.1"}},
			"grant":   {feed.Grant, "b", map[string]any{"jti": "b.1"}},
			"session": {feed.Session, "s1", map[string]any{"jti": "c.1", "sid": "s1"}},
			"subject": {feed.Subject, "bob", map[string]any{"jti": "d.1", "sub": "bob"}},
			"client":  {feed.Client, "cli", map[string]any{"jti": "e.1", "client_id": "cli"}},
		} {
			p, other := tr.principal(tr.token(c.changes)), tr.principal(tr.token(nil))
			done, same := p.Done(), p.Done()
			if done != same || closed(done) || closed(other.Done()) {
				tr.Errorf("%s: closed, or another channel each time", name)
			}
			tr.log.revoke(c.kind, c.value)
			synctest.Wait()
			if !closed(done) || !closed(p.Done()) || closed(other.Done()) {
				tr.Errorf("%s: revoked, and who waits isn't told; or others are", name)
			}
		}
		newer := tr.principal(tr.token(map[string]any{"sub": "bob"}))
		tr.log.revoke(feed.Subject, "another")
		synctest.Wait()
		if closed(newer.Done()) {
			tr.Error("a cutoff of another subject ends a stream")
		}
		for _, e := range []struct {
			kind  feed.Kind
			value string
		}{{feed.All, ""}, {feed.Key, "es256"}} {
			p := tr.principal(tr.token(nil))
			done := p.Done()
			tr.log.revoke(e.kind, e.value)
			synctest.Wait()
			if !closed(done) {
				tr.Errorf("%s: revoked, and who waits isn't told", e.kind)
			}
		}
		tr.done()
	})
}

func TestDoneAtExpiry(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.follow()
		p := tr.principal(tr.token(map[string]any{"exp": time.Now().Add(10 * time.Second).Unix()}))
		done := p.Done()
		time.Sleep(9900 * time.Millisecond)
		if closed(done) {
			tr.Error("closed before its time")
		}
		time.Sleep(400 * time.Millisecond)
		if !closed(done) || !closed(p.Done()) {
			tr.Error("expired, and who waits isn't told")
		}
		if (&Principal{}).Done() != nil {
			tr.Error("a principal that no verifier made has something to wait for")
		}
	})
}

// Past the bound a stream ends under Refuse. The next request by the same token, when
// all is well again, has something to wait for.
func TestDoneWhenStale(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.follow()
		token := tr.token(nil)
		p := tr.principal(token)
		done := p.Done()
		tr.log.do(func() { tr.log.mute = true })
		time.Sleep(4900 * time.Millisecond)
		if closed(done) {
			tr.Error("closed within the bound")
		}
		time.Sleep(200 * time.Millisecond)
		if !closed(done) || !closed(p.Done()) {
			tr.Error("what is known is too old, and who waits isn't told")
		}
		tr.log.do(func() { tr.log.mute = false })
		time.Sleep(10 * time.Second)
		again := tr.principal(token)
		if again != p || closed(again.Done()) {
			tr.Error("it stays closed")
		}
		tr.log.revoke(feed.Token, tr.ids[token])
		synctest.Wait()
		if !closed(again.Done()) {
			tr.Error("revoked later, and who waits isn't told")
		}
	})
}

func TestDoneUnderDegrade(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.follow(MaxStale(tr.bound, Degrade(time.Minute)))
		done := tr.principal(tr.token(nil)).Done()
		tr.outage()
		if closed(done) {
			tr.Error("closed, though the token would be taken")
		}
	})
}

// Many wait, without a goroutine each, and nothing of them stays.
func TestDoneOfMany(t *testing.T) { // not in parallel: it counts goroutines
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t)
		tr.follow()
		before := runtime.NumGoroutine()
		var waiting []<-chan struct{}
		for i := range 500 {
			waiting = append(waiting, tr.principal(tr.token(map[string]any{
				"jti": fmt.Sprintf("g%d.1", i%50), "exp": time.Now().Add(time.Duration(20+i%7) * time.Second).Unix(),
			})).Done())
		}
		if n := runtime.NumGoroutine() - before; n > 5 {
			tr.Errorf("%d more goroutines", n)
		}
		tr.log.revoke(feed.Grant, "g7")
		synctest.Wait()
		n := 0
		for _, c := range waiting {
			if closed(c) {
				n++
			}
		}
		if n != 10 {
			tr.Errorf("%d are told that one of 50 grants was revoked, want 10", n)
		}
		time.Sleep(time.Minute)
		for _, c := range waiting {
			if !closed(c) {
				tr.Fatal("one waits after its token expired")
			}
		}
		l := tr.v.watched
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.all) != 0 || len(l.byName) != 0 || len(l.byTime) != 0 {
			tr.Errorf("%d, %d, %d stay", len(l.all), len(l.byName), len(l.byTime))
		}
	})
}

// Without a feed Done knows of expiry, of keys and of Close.
func TestDoneWithoutFeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer(es256())
		v := is.verifier(t, Clock(time.Now))
		token := func(d time.Duration) *Principal {
			p, err := v.Verify(t.Context(), es256().token(map[string]any{"iat": time.Now().Unix(), "exp": time.Now().Add(d).Unix()}))
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		short, long := token(5*time.Second).Done(), token(time.Hour)
		time.Sleep(6 * time.Second)
		if !closed(short) || closed(long.Done()) {
			t.Error("expiry")
		}
		v.Close()
		if !closed(long.Done()) {
			t.Error("a closed verifier has tokens to wait for")
		}
	})
}
