package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/jwks"
)

// signer is a key of its own, without a ring.
func signer(t testing.TB, alg oauth.Alg) (*Signer, jwks.Key) {
	t.Helper()
	v, err := newVault(make([]byte, KEKSize))
	must(t, err)
	row, err := v.newKey(Sign, alg)
	must(t, err)
	e, err := v.read(row)
	must(t, err)
	return e.signer, e.public
}

func TestSign(t *testing.T) {
	t.Parallel()
	for alg, size := range map[oauth.Alg]int{oauth.RS256: 256, oauth.PS256: 256, oauth.ES256: 64, oauth.ES384: 96, oauth.EdDSA: 64} {
		t.Run(string(alg), func(t *testing.T) {
			t.Parallel()
			s, k := signer(t, alg)
			rounds := 600 // of 256 ECDSA signatures one or two have a short r or s
			if size == 256 {
				rounds = 3
			}
			for i := range rounds {
				signed := fmt.Appendf(nil, "header.payload%d", i)
				sig, err := s.Sign(signed)
				must(t, err)
				if len(sig) != size {
					t.Fatalf("a signature of %d bytes, want %d", len(sig), size)
				}
				if err := k.Verify(signed, sig); err != nil {
					t.Fatalf("%x: %v", sig, err)
				}
				if i == 0 && k.Verify([]byte("something else"), sig) == nil {
					t.Error("the signature fits something else")
				}
			}
		})
	}
	if _, err := (&Signer{}).Sign(nil); err == nil {
		t.Error("a signer without a key signs")
	}
}

func TestUnknownAlg(t *testing.T) {
	t.Parallel()
	v, err := newVault(make([]byte, KEKSize))
	must(t, err)
	if _, err := v.newKey(Sign, "HS256"); err == nil {
		t.Error("a key for HS256 was made")
	}
}

func TestRawSignature(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ff", 32)
	tests := []struct{ der, raw string }{
		{"3006" + "020101" + "020102", strings.Repeat("00", 31) + "01" + strings.Repeat("00", 31) + "02"},
		{"3046" + "022100" + long + "022100" + long, long + long},
		{"3008" + "02020080" + "02020081", strings.Repeat("00", 31) + "80" + strings.Repeat("00", 31) + "81"},
		{"3047" + "022200ff" + long + "022100" + long, ""}, // a byte too long
		{"3046" + "022100" + long + "022100" + long + "00", ""},
		{"3007" + "020101" + "020102" + "00", ""},
		{"3006" + "020101" + "020202", ""},
		{"3006" + "040101" + "020102", ""},
		{"3106" + "020101" + "020102", ""},
		{"308106" + "020101" + "020102", ""},
		{"3003" + "020101", ""},
		{"30", ""},
		{"", ""},
	}
	for _, tt := range tests {
		der, err := hex.DecodeString(tt.der)
		must(t, err)
		raw := make([]byte, 64)
		ok := rawSignature(der, raw)
		if ok != (tt.raw != "") || ok && hex.EncodeToString(raw) != tt.raw {
			t.Errorf("%s: %v, %x", tt.der, ok, raw)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	signed := []byte(strings.Repeat("a", 500))
	b.Run("crypto/ecdsa", func(b *testing.B) {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(b, err)
		b.ReportAllocs()
		for b.Loop() {
			sum := sha256.Sum256(signed)
			if _, err := private.Sign(rand.Reader, sum[:], crypto.SHA256); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, alg := range algorithms {
		b.Run(string(alg), func(b *testing.B) {
			s, _ := signer(b, alg)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Sign(signed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
