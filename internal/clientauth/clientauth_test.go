package clientauth

import (
	"encoding/base64"
	"net/http"
	"testing"

	"github.com/jeton-auth/jeton/internal/secret"
)

func header(text string) http.Header {
	return http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(text))}}
}

// RFC 6749 §2.3.1: id and secret are form-url-encoded before they are joined.
func TestBasic(t *testing.T) {
	t.Parallel()
	const key = "p+ss/wörd:%=and more"
	for _, c := range []struct {
		name   string
		h      http.Header
		id     string
		ok     bool
		passes bool
	}{
		{"encoded", header("https%3A%2F%2Fapi.example.com:p%2Bss%2Fw%C3%B6rd%3A%25%3Dand+more"), "https://api.example.com", true, true},
		{"secret not encoded", header("shop:" + key), "shop", true, true},
		{"wrong secret", header("shop:wrong"), "shop", true, false},
		{"empty secret", header("shop:"), "shop", true, false},
		{"lower case scheme", http.Header{"Authorization": {"basic " + base64.StdEncoding.EncodeToString([]byte("shop:x"))}}, "shop", true, false},
		{"no colon", header("shop"), "", false, false},
		{"bad escape in the id", header("sh%zzop:x"), "", false, false},
		{"not base64", http.Header{"Authorization": {"Basic ***"}}, "", false, false},
		{"Bearer", http.Header{"Authorization": {"Bearer abc"}}, "", false, false},
		{"twice", http.Header{"Authorization": {"Basic YTpi", "Basic YTpi"}}, "", false, false},
		{"none", http.Header{}, "", false, false},
	} {
		id, p, ok := basic(c.h)
		if ok != c.ok || id != c.id {
			t.Errorf("%s: id %q, ok %t", c.name, id, ok)
		}
		if ok && p.matches(secret.Hash(key)) != c.passes {
			t.Errorf("%s: matches = %t", c.name, !c.passes)
		}
	}
}

func FuzzBasic(f *testing.F) {
	f.Add("Basic YTpi")
	f.Add("Basic JTAwOg==")
	f.Fuzz(func(_ *testing.T, s string) {
		_, p, ok := basic(http.Header{"Authorization": {s}})
		if ok {
			p.matches(secret.Hash("x"))
		}
	})
}
