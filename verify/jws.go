package verify

import (
	"encoding/base64"
	"strings"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/jwks"
)

// Bounds of a token, in octets as sent.
const (
	MaxToken  = 16 << 10
	maxHeader = 2 << 10
	// maxSignature is that of RSA with the largest modulus.
	maxSignature = jwks.MaxRSABits / 8
)

// invalid refuses a token. The text is safe to show to who sent it.
func invalid(format string, args ...any) *oauth.Error {
	return oauth.Refuse(oauth.InvalidToken, format, args...)
}

// Signed checks a JWS in compact form (RFC 7515 §7.1) and returns its payload,
// not yet judged, and the id of the key that signed it. The header must be
// well-formed, name a kid that key knows, the very algorithm of that key, and
// typ; a leading "application/" of either typ is ignored, as is case (RFC 7515
// §4.1.9). A header that carries or points to a key, or asks for an extension, is
// refused. So are padding, white space and stray bits in base64url: one token
// has one spelling, but for the malleability of ECDSA. The error is an
// *oauth.Error with the code invalid_token.
func Signed(token, typ string, key func(kid string) (jwks.Key, bool)) (payload []byte, kid string, err error) {
	t, err := split(token)
	if err != nil {
		return nil, "", err
	}
	h, err := parseHeader(t.header())
	if err != nil {
		return nil, "", err
	}
	if err := h.mustBe(typ); err != nil {
		return nil, "", err
	}
	k, ok := key(h.kid)
	if !ok {
		return nil, "", errUnknownKey
	}
	if payload, err = t.verify(h, k); err != nil {
		return nil, "", err
	}
	return payload, h.kid, nil
}

var (
	errNotJWS     = invalid("The token is not a JWS in compact form.")
	errTooLong    = invalid("The token has more than %d characters.", MaxToken)
	errUnknownKey = invalid("The token names a signing key that the issuer does not publish.")
	errSignature  = invalid("The token's signature is wrong.")
)

// compact is a token and where its two dots are.
type compact struct {
	token         string
	first, second int
}

func (t compact) header() string { return t.token[:t.first] }

// isCompact tells whether a token has the form of a JWS, as opposed to an opaque
// token: two dots, however many characters it has.
func isCompact(token string) bool {
	first := strings.IndexByte(token, '.')
	if first < 0 {
		return false
	}
	second := strings.IndexByte(token[first+1:], '.')
	return second >= 0 && strings.IndexByte(token[first+second+2:], '.') < 0
}

// split finds the dots. It looks for three of them, never for all.
func split(token string) (compact, error) {
	if len(token) > MaxToken {
		return compact{}, errTooLong
	}
	t := compact{token: token, first: strings.IndexByte(token, '.')}
	if t.first <= 0 || !isCompact(token) {
		return compact{}, errNotJWS
	}
	if t.first > maxHeader {
		return compact{}, invalid("The token's header has more than %d characters.", maxHeader)
	}
	t.second = t.first + 1 + strings.IndexByte(token[t.first+1:], '.')
	return t, nil
}

// verify checks the signature and then decodes the payload.
func (t compact) verify(h header, k jwks.Key) ([]byte, error) {
	if h.alg != k.Alg {
		return nil, invalid("The token's alg is not the algorithm of its signing key.")
	}
	// One buffer holds the token and then what is decoded, one after the other.
	room := b64.DecodedLen(max(t.second-t.first, len(t.token)-t.second))
	buf := append(make([]byte, 0, len(t.token)+room), t.token...)
	sig, ok := decode(buf, buf[t.second+1:])
	if !ok || len(sig) > maxSignature || k.Verify(buf[:t.second], sig) != nil {
		return nil, errSignature
	}
	payload, ok := decode(buf, buf[t.first+1:t.second])
	if !ok {
		return nil, invalid("The token's payload is not base64url.")
	}
	return payload, nil
}

var b64 = base64.RawURLEncoding.Strict()

// decode reads canonical base64url into the free capacity of buf. The standard
// decoder skips line ends: then the result is too short, or the length is one
// that no encoding has.
func decode(buf, s []byte) ([]byte, bool) {
	want := b64.DecodedLen(len(s))
	dst := buf[len(buf) : len(buf)+want : len(buf)+want]
	n, err := b64.Decode(dst, s)
	return dst[:n], err == nil && n == want && len(s)%4 != 1
}

// header is what matters of a JOSE header.
type header struct {
	alg oauth.Alg
	kid string
	typ string
}

// mustBe refuses another type of token, so that none stands in for another (RFC
// 8725 §3.11).
func (h header) mustBe(typ string) error {
	got, want := bareType(h.typ), bareType(typ)
	// Equal lengths keep EqualFold to ASCII.
	if got == "" || len(got) != len(want) || !strings.EqualFold(got, want) {
		return invalid("The token's typ is not %s: it is not the kind of token that belongs here.", typ)
	}
	return nil
}

func bareType(typ string) string {
	const prefix = "application/"
	if len(typ) > len(prefix) && strings.EqualFold(typ[:len(prefix)], prefix) {
		return typ[len(prefix):]
	}
	return typ
}

// parseHeader reads a header segment.
func parseHeader(segment string) (header, error) {
	var buf [maxHeader]byte
	raw, ok := decode(buf[:0], []byte(segment))
	if !ok {
		return header{}, invalid("The token's header is not base64url.")
	}
	var h header
	var names [16]string
	r := reader{s: string(raw), names: names[:0]}
	for name := range r.members {
		switch name {
		case "alg":
			h.alg = oauth.Alg(r.claim(name))
		case "kid":
			h.kid = r.claim(name)
		case "typ":
			h.typ = r.claim(name)
		case "jwk", "jku", "x5u", "x5c": // RFC 8725 §3.10
			return header{}, invalid("The token's header brings or points to a key of its own (%s), which is never used.", name)
		case "crit", "b64": // RFC 7515 §4.1.11, RFC 7797 §6
			return header{}, invalid("The token's header asks for an extension (%s) that is not supported.", name)
		default:
			r.skip()
		}
	}
	r.end()
	switch {
	case r.err != nil:
		return header{}, invalid("The token's header %v.", r.err)
	case h.alg == "" || h.kid == "":
		return header{}, invalid("The token's header lacks alg or kid.")
	}
	return h, nil
}
