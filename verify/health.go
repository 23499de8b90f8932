package verify

import (
	"errors"
	"time"

	"github.com/jeton-auth/jeton/oauth"
)

// Health is how well a Verifier can judge. Without Feed only Keys and the cache mean
// anything.
type Health struct {
	Fresh     bool          // tokens are judged by what is known of revocations
	Staleness time.Duration // how old that is; negative if nothing is known
	Bound     time.Duration // MaxStale

	Head        int64  // number of the newest revocation that was confirmed
	Incarnation string // of the issuer's database
	Entries     int    // revocations in memory
	ViewBytes   int    // memory they take

	Connected bool
	Form      string // "stream", "poll" or "cache"
	Err       error  // why the newest connection ended, nil if none did

	KeysAge      time.Duration // since the keys were confirmed; negative if there are none
	CachedTokens int
	CacheBytes   int
}

// Health tells how well tokens can be judged now.
func (v *Verifier) Health() Health {
	m := v.clock()
	h := Health{Staleness: -1, KeysAge: -1}
	if p := v.keys.now.Load(); p != nil {
		h.KeysAge = time.Duration(m.mono - p.fetched)
	}
	h.CachedTokens, h.CacheBytes = v.cache.holds()
	f := v.feed
	if f == nil {
		return h
	}
	h.Fresh, h.Bound = f.fresh(m), f.bound
	if age, ok := f.age(m); ok {
		h.Staleness = age
	}
	newest, _ := f.head()
	h.Head, h.Incarnation = newest.N, newest.Incarnation
	h.Entries, h.ViewBytes = f.view.Entries(), f.view.Bytes()
	f.mu.Lock()
	defer f.mu.Unlock()
	h.Connected, h.Form, h.Err = f.state.connected, f.state.form, f.state.err
	return h
}

// Hooks are told what happens, for metrics. They are called where it happens, at
// once and concurrently: count, and return.
type Hooks struct {
	Token func(TokenOutcome)
	Feed  func(FeedEvent)
}

// Observe tells hooks what happens.
func Observe(hooks Hooks) Option { return func(c *config) { c.hooks = hooks } }

// TokenOutcome is what came of a token.
type TokenOutcome string

const (
	TokenSeen        TokenOutcome = "seen"        // taken; it was verified before
	TokenFirstSight  TokenOutcome = "first_sight" // taken; it was verified now, here or by introspection
	TokenRefused     TokenOutcome = "refused"
	TokenRevoked     TokenOutcome = "revoked" // refused by what the feed told
	TokenUnavailable TokenOutcome = "unavailable"
)

func outcome(good TokenOutcome, err error) TokenOutcome {
	switch {
	case err == nil:
		return good
	case err == errRevoked:
		return TokenRevoked
	case errors.Is(err, ErrUnavailable) || oauth.AsError(err).Code == oauth.TemporarilyUnavailable:
		return TokenUnavailable
	}
	return TokenRefused
}

// FeedEvent is what happened to the connection to the revocation feed.
type FeedEvent string

const (
	FeedConnected    FeedEvent = "connected" // by a heartbeat that counts
	FeedCut          FeedEvent = "cut"
	FeedSnapshot     FeedEvent = "snapshot"
	FeedBroken       FeedEvent = "broken" // a gap, a fork, a bad signature: it begins with a snapshot
	FeedBadHeartbeat FeedEvent = "bad_heartbeat"
	FeedStale        FeedEvent = "stale" // what is known is older than MaxStale allows
	FeedFresh        FeedEvent = "fresh"
)

func (h Hooks) feed(e FeedEvent) {
	if h.Feed != nil {
		h.Feed(e)
	}
}
