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

	now atomic.Pointer[published]

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
	keys    jwks.Set
	fetched time.Time
	wait    time.Duration // until the next fetch
}

// metadata is what matters of the issuer's discovery document.
type metadata struct{ jwksURI, introspection string }

type flight struct {
	done chan struct{}
	err  error
}

func newKeyring(c *config) (*keyring, error) {
	issuer, err := url.Parse(c.issuer)
	if err != nil {
		return nil, errors.New("verify: the issuer is not a URL")
	}
	k := &keyring{issuer: issuer, raw: c.issuer, log: c.log, maxAge: c.keysMaxAge}
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

// key is the published key kid. Before an unknown one is called so, the keys are
// fetched anew, unless that was done a moment ago.
func (k *keyring) key(ctx context.Context, kid string) (jwks.Key, error) {
	every := missingEvery
	if p := k.current(); p != nil {
		if key, ok := p.keys.Key(kid); ok {
			return key, nil
		}
		every = unknownEvery
	}
	if err := k.refresh(ctx, every); err != nil {
		return jwks.Key{}, err
	}
	if p := k.current(); p != nil {
		if key, ok := p.keys.Key(kid); ok {
			return key, nil
		}
		return jwks.Key{}, errUnknownKey
	}
	return jwks.Key{}, errors.New("its keys are too old to be believed")
}

// current is what was published last, or nil when that is too long ago.
func (k *keyring) current() *published {
	if p := k.now.Load(); p != nil && time.Since(p.fetched) < k.maxAge {
		return p
	}
	return nil
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
		p, err := k.fetch(began)
		k.mu.Lock()
		defer k.mu.Unlock()
		if err == nil {
			k.now.Store(p)
		}
		k.flight, k.outcome, f.err = nil, err, err
		close(f.done)
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
func (k *keyring) fetch(began time.Time) (*published, error) {
	ctx, cancel := context.WithTimeout(k.ctx, fetchTimeout)
	defer cancel()
	p := &published{fetched: began}
	if last := k.now.Load(); last != nil && k.outcome == nil {
		p.metadata = last.metadata
	} else if err := k.discover(ctx, &p.metadata); err != nil {
		return nil, err
	}
	doc, header, err := k.out.get(ctx, p.jwksURI, "application/jwk-set+json, application/json", jwks.MaxSize)
	if err != nil {
		return nil, err
	}
	p.wait = refreshAfter(header)
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
		doc, _, err := k.out.get(ctx, at, "application/json", jwks.MaxSize)
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
