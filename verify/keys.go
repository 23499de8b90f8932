package verify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/feed"
	"github.com/jeton-auth/jeton/oauth/jwks"
)

// How often the issuer is asked for its keys.
const (
	minRefresh     = time.Minute // whatever its Cache-Control says
	maxRefresh     = time.Hour
	defaultRefresh = 5 * time.Minute  // when it says nothing
	unknownEvery   = 10 * time.Second // because of a kid that isn't known
	missingEvery   = time.Second      // because there are no keys at all
	fetchTimeout   = 10 * time.Second // discovery and keys together
	maxBackoff     = time.Minute
)

// keyring knows the issuer's metadata and keys. One fetch runs at a time, and
// every caller that needs one waits for the same.
type keyring struct {
	issuer *url.URL
	raw    string // the issuer exactly as configured
	out    outbound
	log    *slog.Logger
	maxAge time.Duration
	clock  clock

	now     atomic.Pointer[published]
	changed func() // after other keys were published
	exact   atomic.Bool

	wanted string // of expect
	missed int

	ctx    context.Context // ends with close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	flight  *flight
	began   time.Time // of the newest fetch
	outcome error     // of the newest fetch that ended
}

// published is what one fetch brought; it never changes.
type published struct {
	metadata
	keys       jwks.Set
	hash       string        // of the document
	generation uint64        // rises when the document changes
	fetched    int64         // monotonic time at which the fetch began
	wait       time.Duration // until the next fetch
}

// metadata is what matters of the issuer's discovery document.
type metadata struct{ jwksURI, introspection, feed string }

type flight struct {
	done chan struct{}
	err  error
}

func newKeyring(c *config) (*keyring, error) {
	issuer, err := url.Parse(c.issuer)
	if err != nil {
		return nil, errors.New("verify: the issuer is not a URL")
	}
	k := &keyring{issuer: issuer, raw: c.issuer, log: c.log, maxAge: c.keysMaxAge, clock: c.clock, changed: func() {}}
	k.out = newOutbound(c.client, isLoopback(issuer))
	if err := k.out.check(issuer); err != nil {
		return nil, fmt.Errorf("verify: the issuer: %w; plain http is for loopback hosts alone", err)
	}
	if issuer.RawQuery != "" || issuer.ForceQuery {
		return nil, errors.New("verify: the issuer must not have a query")
	}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	return k, nil
}

// first is the fetch that New waits for.
func (k *keyring) first(ctx context.Context, introspects bool) error {
	if err := k.refresh(ctx, 0); err != nil {
		return fmt.Errorf("verify: the issuer can't be used: %w", err)
	}
	switch p := k.now.Load(); {
	case len(p.keys.Keys()) == 0:
		return fmt.Errorf("verify: the issuer can't be used: %s: %w", p.jwksURI, jwks.ErrNoKey)
	case introspects && p.introspection == "":
		return errNoEndpoint
	}
	return nil
}

// key is the published key kid, with the generation of the keys. Before an unknown
// one is called so, the keys are fetched anew, unless that was done a moment ago.
func (k *keyring) key(ctx context.Context, kid string) (jwks.Key, uint64, error) {
	every := missingEvery
	if p := k.current(k.clock()); p != nil {
		if key, ok := p.keys.Key(kid); ok {
			return key, p.generation, nil
		}
		every = unknownEvery
	}
	if err := k.refresh(ctx, every); err != nil {
		return jwks.Key{}, 0, err
	}
	if p := k.current(k.clock()); p != nil {
		if key, ok := p.keys.Key(kid); ok {
			return key, p.generation, nil
		}
		return jwks.Key{}, 0, errUnknownKey
	}
	return jwks.Key{}, 0, errors.New("its keys are too old to be believed")
}

// feedKey is the published key kid by which heartbeats are signed.
func (k *keyring) feedKey(kid string) (jwks.Key, bool) {
	p := k.current(k.clock())
	if p == nil {
		return jwks.Key{}, false
	}
	key, ok := p.keys.FeedKey(kid)
	return key, ok && key.Alg == oauth.ES256
}

// current is what was published last, or nil when that is too long ago.
func (k *keyring) current(m moment) *published {
	if p := k.now.Load(); p != nil && m.mono-p.fetched < int64(k.maxAge) {
		return p
	}
	return nil
}

// holds tells whether the keys of a generation are still those that count.
func (k *keyring) holds(generation uint64, m moment) bool {
	p := k.current(m)
	return p != nil && p.generation == generation
}

// expect is told by each heartbeat the hash of the issuer's key set. Another one than
// that of the keys here has them fetched at once; again after a second, and then ever
// more rarely, while what is fetched is not what was signed. One at a time calls it.
func (k *keyring) expect(hash string) {
	p := k.now.Load()
	if p == nil || p.hash == hash {
		k.missed = 0
		return
	}
	if k.wanted != hash {
		k.wanted, k.missed = hash, 0
	}
	every := min(missingEvery<<min(k.missed, 10), maxBackoff)
	k.mu.Lock()
	due := k.flight == nil && time.Since(k.began) >= every
	k.mu.Unlock()
	if !due {
		return
	}
	if k.missed++; k.missed == 5 {
		k.log.Warn("verify: the issuer's keys are not those that its revocation feed vouches for; a cache before them may be to blame", "issuer", k.raw)
	}
	k.exact.Store(true)
	k.start(0)
}

// refresh fetches the keys, unless the newest fetch began less than every ago:
// then its outcome stands. It joins a fetch that is under way.
func (k *keyring) refresh(ctx context.Context, every time.Duration) error {
	f := k.start(every)
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (k *keyring) start(every time.Duration) *flight {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.flight != nil {
		return k.flight
	}
	f := &flight{done: make(chan struct{})}
	if err := k.ctx.Err(); err != nil || !k.began.IsZero() && time.Since(k.began) < every {
		if f.err = err; err == nil {
			f.err = k.outcome
		}
		close(f.done)
		return f
	}
	began := time.Now()
	k.flight, k.began = f, began
	k.wg.Go(func() {
		p, err := k.fetch()
		k.mu.Lock()
		var last *published
		if err == nil {
			last = k.now.Swap(p)
		}
		k.flight, k.outcome, f.err = nil, err, err
		close(f.done)
		k.mu.Unlock()
		if last != nil && last.generation != p.generation {
			k.changed()
		}
	})
	return f
}

// keep fetches the keys in the background until close, first after wait.
func (k *keyring) keep(wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for failures := 0; ; {
		select {
		case <-k.ctx.Done():
			return
		case <-timer.C:
		}
		err := k.refresh(k.ctx, 0)
		if err == nil {
			failures = 0
			wait = early(k.now.Load().wait)
		} else {
			wait = early(min(time.Second<<min(failures, 10), maxBackoff))
			failures++
			if k.ctx.Err() == nil {
				k.log.Warn("verify: the issuer's keys could not be fetched; trying again", "issuer", k.raw, "in", wait, "error", err)
			}
		}
		timer.Reset(wait)
	}
}

// early takes up to a tenth off, so that many verifiers don't ask at once and
// none asks late.
func early(d time.Duration) time.Duration { return d - rand.N(d/10) }

func (k *keyring) close() {
	k.mu.Lock()
	k.cancel()
	k.mu.Unlock()
	k.wg.Wait()
	if k.out.own {
		k.out.client.CloseIdleConnections()
	}
}

// fetch gets the keys, and the metadata first if it isn't known or the newest
// fetch failed with it.
func (k *keyring) fetch() (*published, error) {
	ctx, cancel := context.WithTimeout(k.ctx, fetchTimeout)
	defer cancel()
	p := &published{fetched: k.clock().mono}
	last := k.now.Load()
	if last != nil && k.outcome == nil {
		p.metadata = last.metadata
	} else if err := k.discover(ctx, &p.metadata); err != nil {
		return nil, err
	}
	doc, header, err := k.out.get(ctx, p.jwksURI, "application/jwk-set+json, application/json", jwks.MaxSize, k.exact.Swap(false))
	if err != nil {
		return nil, err
	}
	p.wait, p.hash = refreshAfter(header), feed.JWKSHash(doc)
	if last != nil {
		p.generation = last.generation
	}
	if last == nil || last.hash != p.hash {
		p.generation++
	}
	// An issuer that publishes no key has taken its keys back: that counts too.
	if p.keys, err = jwks.Parse(doc); err != nil && !errors.Is(err, jwks.ErrNoKey) {
		return nil, fmt.Errorf("%s: %w", p.jwksURI, err)
	}
	return p, nil
}

// discover reads the issuer's metadata from where OpenID Connect Discovery §4
// puts it, or from where RFC 8414 §3 does.
func (k *keyring) discover(ctx context.Context, m *metadata) error {
	path := strings.TrimSuffix(k.issuer.EscapedPath(), "/")
	origin := k.issuer.Scheme + "://" + k.issuer.Host
	var errs []error
	for _, at := range []string{
		origin + path + "/.well-known/openid-configuration",
		origin + "/.well-known/oauth-authorization-server" + path,
	} {
		doc, _, err := k.out.get(ctx, at, "application/json", jwks.MaxSize, false)
		if err == nil {
			err = k.readMetadata(string(doc), m)
		}
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("discovery at %s: %w", at, err))
	}
	return errors.Join(errs...)
}

func (k *keyring) readMetadata(doc string, m *metadata) error {
	var issuer string
	var read metadata
	r := reader{s: doc}
	for name := range r.members {
		switch name {
		case "issuer":
			issuer = r.claim(name)
		case "jwks_uri":
			read.jwksURI = r.claim(name)
		case "introspection_endpoint":
			read.introspection = r.claim(name)
		case "revocation_feed_endpoint":
			read.feed = r.claim(name)
		default:
			r.skip()
		}
	}
	r.end()
	switch {
	case r.err != nil:
		return fmt.Errorf("the document %w", r.err)
	case issuer != k.raw: // RFC 8414 §3.3
		return fmt.Errorf("the document is of the issuer %q, not exactly %q", issuer, k.raw)
	case read.jwksURI == "":
		return errors.New("the document has no jwks_uri")
	}
	*m = read
	return nil
}

// refreshAfter is how long an answer may be kept by its Cache-Control (RFC 9111
// §5.2.2), within our bounds.
func refreshAfter(h http.Header) time.Duration {
	wait := defaultRefresh
	for _, directive := range strings.Split(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return minRefresh
		case "max-age":
			if n, err := strconv.Atoi(strings.Trim(value, `"`)); err == nil {
				age, _ := strconv.Atoi(h.Get("Age"))
				wait = time.Duration(min(max(n-max(age, 0), 0), 3600)) * time.Second
			}
		}
	}
	return min(max(wait, minRefresh), maxRefresh)
}
