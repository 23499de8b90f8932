package jwks

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jeton-auth/jeton/oauth"
)

// A client's document may lack what an issuer's must have.
func TestParseClient(t *testing.T) {
	t.Parallel()
	const ec = `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"`
	const rsa = `{"kty":"RSA","e":"AQAB","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"`
	for _, c := range []struct {
		keys []string
		want string // kid:alg of each
	}{
		{[]string{ec + "}"}, ":ES256"},
		{[]string{ec + `,"kid":"a"}`, ec + `,"kid":"a"}`}, "a:ES256 a:ES256"},
		{[]string{rsa + `,"kid":"r"}`, ec + `,"kid":"e"}`}, "r:RS256 r:PS256 e:ES256"},
		{[]string{rsa + `,"alg":"PS256"}`}, ":PS256"},
		{[]string{rsa + `,"use":"enc"}`, rsa + `,"alg":"RS512"}`, ec + `,"use":"sig"}`}, ":ES256"},
		{[]string{rsa + `,"use":"enc"}`}, "!"},
		{[]string{ec + `,"d":"x"}`}, "!"},
	} {
		keys, err := ParseClient(set(c.keys...))
		var got []string
		for _, k := range keys {
			got = append(got, fmt.Sprintf("%s:%s", k.ID, k.Alg))
		}
		text := strings.Join(got, " ")
		if err != nil {
			text = "!"
		}
		if text != c.want {
			t.Errorf("%.60q…: %s, %v", c.keys, text, err)
		}
	}
	for _, k := range []string{rsa, ec} {
		if _, err := Parse(set(k + "}")); err == nil {
			t.Errorf("an issuer's key has no kid: %s", k)
		}
	}
}

func FuzzParseClient(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"RSA","e":"AQAB","n":"AQAB"},{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		keys, err := ParseClient(doc)
		if err != nil {
			return
		}
		if !json.Valid(doc) || len(keys) == 0 {
			t.Fatalf("%q gives %d keys", doc, len(keys))
		}
		for _, k := range keys {
			if k.Public == nil || k.Alg == oauth.Alg("") {
				t.Fatalf("%q gives %+v", doc, k)
			}
		}
	})
}
