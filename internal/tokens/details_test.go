package tokens

import (
	"slices"
	"strings"
	"testing"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/verify"
)

func TestParseDetails(t *testing.T) {
	t.Parallel()
	types := []string{"account", "payment"}
	for text, want := range map[string]bool{
		`[{"type":"account"}]`: true,
		` [ {"type":"account","actions":["read"]} , {"type":"payment","amount":{"value":1}} ] `: true,
		`[]`:                                  false,
		`{}`:                                  false,
		`null`:                                false,
		`"x"`:                                 false,
		`[`:                                   false,
		`[{"type":"account"}]]`:               false,
		`[{"type":"account"}]}}{`:             false,
		`1,"x":[{"type":"account"}]`:          false,
		`[{"type":"account"},null]`:           false,
		`[{"type":"other"}]`:                  false,
		`[{"type":"Account"}]`:                false,
		`[{"type":"account","type":"other"}]`: false,
		`[{"type":"account","x":{"a":1,"\u0061":2}}]`:                                      false,
		`[{"type":"account","x":"\ud800"}]`:                                                false,
		`[{"type":"account","actions":"read"}]`:                                            false,
		`[{"type":"account","x":` + strings.Repeat("[", 9) + strings.Repeat("]", 9) + `}]`: false,
		`[{"type":"account","x":"` + strings.Repeat("x", 3000) + `"}]`:                     false,
		`[` + strings.Repeat(`{"type":"account"},`, 20) + `{"type":"account"}]`:            false,
		`[` + strings.Repeat(`{"type":"account"},`, 19) + `{"type":"account"}]`:            true,
	} {
		details, refusal := ParseDetails(text, types)
		if (refusal == nil) != want || refusal != nil && (refusal.Code != oauth.InvalidAuthzDetails || details != nil) {
			t.Errorf("%.80s: %v", text, refusal)
		}
	}
}

func TestDetailsFor(t *testing.T) {
	t.Parallel()
	details, refusal := ParseDetails(`[{"type":"a","locations":["https://one"]},{"type":"b","locations":["https://two","https://three"]},{"type":"c"},{"type":"d","locations":["https://strange"]}]`, []string{"a", "b", "c", "d"})
	if refusal != nil {
		t.Fatal(refusal)
	}
	known := func(id string) bool {
		return slices.Contains([]string{"https://one", "https://two", "https://three"}, id)
	}
	for audience, want := range map[string]string{"https://one": "acd", "https://three": "bcd", "https://issuer": "cd"} {
		got := ""
		for _, d := range DetailsFor(details, []string{audience}, known) {
			got += d.Type
		}
		if got != want {
			t.Errorf("for %s: %s, want %s", audience, got, want)
		}
	}
}

// What is taken can be read by everybody who verifies tokens, and fits in one.
func FuzzParseDetails(f *testing.F) {
	f.Add(`[{"type":"account","locations":["https://a"],"actions":["read"]}]`)
	f.Add(`[{"type":"account","x":1e400}]`)
	f.Add(`[{"type":"account"}],"y":1`)
	f.Fuzz(func(t *testing.T, text string) {
		details, refusal := ParseDetails(text, []string{"account"})
		if refusal != nil {
			return
		}
		o := newObject(nil)
		o.details(details)
		b := o.end()
		c, err := verify.DecodeClaims(b)
		if err != nil || len(b) > maxDetailBytes+64 {
			t.Fatalf("%s: %v", b, err)
		}
		if _, ok := c.Raw("authorization_details"); !ok || len(details) == 0 {
			t.Fatalf("%s", b)
		}
		for _, d := range details {
			if d.Type != "account" {
				t.Fatalf("type %q", d.Type)
			}
		}
	})
}
