package clientauth

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

// bank is a client that signs by one algorithm, under a profile.
func (b *bench) bank(profile spec.Profile, by ...signer) {
	b.add(store.Client{Client: spec.Client{ID: "bank", AuthMethod: oauth.PrivateKeyJWT, Profile: profile, JWKS: document(b.t, by...)}})
}

// expect checks that a request is let in, or refused as an unknown client is.
func expect(t testing.TB, name string, c *store.Client, err error, ok bool) {
	t.Helper()
	var e *oauth.Error
	switch {
	case ok && (err != nil || c == nil || c.ID != "bank"):
		t.Errorf("%s: refused: %v", name, err)
	case !ok && (!errors.As(err, &e) || e.Code != oauth.InvalidClient || e.Code.Status() != 401 || c != nil):
		t.Errorf("%s: %v", name, err)
	}
}

// Case 21: what an assertion must say, by profile.
func TestAssertionClaims(t *testing.T) {
	t.Parallel()
	oidc, fapi, signing, oauth21 := spec.ProfileOIDC, spec.ProfileFAPI2, spec.ProfileFAPI2Signing, spec.ProfileOAuth21
	strict := []spec.Profile{fapi, signing, oauth21}
	all := append(strict, oidc)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Unix()
	for _, c := range []struct {
		name     string
		profiles []spec.Profile
		changes  map[string]any
		ok       bool
	}{
		{"sound", all, nil, true},
		{"aud is the token endpoint", []spec.Profile{oidc}, map[string]any{"aud": endpoint}, true},
		{"aud is the token endpoint", strict, map[string]any{"aud": endpoint}, false},
		{"aud is the issuer in an array", []spec.Profile{oidc}, map[string]any{"aud": []string{issuer}}, true},
		{"aud is the issuer in an array", strict, map[string]any{"aud": []string{issuer}}, false},
		{"aud is the token endpoint in an array", []spec.Profile{oidc}, map[string]any{"aud": []string{endpoint}}, true},
		{"aud has the issuer and another", all, map[string]any{"aud": []string{issuer, "https://other.example.com"}}, false},
		{"aud has both", all, map[string]any{"aud": []string{issuer, endpoint}}, false},
		{"aud is the issuer with a slash", all, map[string]any{"aud": issuer + "/"}, false},
		{"aud is another endpoint", all, map[string]any{"aud": par}, false},
		{"aud is somebody else", all, map[string]any{"aud": "https://other.example.com"}, false},
		{"aud is empty", all, map[string]any{"aud": []string{}}, false},
		{"no aud", all, map[string]any{"aud": nil}, false},
		{"iss is another", all, map[string]any{"iss": "other"}, false},
		{"no iss", all, map[string]any{"iss": nil}, false},
		{"sub is another", all, map[string]any{"sub": "other"}, false},
		{"no sub", all, map[string]any{"sub": nil}, false},
		{"iss and sub are somebody unknown", all, map[string]any{"iss": "other", "sub": "other"}, false},
		{"no jti", all, map[string]any{"jti": nil}, false},
		{"no exp", all, map[string]any{"exp": nil}, false},
		{"no iat", all, map[string]any{"iat": nil}, true},
		{"expired now", all, map[string]any{"exp": now}, false},
		{"expired five minutes ago", all, map[string]any{"exp": now - 300}, false},
		{"expires in five minutes", all, map[string]any{"exp": now + 300}, true},
		{"expires in an hour", all, map[string]any{"exp": now + 3600}, true},
		{"expires in a day", all, map[string]any{"exp": now + 86400}, false},
		{"iat 10 seconds ahead", all, map[string]any{"iat": now + 10}, true},
		{"iat 61 seconds ahead", all, map[string]any{"iat": now + 61, "exp": now + 120}, false},
		{"nbf 10 seconds ahead", all, map[string]any{"nbf": now + 10}, true},
		{"nbf 61 seconds ahead", all, map[string]any{"nbf": now + 61, "exp": now + 120}, false},
		{"exp is text", all, map[string]any{"exp": "soon"}, false},
	} {
		for _, profile := range c.profiles {
			t.Run(string(profile)+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				by := signers()[oauth.ES256]
				b.bank(profile, by)
				got, err := b.clients().Client(t.Context(), asserting(by.sign(t, b.claims(c.changes), nil)))
				expect(t, c.name, got, err, c.ok)
			})
		}
	}
}

// FAPI 2.0 Security Profile 5.4.1, and case 26.
func TestAssertionAlgorithms(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for profile, algs := range map[spec.Profile]string{
		spec.ProfileFAPI2: "PS256 ES256 EdDSA", spec.ProfileFAPI2Signing: "PS256 ES256 EdDSA",
		spec.ProfileOIDC: "RS256 PS256 ES256 ES384 EdDSA", spec.ProfileOAuth21: "RS256 PS256 ES256 ES384 EdDSA",
	} {
		for alg, by := range signers() {
			b.bank(profile, by)
			got, err := b.clients().Client(t.Context(), asserting(by.sign(t, b.claims(nil), nil)))
			expect(t, string(profile)+" "+string(alg), got, err, strings.Contains(algs, string(alg)))
		}
	}
}

// Cases 26 and 27: what is signed, but not as it must be.
func TestAssertionForms(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	by, other, rs := signers()[oauth.ES256], signers()[oauth.ES384], signers()[oauth.RS256]
	stranger := signer{oauth.EdDSA, by.kid, signers()[oauth.EdDSA].key}
	b.bank(spec.ProfileOIDC, by, rs)
	good := func() string { return by.sign(t, b.claims(nil), nil) }
	hmac, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(strings.Repeat("k", 32))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	mac, err := hmac.Sign([]byte(b.claims(nil)))
	if err != nil {
		t.Fatal(err)
	}
	symmetric, err := mac.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good(), ".")
	for _, c := range []struct {
		name      string
		assertion string
		ok        bool
	}{
		{"sound", good(), true},
		{"typ JWT", by.sign(t, b.claims(nil), map[jose.HeaderKey]any{"typ": "JWT"}), true},
		{"typ of RFC 7523bis", by.sign(t, b.claims(nil), map[jose.HeaderKey]any{"typ": "client-authentication+jwt"}), true},
		{"typ of an access token", by.sign(t, b.claims(nil), map[jose.HeaderKey]any{"typ": "at+jwt"}), false},
		{"typ of a request object", by.sign(t, b.claims(nil), map[jose.HeaderKey]any{"typ": oauth.TypRequestObject}), false},
		{"typ of a DPoP proof", by.sign(t, b.claims(nil), map[jose.HeaderKey]any{"typ": "dpop+jwt"}), false},
		{"unknown crit", by.sign(t, b.claims(nil), map[jose.HeaderKey]any{"crit": []string{"x"}, "x": 1}), false},
		{"by a key that is not registered", other.sign(t, b.claims(nil), nil), false},
		{"by another under a registered kid", stranger.sign(t, b.claims(nil), nil), false},
		{"with a key in its header", signer{oauth.EdDSA, "", stranger.key}.sign(t, b.claims(nil), map[jose.HeaderKey]any{"jwk": jose.JSONWebKey{Key: stranger.key.Public()}}), false},
		{"none", enc(`{"alg":"none"}`) + "." + enc(b.claims(nil)) + ".", false},
		{"HS256", symmetric, false},
		{"payload changed", parts[0] + "." + enc(b.claims(nil)) + "." + parts[2], false},
		{"signature cut", strings.TrimRight(good(), "AQgw"), false},
		{"signature in another spelling", respelt(good()), false},
		{"a line end in it", strings.Replace(good(), ".", ".\n", 1), false},
		{"claims twice", by.sign(t, strings.Replace(b.claims(nil), "{", `{"aud":"https://other.example.com",`, 1), nil), false},
		{"no JSON", by.sign(t, "bank", nil), false},
		{"deeply nested", by.sign(t, `{"iss":"bank","sub":"bank","x":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+"}", nil), false},
		{"JWE", "a.b.c.d.e", false},
		{"dots", strings.Repeat(".", 10_000), false},
		{"huge", by.sign(t, b.claims(map[string]any{"x": strings.Repeat("x", 40<<10)}), nil), false},
		{"empty parts", "..", false},
	} {
		got, err := b.clients().Client(t.Context(), asserting(c.assertion))
		expect(t, c.name, got, err, c.ok)
	}
}

// respelt sets a bit behind the signature's last octet.
func respelt(compact string) string {
	last := len(compact) - 1
	return compact[:last] + string(compact[last]+1)
}

func TestAssertionParameters(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	by := signers()[oauth.EdDSA]
	b.bank(spec.ProfileOIDC, by)
	b.add(store.Client{Client: spec.Client{ID: "shop", AuthMethod: oauth.ClientSecretBasic, JWKS: document(t, by)}})
	b.add(store.Client{Client: spec.Client{ID: "gone", AuthMethod: oauth.PrivateKeyJWT, JWKS: document(t, by)}, Disabled: true})
	good := func() string { return by.sign(t, b.claims(nil), nil) }
	of := func(id string) string { return by.sign(t, b.claims(map[string]any{"iss": id, "sub": id}), nil) }
	ask := func(r Request) (*store.Client, error) { return b.clients().Client(t.Context(), r) }
	for _, c := range []struct {
		name string
		r    Request
		ok   bool
	}{
		{"client_id too", asserting(good(), "client_id", "bank"), true},
		{"another client_id", asserting(good(), "client_id", "shop"), false},
		{"no type", asserting(good(), "client_assertion_type", ""), false},
		{"another type", asserting(good(), "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"), false},
		{"type alone", asserting("", "client_id", "bank"), false},
		{"a client of another method", asserting(of("shop")), false},
		{"case 22: a client that is switched off", asserting(of("gone")), false},
		{"nobody", asserting(of("nobody")), false},
		{"client_id alone", Request{Params: web.NewParams(map[string][]string{"client_id": {"bank"}})}, false},
	} {
		got, err := ask(c.r)
		expect(t, c.name, got, err, c.ok)
	}
	_, err := ask(asserting(good(), "client_id", "bank", "client_secret", "x"))
	var e *oauth.Error
	if !errors.As(err, &e) || e.Code != oauth.InvalidRequest {
		t.Errorf("two methods at once: %v", err)
	}
}

// An assertion for the PAR endpoint may name that endpoint, where the profile lets it.
func TestAssertionForTheEndpointCalled(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	by := signers()[oauth.EdDSA]
	b.bank(spec.ProfileOIDC, by)
	for _, aud := range []string{issuer, endpoint, par} {
		r := asserting(by.sign(t, b.claims(map[string]any{"aud": aud}), nil))
		r.Endpoint = par
		got, err := b.clients().Client(t.Context(), r)
		expect(t, aud, got, err, true)
	}
	b.bank(spec.ProfileFAPI2, by)
	r := asserting(by.sign(t, b.claims(map[string]any{"aud": par}), nil))
	r.Endpoint = par
	got, err := b.clients().Client(t.Context(), r)
	expect(t, "under fapi2", got, err, false)
}

// Case 21: of parallel requests with one assertion one is let in, also by other nodes and
// after others were refused.
func TestAssertionIsUsedOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	by := signers()[oauth.ES256]
	b.bank(spec.ProfileFAPI2, by)
	b.add(store.Client{Client: spec.Client{ID: "other", AuthMethod: oauth.PrivateKeyJWT, JWKS: document(t, by)}})
	assertion := by.sign(t, b.claims(map[string]any{"jti": "one"}), nil)
	var in atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			c, err := b.clients().Client(t.Context(), asserting(assertion)) // each a node of its own
			if err == nil {
				in.Add(1)
			} else {
				expect(t, "again", c, err, false)
			}
		})
	}
	wg.Wait()
	if in.Load() != 1 {
		t.Errorf("%d of 50 were let in", in.Load())
	}
	// The same jti in another assertion is the same jti; another client's is another.
	got, err := b.clients().Client(t.Context(), asserting(by.sign(t, b.claims(map[string]any{"jti": "one", "exp": b.clock.Now().Unix() + 90}), nil)))
	expect(t, "same jti", got, err, false)
	if _, err := b.clients().Client(t.Context(), asserting(by.sign(t, b.claims(map[string]any{"jti": "one", "iss": "other", "sub": "other"}), nil))); err != nil {
		t.Errorf("another client with the same jti: %v", err)
	}
	// Until it has expired it is remembered, through housekeeping.
	b.clock.Advance(59 * time.Second)
	if err := b.store.Write(t.Context(), func(tx *store.Tx) error { _, err := tx.PurgeReplays(100); return err }); err != nil {
		t.Fatal(err)
	}
	got, err = b.clients().Client(t.Context(), asserting(assertion))
	expect(t, "before it expires", got, err, false)
}

// What is refused for another reason, and what could not be judged, is not used up; an
// outage is never the client's fault.
func TestAssertionIsNotBurnt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	by := signers()[oauth.ES256]
	b.bank(spec.ProfileFAPI2, by)
	assertion := by.sign(t, b.claims(map[string]any{"nbf": b.clock.Now().Unix() + 45, "exp": b.clock.Now().Unix() + 120}), nil)
	got, err := b.clients().Client(t.Context(), asserting(assertion))
	expect(t, "not valid yet", got, err, false)
	b.clock.Advance(20 * time.Second)

	db, err := sql.Open("sqlite", b.path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rename := func(from, to string) {
		t.Helper()
		if _, err := db.ExecContext(context.Background(), "ALTER TABLE "+from+" RENAME TO "+to); err != nil {
			t.Fatal(err)
		}
	}
	rename("replays", "away")
	_, err = b.clients().Client(t.Context(), asserting(assertion))
	if e := oauth.AsError(err); err == nil || e.Code == oauth.InvalidClient || e.Code.Status() < 500 {
		t.Errorf("without the table: %v", err)
	}
	rename("away", "replays")
	got, err = b.clients().Client(t.Context(), asserting(assertion))
	expect(t, "when it is back", got, err, true)
	got, err = b.clients().Client(t.Context(), asserting(assertion))
	expect(t, "again", got, err, false)
}

// What else is wrong with a request is said before its assertion is spent.
func TestBeforeAnAssertionIsSpent(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	by := signers()[oauth.ES256]
	b.bank(spec.ProfileFAPI2, by)
	r := asserting(by.sign(t, b.claims(nil), nil))
	nonce := oauth.Refuse(oauth.UseDPoPNonce, "again")
	r.Before = func(c *store.Client) error {
		if c.ID != "bank" {
			t.Errorf("asked for %s", c.ID)
		}
		return nonce
	}
	for range 2 {
		if _, err := b.clients().Client(t.Context(), r); !errors.Is(err, nonce) {
			t.Errorf("refused before: %v", err)
		}
	}
	asked := 0
	r.Before = func(*store.Client) error { asked++; return nil }
	got, err := b.clients().Client(t.Context(), r)
	expect(t, "with the nonce", got, err, true)
	got, err = b.clients().Client(t.Context(), r)
	expect(t, "again", got, err, false)
	r = asserting(by.sign(t, b.claims(map[string]any{"aud": "x"}), nil))
	r.Before = func(*store.Client) error { t.Error("a stranger was asked"); return nil }
	got, err = b.clients().Client(t.Context(), r)
	expect(t, "not the client", got, err, false)
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
}

func FuzzClientAssertion(f *testing.F) {
	b := newBench(f)
	by := signers()[oauth.EdDSA]
	b.bank(spec.ProfileOIDC, by)
	f.Add(by.sign(f, b.claims(nil), nil))
	f.Add(enc(`{"alg":"none"}`) + "." + enc(b.claims(nil)) + ".")
	f.Add("a.b.c")
	clients := b.clients()
	seen := map[string]bool{}
	f.Fuzz(func(t *testing.T, assertion string) {
		c, err := clients.Client(t.Context(), asserting(assertion))
		switch {
		case (c == nil) == (err == nil):
			t.Fatalf("%v and %v", c, err)
		case err != nil && oauth.AsError(err).Code != oauth.InvalidClient:
			t.Fatal(err)
		case err == nil && seen[assertion]:
			t.Fatal("it was let in twice")
		}
		seen[assertion] = seen[assertion] || err == nil
	})
}
