// Package jwks holds public signature keys as JSON Web Keys (RFC 7517): one key
// with the single algorithm it verifies, and the set an issuer publishes. It
// reads untrusted documents within fixed bounds, refuses keys that can't be
// trusted, and knows nothing of private keys but how to refuse them.
package jwks

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/jeton-auth/jeton/oauth"
)

// Bounds of an RSA modulus in bits. Below, a signature can be forged (RFC 7518
// §3.3); above, checking one costs too much.
const (
	MinRSABits = 2048
	MaxRSABits = 8192
)

// ErrSignature is what Verify returns for every signature that does not match.
var ErrSignature = errors.New("jwks: the signature does not match")

// Key is one public signature key and the one algorithm that it is used with
// (RFC 8725 §3.1). Make it with New or Parse, which check it, and then don't
// change it: it is shared.
type Key struct {
	ID     string           // kid
	Alg    oauth.Alg        // alg
	Public crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
	// Feed says that the key signs the heartbeats of the issuer's revocation feed, and
	// never a token.
	Feed bool
}

// useFeed is the value of the member jeton_use of a key with Feed.
const useFeed = "feed"

// New makes a key after checking that it is sound and fits its algorithm: ES256
// takes P-256, ES384 P-384, EdDSA Ed25519, RS256 and PS256 an RSA modulus of
// MinRSABits to MaxRSABits with an odd exponent from 3 to 2³¹-1.
func New(id string, alg oauth.Alg, pub crypto.PublicKey) (Key, error) {
	if id == "" {
		return Key{}, errors.New("jwks: a key has no id")
	}
	if err := check(alg, pub); err != nil {
		return Key{}, fmt.Errorf("jwks: key %q: it %w", id, err)
	}
	return Key{ID: id, Alg: alg, Public: pub}, nil
}

// check completes a sentence that begins with "it", the key.
func check(alg oauth.Alg, pub crypto.PublicKey) error {
	unfit := fmt.Errorf("does not fit the algorithm %q", alg)
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		if pub == nil || pub.Curve == nil || pub.Curve != curves[alg].curve {
			return unfit
		}
		if _, err := pub.Bytes(); err != nil {
			return errOffCurve
		}
	case *rsa.PublicKey:
		switch {
		case pub == nil || pub.N == nil || alg != oauth.RS256 && alg != oauth.PS256:
			return unfit
		case pub.N.BitLen() < MinRSABits || pub.N.BitLen() > MaxRSABits:
			return fmt.Errorf("has an RSA modulus of %d bits; use %d to %d", pub.N.BitLen(), MinRSABits, MaxRSABits)
		case pub.N.Bit(0) == 0:
			return errors.New("has an even RSA modulus")
		case pub.E < 3 || pub.E&1 == 0 || int64(pub.E) > 1<<31-1:
			return fmt.Errorf("has the RSA exponent %d; use an odd number from 3 to 2³¹-1", pub.E)
		}
	case ed25519.PublicKey:
		if alg != oauth.EdDSA || len(pub) != ed25519.PublicKeySize {
			return unfit
		}
	default:
		return fmt.Errorf("is a %T, which can't verify signatures here", pub)
	}
	return nil
}

var errOffCurve = errors.New("has a point that is not on the curve")

// curves names the curve of each ECDSA algorithm and the octets of one
// coordinate, which are also those of r and of s (RFC 7518 §3.4).
var curves = map[oauth.Alg]struct {
	curve elliptic.Curve
	name  string
	size  int
}{
	oauth.ES256: {elliptic.P256(), "P-256", 32},
	oauth.ES384: {elliptic.P384(), "P-384", 48},
}

// Verify checks sig over signed by the key's one algorithm, whatever a token's
// header says. An ECDSA signature is r ‖ s at full length (RFC 7518 §3.4), a PSS
// salt is as long as its hash (§3.5). The error is ErrSignature.
func (k Key) Verify(signed, sig []byte) error {
	ok := false
	switch k.Alg {
	case oauth.ES256:
		if pub, is := k.Public.(*ecdsa.PublicKey); is && pub.Curve == elliptic.P256() && len(sig) == 64 {
			sum := sha256.Sum256(signed)
			ok = verifyECDSA(pub, sum[:], sig)
		}
	case oauth.ES384:
		if pub, is := k.Public.(*ecdsa.PublicKey); is && pub.Curve == elliptic.P384() && len(sig) == 96 {
			sum := sha512.Sum384(signed)
			ok = verifyECDSA(pub, sum[:], sig)
		}
	case oauth.RS256:
		if pub, is := k.Public.(*rsa.PublicKey); is {
			sum := sha256.Sum256(signed)
			ok = rsa.VerifyPKCS1v15(pub, crypto.SHA256, sum[:], sig) == nil
		}
	case oauth.PS256:
		if pub, is := k.Public.(*rsa.PublicKey); is {
			sum := sha256.Sum256(signed)
			ok = rsa.VerifyPSS(pub, crypto.SHA256, sum[:], sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
	case oauth.EdDSA:
		if pub, is := k.Public.(ed25519.PublicKey); is && len(pub) == ed25519.PublicKeySize {
			ok = ed25519.Verify(pub, signed, sig)
		}
	}
	if !ok {
		return ErrSignature
	}
	return nil
}

// verifyECDSA checks r ‖ s. crypto/ecdsa takes DER, which is written here on the
// stack: its form with big integers would allocate. It refuses an r or s that is
// zero or not below the order of the curve.
func verifyECDSA(pub *ecdsa.PublicKey, sum, sig []byte) bool {
	var buf [2 + 2*(3+48)]byte // under 128 octets of content: lengths are one octet
	der := append(buf[:0], 0x30, 0)
	der = appendInteger(der, sig[:len(sig)/2])
	der = appendInteger(der, sig[len(sig)/2:])
	der[1] = byte(len(der) - 2)
	return ecdsa.VerifyASN1(pub, sum, der)
}

// appendInteger appends the unsigned big-endian n as a minimal DER INTEGER.
func appendInteger(der, n []byte) []byte {
	for len(n) > 1 && n[0] == 0 {
		n = n[1:]
	}
	if n[0] < 0x80 {
		return append(append(der, 2, byte(len(n))), n...)
	}
	return append(append(der, 2, byte(len(n)+1), 0), n...)
}

// members is the JWK form, in the order in which it is written.
type members struct {
	Kty string    `json:"kty"`
	Use string    `json:"use,omitempty"`
	Kid string    `json:"kid,omitempty"`
	Alg oauth.Alg `json:"alg,omitempty"`
	Crv string    `json:"crv,omitempty"`
	X   string    `json:"x,omitempty"`
	Y   string    `json:"y,omitempty"`
	N   string    `json:"n,omitempty"`
	E   string    `json:"e,omitempty"`

	JetonUse string `json:"jeton_use,omitempty"`
}

func (k Key) members() (members, error) {
	m := members{Use: "sig", Kid: k.ID, Alg: k.Alg}
	if k.Feed {
		m.JetonUse = useFeed
	}
	switch pub := k.Public.(type) {
	case *ecdsa.PublicKey:
		point, err := pub.Bytes()
		if err != nil {
			return members{}, fmt.Errorf("jwks: key %q: it %w", k.ID, errOffCurve)
		}
		size := (len(point) - 1) / 2
		m.Kty, m.Crv = "EC", pub.Curve.Params().Name
		m.X, m.Y = encode(point[1:1+size]), encode(point[1+size:])
	case *rsa.PublicKey:
		m.Kty, m.N, m.E = "RSA", encode(pub.N.Bytes()), encode(big.NewInt(int64(pub.E)).Bytes())
	case ed25519.PublicKey:
		m.Kty, m.Crv, m.X = "OKP", "Ed25519", encode(pub)
	default:
		return members{}, fmt.Errorf("jwks: key %q: a %T has no JWK form here", k.ID, pub)
	}
	return m, nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// MarshalJSON writes the key as a JWK with use "sig", its members always in the
// same order.
func (k Key) MarshalJSON() ([]byte, error) {
	m, err := k.members()
	if err != nil {
		return nil, err
	}
	return json.Marshal(m)
}

// Thumbprint is the base64url SHA-256 of the key's required members (RFC 7638
// §3). It depends on the key alone, not on its id or algorithm. It is empty for
// a Key that New did not make.
func (k Key) Thumbprint() string {
	m, err := k.members()
	if err != nil {
		return ""
	}
	// The members stand in lexicographic order, and none needs escaping.
	var doc string
	switch m.Kty {
	case "EC":
		doc = `{"crv":"` + m.Crv + `","kty":"EC","x":"` + m.X + `","y":"` + m.Y + `"}`
	case "OKP":
		doc = `{"crv":"` + m.Crv + `","kty":"OKP","x":"` + m.X + `"}`
	case "RSA":
		doc = `{"e":"` + m.E + `","kty":"RSA","n":"` + m.N + `"}`
	}
	sum := sha256.Sum256([]byte(doc))
	return encode(sum[:])
}
