package clientkeys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/fetch"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// key is a client's, by its kid.
type key struct {
	id  string
	own *ecdsa.PrivateKey
}

func newKey(t testing.TB, id string) key {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key{id, own}
}

// set is a JWK Set of the keys.
func set(t testing.TB, keys ...key) string {
	t.Helper()
	var doc jose.JSONWebKeySet
	for _, k := range keys {
		doc.Keys = append(doc.Keys, jose.JSONWebKey{Key: k.own.Public(), KeyID: k.id, Algorithm: string(jose.ES256), Use: "sig"})
	}
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sign makes a JWS with a header of the test's choice.
func (k key) sign(t testing.TB, header map[jose.HeaderKey]any) string {
	t.Helper()
	o := &jose.SignerOptions{ExtraHeaders: header}
	if k.id != "" {
		o = o.WithHeader("kid", k.id)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: k.own}, o)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign([]byte(`{"iss":"shop"}`))
	if err != nil {
		t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// site publishes what a client says its keys are.
type site struct {
	*Keys
	t      *testing.T
	client *store.Client
	clock  *clock.Manual
	asked  atomic.Int64
	mu     sync.Mutex
	answer http.HandlerFunc
}

func publish(t *testing.T, doc string) *site {
	t.Helper()
	s := &site{t: t, clock: clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))}
	s.says(doc)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		s.mu.Lock()
		answer := s.answer
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	out, err := fetch.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Keys = New(out, s.clock)
	s.client = &store.Client{Client: spec.Client{ID: "shop", JWKSURI: server.URL + "/jwks"}}
	return s
}

func (s *site) does(h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = h
}

func (s *site) says(doc string) {
	s.does(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, doc) })
}

// want verifies a JWS and counts the requests that it took.
func (s *site) want(compact string, err error, asked int64) {
	s.t.Helper()
	before := s.asked.Load()
	if _, got := s.Verify(s.t.Context(), s.client, compact, spec.Algs); !errors.Is(got, err) {
		s.t.Errorf("%v, want %v", got, err)
	}
	if n := s.asked.Load() - before; n != asked {
		s.t.Errorf("%d requests, want %d", n, asked)
	}
}

func TestDeclaredKeys(t *testing.T) {
	t.Parallel()
	one, two, alien := newKey(t, "1"), newKey(t, "2"), newKey(t, "1")
	k := New(nil, clock.NewManual(time.Now()))
	both := &store.Client{Client: spec.Client{JWKS: spec.JWKS(set(t, one, two))}}
	single := &store.Client{Client: spec.Client{JWKS: spec.JWKS(set(t, one))}}
	unnamed := one
	unnamed.id = ""
	good := one.sign(t, nil)
	parts := strings.Split(good, ".")
	for name, tt := range map[string]struct {
		client *store.Client
		jws    string
		algs   []oauth.Alg
		want   error
	}{
		"right":                     {both, good, spec.Algs, nil},
		"another of the keys":       {both, two.sign(t, nil), spec.Algs, nil},
		"no kid, one key":           {single, unnamed.sign(t, nil), spec.Algs, nil},
		"no kid, two keys":          {both, unnamed.sign(t, nil), spec.Algs, ErrNoKey},
		"a stranger's key":          {both, alien.sign(t, nil), spec.Algs, ErrSignature},
		"unknown kid":               {single, two.sign(t, nil), spec.Algs, ErrNoKey},
		"no keys":                   {&store.Client{}, good, spec.Algs, ErrNoKey},
		"keys that can't be read":   {&store.Client{Client: spec.Client{JWKS: "{"}}, good, spec.Algs, ErrNoKey},
		"algorithm not allowed":     {both, good, []oauth.Alg{oauth.PS256}, ErrForm},
		"crit":                      {both, one.sign(t, map[jose.HeaderKey]any{"crit": []string{"exp"}, "exp": 1}), spec.Algs, ErrForm},
		"its own key in the header": {both, alien.sign(t, map[jose.HeaderKey]any{"jku": "https://evil.example/jwks"}), spec.Algs, ErrSignature},
		"none":                      {both, "eyJhbGciOiJub25lIn0." + parts[1] + ".", spec.Algs, ErrForm},
		"no signature":              {both, parts[0] + "." + parts[1] + ".", spec.Algs, ErrSignature},
		"four parts":                {both, good + ".x", spec.Algs, ErrForm},
		"another payload":           {both, parts[0] + ".e30." + parts[2], spec.Algs, ErrSignature},
		"too large":                 {both, good + strings.Repeat("A", MaxJWS), spec.Algs, ErrForm},
		"ten thousand dots":         {both, strings.Repeat(".", 10_000), spec.Algs, ErrForm},
		"nothing":                   {both, "", spec.Algs, ErrForm},
	} {
		got, err := k.Verify(t.Context(), tt.client, tt.jws, tt.algs)
		if !errors.Is(err, tt.want) || err == nil && (string(got.Payload) != `{"iss":"shop"}` || got.Alg != oauth.ES256) {
			t.Errorf("%s: %+v, %v; want %v", name, got, err, tt.want)
		}
	}
	if got, err := k.Verify(t.Context(), both, one.sign(t, map[jose.HeaderKey]any{"typ": "oauth-authz-req+jwt"}), spec.Algs); err != nil || got.Typ != "oauth-authz-req+jwt" {
		t.Errorf("typ is %q, %v", got.Typ, err)
	}
	for pub, want := range map[crypto.PublicKey]bool{one.own.Public(): true, alien.own.Public(): false} {
		if has, err := k.Has(t.Context(), both, pub); err != nil || has != want {
			t.Errorf("has %t, %v", has, err)
		}
	}
}

// Published keys are fetched once, again when their time is over or an unknown kid turns
// up, and never more often than Least.
func TestPublishedKeys(t *testing.T) {
	t.Parallel()
	one, two := newKey(t, "1"), newKey(t, "2")
	s := publish(t, set(t, one))
	s.want(one.sign(t, nil), nil, 1)
	s.want(one.sign(t, nil), nil, 0)

	// A key that the client has just begun to use.
	s.says(set(t, one, two))
	s.want(two.sign(t, nil), ErrNoKey, 0)
	s.clock.Advance(Least)
	s.want(two.sign(t, nil), nil, 1)
	// A flood of made-up kids costs a request each Least.
	for range 20 {
		s.want(newKey(t, "made up").sign(t, nil), ErrNoKey, 0)
	}

	// A key that the client took back.
	s.says(set(t, two))
	s.clock.Advance(Usual - time.Second)
	s.want(one.sign(t, nil), nil, 0)
	s.clock.Advance(time.Second)
	s.want(one.sign(t, nil), ErrNoKey, 1)

	// What the client says of its cache counts, within bounds.
	for age, want := range map[string]time.Duration{"max-age=3600": time.Hour, "max-age=1": time.Minute, "max-age=999999999": Most} {
		s.does(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", age)
			_, _ = io.WriteString(w, set(t, two))
		})
		s.clock.Advance(Most)
		s.want(two.sign(t, nil), nil, 1)
		s.clock.Advance(want - time.Second)
		s.want(two.sign(t, nil), nil, 0)
		s.clock.Advance(time.Second)
		s.want(two.sign(t, nil), nil, 1)
	}
}

func TestHasPublishedKey(t *testing.T) {
	t.Parallel()
	one, two := newKey(t, "1"), newKey(t, "2")
	s := publish(t, set(t, one))
	has := func(k key, want bool, asked int64) {
		t.Helper()
		before := s.asked.Load()
		if got, err := s.Has(t.Context(), s.client, k.own.Public()); err != nil || got != want {
			t.Errorf("has %t, %v", got, err)
		}
		if n := s.asked.Load() - before; n != asked {
			t.Errorf("%d requests, want %d", n, asked)
		}
	}
	has(one, true, 1)
	has(two, false, 0)
	s.says(set(t, two))
	s.clock.Advance(Least)
	has(two, true, 1)
	has(one, false, 0)
}

// A hostile or broken site costs one request each Least, and says nothing about keys.
func TestHostileSites(t *testing.T) {
	t.Parallel()
	one := newKey(t, "1")
	for name, h := range map[string]http.HandlerFunc{
		"missing": http.NotFound,
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/", http.StatusFound)
		},
		"garbage": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		"no keys": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"keys":[]}`) },
		"private": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Replace(set(t, one), `"kid"`, `"d":"AQAB","kid"`, 1))
		},
		"huge": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"keys":[],"x":"`+strings.Repeat("x", fetch.MaxSize)+`"}`)
		},
		"deep": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"keys":`+strings.Repeat("[", 100_000))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := publish(t, "")
			s.does(h)
			s.want(one.sign(t, nil), ErrFetch, 1)
			s.want(one.sign(t, nil), ErrFetch, 0)
			s.says(set(t, one))
			s.clock.Advance(Least)
			s.want(one.sign(t, nil), nil, 1)
		})
	}
	s := publish(t, set(t, one))
	s.client.JWKSURI = "http://10.0.0.1/jwks"
	s.want(one.sign(t, nil), ErrFetch, 0)
}

// Many requests of one client wait for one fetch.
func TestFetchedTogether(t *testing.T) {
	t.Parallel()
	one := newKey(t, "1")
	s := publish(t, "")
	doc := set(t, one)
	s.does(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(20 * time.Millisecond)
		_, _ = io.WriteString(w, doc)
	})
	jws := one.sign(t, nil)
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			if _, err := s.Verify(t.Context(), s.client, jws, spec.Algs); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := s.asked.Load(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}
