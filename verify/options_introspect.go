package verify

import (
	"errors"
	"fmt"
	"time"
)

// Introspection puts opaque tokens to the issuer's introspection endpoint (RFC
// 7662), with the API's own id and secret in Basic authentication. Without it
// only JWTs are taken.
func Introspection(id, secret string, opts ...IntrospectionOption) Option {
	return func(c *config) {
		c.introspect = &introspection{id: id, secret: secret, parallel: defaultParallel}
		for _, opt := range opts {
			opt(c.introspect)
		}
	}
}

// IntrospectionOption changes when and how the issuer is asked about tokens.
type IntrospectionOption func(*introspection)

type introspection struct {
	id, secret string
	each       bool
	ttl        time.Duration
	parallel   int
}

func (in *introspection) check() error {
	switch {
	case in == nil:
		return nil
	case in.id == "" || in.secret == "":
		return errors.New("verify: Introspection needs the API's id and secret at the issuer")
	case in.ttl < 0 || in.ttl > MaxCacheFor:
		return fmt.Errorf("verify: CacheFor is %v; use 0 to %v", in.ttl, MaxCacheFor)
	case in.parallel < 1:
		return errors.New("verify: Parallel must be 1 or more")
	}
	return nil
}

// ConfirmEach asks the issuer about JWTs too, after they were found valid
// locally, so that a revoked one is refused at once.
func ConfirmEach() IntrospectionOption { return func(in *introspection) { in.each = true } }

// MaxCacheFor bounds CacheFor.
const MaxCacheFor = time.Minute

// CacheFor keeps each answer that a token is active for d. That long a revoked token
// may still be taken, unless a Feed is followed: then each use of an answer is
// checked against it, if the issuer's answers tell the token's jti. Nothing is kept
// without this option.
func CacheFor(d time.Duration) IntrospectionOption { return func(in *introspection) { in.ttl = d } }

const defaultParallel = 32

// Parallel bounds how many tokens are put to the issuer at once: 32 without this
// option. Others wait their turn, five seconds at most.
func Parallel(n int) IntrospectionOption { return func(in *introspection) { in.parallel = n } }
