package verify

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/jwks"
)

// ring looks keys up among signers.
func ring(signers ...signer) func(string) (jwks.Key, bool) {
	var keys []jwks.Key
	for _, s := range signers {
		keys = append(keys, s.Key)
	}
	return must(jwks.NewSet(keys...)).Key
}

func TestSigned(t *testing.T) {
	t.Parallel()
	signers := []signer{es256(), es384(), rs256(), ps256(), eddsa()}
	for _, s := range signers {
		payload, kid, err := Signed(s.jws(s.header("at+jwt"), `{"a":1}`), "at+jwt", ring(signers...))
		if err != nil || string(payload) != `{"a":1}` || kid != s.ID {
			t.Errorf("%s: %q, %q, %v", s.Alg, payload, kid, err)
		}
		opts := new(jose.SignerOptions).WithType("at+jwt").WithHeader("kid", s.ID)
		theirs := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(s.Alg), Key: s.private}, opts))
		jws := must(must(theirs.Sign([]byte("hi"))).CompactSerialize())
		if payload, _, err := Signed(jws, "at+jwt", ring(signers...)); err != nil || string(payload) != "hi" {
			t.Errorf("%s signed by go-jose: %q, %v", s.Alg, payload, err)
		}
	}
}

func TestSignedTypes(t *testing.T) {
	t.Parallel()
	s := es256()
	for _, c := range []struct {
		header, want string
		ok           bool
	}{
		{"at+jwt", "at+jwt", true},
		{"application/at+jwt", "at+jwt", true},
		{"AT+JWT", "at+jwt", true},
		{"Application/At+JWT", "at+jwt", true},
		{"at+jwt", "application/at+jwt", true},
		{"JWT", "JWT", true},
		{"JWT", "at+jwt", false},
		{"logout+jwt", "at+jwt", false},
		{"secevent+jwt", "at+jwt", false},
		{"dpop+jwt", "at+jwt", false},
		{"at+jwt", "JWT", false},
		{"logout+jwt", "JWT", false},
		{"", "at+jwt", false},
		{"", "", false},
		{"application/", "", false},
		{"ſecevent+jwt", "secevent+jwt", false}, // the long s folds to s
	} {
		_, _, err := Signed(s.jws(s.header(c.header), "{}"), c.want, ring(s))
		if (err == nil) != c.ok {
			t.Errorf("typ %q where %q belongs: %v", c.header, c.want, err)
		}
	}
}

// attacks are tokens that no check may let through, each with a part of what the
// refusal says. Cases 26, 27, 29 and 30 of the list.
func attacks(s signer) map[string]struct{ token, says string } {
	head, body := s.header("at+jwt"), claims(nil)
	good := s.jws(head, body)
	dot := strings.LastIndexByte(good, '.')
	signed, sig := good[:dot], good[dot+1:]
	rawSig := must(base64.RawURLEncoding.DecodeString(sig))
	with := func(member string) string {
		return s.jws(strings.TrimSuffix(head, "}")+","+member+"}", body)
	}
	hmacWith := func(secret []byte) string {
		signed := enc(`{"alg":"HS256","kid":"`+s.ID+`","typ":"at+jwt"}`) + "." + enc(body)
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(signed))
		return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	der := must(x509.MarshalPKIXPublicKey(s.private.Public()))
	jwk := string(must(other().MarshalJSON()))
	rs := func(r, ss *big.Int) string {
		b := append(r.FillBytes(make([]byte, 32)), ss.FillBytes(make([]byte, 32))...)
		return signed + "." + base64.RawURLEncoding.EncodeToString(b)
	}
	n, zero := elliptic.P256().Params().N, new(big.Int)
	r, ss := new(big.Int).SetBytes(rawSig[:32]), new(big.Int).SetBytes(rawSig[32:])
	last := func(seg string) string { // the same octets with a stray bit
		i := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", seg[len(seg)-1])
		return seg[:len(seg)-1] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[i^1])
	}
	segments := strings.Split(good, ".")
	for i, text := range []string{head, body} {
		if len(text)%3 == 0 { // stray bits need a partial last group
			segments[i] = enc(text + " ")
		}
	}
	resign := func(header, payload string) string {
		return header + "." + payload + "." + s.sign(header+"."+payload)
	}
	return map[string]struct{ token, says string }{
		"empty":                        {"", "not a JWS"},
		"one dot":                      {signed, "not a JWS"},
		"a third dot":                  {good + ".", "not a JWS"},
		"JWE":                          {strings.Repeat("a.", 4) + "a", "not a JWS"},
		"no header":                    {"." + enc(body) + "." + sig, "not a JWS"},
		"two dots alone":               {"..", "not a JWS"},
		"10,000 dots":                  {strings.Repeat(".", 10000), "not a JWS"},
		"header and 10,000 dots":       {enc(head) + strings.Repeat(".", 10000), "not a JWS"},
		"17 KiB":                       {good + strings.Repeat("A", 17<<10), "16384 characters"},
		"a 1 MB header":                {enc(strings.Repeat(" ", 1<<20)+head) + "." + enc(body) + "." + sig, "16384 characters"},
		"a 3 KiB header":               {s.jws(head+strings.Repeat(" ", 3<<10), body), "2048 characters"},
		"none":                         {enc(`{"alg":"none","kid":"`+s.ID+`","typ":"at+jwt"}`) + "." + enc(body) + ".", "alg"},
		"None with the signature":      {enc(`{"alg":"nOnE","kid":"`+s.ID+`","typ":"at+jwt"}`) + "." + enc(body) + "." + sig, "alg"},
		"HS256 with the DER as secret": {hmacWith(der), "alg"},
		"HS256 with the PEM as secret": {hmacWith(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "alg"},
		"HS256 with the JWK as secret": {hmacWith(must(s.MarshalJSON())), "alg"},
		"another known algorithm":      {s.jws(strings.Replace(head, "ES256", "ES384", 1), body), "alg"},
		"no alg":                       {s.jws(`{"kid":"es256","typ":"at+jwt"}`, body), "lacks alg"},
		"alg is a number":              {s.jws(strings.Replace(head, `"ES256"`, "256", 1), body), "not a string"},
		"no kid":                       {s.jws(`{"alg":"ES256","typ":"at+jwt"}`, body), "kid"},
		"empty kid":                    {s.jws(`{"alg":"ES256","kid":"","typ":"at+jwt"}`, body), "kid"},
		"kid is a path":                {s.jws(`{"alg":"ES256","kid":"../../dev/null","typ":"at+jwt"}`, body), "does not publish"},
		"kid is SQL":                   {s.jws(`{"alg":"ES256","kid":"x' UNION SELECT 'k","typ":"at+jwt"}`, body), "does not publish"},
		"embedded jwk":                 {other().jws(`{"alg":"ES256","kid":"es256","typ":"at+jwt","jwk":`+jwk+`}`, body), "(jwk)"},
		"embedded jwk, right key":      {with(`"jwk":` + string(must(s.MarshalJSON()))), "(jwk)"},
		"escaped jwk":                  {with(`"j\u0077k":{}`), "(jwk)"},
		"jku":                          {with(`"jku":"https://evil.example/jwks"`), "(jku)"},
		"x5u":                          {with(`"x5u":"https://evil.example/cert"`), "(x5u)"},
		"x5c":                          {with(`"x5c":["AA"]`), "(x5c)"},
		"unknown crit":                 {with(`"crit":["exp"],"exp":1`), "(crit)"},
		"empty crit":                   {with(`"crit":[]`), "(crit)"},
		"b64 false":                    {with(`"b64":false`), "(b64)"},
		"an ID token":                  {s.jws(s.header("JWT"), body), "typ"},
		"a logout token":               {s.jws(s.header("logout+jwt"), body), "typ"},
		"no typ":                       {s.jws(`{"alg":"ES256","kid":"es256"}`, body), "typ"},
		"alg twice":                    {with(`"alg":"none"`), "twice"},
		"kid twice, once escaped":      {with(`"k\u0069d":"other"`), "twice"},
		"an unknown member twice":      {with(`"x":1,"x":2`), "twice"},
		"a nested member twice":        {with(`"x":{"y":1,"y":1}`), "twice"},
		"deep nesting":                 {with(`"x":` + strings.Repeat("[", 500) + strings.Repeat("]", 500)), "deeper"},
		"header is an array":           {s.jws("["+head+"]", body), "JSON"},
		"header has trailing data":     {s.jws(head+"{}", body), "JSON"},
		"header is cut off":            {s.jws(head[:20], body), "JSON"},
		"header with a null":           {s.jws(strings.Replace(head, `"es256"`, "null", 1), body), "not a string"},
		"header in Latin-1":            {with("\"x\":\"\xe9\""), "Unicode"},
		"another's signature":          {other().jws(head, body), "signature"},
		"payload changed":              {enc(head) + "." + enc(body+" ") + "." + sig, "signature"},
		"no signature":                 {signed + ".", "signature"},
		"signature cut":                {signed + "." + sig[:len(sig)-4], "signature"},
		"signature with a tail":        {good + "AAAA", "signature"},
		"a huge signature":             {signed + "." + strings.Repeat("A", 8000), "signature"},
		"a DER signature":              {signed + "." + base64.RawURLEncoding.EncodeToString(derSignature(s, signed)), "signature"},
		"r = 0":                        {rs(zero, ss), "signature"},
		"s = 0":                        {rs(r, zero), "signature"},
		"r = s = 0":                    {rs(zero, zero), "signature"},
		"r = n":                        {rs(n, ss), "signature"},
		"s = n":                        {rs(r, n), "signature"},
		"padding":                      {good + "==", "signature"},
		"a space before":               {" " + good, "header is not base64url"},
		"a space after":                {good + " ", "signature"},
		"a line end in the signature":  {signed + "." + sig[:8] + "\n" + sig[8:], "signature"},
		"a line end after":             {good + "\r\n", "signature"},
		"a line end in the header":     {resign(segments[0][:4]+"\n"+segments[0][4:], segments[1]), "base64url"},
		"line ends in the payload":     {resign(segments[0], segments[1][:4]+"\n\n\n\n"+segments[1][4:]), "base64url"},
		"stray bits in the signature":  {signed + "." + last(sig), "signature"},
		"stray bits in the header":     {resign(last(segments[0]), segments[1]), "base64url"},
		"stray bits in the payload":    {resign(segments[0], last(segments[1])), "base64url"},
		"padded payload":               {resign(segments[0], segments[1]+"="), "base64url"},
		"standard alphabet":            {resign(segments[0], "+/+/"), "base64url"},
		"JSON serialization":           {`{"payload":"` + enc(body) + `","protected":"` + enc(head) + `","signature":"` + sig + `"}`, "not a JWS"},
	}
}

func derSignature(s signer, signed string) []byte {
	sum := sha256.Sum256([]byte(signed))
	return must(ecdsa.SignASN1(rand.Reader, s.private.(*ecdsa.PrivateKey), sum[:]))
}

func TestSignedRefuses(t *testing.T) {
	t.Parallel()
	for name, a := range attacks(es256()) {
		payload, kid, err := Signed(a.token, "at+jwt", ring(es256(), rs256()))
		var e *oauth.Error
		if !errors.As(err, &e) || e.Code != oauth.InvalidToken || !strings.Contains(e.Description, a.says) {
			t.Errorf("%s: %v, want a refusal that says %q", name, err, a.says)
		}
		if payload != nil || kid != "" {
			t.Errorf("%s: a payload in spite of the error", name)
		}
	}
}

// A key's algorithm is fixed though its material would do for another.
func TestAlgorithmIsTheKeys(t *testing.T) {
	t.Parallel()
	asPS := newSigner("rs256", oauth.PS256, rsaKey())
	asRS := newSigner("ps256", oauth.RS256, rsaKey())
	for name, token := range map[string]string{
		"PS256 on an RS256 key": asPS.jws(asPS.header("at+jwt"), "{}"),
		"RS256 on a PS256 key":  asRS.jws(asRS.header("at+jwt"), "{}"),
		"a header that lies":    asPS.jws(`{"alg":"RS256","kid":"rs256","typ":"at+jwt"}`, "{}"),
	} {
		if _, _, err := Signed(token, "at+jwt", ring(rs256(), ps256())); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// A refused type never reaches the look-up of its key, which may cost a fetch.
func TestKeyIsLookedUpLast(t *testing.T) {
	t.Parallel()
	s := es256()
	_, _, err := Signed(s.jws(s.header("JWT"), "{}"), "at+jwt", func(string) (jwks.Key, bool) {
		t.Error("the key was looked up")
		return jwks.Key{}, false
	})
	if err == nil {
		t.Error("accepted")
	}
}

// Whatever is accepted was signed, octet by octet.
func FuzzSigned(f *testing.F) {
	// The same key in every process, for the workers share the seeds.
	s := newSigner("es256", oauth.ES256, must(ecdsa.ParseRawPrivateKey(elliptic.P256(), []byte("a key for this fuzz test alone!!"))))
	signed := map[string]bool{}
	add := func(token string) {
		f.Add(token)
		signed[token[:max(strings.LastIndexByte(token, '.'), 0)]] = true
	}
	add(s.token(nil))
	add(s.jws(s.header("application/at+jwt"), "{}"))
	for _, a := range attacks(s) {
		if len(a.token) < 4<<10 {
			add(a.token)
		}
	}
	f.Fuzz(func(t *testing.T, token string) {
		payload, kid, err := Signed(token, "at+jwt", func(string) (jwks.Key, bool) { return s.Key, true })
		if err != nil {
			if payload != nil || kid != "" {
				t.Fatal("a payload in spite of an error")
			}
			return
		}
		segments := strings.Split(token, ".")
		if !signed[segments[0]+"."+segments[1]] {
			t.Fatalf("never signed: %q", token)
		}
		if base64.RawURLEncoding.EncodeToString(payload) != segments[1] {
			t.Fatalf("payload %q is not that of %q", payload, token)
		}
	})
}
