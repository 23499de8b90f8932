package secret_test

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jeton-auth/jeton/internal/secret"
)

func TestTextDoesNotPrint(t *testing.T) {
	t.Parallel()
	s := secret.Text("hunter2hunter2")
	shown := fmt.Sprintf("%s %v %+v %#v %q %x", s, s, s, struct{ S secret.Text }{s}, s, []any{s})
	b, err := json.Marshal(map[string]any{"s": s})
	if err != nil {
		t.Fatal(err)
	}
	if all := shown + string(b); strings.Contains(all, "hunter") {
		t.Errorf("printed: %s", all)
	}
}

func TestWeak(t *testing.T) {
	t.Parallel()
	for s, weak := range map[string]bool{
		"":                                        true,
		"changeme":                                true,
		"short-but-r4nd0m-X9z":                    true,
		strings.Repeat("a", 64):                   true,
		strings.Repeat("abcd", 16):                true,
		strings.Repeat("0123456789", 5):           true,
		"012345678901234567890123":                true,
		"deadbeefdeadbeefdeadbeefdeadbeef":        true,
		"3f9a7c15e2d84b60a1f7c93e5b082d46":        false, // 128 bits in hex
		"3f9a7c15e2d84b60a1f7c93e5b08":            true,  // 112 bits in hex
		"fG7kQz2LxP9vWm4Rt8YcBn":                  true,  // 22 characters
		"fG7kQz2LxP9vWm4Rt8YcBn1H":                false,
		"c2hvcC1zZWNyZXQtb2YtdGhlLXRlc3RzLTAwMDE": false,
		"3f9a7c15e2d84b60a1f7c93e5b082d43":        false, // ends as it begins
		"KJHQZMWNBVCXLDSFAPOIUYTRGE":              false, // base32 that has no digit by chance
		"2345672345672345672345672345":            true,
		strings.Repeat("a", 49) + "1b2c3d4":       true,
		"changemechangemechangeme1234":            true,
		"1-changeme-2-changeme-3-changeme":        true,
		strings.Repeat("Zq7-", 1<<18):             true,
	} {
		if got := secret.Weak(s); got != weak {
			t.Errorf("Weak(%q) = %t (%.0f bits), want %t", s, got, secret.Bits(s), weak)
		}
	}
}

// No random secret of 128 bits or more counts as weak, however it is written.
func TestRandomIsNotWeak(t *testing.T) {
	t.Parallel()
	r := rand.NewChaCha8([32]byte{1})
	for _, write := range []struct {
		bytes int
		as    func([]byte) string
	}{
		{16, hex.EncodeToString},
		{16, base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString},
		{18, base64.StdEncoding.EncodeToString},
		{32, base64.RawURLEncoding.EncodeToString},
	} {
		for range 10_000 {
			b := make([]byte, write.bytes)
			r.Read(b)
			if s := write.as(b); secret.Weak(s) {
				t.Errorf("%q counts as weak: %.0f bits", s, secret.Bits(s))
			}
		}
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	h := secret.Hash("right")
	if !secret.Matches(h, "right") || secret.Matches(h, "wrong") || secret.Matches(nil, "") || secret.Matches([]byte{}, "right") {
		t.Error("Matches takes what it should not, or the reverse")
	}
}
