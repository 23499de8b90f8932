package verify

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jeton-auth/jeton/oauth"
)

const (
	introspectTimeout = 5 * time.Second // the wait for a turn included
	maxAnswers        = 1024            // kept at once
	maxKeptAnswer     = 8 << 10         // octets; a larger one is not kept
)

// introspector asks the issuer about tokens (RFC 7662).
type introspector struct {
	introspection
	keys  *keyring // knows the endpoint
	turns chan struct{}

	mu   sync.Mutex
	kept map[[sha256.Size]byte]answer
}

type answer struct {
	sight *sighting
	asked time.Time
	until time.Time
}

var errInactive = invalid("The token is not active: it is unknown, has expired or was revoked.")

func newIntrospector(in *introspection, keys *keyring) *introspector {
	if in == nil {
		return nil
	}
	return &introspector{
		introspection: *in, keys: keys, turns: make(chan struct{}, in.parallel),
		kept: map[[sha256.Size]byte]answer{},
	}
}

// ask is the issuer's answer about an active token, no older than ttl, or
// errInactive. Any other error means that there is no answer.
func (in *introspector) ask(ctx context.Context, v *Verifier, token string, ttl time.Duration) (*sighting, error) {
	var key [sha256.Size]byte
	if ttl > 0 {
		key = sha256.Sum256([]byte(token))
		if s := in.known(v, key, ttl); s != nil {
			return s, nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, introspectTimeout)
	defer cancel()
	select {
	case in.turns <- struct{}{}:
		defer func() { <-in.turns }()
	case <-ctx.Done():
		return nil, fmt.Errorf("no turn to introspect: %w", ctx.Err())
	}
	if ttl > 0 { // somebody may have asked the same while this waited
		if s := in.known(v, key, ttl); s != nil {
			return s, nil
		}
	}
	asked, gone := time.Now(), v.gone.Load() // the answer may be as old as the question
	claims, err := in.fetch(ctx, token)
	if err != nil {
		return nil, err
	}
	s := &sighting{by: v, gone: gone, principal: Principal{Claims: *claims}}
	s.principal.sight = s
	s.name(v)
	if ttl > 0 && len(claims.payload) <= maxKeptAnswer {
		in.keep(key, answer{s, asked, asked.Add(ttl)})
	}
	return s, nil
}

// known is an answer that was kept, if it is no older than ttl and no key was removed
// since.
func (in *introspector) known(v *Verifier, key [sha256.Size]byte, ttl time.Duration) *sighting {
	in.mu.Lock()
	defer in.mu.Unlock()
	a, ok := in.kept[key]
	if now := time.Now(); !ok || !now.Before(a.until) || now.Sub(a.asked) >= ttl || a.sight.gone != v.gone.Load() {
		return nil
	}
	return a.sight
}

const (
	staleTTL    = time.Second           // of an answer while what is known of revocations is too old
	staleJitter = 50 * time.Millisecond // so that not all APIs ask the issuer at once when its feed ends
)

// confirm asks about a token that can't be judged by the feed.
func (in *introspector) confirm(ctx context.Context, v *Verifier, token string) error {
	key := sha256.Sum256([]byte(token))
	if in.known(v, key, staleTTL) != nil {
		return nil
	}
	if err := pause(ctx, rand.N(staleJitter)); err != nil {
		return err
	}
	_, err := in.ask(ctx, v, token, staleTTL-rand.N(staleTTL/4))
	return err
}

// keep makes room by dropping what is over and, if nothing is, any one.
func (in *introspector) keep(key [sha256.Size]byte, a answer) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.kept) >= maxAnswers {
		now := time.Now()
		for k, old := range in.kept {
			if !now.Before(old.until) {
				delete(in.kept, k)
			}
		}
		for k := range in.kept {
			if len(in.kept) < maxAnswers {
				break
			}
			delete(in.kept, k)
		}
	}
	in.kept[key] = a
}

func (in *introspector) fetch(ctx context.Context, token string) (*Claims, error) {
	endpoint, err := in.endpoint(ctx)
	if err != nil {
		return nil, err
	}
	form := url.Values{"token": {token}, "token_type_hint": {oauth.HintAccessToken}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	// RFC 6749 §2.3.1: id and secret are form-encoded before they go into Basic.
	req.SetBasicAuth(url.QueryEscape(in.id), url.QueryEscape(in.secret))
	body, _, err := in.keys.out.do(req, maxClaims)
	if status := (statusError{}); errors.As(err, &status) && status.status == http.StatusUnauthorized {
		return nil, fmt.Errorf("%w: check the id and secret given to verify.Introspection", err)
	}
	if err != nil {
		return nil, err
	}
	claims := new(Claims)
	if err := claims.decode(body); err != nil {
		return nil, fmt.Errorf("the introspection answer %w", err)
	}
	switch active, _ := claims.Raw("active"); string(active) {
	case "true":
		return claims, nil
	case "false":
		return nil, errInactive
	}
	return nil, errors.New("the introspection answer does not say whether the token is active")
}

func (in *introspector) endpoint(ctx context.Context) (string, error) {
	p := in.keys.now.Load()
	if p == nil {
		if err := in.keys.refresh(ctx, missingEvery); err != nil {
			return "", err
		}
		p = in.keys.now.Load()
	}
	if p.introspection == "" {
		return "", errNoEndpoint
	}
	return p.introspection, nil
}

var errNoEndpoint = errors.New("verify: the issuer's metadata names no introspection_endpoint, which Introspection needs")
