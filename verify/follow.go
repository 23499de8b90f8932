package verify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/jeton-auth/jeton/oauth/feed"
)

// follower keeps a view of what is revoked by the issuer's feed, and knows how old
// it is.
type follower struct {
	following
	chain
	*freshness
	keys   *keyring
	client *http.Client
	clock  clock
	log    *slog.Logger
	hooks  Hooks
	stale  func() // called when the knowledge has become too old

	confirmed chan struct{} // closed by the first heartbeat
	hopeless  chan error    // takes why there won't be one, for New

	mu        sync.Mutex
	state     state
	interrupt context.CancelCauseFunc // ends the connection

	// Of the goroutine that connects.
	failures   int
	pollUntil  int64 // monotonic time until which it doesn't try to stream
	silent     int   // streams in a row that brought nothing
	remeasured bool

	newestToken string // the newest heartbeat ever taken, as it came
}

// state is what Health tells beside.
type state struct {
	fresh, connected bool
	form             string
	err              error
}

const (
	patience  = 3500 * time.Millisecond // for the next heartbeat, one of which comes each second
	firstWait = 5 * time.Second         // for the first event
	slowTrip  = 250 * time.Millisecond  // after which a measure is repeated
	pollAgain = 5 * time.Minute         // before streams are tried anew
	measured  = time.Hour               // for which a measure is good
	lasting   = 10 * time.Second        // a connection that was good for so long
	maxRetry  = 2 * time.Second
	// hopelessRetry is the wait when the same snapshot would end in the same way.
	hopelessRetry = 20 * time.Second
	manyLeft      = 3 // attempts before New gives up
)

func newFollower(c *config, keys *keyring) *follower {
	if c.feed == nil {
		return nil
	}
	f := &follower{
		following: *c.feed, freshness: newFreshness(c.maxStale), keys: keys, clock: c.clock, log: c.log, hooks: c.hooks,
		confirmed: make(chan struct{}), hopeless: make(chan error, 1), interrupt: func(error) {},
	}
	f.view = feed.NewView(f.limit)
	f.client = new(http.Client)
	*f.client = *keys.out.client
	f.client.Timeout = 0 // a stream has no end; each request has a context
	return f
}

// fault says that what a feed sent can't be relied on: it begins anew with a
// snapshot.
type fault struct{ error }

func (f fault) Unwrap() error { return f.error }

// again asks to connect anew at once, though nothing is wrong.
type again string

func (a again) Error() string { return string(a) }

const (
	errMeasure = again("the first round trip was long; measuring anew")
	errClock   = again("the issuer's clock was set forward, or this machine stood; measuring anew")
	errLate    = again("heartbeats come late; measuring anew")
	errSlept   = again("this machine's clock was set, or it slept; measuring anew")
	errDrift   = again("two clocks drift apart; measuring anew from time to time")
	errStreams = again("trying to stream again")
)

var (
	errNoStream = errors.New("the feed does not stream")
	errSilent   = errors.New("no heartbeat came")
	errNoFeed   = errors.New("verify: the issuer's metadata names no revocation_feed_endpoint, which Feed needs")
)

// run follows the feed until the context of the keys ends.
func (f *follower) run() {
	ctx := f.keys.ctx
	for ctx.Err() == nil {
		began := f.clock()
		err := f.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := f.assess(err, time.Duration(f.clock().mono-began.mono))
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// connect follows the feed over one connection, and says why it ended.
func (f *follower) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f.mu.Lock()
	f.interrupt = cancel
	f.mu.Unlock()
	form, follow := "stream", f.stream
	switch {
	case f.cache != nil:
		form, follow = "cache", f.readCached
	case f.clock().mono < f.pollUntil:
		form, follow = "poll", f.poll
	}
	f.set(func(s *state) { s.form = form })
	err := follow(ctx)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	connected := false
	f.set(func(s *state) { connected, s.connected, s.err = s.connected, false, err })
	if connected {
		f.hooks.feed(FeedCut)
	}
	return err
}

// assess decides what a connection's end means, and how long to wait before the
// next one.
func (f *follower) assess(err error, lasted time.Duration) time.Duration {
	if lasted >= lasting {
		f.failures = 0
	}
	f.failures++
	var wait time.Duration
	switch {
	case errors.Is(err, errNoStream), f.silent >= 2:
		f.silent = 0
		f.pollUntil = f.clock().mono + int64(pollAgain)
		f.log.Warn("verify: the revocation feed can't be streamed; polling it", "issuer", f.keys.raw, "error", err)
		return 0
	case errors.As(err, new(fault)):
		f.restart()
		f.hooks.feed(FeedBroken)
		f.tell(slog.LevelError, "verify: the revocation feed can't be relied on; beginning with a snapshot", err)
		if errors.Is(err, feed.ErrFull) || errors.Is(err, feed.ErrUnknownKind) {
			f.distrust()
			f.note()
			wait = hopelessRetry + rand.N(hopelessRetry)
		}
	case errors.As(err, new(again)):
		f.log.Debug("verify: connecting to the revocation feed again", "issuer", f.keys.raw, "reason", err)
		if f.failures == 1 || err == errMeasure {
			return 0
		}
		f.failures = min(f.failures, 3)
	default:
		f.tell(slog.LevelWarn, "verify: the revocation feed was cut; connecting again", err)
	}
	select {
	case <-f.confirmed:
	default:
		if permanent(err) || f.failures >= manyLeft {
			select {
			case f.hopeless <- err:
			default:
			}
		}
	}
	return max(wait, backoff(f.failures))
}

// tell logs a failure, but of many in a row a few.
func (f *follower) tell(level slog.Level, what string, err error) {
	if f.failures <= 2 || f.failures%20 == 0 {
		f.log.Log(f.keys.ctx, level, what, "issuer", f.keys.raw, "failures", f.failures, "error", err)
	}
}

// backoff is how long to wait after so many failures: hardly after the first, then
// ever longer, never the same for all.
func backoff(failures int) time.Duration {
	if failures <= 1 {
		return rand.N(100 * time.Millisecond)
	}
	d := min(200*time.Millisecond<<min(failures-2, 10), maxRetry)
	return d/2 + rand.N(d/2)
}

// permanent tells whether an error stays until somebody changes a configuration.
func permanent(err error) bool {
	status := statusError{}
	return errors.Is(err, errNoFeed) ||
		errors.As(err, &status) && (status.status == http.StatusUnauthorized || status.status == http.StatusForbidden)
}

// first waits for the first heartbeat.
func (f *follower) first(ctx context.Context) error {
	select {
	case <-f.confirmed:
		return nil
	case err := <-f.hopeless:
		if errors.Is(err, errNoFeed) {
			return err
		}
		return fmt.Errorf("verify: the issuer's revocation feed can't be followed: %w", err)
	case <-ctx.Done():
		return fmt.Errorf("verify: the issuer's revocation feed did not confirm in time what is revoked: %w", ctx.Err())
	}
}

func (f *follower) set(change func(*state)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.state)
}

// endpoint is the address of the feed.
func (f *follower) endpoint(ctx context.Context) (string, error) {
	p := f.keys.now.Load()
	if p == nil {
		if err := f.keys.refresh(ctx, missingEvery); err != nil {
			return "", err
		}
		p = f.keys.now.Load()
	}
	if p.feed == "" {
		return "", errNoFeed
	}
	return p.feed, nil
}

// batch takes entries.
func (f *follower) batch(b feed.Batch, snapshot bool) error {
	if snapshot {
		f.hooks.feed(FeedSnapshot)
	}
	if err := f.take(b, snapshot); err != nil {
		return fault{err}
	}
	return nil
}

// heartbeat checks a heartbeat's signature and reads it.
func (f *follower) heartbeat(ctx context.Context, token string) (feed.Heartbeat, error) {
	h, err := f.readHeartbeat(token)
	if errors.Is(err, errUnknownKey) && f.keys.refresh(ctx, missingEvery) == nil {
		h, err = f.readHeartbeat(token)
	}
	if err != nil {
		f.hooks.feed(FeedBadHeartbeat)
		return feed.Heartbeat{}, fault{fmt.Errorf("a heartbeat is refused: %w", err)}
	}
	return h, nil
}

func (f *follower) readHeartbeat(token string) (feed.Heartbeat, error) {
	if len(token) > feed.MaxHeartbeat {
		return feed.Heartbeat{}, fmt.Errorf("it has more than %d octets", feed.MaxHeartbeat)
	}
	payload, _, err := Signed(token, feed.Typ, f.keys.feedKey)
	if err != nil {
		return feed.Heartbeat{}, err
	}
	return feed.ParseHeartbeat(payload, f.keys.raw)
}

// accept takes a heartbeat, whose signature was checked, into the chain.
func (f *follower) accept(h feed.Heartbeat, token string) error {
	err := f.chain.confirm(h)
	if err == nil {
		f.newestToken = token
		f.keys.expect(h.JWKS)
		return nil
	}
	if errors.Is(err, errOlder) {
		return err
	}
	f.hooks.feed(FeedBadHeartbeat)
	return fault{err}
}

// beaten notes that a heartbeat counted.
func (f *follower) beaten() {
	connected := false
	f.set(func(s *state) { connected, s.connected = s.connected, true })
	if !connected {
		f.hooks.feed(FeedConnected)
	}
	f.note()
	if f.fresh(f.clock()) {
		select {
		case <-f.confirmed:
		default:
			close(f.confirmed)
		}
	}
}

// note tells whom it concerns when the knowledge has become too old, or fresh again.
func (f *follower) note() {
	fresh, changed := f.fresh(f.clock()), false
	f.set(func(s *state) { changed, s.fresh = s.fresh != fresh, fresh })
	switch {
	case !changed:
	case fresh:
		f.hooks.feed(FeedFresh)
		f.log.Info("verify: what is revoked is known", "issuer", f.keys.raw)
	default:
		f.hooks.feed(FeedStale)
		f.log.Error("verify: what is known of revocations is too old", "issuer", f.keys.raw, "bound", f.bound)
		f.stale()
	}
}

const forgetEvery = 30 * time.Second

// tend watches the clocks, and forgets what is over, until the context of the keys
// ends.
func (f *follower) tend() {
	last, forgot := f.clock(), int64(0)
	for {
		timer := time.NewTimer(f.untilStale())
		select {
		case <-timer.C:
		case <-f.keys.ctx.Done():
			timer.Stop()
			return
		}
		m := f.clock()
		if f.slept(m) || f.cache != nil && apart(last, m) {
			f.distrust()
			f.mu.Lock()
			f.interrupt(errSlept)
			f.mu.Unlock()
		}
		last = m
		f.note()
		if m.mono-forgot > int64(forgetEvery) {
			forgot = m.mono
			f.view.Forget(f.forgotten())
		}
	}
}

// untilStale is how long the knowledge will do, within bounds.
func (f *follower) untilStale() time.Duration {
	m, k := f.clock(), f.now.Load()
	left := f.bound - time.Duration(m.mono-k.mono) + time.Millisecond
	if !k.sure || left <= 0 {
		return time.Second
	}
	return min(left, time.Second)
}
