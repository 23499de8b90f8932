package verify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Feed follows the issuer's revocation feed, so that a revoked token is refused
// within milliseconds and without a question to the issuer. Tokens are taken while
// what is known of revocations is no older than MaxStale says; 5 seconds and Refuse
// without that option. New returns when the first heartbeat has been checked. The
// issuer's metadata must name a revocation_feed_endpoint, as Jeton's does.
func Feed(credentials Credentials, opts ...FeedOption) Option {
	return func(c *config) {
		c.feed = &following{credentials: credentials}
		for _, opt := range opts {
			opt(c.feed)
		}
	}
}

// FeedOption changes how a Feed is followed.
type FeedOption func(*following)

type following struct {
	credentials Credentials
	limit       int
	limited     bool
	cache       *url.URL // of the form that a cache may serve
	cacheErr    error
}

// ViewLimit bounds the memory for revocations to about so many octets: 256 MiB, room
// for about five million, without this option. Nothing is dropped when it is
// reached: what is known then counts as stale.
func ViewLimit(bytes int) FeedOption {
	return func(f *following) { f.limit, f.limited = bytes, true }
}

// FeedThroughCache follows the form of the feed that an HTTP cache or CDN may serve,
// at the address under which it serves the issuer's revocations, for example
// https://cdn.example.com/revocations. The credentials are sent there. A heartbeat
// that comes from a cache can't be measured: how old it is is judged by this
// machine's wall clock, which must agree with the issuer's within much less than
// MaxStale. Follow the stream where you can.
func FeedThroughCache(baseURL string) FeedOption {
	return func(f *following) {
		f.cache, f.cacheErr = url.Parse(strings.TrimSuffix(baseURL, "/"))
		if f.cacheErr == nil && (f.cache.Host == "" || f.cache.RawQuery != "") {
			f.cacheErr = errors.New("not an absolute https address without query")
		}
	}
}

// Credentials are what an API shows to the issuer to read its feed: APISecret or
// AccessToken.
type Credentials struct {
	id, secret string
	token      func(context.Context) (string, error)
}

// APISecret is the API's id and secret at the issuer, as for Introspection.
func APISecret(id, secret string) Credentials { return Credentials{id: id, secret: secret} }

// AccessToken is an access token with the scope jeton:feed. It is asked for at every
// connection and must be valid then.
func AccessToken(token func(context.Context) (string, error)) Credentials {
	return Credentials{token: token}
}

// present puts the credentials into a request.
func (c Credentials) present(req *http.Request) error {
	if c.token == nil {
		// RFC 6749 §2.3.1: id and secret are form-encoded before they go into Basic.
		req.SetBasicAuth(url.QueryEscape(c.id), url.QueryEscape(c.secret))
		return nil
	}
	token, err := c.token(req.Context())
	if err != nil {
		return fmt.Errorf("the access token for the feed: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return nil
}

const (
	defaultMaxStale = 5 * time.Second
	minMaxStale     = 2 * time.Second // a heartbeat comes each second
	maxMaxStale     = time.Hour
)

// MaxStale bounds how old the knowledge of revocations may be for tokens to be taken
// on it, from 2 seconds to an hour, and says what happens past that. It needs a
// Feed, which confirms each second that nothing is missing.
func MaxStale(d time.Duration, policy Policy) Option {
	return func(c *config) { c.maxStale, c.policy = d, policy }
}

func (c *config) checkFeed() error {
	f := c.feed
	if f == nil {
		if c.maxStale != 0 {
			return errors.New("verify: MaxStale needs a Feed, by which it is measured")
		}
		return nil
	}
	if c.maxStale == 0 && c.policy == Refuse {
		c.maxStale = defaultMaxStale
	}
	switch {
	case f.credentials.token == nil && (f.credentials.id == "" || f.credentials.secret == ""):
		return errors.New("verify: Feed needs the API's id and secret at the issuer, by APISecret, or an AccessToken")
	case f.cacheErr != nil:
		return fmt.Errorf("verify: FeedThroughCache: %w", f.cacheErr)
	case f.limited && f.limit < minViewLimit:
		return fmt.Errorf("verify: ViewLimit is %d octets; use %d or more", f.limit, minViewLimit)
	case c.maxStale < minMaxStale || c.maxStale > maxMaxStale:
		return fmt.Errorf("verify: MaxStale is %v; use %v to %v", c.maxStale, minMaxStale, maxMaxStale)
	case c.policy == Introspect && c.introspect == nil:
		if f.credentials.token != nil {
			return errors.New("verify: MaxStale with Introspect needs Introspection, since a token for the feed can't introspect")
		}
		c.asked = &introspection{id: f.credentials.id, secret: f.credentials.secret, parallel: defaultParallel}
	}
	return nil
}

const minViewLimit = 4 << 10
