package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/jeton-auth/jeton/oauth/feed"
	"github.com/jeton-auth/jeton/verify"
)

const (
	viewEntries = 1_000_000
	viewChanges = 1000 // a second

	seenGoal    = 500.0 // ns
	fasterGoal  = 200.0 // times golang-jwt
	firstGoal   = 1.15  // of the bare signature check
	firstAllocs = 25
	viewGoal    = 64.0 // octets an entry
)

// cost is what one call takes.
type cost struct{ ns, allocs float64 }

// calls runs f for about d.
func calls(d time.Duration, f func()) cost {
	var before, after runtime.MemStats
	f()
	runtime.ReadMemStats(&before)
	began, n := time.Now(), 0
	for time.Since(began) < d {
		for range 100 {
			f()
		}
		n += 100
	}
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	return cost{float64(took) / float64(n), float64(after.Mallocs-before.Mallocs) / float64(n)}
}

// verifierRows measure the package that APIs import, inside this process.
func (b *bench) verifierRows(ctx context.Context) (rows [][]string, err error) {
	note("verify, with %s revocations", thousands(viewEntries))
	quiet := verify.Logger(slog.New(slog.DiscardHandler))
	issuer, err := newTiny(viewEntries, viewChanges)
	if err != nil {
		return nil, err
	}
	defer issuer.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	v, err := verify.New(ctx, issuer.URL, verify.Audience(api), verify.Feed(verify.APISecret(api, "secret")), quiet)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	plain, err := verify.New(ctx, issuer.URL, verify.Audience(api), verify.CacheBytes(0), quiet)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	token := issuer.mint(0)
	var failed error
	check := func(err error) {
		if err != nil {
			failed = err
		}
	}
	others := map[string]func(){
		"bare":       func() { check(bareCheck(&issuer.token.PublicKey, token)) },
		"golang-jwt": func() { check(golangJWT(&issuer.token.PublicKey, token)) },
	}
	mine := map[string]func(){
		"seen": func() {
			_, err := v.Verify(ctx, token)
			check(err)
		},
		"first": func() {
			_, err := plain.Verify(ctx, token)
			check(err)
		},
	}
	all := map[string][]cost{}
	for range b.rounds {
		for _, set := range []map[string]func(){mine, others} {
			for name, f := range set {
				all[name] = append(all[name], calls(b.duration/3, f))
			}
		}
	}
	if failed != nil {
		return nil, failed
	}
	h := v.Health()
	if !h.Fresh || h.Entries < viewEntries {
		return nil, fmt.Errorf("the view has %d entries, fresh = %t: %w", h.Entries, h.Fresh, h.Err)
	}
	return append(verifierTable(all, token), viewRow(), b.middlewareRow(v, token)), nil
}

func verifierTable(all map[string][]cost, token string) [][]string {
	ns := func(name string) (values []float64) {
		for _, c := range all[name] {
			values = append(values, c.ns)
		}
		return values
	}
	allocs := func(name string) float64 { return all[name][len(all[name])-1].allocs }
	seen, first := median(ns("seen")), median(ns("first"))
	bare, golang := median(ns("bare")), median(ns("golang-jwt"))
	number := func(v float64) string { return fmt.Sprintf("%.0f", v) }
	return [][]string{
		{
			fmt.Sprintf("verify, token of %d bytes seen before, %s revocations that grow by %s/s", len(token), thousands(viewEntries), thousands(viewChanges)),
			fmt.Sprintf("%s ns, %.1f allocations", spread(ns("seen"), number), allocs("seen")), "≤ 500 ns, ≤ 1 allocation", reached(seen <= seenGoal && allocs("seen") <= 1),
		},
		{"the same, beside golang-jwt", fmt.Sprintf("%.0f times faster (golang-jwt: %s µs, %.0f allocations)", golang/seen, number(golang/1000), allocs("golang-jwt")), "200 times", reached(golang/seen >= fasterGoal)},
		{
			"verify, first sight, ES256", fmt.Sprintf("%.2f × the bare check of %s µs, %.0f allocations (golang-jwt: %.2f ×)", first/bare, number(bare/1000), allocs("first"), golang/bare),
			"≤ 1.15 ×, < 25 allocations", reached(first/bare <= firstGoal && allocs("first") < firstAllocs),
		},
	}
}

// bareCheck does nothing but check the signature.
func bareCheck(key *ecdsa.PublicKey, token string) error {
	i := strings.LastIndexByte(token, '.')
	sig, err := base64.RawURLEncoding.DecodeString(token[i+1:])
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(token[:i]))
	if !ecdsa.VerifyASN1(key, sum[:], der(sig)) {
		return errors.New("the signature is wrong")
	}
	return nil
}

// der is r ‖ s as crypto/ecdsa takes it.
func der(sig []byte) []byte {
	b := make([]byte, 0, 72)
	b = append(b, 0x30, 0)
	for _, n := range [][]byte{sig[:32], sig[32:]} {
		for len(n) > 1 && n[0] == 0 {
			n = n[1:]
		}
		if n[0] >= 0x80 {
			b = append(b, 2, byte(len(n)+1), 0)
		} else {
			b = append(b, 2, byte(len(n)))
		}
		b = append(b, n...)
	}
	b[1] = byte(len(b) - 2)
	return b
}

func golangJWT(key *ecdsa.PublicKey, token string) error {
	_, err := jwt.Parse(token, func(*jwt.Token) (any, error) { return key, nil }, jwt.WithValidMethods([]string{"ES256"}), jwt.WithAudience(api))
	return err
}

// viewRow fills a view and sees how much the heap grew.
func viewRow() []string {
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	v := feed.NewView(0)
	until := time.Now().Add(time.Hour).Unix()
	for n := range int64(viewEntries) {
		value := feed.Value(feed.Token, fmt.Sprint(n))
		if err := v.Add(feed.Entry{N: n + 1, Kind: feed.Token, Value: value, Until: until}); err != nil {
			return []string{"memory of the view", "failed: " + err.Error(), "≤ 64 bytes an entry", "no"}
		}
	}
	each := float64(heap()-before) / float64(v.Entries())
	return []string{"memory of the view, " + thousands(viewEntries) + " entries", fmt.Sprintf("%.1f bytes an entry", each), "≤ 64", reached(each <= viewGoal)}
}

// middlewareRow loads a handler with and without the middleware, turn by turn.
func (b *bench) middlewareRow(v *verify.Verifier, token string) []string {
	what := "middleware on a net/http handler, tokens seen before"
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"orders":[]}`)
	})
	without, with := httptest.NewServer(handler), httptest.NewServer(v.Require(scope)(handler))
	defer without.Close()
	defer with.Close()
	addr := func(s *httptest.Server) string { return s.Listener.Addr().String() }
	var all []float64
	for range b.rounds {
		var rates [2]float64
		for i, s := range []*httptest.Server{without, with} {
			request := get(addr(s), "/", "Authorization: Bearer "+token+"\r\n")
			rate, err := until(context.Background(), addr(s), times(connections, same(request)), b.duration)
			if err != nil {
				return []string{what, "failed: " + err.Error(), "≥ 95 %", "no"}
			}
			rates[i] = rate
		}
		all = append(all, rates[1]/rates[0])
	}
	return []string{what, spread(all, percent) + " of its requests/s without", "≥ 95 %", reached(median(all) >= .95)}
}
