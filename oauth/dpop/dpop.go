// Package dpop makes and checks DPoP proofs (RFC 9449): by one a client shows, with each
// request, that it holds the key to which its access token is bound.
//
// Check judges what a proof says of one request and one moment. That it is used once,
// and the nonce, are left to who receives it.
package dpop

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/jwks"
)

// Names of header fields (RFC 9449 §4.1 and §8).
const (
	Header      = "DPoP"
	NonceHeader = "DPoP-Nonce"
)

// When a proof is taken: from MaxAhead before its iat, since clocks differ, to MaxAge
// after it.
const (
	MaxAge   = 60 * time.Second
	MaxAhead = 30 * time.Second
)

// Bounds in octets.
const (
	MaxProof = 8 << 10
	maxID    = 512
	maxDate  = 253402300799 // the last second of the year 9999
)

// Algs are the algorithms that a proof may be signed by, in the order in which servers
// announce them. All of them are asymmetric.
func Algs() []oauth.Alg {
	return []oauth.Alg{oauth.ES256, oauth.EdDSA, oauth.PS256, oauth.ES384, oauth.RS256}
}

// Expect is what a proof must be for.
type Expect struct {
	Method string
	URL    string // of the request; query and fragment do not count
	Now    time.Time
	Algs   []oauth.Alg // nil: those of Algs
	// Token is the access token that comes with the proof, empty if none does.
	Token string
}

// Proof is a proof that was checked.
type Proof struct {
	JKT      string // thumbprint of its key (RFC 7638), by which tokens name it
	ID       string // jti
	Nonce    string // empty: none
	IssuedAt time.Time
}

// Until is when the proof is too old for everybody: for so long must it be remembered
// that it was used.
func (p Proof) Until() time.Time { return p.IssuedAt.Add(MaxAge + time.Second) }

// FromHeader is the proof of a request; empty if it has none. More than one are an error.
func FromHeader(h http.Header) (string, error) {
	switch values := h["Dpop"]; {
	case len(values) == 0:
		return "", nil
	case len(values) > 1:
		return "", bad("The request has more than one DPoP header.")
	case values[0] == "":
		return "", bad("The DPoP header is empty.")
	default:
		return values[0], nil
	}
}

func bad(format string, args ...any) *oauth.Error {
	return oauth.Refuse(oauth.InvalidDPoPProof, format, args...)
}

// header is a proof's JOSE header (RFC 9449 §4.2).
type header struct {
	Typ  string          `json:"typ"`
	Alg  oauth.Alg       `json:"alg"`
	JWK  json.RawMessage `json:"jwk"`
	Crit json.RawMessage `json:"crit"`
}

// claims are a proof's claims. Of the optional ones exp and nbf count where they stand.
type claims struct {
	ID        string   `json:"jti"`
	Method    string   `json:"htm"`
	URL       string   `json:"htu"`
	IssuedAt  *float64 `json:"iat"`
	Expiry    *float64 `json:"exp"`
	NotBefore *float64 `json:"nbf"`
	TokenHash string   `json:"ath"`
	Nonce     string   `json:"nonce"`
}

// Check judges a proof (RFC 9449 §4.3). Its form is strict: members stand once, base64url
// is canonical, and all is bounded. What costs most, the signature, comes last. The error
// is an *oauth.Error with the code invalid_dpop_proof.
func Check(proof string, e Expect) (Proof, error) {
	if len(proof) > MaxProof {
		return Proof{}, bad("The DPoP proof has more than %d characters.", MaxProof)
	}
	dot := strings.LastIndexByte(proof, '.')
	if dot < 0 {
		return Proof{}, errForm
	}
	head, body, ok := strings.Cut(proof[:dot], ".")
	if !ok {
		return Proof{}, errForm
	}
	key, err := readHeader(head, e.Algs)
	if err != nil {
		return Proof{}, err
	}
	var c claims
	if !decode(body, &c) {
		return Proof{}, bad("The claims of the DPoP proof are not base64url of a JSON object with the types of the standard and each member once.")
	}
	if err := c.check(&e); err != nil {
		return Proof{}, err
	}
	sig, ok := raw(proof[dot+1:])
	if !ok || key.Verify([]byte(proof[:dot]), sig) != nil {
		return Proof{}, bad("The signature of the DPoP proof is not that of the key in its jwk.")
	}
	return Proof{JKT: key.ID, ID: c.ID, Nonce: c.Nonce, IssuedAt: time.Unix(int64(*c.IssuedAt), 0)}, nil
}

var errForm = bad("The DPoP header is not one JWS in compact form.")

func readHeader(segment string, algs []oauth.Alg) (jwks.Key, error) {
	var h header
	if !decode(segment, &h) {
		return jwks.Key{}, bad("The header of the DPoP proof is not base64url of a JSON object with the types of the standard and each member once.")
	}
	if algs == nil {
		algs = Algs()
	}
	switch {
	case !isProof(h.Typ):
		return jwks.Key{}, bad("The typ of the DPoP proof is not %s.", oauth.TypDPoP)
	case h.Crit != nil:
		return jwks.Key{}, bad("The header of the DPoP proof asks for an extension (crit) that is not supported.")
	case !slices.Contains(algs, h.Alg):
		return jwks.Key{}, bad("The alg of the DPoP proof is not accepted here: sign by one of %s.", List(algs))
	case h.JWK == nil:
		return jwks.Key{}, bad("The header of the DPoP proof has no jwk: put the public key there.")
	}
	key, err := jwks.ParseProofKey(h.JWK, h.Alg)
	if err != nil {
		return jwks.Key{}, bad("The jwk of the DPoP proof %v.", err)
	}
	return key, nil
}

// isProof compares as RFC 7515 §4.1.9 says.
func isProof(typ string) bool {
	const prefix = "application/"
	if len(typ) > len(prefix) && strings.EqualFold(typ[:len(prefix)], prefix) {
		typ = typ[len(prefix):]
	}
	return len(typ) == len(oauth.TypDPoP) && strings.EqualFold(typ, oauth.TypDPoP)
}

// List is algorithms as the parameter algs of a challenge has them (RFC 9449 §7.1).
func List(algs []oauth.Alg) string {
	var b strings.Builder
	for i, a := range algs {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(string(a))
	}
	return b.String()
}

func (c *claims) check(e *Expect) error {
	switch {
	case c.ID == "":
		return bad("The DPoP proof has no jti.")
	case len(c.ID) > maxID:
		return bad("The jti of the DPoP proof has more than %d octets.", maxID)
	case c.Method != e.Method:
		return bad("The htm of the DPoP proof is not the method of the request.")
	case !SameURL(c.URL, e.URL):
		return bad("The htu of the DPoP proof is not the address of the request.")
	}
	if err := c.times(e.Now); err != nil {
		return err
	}
	if e.Token != "" && c.TokenHash != TokenHash(e.Token) {
		return bad("The ath of the DPoP proof is not the hash of the access token that it came with.")
	}
	return nil
}

// times judges iat, by which a proof is good for a moment alone.
func (c *claims) times(now time.Time) error {
	for _, t := range []*float64{c.IssuedAt, c.Expiry, c.NotBefore} {
		if t != nil && !(*t >= 0 && *t <= maxDate) {
			return bad("A time in the DPoP proof is out of range: write seconds since 1970.")
		}
	}
	if c.IssuedAt == nil {
		return bad("The DPoP proof has no iat.")
	}
	unix := now.Unix()
	issued := int64(*c.IssuedAt)
	ahead := unix + int64(MaxAhead/time.Second)
	switch {
	case issued > ahead, c.NotBefore != nil && int64(*c.NotBefore) > ahead:
		return bad("The iat or nbf of the DPoP proof is ahead of time: set the clock of the client.")
	case issued < unix-int64(MaxAge/time.Second):
		return bad("The iat of the DPoP proof is too long ago: make a new proof for each request, and set the clock of the client.")
	case c.Expiry != nil && int64(*c.Expiry) <= unix:
		return bad("The DPoP proof has expired.")
	}
	return nil
}

// TokenHash is the ath of an access token (RFC 9449 §4.2).
func TokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// ValidJKT tells whether s has the form of a thumbprint, as dpop_jkt must (RFC 9449 §10).
func ValidJKT(s string) bool {
	b, ok := raw(s)
	return ok && len(b) == sha256.Size
}

var b64 = base64.RawURLEncoding.Strict()

// raw decodes canonical base64url. The decoder alone would skip line ends.
func raw(s string) ([]byte, bool) {
	b, err := b64.DecodeString(s)
	return b, err == nil && b64.EncodedLen(len(b)) == len(s)
}

// decode reads a segment into a struct; its names are compared exactly, and a member
// that stands twice is an error.
func decode(segment string, into any) bool {
	b, ok := raw(segment)
	return ok && len(b) > 0 && b[0] == '{' && utf8.Valid(b) && json.Unmarshal(b, into) == nil
}
