package verify

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/dpop"
	"github.com/jeton-auth/jeton/oauth/mtls"
)

// MaxLeeway bounds what Leeway may allow: revocations outlive the tokens they
// name by little more.
const MaxLeeway = time.Minute

// Option changes how a Verifier judges or reaches its issuer.
type Option func(*config)

type config struct {
	issuer       string
	audience     []string
	algs         []oauth.Alg
	exp          time.Duration
	nbf          time.Duration
	iat          time.Duration
	keysMaxAge   time.Duration
	lazy         bool
	client       *http.Client
	now          func() time.Time // nil: the machine's clock
	clock        clock            // of tests
	log          *slog.Logger
	resource     *Resource
	introspect   *introspection
	asked        *introspection // by Introspect alone: opaque tokens are not taken
	feed         *following
	maxStale     time.Duration // 0: not said
	policy       Policy
	cacheBytes   int
	hooks        Hooks
	certificates mtls.Source
	public       string
	nonces       dpop.Nonces
	nonced       bool
}

var allAlgs = []oauth.Alg{oauth.ES256, oauth.ES384, oauth.EdDSA, oauth.PS256, oauth.RS256}

func newConfig(issuer string, opts []Option) (*config, error) {
	c := &config{
		issuer:     issuer,
		algs:       allAlgs,
		nbf:        30 * time.Second,
		iat:        30 * time.Second,
		keysMaxAge: 24 * time.Hour,
		cacheBytes: DefaultCacheBytes,
		log:        slog.Default(),
	}
	for _, opt := range opts {
		opt(c)
	}
	for _, alg := range c.algs {
		if !slices.Contains(allAlgs, alg) {
			return nil, fmt.Errorf("verify: Algorithms(%q): use some of %q", alg, allAlgs)
		}
	}
	for name, d := range map[string]time.Duration{"exp": c.exp, "nbf": c.nbf, "iat": c.iat} {
		if d < 0 || d > MaxLeeway {
			return nil, fmt.Errorf("verify: Leeway: %s is %v; use 0 to %v", name, d, MaxLeeway)
		}
	}
	switch {
	case len(c.audience) == 0 || slices.Contains(c.audience, ""):
		return nil, errors.New("verify: name the API's own identifier with Audience")
	case len(c.algs) == 0:
		return nil, errors.New("verify: Algorithms names none")
	case c.keysMaxAge < minRefresh:
		return nil, fmt.Errorf("verify: KeysMaxAge is %v; use %v or more", c.keysMaxAge, minRefresh)
	}
	if c.clock == nil {
		c.clock = newClock(c.now)
	}
	if err := c.introspect.check(); err != nil {
		return nil, err
	}
	if err := c.checkProofs(); err != nil {
		return nil, err
	}
	return c, c.checkFeed()
}

// Audience names the identifiers under which tokens are meant for this API: a
// token's aud must hold one of them (RFC 9068 §4). New requires it.
func Audience(ids ...string) Option {
	return func(c *config) { c.audience = append(c.audience, ids...) }
}

// Algorithms allows these signature algorithms alone, instead of ES256, ES384,
// EdDSA, PS256 and RS256: of tokens, and of DPoP proofs. Whatever is allowed, a key
// verifies only its own.
func Algorithms(algs ...oauth.Alg) Option { return func(c *config) { c.algs = algs } }

// Leeway allows the issuer's clock to differ: a token is taken until exp after
// its expiry, and from nbf and iat before its times. Each is in whole seconds and
// MaxLeeway at most. Without this option exp is 0 and the others 30 seconds: a
// clock that is off breaks new tokens, while expired ones are simply renewed.
func Leeway(exp, nbf, iat time.Duration) Option {
	return func(c *config) { c.exp, c.nbf, c.iat = exp, nbf, iat }
}

// KeysMaxAge bounds how long keys are believed while the issuer can't be reached
// to confirm them: a day without this option. Past it every JWT is answered with
// ErrUnavailable. While the issuer answers, a key it removed is refused after its
// Cache-Control max-age, or after five minutes if there is none; never sooner
// than a minute nor later than an hour.
func KeysMaxAge(d time.Duration) Option { return func(c *config) { c.keysMaxAge = d } }

// Lazy lets New return without having reached the issuer. Until it is reached,
// tokens are answered with ErrUnavailable.
func Lazy() Option { return func(c *config) { c.lazy = true } }

// HTTPClient reaches the issuer through client, of which a copy is used that
// follows no redirects.
func HTTPClient(client *http.Client) Option { return func(c *config) { c.client = client } }

// Clock judges the times in tokens by now instead of time.Now. Refreshing and
// caching, and how old the knowledge of revocations is, go by the machine's own
// clocks all the same.
func Clock(now func() time.Time) Option { return func(c *config) { c.now = now } }

// Logger takes what the API's operator should know; slog.Default without this
// option. Tokens and secrets are never logged.
func Logger(log *slog.Logger) Option { return func(c *config) { c.log = log } }

// Metadata describes the API (RFC 9728). Challenges then carry the address of
// the description, where Verifier.Metadata must be mounted.
func Metadata(r Resource) Option { return func(c *config) { c.resource = &r } }

// CacheBytes bounds the memory for tokens that were verified, so that the next sight
// of one costs a look-up: DefaultCacheBytes without this option. 0 keeps none.
func CacheBytes(n int) Option { return func(c *config) { c.cacheBytes = n } }
