package verify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// outage makes what is known too old.
func (tr *trial) outage() {
	tr.log.do(func() { tr.log.refuse = http.StatusServiceUnavailable })
	tr.log.drop()
	time.Sleep(tr.bound + time.Second)
}

func TestRefuse(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.follow()
		live, gone := tr.token(nil), tr.revoked()
		synctest.Wait()
		tr.outage()
		w := call(tr.v.Require(), "Bearer "+live)
		retry, err := strconv.Atoi(w.Header().Get("Retry-After"))
		if w.Code != 503 || err != nil || retry < 1 || strings.Contains(w.Body.String(), "invalid_token") || w.Header().Get("WWW-Authenticate") != "" {
			tr.Errorf("%d, %v, %s", w.Code, w.Header(), w.Body)
		}
		tr.refuses("what is known to be revoked", gone)
		if _, err := tr.v.Verify(tr.Context(), live); oauth.AsError(err).Code != oauth.TemporarilyUnavailable {
			tr.Error(err)
		}
	})
}

func TestDegrade(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.follow(MaxStale(tr.bound, Degrade(time.Minute)))
		old := tr.token(nil)
		time.Sleep(50 * time.Second)
		young, gone := tr.token(nil), tr.revoked()
		synctest.Wait()
		tr.takes("fresh", old)
		tr.outage()
		tr.takes("young", young)
		tr.takes("young and made meanwhile", tr.token(nil))
		tr.refuses("known to be revoked", gone)
		time.Sleep(10 * time.Second)
		tr.waits("old", old)
		time.Sleep(time.Minute)
		tr.waits("no longer young", young)
	})
}

func TestIntrospectWhenStale(t *testing.T) {
	for _, own := range []bool{true, false} {
		t.Run(fmt.Sprint("own=", own), func(t *testing.T) {
			inTime(t, func(tr *trial) {
				var asked, gone atomic.Int32
				tr.is.introspect = func(url.Values) any {
					asked.Add(1)
					return map[string]any{"active": gone.Load() == 0}
				}
				opts := []Option{MaxStale(tr.bound, Introspect)}
				if own {
					opts = append(opts, Introspection(apiID, "another secret"))
				}
				tr.follow(opts...)
				live := tr.token(nil)
				tr.takes("fresh", live)
				if asked.Load() != 0 {
					tr.Error("it asks while what is known is fresh")
				}
				tr.outage()
				for range 10 {
					tr.takes("by introspection", live)
				}
				if asked.Load() != 1 {
					tr.Errorf("%d questions about one token within a second", asked.Load())
				}
				secret := apiSecret
				if own {
					secret = "another secret"
				}
				var basic string
				tr.is.set(func() { basic = tr.is.basic })
				if want := url.QueryEscape(apiID) + ":" + url.QueryEscape(secret); basic != want {
					tr.Errorf("asked as %s, want %s", basic, want)
				}
				gone.Store(1)
				time.Sleep(time.Second)
				if _, err := tr.v.Verify(tr.Context(), live); !refused(err, "not active") {
					tr.Errorf("revoked: %v", err)
				}
				tr.is.set(func() { tr.is.down = true })
				tr.waits("nobody answers", live)
				// Opaque tokens are not taken because of the policy.
				if _, err := tr.v.Verify(tr.Context(), opaqueToken); own != errors.Is(err, ErrUnavailable) {
					tr.Errorf("opaque: %v", err)
				}
			})
		})
	}
}

func TestIntrospectWhenStaleIsBounded(t *testing.T) {
	inTime(t, func(tr *trial) {
		var now, most atomic.Int32
		tr.is.override["/introspect"] = func(w http.ResponseWriter, _ *http.Request) {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(100 * time.Millisecond)
			now.Add(-1)
			w.Write([]byte(`{"active":true}`))
		}
		tr.follow(MaxStale(tr.bound, Introspect))
		var tokens []string
		for range 50 {
			tokens = append(tokens, tr.token(nil))
		}
		tr.outage()
		var wg sync.WaitGroup
		for i := range 500 {
			wg.Go(func() {
				if _, err := tr.v.Verify(tr.Context(), tokens[i%50]); err != nil {
					tr.Error(err)
				}
			})
		}
		wg.Wait()
		if most.Load() > defaultParallel {
			tr.Errorf("%d questions at once", most.Load())
		}
	})
}

func TestFeedOptions(t *testing.T) {
	t.Parallel()
	is := newIssuer()
	newRevocations(is)
	good := Feed(APISecret(apiID, apiSecret))
	for name, c := range map[string]struct {
		opts []Option
		says string
	}{
		"no secret":           {[]Option{Feed(APISecret(apiID, ""))}, "APISecret"},
		"no token":            {[]Option{Feed(AccessToken(nil))}, "AccessToken"},
		"no feed":             {[]Option{MaxStale(5*time.Second, Refuse)}, "needs a Feed"},
		"too short":           {[]Option{good, MaxStale(time.Second, Refuse)}, "MaxStale is 1s"},
		"too long":            {[]Option{good, MaxStale(2*time.Hour, Refuse)}, "MaxStale is 2h"},
		"none":                {[]Option{good, MaxStale(0, Introspect)}, "MaxStale is 0s"},
		"a small view":        {[]Option{Feed(APISecret(apiID, apiSecret), ViewLimit(1))}, "ViewLimit"},
		"a cache at no URL":   {[]Option{Feed(APISecret(apiID, apiSecret), FeedThroughCache("cdn"))}, "FeedThroughCache"},
		"a token introspects": {[]Option{Feed(AccessToken(func(context.Context) (string, error) { return "t", nil })), MaxStale(5*time.Second, Introspect)}, "can't introspect"},
	} {
		if v, err := is.try(c.opts...); v != nil || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want an error that says %q", name, err, c.says)
		}
	}
	if _, err := newIssuer(es256()).try(good); err == nil || !strings.Contains(err.Error(), "revocation_feed_endpoint") {
		t.Errorf("an issuer without a feed: %v", err)
	}
}

func TestFeedByAccessToken(t *testing.T) {
	inTime(t, func(tr *trial) {
		var got atomic.Value
		tr.is.override["/revocations"] = func(w http.ResponseWriter, r *http.Request) {
			got.Store(r.Header.Get("Authorization"))
			tr.log.ServeHTTP(w, r)
		}
		tr.follow(Feed(AccessToken(func(context.Context) (string, error) { return "a-token", nil })))
		if got.Load() != "Bearer a-token" {
			tr.Errorf("it shows %q", got.Load())
		}
		if _, err := tr.try(Feed(AccessToken(func(context.Context) (string, error) { return "", errors.New("no token today") }))); err == nil || !strings.Contains(err.Error(), "no token today") {
			tr.Error(err)
		}
	})
}

// An answer about an opaque token that is kept ends with the feed's word.
func TestOpaqueCacheKnowsRevocations(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.is.introspect = func(f url.Values) any {
			return activeAs(map[string]any{"jti": "g7.1", "rev": 0, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()})(f)
		}
		tr.follow(Introspection(apiID, apiSecret, CacheFor(30*time.Second)))
		tr.takes("asked", opaqueToken)
		tr.takes("kept", opaqueToken)
		if n := tr.is.count("/introspect"); n != 1 {
			tr.Errorf("%d questions", n)
		}
		tr.outage()
		tr.takes("asked anew, since the feed is silent", opaqueToken)
		if n := tr.is.count("/introspect"); n != 2 {
			tr.Errorf("%d questions", n)
		}
		tr.log.do(func() { tr.log.refuse = 0 })
		time.Sleep(6 * time.Second)
		p, err := tr.v.Verify(tr.Context(), opaqueToken)
		if err != nil {
			tr.Fatal(err)
		}
		done := p.Done()
		tr.log.revoke(feed.Grant, "g7")
		synctest.Wait()
		tr.refuses("revoked", opaqueToken)
		<-done
	})
}

// A removed key may have sealed any opaque token: only the issuer can tell, so what it
// said before doesn't count any more.
func TestOpaqueCacheKnowsRemovedKeys(t *testing.T) {
	inTime(t, func(tr *trial) {
		inactive := false
		tr.is.introspect = func(f url.Values) any {
			return activeAs(map[string]any{"jti": "g7.1", "rev": 0, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(), "active": !inactive})(f)
		}
		tr.follow(Introspection(apiID, apiSecret, CacheFor(30*time.Second)))
		p, err := tr.v.Verify(tr.Context(), opaqueToken)
		if err != nil {
			tr.Fatal(err)
		}
		done := p.Done()
		tr.log.revoke(feed.Client, "another")
		synctest.Wait()
		tr.takes("kept", opaqueToken)
		if n := tr.is.count("/introspect"); n != 1 {
			tr.Errorf("%d questions", n)
		}
		tr.is.set(func() { inactive = true })
		tr.log.revoke(feed.Key, "seal-1")
		synctest.Wait()
		select {
		case <-done:
		default:
			tr.Error("a stream goes on with a token whose key may be gone")
		}
		tr.refuses("sealed by a key that was removed", opaqueToken)
	})
}

func TestOutcomes(t *testing.T) {
	inTime(t, func(tr *trial) {
		got := map[TokenOutcome]int{}
		tr.follow(Observe(Hooks{Token: func(o TokenOutcome) { got[o]++ }}))
		live, gone := tr.token(nil), tr.revoked()
		synctest.Wait()
		tr.takes("first", live)
		tr.takes("seen", live)
		tr.refuses("revoked", gone)
		if _, err := tr.v.Verify(tr.Context(), "garbage"); err == nil {
			tr.Error("garbage is taken")
		}
		tr.outage()
		tr.waits("stale", live)
		want := map[TokenOutcome]int{TokenFirstSight: 1, TokenSeen: 1, TokenRevoked: 1, TokenRefused: 1, TokenUnavailable: 1}
		if d := cmp.Diff(want, got); d != "" {
			tr.Error(d)
		}
	})
}
