package verify

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
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
	claims *Claims
	until  time.Time
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

// ask is the issuer's answer about an active token, or errInactive. Any other
// error means that there is no answer.
func (in *introspector) ask(ctx context.Context, token string) (*Claims, error) {
	if in.ttl == 0 {
		return in.fetch(ctx, token)
	}
	key := sha256.Sum256([]byte(token))
	in.mu.Lock()
	a, ok := in.kept[key]
	in.mu.Unlock()
	if ok && time.Now().Before(a.until) {
		return a.claims, nil
	}
	until := time.Now().Add(in.ttl) // counted from the question, not the answer
	claims, err := in.fetch(ctx, token)
	if err == nil && len(claims.payload) <= maxKeptAnswer {
		in.keep(key, answer{claims, until})
	}
	return claims, err
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
	ctx, cancel := context.WithTimeout(ctx, introspectTimeout)
	defer cancel()
	select {
	case in.turns <- struct{}{}:
		defer func() { <-in.turns }()
	case <-ctx.Done():
		return nil, fmt.Errorf("no turn to introspect: %w", ctx.Err())
	}
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
