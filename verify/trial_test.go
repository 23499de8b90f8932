package verify

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/oauth/feed"
)

// trial follows a feed in a synctest bubble, and counts what must not be.
type trial struct {
	*testing.T
	is     *issuer
	log    *revocations
	v      *Verifier
	bound  time.Duration
	wall   atomic.Int64 // nanoseconds that the reader's wall clock is off
	slept  atomic.Int64 // nanoseconds for which its monotonic clock stood
	made   int
	ids    map[string]string    // jti of each token
	tokens map[string]time.Time // when they were revoked, by the token
	leaked int                  // revoked tokens that were taken outside of the bound
	events map[FeedEvent]int
	mu     sync.Mutex
}

func newTrial(t *testing.T) *trial {
	is := newIssuer()
	return &trial{T: t, is: is, log: newRevocations(is), bound: 5 * time.Second, ids: map[string]string{}, tokens: map[string]time.Time{}, events: map[FeedEvent]int{}}
}

// follow starts the verifier.
func (tr *trial) follow(opts ...Option) {
	tr.Helper()
	v, err := tr.try(opts...)
	if err != nil {
		tr.Fatal(err)
	}
	tr.v = v
	tr.Cleanup(v.Close)
}

func (tr *trial) try(opts ...Option) (*Verifier, error) {
	began := time.Now()
	clocked := func(c *config) {
		c.clock = func() moment {
			now := time.Now()
			wall := now.Add(time.Duration(tr.wall.Load()))
			return moment{wall.Unix(), wall.UnixNano(), int64(now.Sub(began)) - tr.slept.Load()}
		}
	}
	count := Observe(Hooks{Feed: func(e FeedEvent) {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.events[e]++
	}})
	return tr.is.try(append([]Option{Feed(APISecret(apiID, apiSecret)), MaxStale(tr.bound, Refuse), Clock(time.Now), clocked, count}, opts...)...)
}

func (tr *trial) count(e FeedEvent) int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.events[e]
}

// token makes a token as the issuer does, with changes.
func (tr *trial) token(changes map[string]any) string {
	tr.made++
	now := time.Now()
	all := map[string]any{
		"jti": fmt.Sprintf("grant%d.%d", tr.made, tr.made), "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "rev": tr.log.head(),
	}
	for name, v := range changes {
		all[name] = v
	}
	token := es256().token(all)
	tr.ids[token] = all["jti"].(string)
	return token
}

// revoked makes a token and revokes it.
func (tr *trial) revoked() string {
	token := tr.token(nil)
	tr.revoke(token)
	return token
}

func (tr *trial) revoke(token string) {
	tr.log.revoke(feed.Token, tr.ids[token])
	tr.tokens[token] = time.Now()
}

// pass lets time pass, and tries all revoked tokens on the way.
func (tr *trial) pass(d time.Duration) {
	tr.Helper()
	const step = 100 * time.Millisecond
	for end := time.Now().Add(d); ; {
		tr.probe()
		left := time.Until(end)
		if left <= 0 {
			return
		}
		time.Sleep(min(step, left))
	}
}

func (tr *trial) probe() {
	for token, at := range tr.tokens {
		_, err := tr.v.Verify(tr.Context(), token)
		if err == nil && time.Since(at) > tr.bound {
			tr.leaked++
		}
	}
}

// takes, refuses and waits tell what becomes of a token.
func (tr *trial) takes(when, token string) {
	tr.Helper()
	if _, err := tr.v.Verify(tr.Context(), token); err != nil {
		tr.Errorf("%s: %v, want it taken", when, err)
	}
}

func (tr *trial) refuses(when, token string) {
	tr.Helper()
	if _, err := tr.v.Verify(tr.Context(), token); !refused(err, "revoked") {
		tr.Errorf("%s: %v, want it refused as revoked", when, err)
	}
}

func (tr *trial) waits(when, token string) {
	tr.Helper()
	if _, err := tr.v.Verify(tr.Context(), token); !errors.Is(err, ErrUnavailable) || refused(err, "") {
		tr.Errorf("%s: %v, want ErrUnavailable", when, err)
	}
}

// done prints what each fault's test is about.
func (tr *trial) done() {
	tr.Helper()
	tr.probe()
	tr.Logf("revoked tokens accepted outside the bound of %v: %d", tr.bound, tr.leaked)
	if tr.leaked > 0 {
		tr.Fail()
	}
}
