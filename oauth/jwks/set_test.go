package jwks

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/jeton-auth/jeton/oauth"
)

func TestParseTakes(t *testing.T) {
	t.Parallel()
	ec := strings.TrimSuffix(ecJWK, "}")
	rs := strings.TrimSuffix(strings.Replace(rsaJWK, `"alg":"RS256",`, "", 1), "}")
	for name, c := range map[string]struct {
		keys []string
		want string // kid:alg of the usable keys
	}{
		"EC, alg from its curve":    {[]string{ecJWK}, "ec:ES256"},
		"Ed25519, alg implied":      {[]string{edJWK}, "ed:EdDSA"},
		"RSA without alg":           {[]string{rs + "}"}, "2011-04-29:RS256"},
		"RSA for PS256":             {[]string{rs + `,"alg":"PS256"}`}, "2011-04-29:PS256"},
		"use sig":                   {[]string{ec + `,"use":"sig"}`}, "ec:ES256"},
		"key_ops verify":            {[]string{ec + `,"key_ops":["verify"]}`}, "ec:ES256"},
		"unknown members":           {[]string{ec + `,"x5t":"abc","nbf":[{"a":1}]}`}, "ec:ES256"},
		"encryption key skipped":    {[]string{rs + `,"use":"enc"}`, edJWK}, "ed:EdDSA"},
		"key_ops encrypt skipped":   {[]string{rs + `,"key_ops":["encrypt"]}`, edJWK}, "ed:EdDSA"},
		"unknown kty skipped":       {[]string{`{"kty":"AKP","kid":"pq","pub":"AA"}`, edJWK}, "ed:EdDSA"},
		"unknown curve skipped":     {[]string{`{"kty":"EC","crv":"P-521","kid":"x","x":"AA","y":"AA"}`, `{"kty":"OKP","crv":"X25519","kid":"y","x":"AA"}`, edJWK}, "ed:EdDSA"},
		"unknown alg skipped":       {[]string{rs + `,"alg":"RS512"}`, edJWK}, "ed:EdDSA"},
		"no kid skipped":            {[]string{strings.Replace(ecJWK, `"kid":"ec"`, `"kid":""`, 1), edJWK}, "ed:EdDSA"},
		"small RSA skipped":         {[]string{`{"kty":"RSA","kid":"w","n":"` + strings.Repeat("_", 170) + "w" + `","e":"AQAB"}`, edJWK}, "ed:EdDSA"},
		"same kid, one for another": {[]string{rs + `,"use":"enc"}`, strings.Replace(ecJWK, `"ec"`, `"2011-04-29"`, 1)}, "2011-04-29:ES256"},
		"order is kept":             {[]string{edJWK, ecJWK}, "ed:EdDSA ec:ES256"},
		"kid is only a name":        {[]string{strings.Replace(ecJWK, `"ec"`, `"../../etc/passwd' OR 1=1"`, 1)}, "../../etc/passwd' OR 1=1:ES256"},
	} {
		s, err := Parse(set(c.keys...))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, k := range s.Keys() {
			got = append(got, k.ID+":"+string(k.Alg))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	ec := strings.TrimSuffix(ecJWK, "}")
	many := slices.Repeat([]string{`{"kty":"AKP"}`}, MaxKeys)
	for name, c := range map[string]struct {
		doc  []byte
		says string
	}{
		"empty":                   {nil, "not a JSON object"},
		"an array":                {[]byte(`[]`), "not a JSON object"},
		"HTML":                    {[]byte(`<!doctype html>`), "not a JSON object"},
		"no keys member":          {[]byte(`{}`), "not an array"},
		"keys null":               {[]byte(`{"keys":null}`), "not an array"},
		"Keys in capitals":        {[]byte(`{"Keys":[` + ecJWK + `]}`), "not an array"},
		"keys twice":              {[]byte(`{"keys":[],"keys":[` + ecJWK + `]}`), `"keys" twice`},
		"cut off":                 {set(ecJWK)[:80], "well-formed"},
		"trailing data":           {append(set(ecJWK), '{'), "after its end"},
		"too large":               {append(set(ecJWK), bytes.Repeat([]byte(" "), MaxSize)...), "octets"},
		"too many keys":           {set(append(many, ecJWK)...), "64 keys"},
		"same kid twice":          {set(ecJWK, strings.Replace(edJWK, `"ed"`, `"ec"`, 1)), `id "ec"`},
		"a member twice":          {set(ec + `,"kty":"RSA"}`), `"kty" twice`},
		"a member twice, escaped": {set(ec + `,"\u006bty":"RSA"}`), `"kty" twice`},
		"a private EC key":        {set(ec + `,"d":"AA"}`), `private member "d"`},
		"a private RSA prime":     {set(edJWK, strings.TrimSuffix(rsaJWK, "}")+`,"q":"AA"}`), `private member "q"`},
		"a symmetric key":         {set(edJWK, `{"kty":"oct","k":"AA"}`), `private member "k"`},
		"private, though for enc": {set(edJWK, ec+`,"use":"enc","d":"AA"}`), `private member "d"`},
		"off the curve":           {set(strings.Replace(ecJWK, `"y":"x_`, `"y":"y_`, 1)), "not on the curve"},
		"the origin":              {set(`{"kty":"EC","crv":"P-256","kid":"0","x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `"}`), "not on the curve"},
		"a short coordinate":      {set(strings.Replace(ecJWK, `"x":"f83O`, `"x":"`, 1)), "32 octets"},
		"padded base64":           {set(strings.Replace(ecJWK, `5a0"`, `5a0="`, 1)), "32 octets"},
		"base64 with a line end":  {set(strings.Replace(ecJWK, `"f83O`, `"f83O\n`, 1)), "32 octets"},
		"base64 not canonical":    {set(strings.Replace(ecJWK, `RVEU"`, `RVEV"`, 1)), "32 octets"},
		"standard base64":         {set(strings.Replace(ecJWK, `"y":"x_`, `"y":"x/`, 1)), "32 octets"},
		"alg of another kty":      {set(ec + `,"alg":"RS256"}`), "does not fit"},
		"alg of another curve":    {set(ec + `,"alg":"ES384"}`), "does not fit"},
		"a kid that is a number":  {set(strings.Replace(ecJWK, `"kid":"ec"`, `"kid":7`, 1)), `"kid" that is not a string`},
		"RSA e = 1":               {set(strings.Replace(rsaJWK, "AQAB", "AQ", 1)), "exponent 1"},
		"RSA e even":              {set(strings.Replace(rsaJWK, "AQAB", "AQAA", 1)), "exponent 65536"},
		"RSA e = 2³¹+1":           {set(strings.Replace(rsaJWK, "AQAB", "gAAAAQ", 1)), "exponent"},
		"RSA e of five octets":    {set(strings.Replace(rsaJWK, "AQAB", "AQAAAAE", 1)), "2³¹"},
		"key_ops not a list":      {set(ec + `,"key_ops":"verify"}`), "key_ops"},
		"a key that is null":      {set("null"), "not a JSON object"},
	} {
		_, err := Parse(c.doc)
		if err == nil || errors.Is(err, ErrNoKey) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want an error that says %q", name, err, c.says)
		}
	}
	for _, doc := range [][]byte{set(), set(`{"kty":"AKP"}`), set(strings.Replace(ecJWK, `"kid"`, `"kit"`, 1))} {
		if _, err := Parse(doc); !errors.Is(err, ErrNoKey) {
			t.Errorf("%s: %v, want ErrNoKey", doc, err)
		}
	}
}

func TestSetMarshal(t *testing.T) {
	t.Parallel()
	s := must(Parse(set(ecJWK, edJWK, rsaJWK)))
	doc := must(json.Marshal(s))
	want := `{"keys":[{"kty":"EC","use":"sig","kid":"ec","alg":"ES256","crv":"P-256","x":"f83O`
	if !strings.HasPrefix(string(doc), want) {
		t.Errorf("got %s, want it to begin with %s", doc, want)
	}
	if again := must(json.Marshal(must(Parse(doc)))); !bytes.Equal(doc, again) {
		t.Errorf("a round trip gives %s, not %s", again, doc)
	}
	var theirs jose.JSONWebKeySet
	if err := json.Unmarshal(doc, &theirs); err != nil || len(theirs.Keys) != 3 {
		t.Errorf("go-jose reads %d keys: %v", len(theirs.Keys), err)
	}
	if got := string(must(json.Marshal(Set{}))); got != `{"keys":[]}` {
		t.Errorf("the empty set is %s", got)
	}
	if _, err := json.Marshal(Key{ID: "bad"}); err == nil {
		t.Error("a key without a public key is written")
	}
}

func TestNewSet(t *testing.T) {
	t.Parallel()
	a := must(New("a", oauth.ES256, p256().Public()))
	b := must(New("b", oauth.EdDSA, edKey().Public()))
	s := must(NewSet(a, b))
	if k, ok := s.Key("b"); !ok || k.Alg != oauth.EdDSA {
		t.Errorf("Key(b) = %v, %v", k, ok)
	}
	if _, ok := s.Key("c"); ok {
		t.Error("an unknown id is found")
	}
	if _, err := NewSet(a, b, a); err == nil {
		t.Error("two keys with one id are accepted")
	}
	s.Keys()[0].ID = "changed"
	if _, ok := s.Key("a"); !ok {
		t.Error("the set changed through Keys")
	}
}

func FuzzParse(f *testing.F) {
	for _, doc := range [][]byte{set(ecJWK), set(edJWK, rsaJWK), set(), []byte(`{"keys":[{}]}`), set(`{"kty":"oct","k":"AA"}`)} {
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		s, err := Parse(doc)
		if err != nil {
			return
		}
		for _, k := range s.Keys() {
			if _, err := New(k.ID, k.Alg, k.Public); err != nil {
				t.Fatalf("Parse let through what New refuses: %v", err)
			}
			if k.Verify([]byte("m"), make([]byte, 64)) == nil {
				t.Fatal("zeros verify")
			}
		}
		out, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(out)
		if err != nil {
			t.Fatalf("can't read back %s: %v", out, err)
		}
		if a, b := fmt.Sprint(s.Keys()), fmt.Sprint(again.Keys()); len(s.Keys()) != len(again.Keys()) {
			t.Fatalf("%s became %s", a, b)
		}
	})
}

// A key that signs the feed is found as one, and never as a key of tokens.
func TestFeedKey(t *testing.T) {
	t.Parallel()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := New("f", oauth.ES256, &private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	k.Feed = true
	s, err := NewSet(k)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if s, err = Parse(doc); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Key("f"); ok {
		t.Error("a key of the feed passes as one of tokens")
	}
	if got, ok := s.FeedKey("f"); !ok || !got.Feed {
		t.Errorf("%s lost the key of the feed", doc)
	}
	other := strings.Replace(string(doc), `"feed"`, `"other"`, 1)
	if _, err := Parse([]byte(other)); !errors.Is(err, ErrNoKey) {
		t.Errorf("a key for something unknown is used: %v", err)
	}
}
