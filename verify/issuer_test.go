package verify

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/jwks"
)

const (
	issuerURL = "https://id.example.com"
	apiID     = "https://api.example.com"
)

// start is the time at which the tests' tokens are made.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// signer is a private key with its public side.
type signer struct {
	jwks.Key
	private crypto.Signer
}

func newSigner(kid string, alg oauth.Alg, private crypto.Signer) signer {
	return signer{must(jwks.New(kid, alg, private.Public())), private}
}

var (
	rsaKey = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	es256  = sync.OnceValue(func() signer {
		return newSigner("es256", oauth.ES256, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)))
	})
	es384 = sync.OnceValue(func() signer {
		return newSigner("es384", oauth.ES384, must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)))
	})
	rs256 = sync.OnceValue(func() signer { return newSigner("rs256", oauth.RS256, rsaKey()) })
	ps256 = sync.OnceValue(func() signer { return newSigner("ps256", oauth.PS256, rsaKey()) })
	eddsa = sync.OnceValue(func() signer {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		return newSigner("eddsa", oauth.EdDSA, must(k, err))
	})
	other = sync.OnceValue(func() signer {
		return newSigner("other", oauth.ES256, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)))
	})
)

func enc(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// sign gives the signature segment over what stands before it.
func (s signer) sign(signed string) string {
	var sig []byte
	switch s.Alg {
	case oauth.ES256, oauth.ES384:
		sum, size := crypto.SHA256.New(), 32
		if s.Alg == oauth.ES384 {
			sum, size = sha512.New384(), 48
		}
		sum.Write([]byte(signed))
		r, ss, err := ecdsa.Sign(rand.Reader, s.private.(*ecdsa.PrivateKey), sum.Sum(nil))
		if err != nil {
			panic(err)
		}
		sig = append(r.FillBytes(make([]byte, size)), ss.FillBytes(make([]byte, size))...)
	case oauth.RS256, oauth.PS256:
		sum := sha256.Sum256([]byte(signed))
		opts := crypto.SignerOpts(crypto.SHA256)
		if s.Alg == oauth.PS256 {
			opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
		}
		sig = must(s.private.Sign(rand.Reader, sum[:], opts))
	case oauth.EdDSA:
		sig = must(s.private.Sign(rand.Reader, []byte(signed), crypto.Hash(0)))
	}
	return base64.RawURLEncoding.EncodeToString(sig)
}

// jws signs a header and a payload given as they are.
func (s signer) jws(header, payload string) string {
	signed := enc(header) + "." + enc(payload)
	return signed + "." + s.sign(signed)
}

func (s signer) header(typ string) string {
	return fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":%q}`, s.Alg, s.ID, typ)
}

// claims is a sound claims set with changes; a nil change takes a claim away.
func claims(changes map[string]any) string {
	c := map[string]any{
		"iss": issuerURL, "sub": "ada", "aud": apiID, "client_id": "shop-web", "jti": "g1.0001",
		"iat": start.Unix(), "exp": start.Add(5 * time.Minute).Unix(), "scope": "openid orders:read",
		"auth_time": start.Add(-time.Minute).Unix(), "acr": "1", "rev": 7,
	}
	for name, v := range changes {
		if c[name] = v; v == nil {
			delete(c, name)
		}
	}
	return string(must(json.Marshal(c)))
}

// token is an access token with changed claims.
func (s signer) token(changes map[string]any) string {
	return s.jws(s.header("at+jwt"), claims(changes))
}

// issuer is an authorization server whose answers a test controls. It is reached
// in memory, as an http.RoundTripper, or over the loopback by httptest.
type issuer struct {
	mu         sync.Mutex
	url        string
	keys       []jwks.Key
	cache      string                      // Cache-Control of the keys
	down       bool                        // no answer at all
	override   map[string]http.HandlerFunc // by path
	hits       map[string]int              // by path
	introspect func(form url.Values) any
	basic      string       // "id:secret" as last presented to /introspect
	log        *revocations // nil: no feed
}

func newIssuer(keys ...signer) *issuer {
	is := &issuer{url: issuerURL, hits: map[string]int{}, override: map[string]http.HandlerFunc{}}
	is.publish(keys...)
	return is
}

func (is *issuer) publish(keys ...signer) {
	is.set(func() {
		is.keys = nil
		for _, k := range keys {
			is.keys = append(is.keys, k.Key)
		}
	})
}

// set changes the issuer while it serves.
func (is *issuer) set(change func()) {
	is.mu.Lock()
	defer is.mu.Unlock()
	change()
}

func (is *issuer) count(path string) int {
	is.mu.Lock()
	defer is.mu.Unlock()
	return is.hits[path]
}

func (is *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	is.mu.Lock()
	is.hits[r.URL.Path]++
	override, keys, cache, base, introspect := is.override[r.URL.Path], is.keys, is.cache, is.url, is.introspect
	if id, secret, ok := r.BasicAuth(); ok && r.URL.Path == "/introspect" {
		is.basic = id + ":" + secret
	}
	is.mu.Unlock()
	switch {
	case override != nil:
		override(w, r)
	case r.URL.Path == "/.well-known/openid-configuration":
		doc := map[string]any{
			"issuer": base, "jwks_uri": base + "/jwks", "introspection_endpoint": base + "/introspect",
			"response_types_supported": []string{"code"},
		}
		if is.log != nil {
			doc["revocation_feed_endpoint"] = base + "/revocations"
		}
		json.NewEncoder(w).Encode(doc)
	case strings.HasPrefix(r.URL.Path, "/revocations") && is.log != nil:
		is.log.ServeHTTP(w, r)
	case r.URL.Path == "/jwks":
		if cache != "" {
			w.Header().Set("Cache-Control", cache)
		}
		w.Write(document(keys))
	case r.URL.Path == "/introspect" && introspect != nil:
		r.ParseForm()
		json.NewEncoder(w).Encode(introspect(r.PostForm))
	default:
		http.NotFound(w, r)
	}
}

// document is a key set as it is served.
func document(keys []jwks.Key) []byte { return must(json.Marshal(must(jwks.NewSet(keys...)))) }

// RoundTrip answers from ServeHTTP without a network.
func (is *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	is.mu.Lock()
	down := is.down
	is.mu.Unlock()
	if down {
		return nil, fmt.Errorf("connection refused")
	}
	if strings.Contains(r.Header.Get("Accept"), eventStream) {
		return is.streamTo(r)
	}
	if strings.HasPrefix(r.URL.Path, "/revocations") {
		is.log.held(r.Context())
	}
	rec := httptest.NewRecorder()
	is.ServeHTTP(rec, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return rec.Result(), nil
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// verifier is a Verifier of the issuer that stops with the test.
func (is *issuer) verifier(t testing.TB, opts ...Option) *Verifier {
	t.Helper()
	v, err := is.try(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func (is *issuer) try(opts ...Option) (*Verifier, error) {
	opts = append([]Option{
		Audience(apiID), HTTPClient(clientOf(is)), Logger(quiet),
		Clock(func() time.Time { return start.Add(time.Second) }),
	}, opts...)
	return New(context.Background(), is.url, opts...)
}

func clientOf(is *issuer) *http.Client { return &http.Client{Transport: is} }
