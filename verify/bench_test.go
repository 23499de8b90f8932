package verify

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"strings"
	"testing"
)

// BenchmarkFirstSightES256 sets a token of about 900 octets, seen for the first
// time, beside the bare check of its signature.
func BenchmarkFirstSightES256(b *testing.B) {
	s := es256()
	v := newIssuer(s).verifier(b)
	token := s.token(map[string]any{
		"sid": strings.Repeat("s", 22), "jti": strings.Repeat("g", 22) + "." + strings.Repeat("r", 11), "amr": []string{"pwd", "otp"},
		"roles": []string{"admin", "auditor"}, "groups": []string{"sales", "support"}, "tenant": map[string]any{"id": 7, "name": strings.Repeat("t", 140)},
	})
	signed := []byte(token[:strings.LastIndexByte(token, '.')])
	sum := sha256.Sum256(signed)
	der := must(ecdsa.SignASN1(rand.Reader, s.private.(*ecdsa.PrivateKey), sum[:]))
	pub := s.Public.(*ecdsa.PublicKey)
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sum := sha256.Sum256(signed)
			if !ecdsa.VerifyASN1(pub, sum[:], der) {
				b.Fatal("the signature does not verify")
			}
		}
	})
	b.Run("verify", func(b *testing.B) {
		b.ReportAllocs()
		b.ReportMetric(float64(len(token)), "octets")
		for b.Loop() {
			if _, err := v.Verify(b.Context(), token); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("signed+claims", func(b *testing.B) {
		b.ReportAllocs()
		find := ring(s)
		for b.Loop() {
			payload, _, err := Signed(token, "at+jwt", find)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := DecodeClaims(payload); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDecodeClaims(b *testing.B) {
	payload := []byte(claims(map[string]any{"roles": []string{"admin"}, "tenant": map[string]any{"id": 7}}))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeClaims(payload); err != nil {
			b.Fatal(err)
		}
	}
}
