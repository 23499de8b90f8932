package clientauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/clientkeys"
	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/directory"
	"github.com/jeton-auth/jeton/internal/fetch"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/store/sqlite"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/jwks"
)

const (
	issuer   = "https://id.example.com"
	endpoint = issuer + "/token"
	par      = issuer + "/par"
)

// bench is what the methods stand on, with a clock that stands still.
type bench struct {
	t     testing.TB
	path  string
	clock *clock.Manual
	store *store.Store
	audit *audit.Log
	dir   *directory.Directory
	keys  *clientkeys.Keys
}

func newBench(t testing.TB) *bench {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	engine := &sqlite.Engine{}
	b := &bench{t: t, clock: clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))}
	b.path = filepath.Join(t.TempDir(), "jeton.db")
	var err error
	if b.store, err = store.Open(t.Context(), engine, b.path, b.clock, log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(b.store.Close(), engine.Close()); err != nil {
			t.Error(err)
		}
	})
	if b.dir, err = directory.Open(t.Context(), b.store); err != nil {
		t.Fatal(err)
	}
	b.audit = audit.New(b.store, log)
	out, err := fetch.New(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.keys = clientkeys.New(out, b.clock)
	return b
}

// add registers a client.
func (b *bench) add(c store.Client) {
	b.t.Helper()
	c.GrantTypes = []oauth.GrantType{oauth.ClientCredentials}
	c.Client = c.WithDefaults()
	err := b.audit.Write(b.t.Context(), func(tx *store.Tx) (audit.Event, error) {
		err := b.dir.PutClient(tx, c)
		if err == nil && c.Disabled {
			err = b.dir.DisableClient(tx, c.ID, true)
		}
		return audit.Event{Type: audit.ClientPut, Client: c.ID}, err
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) clients() *Clients {
	return New(b.dir, SecretBasic{b.clock}, SecretPost{b.clock}, &PrivateKeyJWT{
		Issuer: issuer, Token: endpoint, Keys: b.keys, Store: b.store, Audit: b.audit,
	}, None{})
}

// signer is a client's key.
type signer struct {
	alg oauth.Alg
	kid string
	key crypto.Signer
}

var signers = sync.OnceValue(func() map[oauth.Alg]signer {
	p256, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, err2 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	rsaKey, err3 := rsa.GenerateKey(rand.Reader, 2048)
	_, ed, err4 := ed25519.GenerateKey(rand.Reader)
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			panic(err)
		}
	}
	return map[oauth.Alg]signer{
		oauth.ES256: {oauth.ES256, "es256", p256}, oauth.ES384: {oauth.ES384, "es384", p384}, oauth.EdDSA: {oauth.EdDSA, "ed", ed},
		oauth.PS256: {oauth.PS256, "ps256", rsaKey}, oauth.RS256: {oauth.RS256, "rs256", rsaKey},
	}
})

// document is the JWK Set of signers.
func document(t testing.TB, all ...signer) spec.JWKS {
	t.Helper()
	var keys []jwks.Key
	for _, s := range all {
		k, err := jwks.New(s.kid, s.alg, s.key.Public())
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	set, err := jwks.NewSet(keys...)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return spec.JWKS(doc)
}

// sign makes a compact JWS with more in its header.
func (s signer) sign(t testing.TB, payload string, header map[jose.HeaderKey]any) string {
	t.Helper()
	opts := (&jose.SignerOptions{}).WithHeader("kid", s.kid)
	for k, v := range header {
		opts.WithHeader(k, v)
	}
	js, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(s.alg), Key: s.key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := js.Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// claims is a sound assertion's, with changes; a nil change takes a claim away.
func (b *bench) claims(changes map[string]any) string {
	b.t.Helper()
	now := b.clock.Now().Unix()
	c := map[string]any{"iss": "bank", "sub": "bank", "aud": issuer, "jti": rand.Text(), "iat": now, "exp": now + 60}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	text, err := json.Marshal(c)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// asserting is a request with an assertion.
func asserting(assertion string, more ...string) Request {
	v := url.Values{"client_assertion_type": {oauth.AssertionJWTBearer}, "client_assertion": {assertion}}
	for i := 0; i < len(more); i += 2 {
		v.Set(more[i], more[i+1])
	}
	return Request{Params: web.NewParams(v), Endpoint: endpoint}
}

func enc(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
