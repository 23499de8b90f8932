package grant

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/store"
)

var testPepper = keys.Root{ID: 7, Secret: bytes.Repeat([]byte{1}, 32)}

func testGrant() *store.Grant {
	g := &store.Grant{Secret: bytes.Repeat([]byte{2}, 32), Pepper: testPepper.ID}
	copy(g.ID[:], "sixteen bytes id")
	return g
}

func TestCredentialRoundTrip(t *testing.T) {
	t.Parallel()
	g := testGrant()
	for _, number := range []int64{0, 1, 2, 255, 256, 1 << 32, maxNumber} {
		kind := Refresh
		if number == 0 {
			kind = Code
		}
		text := format(testPepper, g, kind, number)
		c, err := parse(text)
		if err != nil {
			t.Fatalf("number %d: %v", number, err)
		}
		if c.Kind != kind || c.Number != number || c.ID != g.ID || c.Pepper != testPepper.ID {
			t.Errorf("number %d came back as %+v", number, c)
		}
		if !c.plausible(testPepper) || !c.authentic(testPepper, g) {
			t.Errorf("number %d is not authentic", number)
		}
		if again := format(testPepper, g, kind, number); again != text {
			t.Errorf("number %d has two spellings: a lost answer could not be given again", number)
		}
	}
}

// A tag needs the pepper and the row's secret: neither a dump of the database nor a
// server key alone makes one.
func TestCredentialNeedsBothSecrets(t *testing.T) {
	t.Parallel()
	g := testGrant()
	c, err := parse(format(testPepper, g, Refresh, 3))
	if err != nil {
		t.Fatal(err)
	}
	other := *g
	other.Secret = bytes.Repeat([]byte{3}, 32)
	if c.authentic(testPepper, &other) {
		t.Error("authentic under another row's secret")
	}
	moved := *g
	moved.ID[0]++
	if c.authentic(testPepper, &moved) {
		t.Error("authentic for another grant")
	}
	wrong := keys.Root{ID: testPepper.ID, Secret: bytes.Repeat([]byte{9}, 32)}
	if c.plausible(wrong) || c.authentic(wrong, g) {
		t.Error("authentic under another pepper")
	}
	renamed := *g
	renamed.Pepper++
	if c.authentic(testPepper, &renamed) {
		t.Error("authentic though the row names another pepper")
	}
	empty := *g
	empty.Secret = nil
	if c.authentic(testPepper, &empty) {
		t.Error("authentic against a row without a secret")
	}
}

// Every bit of a credential counts, and a code is no refresh token.
func TestCredentialTampered(t *testing.T) {
	t.Parallel()
	g := testGrant()
	text := format(testPepper, g, Refresh, 3)
	raw, err := base64.RawURLEncoding.DecodeString(text[4:])
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for bit := range 8 {
			changed := bytes.Clone(raw)
			changed[i] ^= 1 << bit
			c, err := parse("jtr_" + base64.RawURLEncoding.EncodeToString(changed))
			if err == nil && c.plausible(testPepper) && c.authentic(testPepper, g) {
				t.Fatalf("byte %d, bit %d can be changed", i, bit)
			}
		}
	}
	for _, bad := range []string{
		"", "jtr_", strings.Replace(text, "jtr_", "jtc_", 1), text + "A", text[:len(text)-1], " " + text, text + "=",
		strings.ToUpper(text), strings.Repeat("A", 1<<16),
		format(testPepper, g, Code, 3), format(testPepper, g, Refresh, 0),
	} {
		if _, err := parse(bad); !errors.Is(err, ErrForged) {
			t.Errorf("parse(%.90q) = %v", bad, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(format(testPepper, testGrant(), Refresh, 3))
	f.Add(format(testPepper, testGrant(), Code, 0))
	f.Add("jtr_" + strings.Repeat("A", 72))
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parse(s)
		if err != nil {
			return
		}
		if c.Number < 0 || c.Number > maxNumber || (c.Kind == Code) != (c.Number == 0) {
			t.Errorf("parse(%q) gives %+v", s, c)
		}
		// What is authentic has one spelling.
		g := &store.Grant{ID: c.ID, Secret: testGrant().Secret, Pepper: c.Pepper}
		root := keys.Root{ID: c.Pepper, Secret: testPepper.Secret}
		if c.plausible(root) && c.authentic(root, g) && s != format(root, g, c.Kind, c.Number) {
			t.Errorf("%q is authentic in another spelling", s)
		}
	})
}

func BenchmarkAuthentic(b *testing.B) {
	g := testGrant()
	g.Secret = secret.Bytes(32)
	c, err := parse(format(testPepper, g, Refresh, 3))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if !c.plausible(testPepper) || !c.authentic(testPepper, g) {
			b.Fatal("not authentic")
		}
	}
}
