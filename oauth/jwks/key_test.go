package jwks

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
	"sync"
	"testing"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/jeton-auth/jeton/oauth"
)

// The examples of RFC 7515 A.2 and A.3, RFC 8037 A.4 and RFC 7638 §3.1.
const (
	ecJWK  = `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","kid":"ec"}`
	edJWK  = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"ed"}`
	rsaJWK = `{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`

	ecJWS = `eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q`
	edJWS = `eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg`
)

var (
	rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	p256   = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	p384   = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
	edKey  = sync.OnceValue(func() ed25519.PrivateKey { _, k, err := ed25519.GenerateKey(rand.Reader); return must(k, err) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func set(jwk ...string) []byte { return []byte(`{"keys":[` + strings.Join(jwk, ",") + `]}`) }

func TestRFCExamplesVerify(t *testing.T) {
	t.Parallel()
	s := must(Parse(set(ecJWK, edJWK, rsaJWK)))
	for kid, jws := range map[string]string{"ec": ecJWS, "ed": edJWS} {
		k, ok := s.Key(kid)
		if !ok {
			t.Fatalf("no key %q", kid)
		}
		dot := strings.LastIndexByte(jws, '.')
		sig := must(base64.RawURLEncoding.DecodeString(jws[dot+1:]))
		if err := k.Verify([]byte(jws[:dot]), sig); err != nil {
			t.Errorf("%s: the RFC's example does not verify: %v", kid, err)
		}
		sig[0] ^= 1
		if err := k.Verify([]byte(jws[:dot]), sig); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: an altered signature gives %v", kid, err)
		}
	}
}

func TestThumbprintsOfTheRFCs(t *testing.T) {
	t.Parallel()
	s := must(Parse(set(edJWK, rsaJWK)))
	for kid, want := range map[string]string{
		"ed":         "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", // RFC 8037 A.3
		"2011-04-29": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", // RFC 7638 §3.1
	} {
		if k, _ := s.Key(kid); k.Thumbprint() != want {
			t.Errorf("%s: thumbprint %s, want %s", kid, k.Thumbprint(), want)
		}
	}
	for _, priv := range []crypto.Signer{p256(), p384()} {
		alg := map[int]oauth.Alg{256: oauth.ES256, 384: oauth.ES384}[priv.Public().(*ecdsa.PublicKey).Curve.Params().BitSize]
		want := must((&jose.JSONWebKey{Key: priv.Public()}).Thumbprint(crypto.SHA256))
		if k := must(New("k", alg, priv.Public())); k.Thumbprint() != encode(want) {
			t.Errorf("%s: thumbprint differs from go-jose's", alg)
		}
	}
	if got := (Key{}).Thumbprint(); got != "" {
		t.Errorf("the zero key has thumbprint %q", got)
	}
}

// Each algorithm verifies what another implementation signed, and no key
// verifies what the same key signed under another algorithm.
func TestVerifiesWhatGoJoseSigns(t *testing.T) {
	t.Parallel()
	privs := map[oauth.Alg]crypto.Signer{
		oauth.RS256: rsaKey(), oauth.PS256: rsaKey(), oauth.ES256: p256(), oauth.ES384: p384(), oauth.EdDSA: edKey(),
	}
	for alg, priv := range privs {
		signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: priv}, nil))
		jws := must(must(signer.Sign([]byte("hello"))).CompactSerialize())
		dot := strings.LastIndexByte(jws, '.')
		sig := must(base64.RawURLEncoding.DecodeString(jws[dot+1:]))
		for other, otherPriv := range privs {
			k := must(New("k", other, otherPriv.Public()))
			if err := k.Verify([]byte(jws[:dot]), sig); (err == nil) != (alg == other) {
				t.Errorf("signed with %s, verified as %s: %v", alg, other, err)
			}
		}
		k := must(New("k", alg, priv.Public()))
		for name, bad := range map[string][]byte{"empty": nil, "short": sig[:len(sig)-1], "long": append(sig[:len(sig):len(sig)], 0)} {
			if k.Verify([]byte(jws[:dot]), bad) == nil {
				t.Errorf("%s: a signature too %s is accepted", alg, name)
			}
		}
	}
}

func TestECDSAEdges(t *testing.T) {
	t.Parallel()
	k := must(New("k", oauth.ES256, p256().Public()))
	n := elliptic.P256().Params().N
	sum := sha256.Sum256([]byte("m"))
	r, s, err := ecdsa.Sign(rand.Reader, p256(), sum[:])
	if err != nil {
		t.Fatal(err)
	}
	raw := func(r, s *big.Int) []byte {
		var sig [64]byte
		r.FillBytes(sig[:32])
		s.FillBytes(sig[32:])
		return sig[:]
	}
	if err := k.Verify([]byte("m"), raw(r, s)); err != nil {
		t.Fatal(err)
	}
	zero, top := new(big.Int), new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
	for name, sig := range map[string][]byte{
		"r = 0":          raw(zero, s),
		"s = 0":          raw(r, zero),
		"both 0":         raw(zero, zero),
		"r = n":          raw(n, s),
		"s = n":          raw(r, n),
		"both n":         raw(n, n),
		"r all ones":     raw(top, s),
		"s all ones":     raw(r, top),
		"r and s turned": raw(s, r),
	} {
		if k.Verify([]byte("m"), sig) == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	// DER is what crypto/ecdsa speaks, not what a JWS holds.
	if k.Verify([]byte("m"), must(ecdsa.SignASN1(rand.Reader, p256(), sum[:]))) == nil {
		t.Error("a DER signature is accepted")
	}
}

func TestAppendInteger(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"\x00\x00": "\x02\x01\x00", "\x00\x01": "\x02\x01\x01", "\x00\x80": "\x02\x02\x00\x80",
		"\x7f\xff": "\x02\x02\x7f\xff", "\xff\x00": "\x02\x03\x00\xff\x00",
	} {
		if got := string(appendInteger(nil, []byte(in))); got != want {
			t.Errorf("%x: %x, want %x", in, got, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := p256().PublicKey
	weak := &rsa.PublicKey{N: new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 1023), big.NewInt(1)), E: 65537}
	modulus := rsaKey().N
	for name, c := range map[string]struct {
		alg oauth.Alg
		pub crypto.PublicKey
	}{
		"P-256 for ES384":       {oauth.ES384, &good},
		"P-256 for RS256":       {oauth.RS256, &good},
		"P-384 for ES256":       {oauth.ES256, p384().Public()},
		"P-224":                 {oauth.ES256, &ecdsa.PublicKey{Curve: elliptic.P224()}},
		"no curve":              {oauth.ES256, &ecdsa.PublicKey{}},
		"no curve, unknown alg": {"ES512", &ecdsa.PublicKey{}},
		"nil ECDSA":             {oauth.ES256, (*ecdsa.PublicKey)(nil)},
		"RSA for ES256":         {oauth.ES256, rsaKey().Public()},
		"RSA for HS256":         {"HS256", rsaKey().Public()},
		"RSA of 1024 bits":      {oauth.RS256, weak},
		"RSA of 8193 bits":      {oauth.RS256, &rsa.PublicKey{N: new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 8192), big.NewInt(1)), E: 65537}},
		"RSA even modulus":      {oauth.RS256, &rsa.PublicKey{N: new(big.Int).Add(modulus, big.NewInt(1)), E: 65537}},
		"RSA e = 1":             {oauth.RS256, &rsa.PublicKey{N: modulus, E: 1}},
		"RSA e = 4":             {oauth.PS256, &rsa.PublicKey{N: modulus, E: 4}},
		"RSA e < 0":             {oauth.PS256, &rsa.PublicKey{N: modulus, E: -3}},
		"nil RSA":               {oauth.RS256, (*rsa.PublicKey)(nil)},
		"short Ed25519":         {oauth.EdDSA, ed25519.PublicKey("short")},
		"Ed25519 for ES256":     {oauth.ES256, edKey().Public()},
		"a symmetric key":       {"HS256", []byte("0123456789abcdef0123456789abcdef")},
		"a private key":         {oauth.ES256, p256()},
		"nothing":               {oauth.ES256, nil},
	} {
		if _, err := New("k", c.alg, c.pub); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := New("", oauth.ES256, &good); err == nil {
		t.Error("a key without an id is accepted")
	}
}

// A Key written by hand verifies nothing that New would have refused.
func TestVerifyOfUncheckedKeys(t *testing.T) {
	t.Parallel()
	for _, k := range []Key{
		{},
		{Alg: oauth.ES256, Public: p384().Public()},
		{Alg: oauth.EdDSA, Public: ed25519.PublicKey("short")},
		{Alg: oauth.RS256, Public: edKey().Public()},
		{Alg: "none", Public: p256().Public()},
	} {
		for _, n := range []int{0, 64, 96, 256} {
			if k.Verify([]byte("m"), make([]byte, n)) == nil {
				t.Errorf("%q accepts %d zeros", k.Alg, n)
			}
		}
	}
}

func BenchmarkVerifyES256(b *testing.B) {
	k := must(New("k", oauth.ES256, p256().Public()))
	msg := make([]byte, 900)
	sum := sha256.Sum256(msg)
	der := must(ecdsa.SignASN1(rand.Reader, p256(), sum[:]))
	r, s, _ := ecdsa.Sign(rand.Reader, p256(), sum[:])
	raw := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sum := sha256.Sum256(msg)
			if !ecdsa.VerifyASN1(&p256().PublicKey, sum[:], der) {
				b.Fatal("does not verify")
			}
		}
	})
	b.Run("key", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := k.Verify(msg, raw); err != nil {
				b.Fatal(err)
			}
		}
	})
}
