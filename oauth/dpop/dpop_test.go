package dpop_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/dpop"
)

var (
	now  = time.Unix(1_795_000_000, 0)
	want = dpop.Expect{Method: "POST", URL: "https://id.example.com/token", Now: now}
)

func p256(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func refused(t *testing.T, name string, err error, says string) {
	t.Helper()
	var e *oauth.Error
	if !errors.As(err, &e) || e.Code != oauth.InvalidDPoPProof || !strings.Contains(e.Description, says) {
		t.Errorf("%s: %v, want invalid_dpop_proof with %q", name, err, says)
	}
}

// The examples of RFC 9449 §4.1 and §7.1.
func TestVectors(t *testing.T) {
	t.Parallel()
	const jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
	const jwk = `{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}}`
	head := base64.RawURLEncoding.EncodeToString([]byte(jwk)) + "."
	proof := head + "eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ." +
		"2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
	p, err := dpop.Check(proof, dpop.Expect{Method: "POST", URL: "https://server.example.com/token", Now: time.Unix(1562262616, 0)})
	if err != nil || p.JKT != jkt || p.ID != "-BwC3ESc6acc2lTc" || p.IssuedAt.Unix() != 1562262616 {
		t.Errorf("%+v, %v", p, err)
	}
	if got := dpop.TokenHash("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"); got != "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo" {
		t.Errorf("ath %s", got)
	}
}

// What a Prover makes, Check takes, by each algorithm.
func TestProver(t *testing.T) {
	t.Parallel()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	big, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for alg, key := range map[oauth.Alg]crypto.Signer{oauth.ES256: p256(t), oauth.ES384: p384, oauth.EdDSA: ed, oauth.PS256: big, oauth.RS256: big} {
		prover, err := dpop.NewProver(key, alg)
		if err != nil {
			t.Fatal(err)
		}
		r, _ := http.NewRequest(http.MethodGet, "https://api.example.com/orders?page=2#x", nil)
		if err := prover.Sign(r, "a.token", "its nonce", now); err != nil {
			t.Fatal(err)
		}
		proof, err := dpop.FromHeader(r.Header)
		if err != nil || r.Header.Get("Authorization") != "DPoP a.token" {
			t.Fatal(r.Header, err)
		}
		e := dpop.Expect{Method: "GET", URL: "https://api.example.com/orders", Now: now, Token: "a.token"}
		p, err := dpop.Check(proof, e)
		if err != nil || p.JKT != prover.JKT() || p.Nonce != "its nonce" || len(p.ID) < 16 || !p.IssuedAt.Equal(now) || !dpop.ValidJKT(p.JKT) {
			t.Errorf("%s: %+v, %v", alg, p, err)
		}
		e.Algs = []oauth.Alg{oauth.EdDSA}
		if _, err := dpop.Check(proof, e); (err == nil) != (alg == oauth.EdDSA) {
			t.Errorf("%s is judged by other algorithms than those that are accepted: %v", alg, err)
		}
	}
	if _, err := dpop.NewProver(p256(t), oauth.ES384); err == nil {
		t.Error("a key makes proofs by an algorithm that is not its own")
	}
}

// maker makes proofs that no Prover would.
type maker struct {
	key  *ecdsa.PrivateKey
	head map[string]any
	said map[string]any
}

func newMaker(t testing.TB) *maker {
	key := p256(t)
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return &maker{key, map[string]any{
		"typ": "dpop+jwt", "alg": "ES256",
		"jwk": map[string]any{"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])},
	}, map[string]any{"jti": "one", "htm": "POST", "htu": want.URL, "iat": now.Unix()}}
}

func (m *maker) with(head, said map[string]any) string {
	h, c := maps.Clone(m.head), maps.Clone(m.said)
	for into, change := range map[*map[string]any]map[string]any{&h: head, &c: said} {
		for name, v := range change {
			if v == nil {
				delete(*into, name)
			} else {
				(*into)[name] = v
			}
		}
	}
	hb, _ := json.Marshal(h)
	cb, _ := json.Marshal(c)
	return m.sign(string(hb), string(cb))
}

func (m *maker) sign(head, said string) string {
	signed := base64.RawURLEncoding.EncodeToString([]byte(head)) + "." + base64.RawURLEncoding.EncodeToString([]byte(said))
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, m.key, sum[:])
	if err != nil {
		panic(err)
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func (m *maker) jwk(change map[string]any) map[string]any {
	jwk := maps.Clone(m.head["jwk"].(map[string]any))
	for name, v := range change {
		if v == nil {
			delete(jwk, name)
		} else {
			jwk[name] = v
		}
	}
	return map[string]any{"jwk": jwk}
}

// Case 35: what a proof must be.
func TestCheck(t *testing.T) {
	t.Parallel()
	m := newMaker(t)
	good := m.with(nil, nil)
	if p, err := dpop.Check(good, want); err != nil || p.ID != "one" {
		t.Fatalf("%+v, %v", p, err)
	}
	type change = map[string]any
	secret := make([]byte, 32)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	unix := now.Unix()
	for name, c := range map[string]struct {
		head, said change
		says       string // empty: it is taken
	}{
		"extra members":           {change{"tx": 1, "kid": "k"}, change{"extra": []int{1}}, ""},
		"typ in capitals":         {change{"typ": "application/DPoP+JWT"}, nil, ""},
		"jwk with use and alg":    {m.jwk(change{"use": "sig", "alg": "ES256", "kid": "k"}), nil, ""},
		"no typ":                  {change{"typ": nil}, nil, "typ"},
		"another typ":             {change{"typ": "JWT"}, nil, "typ"},
		"longer typ":              {change{"typ": "dpop+jwt+more"}, nil, "typ"},
		"typ of another type":     {change{"typ": 1}, nil, "types of the standard"},
		"no alg":                  {change{"alg": nil}, nil, "alg"},
		"alg none":                {change{"alg": "none"}, nil, "alg"},
		"symmetric alg":           {change{"alg": "HS256"}, nil, "alg"},
		"another key's alg":       {change{"alg": "ES384"}, nil, "jwk"},
		"crit":                    {change{"crit": []string{"b64"}}, nil, "crit"},
		"no jwk":                  {change{"jwk": nil}, nil, "jwk"},
		"jwk of no object":        {change{"jwk": "x"}, nil, "jwk"},
		"private jwk":             {m.jwk(change{"d": b64(secret)}), nil, "private"},
		"symmetric jwk":           {change{"jwk": change{"kty": "oct", "k": b64(secret)}}, nil, "private"},
		"jwk off the curve":       {m.jwk(change{"x": b64(secret)}), nil, "curve"},
		"jwk for encryption":      {m.jwk(change{"use": "enc"}), nil, "signatures"},
		"jwk that does not check": {m.jwk(change{"key_ops": []string{"sign"}}), nil, "signatures"},
		"jwk for another alg":     {m.jwk(change{"alg": "RS256"}), nil, "algorithm"},
		"weak RSA":                {change{"alg": "RS256", "jwk": change{"kty": "RSA", "n": b64(small.N.Bytes()), "e": "AQAB"}}, nil, "signatures"},
		"no jti":                  {nil, change{"jti": nil}, "jti"},
		"empty jti":               {nil, change{"jti": ""}, "jti"},
		"jti without bounds":      {nil, change{"jti": strings.Repeat("x", 513)}, "jti"},
		"jti of another type":     {nil, change{"jti": 7}, "types of the standard"},
		"no htm":                  {nil, change{"htm": nil}, "htm"},
		"another method":          {nil, change{"htm": "PUT"}, "htm"},
		"the method in small":     {nil, change{"htm": "post"}, "htm"},
		"no htu":                  {nil, change{"htu": nil}, "htu"},
		"another address":         {nil, change{"htu": "https://id.example.com/tokens"}, "htu"},
		"another host":            {nil, change{"htu": "https://id.example.org/token"}, "htu"},
		"another scheme":          {nil, change{"htu": "http://id.example.com/token"}, "htu"},
		"another port":            {nil, change{"htu": "https://id.example.com:8443/token"}, "htu"},
		"query and fragment":      {nil, change{"htu": want.URL + "?a=b#c"}, ""},
		"host in capitals":        {nil, change{"htu": "HTTPS://ID.Example.com:443/token"}, ""},
		"percent-encoded":         {nil, change{"htu": "https://id.example.com/%74oken"}, ""},
		"no iat":                  {nil, change{"iat": nil}, "iat"},
		"iat of another type":     {nil, change{"iat": "1"}, "types of the standard"},
		"iat with a fraction":     {nil, change{"iat": float64(unix) + 0.5}, ""},
		"iat 60 s ago":            {nil, change{"iat": unix - 60}, ""},
		"iat 61 s ago":            {nil, change{"iat": unix - 61}, "iat"},
		"iat 10 s ahead":          {nil, change{"iat": unix + 10}, ""},
		"iat 30 s ahead":          {nil, change{"iat": unix + 30}, ""},
		"iat 31 s ahead":          {nil, change{"iat": unix + 31}, "ahead"},
		"iat out of range":        {nil, change{"iat": 1e300}, "range"},
		"iat below zero":          {nil, change{"iat": -1}, "range"},
		"nbf now, exp later":      {nil, change{"nbf": unix, "exp": unix + 300}, ""},
		"nbf ahead":               {nil, change{"nbf": unix + 31}, "ahead"},
		"expired":                 {nil, change{"exp": unix}, "expired"},
		"exp out of range":        {nil, change{"exp": 1e300}, "range"},
	} {
		_, err := dpop.Check(m.with(c.head, c.said), want)
		if c.says == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		refused(t, name, err, c.says)
	}
	bound := want
	bound.Token = "the.token"
	for name, ath := range map[string]any{"no ath": nil, "another token's ath": dpop.TokenHash("another"), "the token itself": "the.token"} {
		_, err := dpop.Check(m.with(nil, change{"ath": ath}), bound)
		refused(t, name, err, "ath")
	}
	if _, err := dpop.Check(m.with(nil, change{"ath": dpop.TokenHash("the.token")}), bound); err != nil {
		t.Error(err)
	}
}

// Case 35: one proof has one spelling, and no signature but its key's own.
func TestForm(t *testing.T) {
	t.Parallel()
	m := newMaker(t)
	good := m.with(nil, nil)
	parts := strings.Split(good, ".")
	head, _ := base64.RawURLEncoding.DecodeString(parts[0])
	said, _ := base64.RawURLEncoding.DecodeString(parts[1])
	other := newMaker(t)
	other.head = m.head
	symmetric := func() string {
		h := strings.Replace(string(head), "ES256", "HS256", 1)
		signed := base64.RawURLEncoding.EncodeToString([]byte(h)) + "." + parts[1]
		mac := hmac.New(sha256.New, []byte(h))
		mac.Write([]byte(signed))
		return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	for name, proof := range map[string]string{
		"nothing":               "",
		"no JWS":                "proof",
		"two parts":             parts[0] + "." + parts[1],
		"four parts":            good + ".x",
		"no signature":          parts[0] + "." + parts[1] + ".",
		"another signature":     parts[0] + "." + parts[1] + "." + strings.Repeat("A", 86),
		"another key's":         other.with(nil, nil),
		"MAC with what is sent": symmetric(),
		"padding":               good + "==",
		"white space":           good + " ",
		"a line end":            parts[0] + "\n." + parts[1] + "." + parts[2],
		"two of them":           good + "," + good,
		"too long":              strings.Repeat("A", dpop.MaxProof) + good,
		"header twice":          m.sign(`{"typ":"x",`+string(head[1:]), string(said)),
		"claims twice":          m.sign(string(head), `{"jti":"zero",`+string(said[1:])),
		"claims with more":      m.sign(string(head), string(said)+"{}"),
		"claims in an array":    m.sign(string(head), "["+string(said)+"]"),
		"no JSON":               m.sign(string(head), "{"),
		"no UTF-8":              m.sign(string(head), `{"x":"`+"\xff"+`",`+string(said[1:])),
		"names in capitals":     m.sign(string(head), strings.Replace(string(said), `"jti"`, `"JTI"`, 1)),
	} {
		_, err := dpop.Check(proof, want)
		refused(t, name, err, "")
	}
}

func TestFromHeader(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	if s, err := dpop.FromHeader(h); s != "" || err != nil {
		t.Error(s, err)
	}
	h.Set("DPOP", "one")
	if s, err := dpop.FromHeader(h); s != "one" || err != nil {
		t.Error(s, err)
	}
	h.Add("dpop", "two")
	_, err := dpop.FromHeader(h)
	refused(t, "two headers", err, "more than one")
	_, err = dpop.FromHeader(http.Header{"Dpop": {""}})
	refused(t, "an empty header", err, "empty")
}

func TestSameURL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"https://a.example/x", "https://a.example/x", true},
		{"https://a.example", "https://a.example/", true},
		{"https://a.example:443/x", "https://a.example/x", true},
		{"http://a.example:80/x", "http://a.example/x", true},
		{"http://a.example:443/x", "http://a.example/x", false},
		{"https://a.example/x", "https://a.example/x?", true},
		{"HTTPS://A.EXAMPLE/x", "https://a.example/x", true},
		{"https://a.example/X", "https://a.example/x", false},
		{"https://a.example/%7Ex%2f", "https://a.example/~x%2F", true},
		{"https://a.example/a%2Fb", "https://a.example/a/b", false},
		{"https://a.example/a/./b/../c", "https://a.example/a/c", true},
		{"https://a.example/a/%2E%2e/c", "https://a.example/c", true},
		{"https://a.example/a/..", "https://a.example/", true},
		{"https://a.example/a/.", "https://a.example/a/", true},
		{"https://a.example/../../c", "https://a.example/c", true},
		{"https://a.example/a//b", "https://a.example/a/b", false},
		{"https://a.example/a/", "https://a.example/a", false},
		{"https://[::1]:443/a", "https://[::1]/a", true},
		{"https://u@a.example/a", "https://a.example/a", false},
		{"https://u@a.example/a", "https://u@a.example/a", false},
		{"/token", "/token", false},
		{"", "", false},
		{"https:token", "https:token", false},
		{"https://a.example/%zz", "https://a.example/%zz", false},
	} {
		if got := dpop.SameURL(c.a, c.b); got != c.same {
			t.Errorf("SameURL(%q, %q) = %t", c.a, c.b, got)
		}
		if got := dpop.SameURL(c.b, c.a); got != c.same {
			t.Errorf("SameURL(%q, %q) = %t", c.b, c.a, got)
		}
	}
}

func TestNonces(t *testing.T) {
	t.Parallel()
	k, other := dpop.Nonces(strings.Repeat("k", 32)), dpop.Nonces(strings.Repeat("o", 32))
	nonce := k.Make(now)
	for _, c := range []struct {
		name  string
		key   dpop.Nonces
		nonce string
		at    time.Time
		want  bool
	}{
		{"at once", k, nonce, now, true},
		{"a while later", k, nonce, now.Add(dpop.NonceLifetime / 2), true},
		{"too late", k, nonce, now.Add(dpop.NonceLifetime + time.Second), false},
		{"at a node whose clock is behind", k, nonce, now.Add(-time.Second), true},
		{"from the future", k, k.Make(now.Add(time.Hour)), now, false},
		{"another key's", other, nonce, now, false},
		{"nothing", k, "", now, false},
		{"another text", k, "nonce", now, false},
		{"longer", k, nonce + "AA", now, false},
		{"another time", k, "AAAAAAAAAAA" + nonce[11:], time.Unix(0, 0), false},
	} {
		if got := c.key.Fresh(c.nonce, c.at); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

func TestValidJKT(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I":  true,
		"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I=": false,
		"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4J":  false,
		"0ZcOCORZNYy": false,
		"":            false,
	} {
		if dpop.ValidJKT(s) != want {
			t.Errorf("%q", s)
		}
	}
}

// FuzzCheck looks for a proof that is taken and yet is not what it must be.
func FuzzCheck(f *testing.F) {
	m := newMaker(f)
	good := m.with(nil, nil)
	f.Add(good)
	f.Add(m.with(map[string]any{"alg": "none"}, nil))
	f.Add("..")
	f.Add("e30.e30.")
	f.Fuzz(func(t *testing.T, proof string) {
		p, err := dpop.Check(proof, want)
		if err != nil {
			var e *oauth.Error
			if !errors.As(err, &e) || e.Code != oauth.InvalidDPoPProof || e.Description == "" {
				t.Fatalf("%v", err)
			}
			return
		}
		if p.ID == "" || !dpop.ValidJKT(p.JKT) || strings.Count(proof, ".") != 2 || len(proof) > dpop.MaxProof {
			t.Fatalf("%q was taken: %+v", proof, p)
		}
		if p.IssuedAt.After(now.Add(dpop.MaxAhead)) || p.IssuedAt.Before(now.Add(-dpop.MaxAge)) {
			t.Fatalf("iat %v", p.IssuedAt)
		}
	})
}

// FuzzSameURL looks for addresses whose comparison depends on their order.
func FuzzSameURL(f *testing.F) {
	f.Add("https://a.example/%7e/../x", "HTTPS://A.example:443/x")
	f.Fuzz(func(t *testing.T, a, b string) {
		if dpop.SameURL(a, b) != dpop.SameURL(b, a) {
			t.Fatalf("%q and %q", a, b)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	proof := newMaker(b).with(nil, nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := dpop.Check(proof, want); err != nil {
			b.Fatal(err)
		}
	}
}
