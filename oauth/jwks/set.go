package jwks

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"

	"github.com/jeton-auth/jeton/oauth"
)

// Bounds of a document that Parse reads.
const (
	MaxSize = 256 << 10 // octets
	MaxKeys = 64        // usable or not
)

// ErrNoKey is what Parse returns for a sound document that holds no usable key.
var ErrNoKey = errors.New("jwks: the document holds no key that can be used here")

// Set is the keys an issuer publishes, each with an id of its own. It is
// immutable; the zero Set is empty.
type Set struct{ keys []Key }

// NewSet makes a set of keys that differ in their ids.
func NewSet(keys ...Key) (Set, error) {
	for i, k := range keys {
		if slices.ContainsFunc(keys[:i], func(other Key) bool { return other.ID == k.ID }) {
			return Set{}, fmt.Errorf("jwks: two keys have the id %q", k.ID)
		}
	}
	return Set{slices.Clone(keys)}, nil
}

// Key is the key with the id kid that signs tokens.
func (s Set) Key(kid string) (Key, bool) { return s.find(kid, false) }

// FeedKey is the key with the id kid that signs the heartbeats of the revocation
// feed. No key does both.
func (s Set) FeedKey(kid string) (Key, bool) { return s.find(kid, true) }

func (s Set) find(kid string, feed bool) (Key, bool) {
	for i := range s.keys {
		if s.keys[i].ID == kid && s.keys[i].Feed == feed {
			return s.keys[i], true
		}
	}
	return Key{}, false
}

// Keys are the keys in their published order.
func (s Set) Keys() []Key { return slices.Clone(s.keys) }

// MarshalJSON writes the JWK Set document (RFC 7517 §5). Equal sets give equal
// octets.
func (s Set) MarshalJSON() ([]byte, error) {
	doc := struct {
		Keys []Key `json:"keys"`
	}{s.keys}
	if doc.Keys == nil {
		doc.Keys = []Key{}
	}
	return json.Marshal(doc)
}

// Parse reads a JWK Set document (RFC 7517 §5). Keys that aren't for us are
// skipped (RFC 7517 §5 asks for it): an unknown kty, crv or alg, another use, no
// kid, RSA outside of MinRSABits to MaxRSABits. A key without alg gets the one its curve implies,
// and RS256 if it is RSA.
//
// The document is refused when it is over MaxSize or MaxKeys, when a member
// stands twice, when a key is malformed or its point is off the curve, when a
// key holds a private or symmetric member, and when two usable keys share a kid.
// ErrNoKey tells that no usable key is left.
func Parse(doc []byte) (Set, error) {
	keys, err := parse(doc, func(m members) bool { return m.Kid != "" })
	if err != nil {
		return Set{}, err
	}
	return NewSet(keys...)
}

// ParseClient reads the JWK Set of a client, as Parse does, but takes what clients write: a
// key needs no kid, two may share one, and an RSA key without alg is there twice, for
// RS256 and for PS256.
func ParseClient(doc []byte) ([]Key, error) {
	var both []bool
	keys, err := parse(doc, func(m members) bool {
		both = append(both, m.Kty == "RSA" && m.Alg == "")
		return true
	})
	for i := len(keys) - 1; i >= 0; i-- {
		if both[i] {
			twin := keys[i]
			twin.Alg = oauth.PS256
			keys = slices.Insert(keys, i+1, twin)
		}
	}
	return keys, err
}

// parse reads the keys that are for us and that take accepts, which is called for each
// other key that could be used.
func parse(doc []byte, take func(members) bool) ([]Key, error) {
	if len(doc) > MaxSize {
		return nil, fmt.Errorf("jwks: the document has more than %d octets", MaxSize)
	}
	top, err := object(doc)
	if err != nil {
		return nil, fmt.Errorf("jwks: the document %w", err)
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(top["keys"], &raw); err != nil || raw == nil {
		return nil, errors.New(`jwks: the document's "keys" is not an array`)
	}
	if len(raw) > MaxKeys {
		return nil, fmt.Errorf("jwks: the document has more than %d keys", MaxKeys)
	}
	var keys []Key
	for i, r := range raw {
		k, err := parseKey(r, take)
		if err != nil {
			return nil, fmt.Errorf("jwks: key number %d of the document: it %w", i+1, err)
		}
		if k.Public != nil {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, ErrNoKey
	}
	return keys, nil
}

// object reads one JSON object and refuses a member that stands twice.
func object(doc []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(doc))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("is not a JSON object")
	}
	members := map[string]json.RawMessage{}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		var value json.RawMessage
		if err == nil {
			err = dec.Decode(&value)
		}
		if err != nil || !ok {
			return nil, errors.New("is not well-formed JSON")
		}
		if _, twice := members[name]; twice {
			return nil, fmt.Errorf("has the member %q twice", name)
		}
		members[name] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, errors.New("is not well-formed JSON")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("has something after its end")
	}
	return members, nil
}

// private are the members that no public key has (RFC 7518 §6, RFC 8037 §2).
var private = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// parseKey reads one JWK. The zero Key stands for one that is not for us.
func parseKey(doc []byte, take func(members) bool) (Key, error) {
	raw, err := object(doc)
	if err != nil {
		return Key{}, err
	}
	for _, name := range private {
		if _, ok := raw[name]; ok {
			return Key{}, fmt.Errorf("holds the private member %q; publish public keys only, and replace this one", name)
		}
	}
	var m members
	for name, into := range map[string]*string{
		"kty": &m.Kty, "use": &m.Use, "kid": &m.Kid, "alg": (*string)(&m.Alg),
		"crv": &m.Crv, "x": &m.X, "y": &m.Y, "n": &m.N, "e": &m.E, "jeton_use": &m.JetonUse,
	} {
		if v, ok := raw[name]; ok && (v[0] != '"' || json.Unmarshal(v, into) != nil) {
			return Key{}, fmt.Errorf("has a %q that is not a string", name)
		}
	}
	var ops []string
	if v, ok := raw["key_ops"]; ok {
		if json.Unmarshal(v, &ops) != nil {
			return Key{}, errors.New(`has a "key_ops" that is not an array of strings`)
		}
		if !slices.Contains(ops, "verify") {
			return Key{}, nil
		}
	}
	if m.Use != "" && m.Use != "sig" || m.JetonUse != "" && m.JetonUse != useFeed {
		return Key{}, nil
	}
	alg, pub, err := m.public()
	if pub == nil || err != nil {
		return Key{}, err
	}
	switch m.Alg {
	case "", oauth.RS256, oauth.PS256, oauth.ES256, oauth.ES384, oauth.EdDSA:
	default:
		return Key{}, nil
	}
	if !take(m) {
		return Key{}, nil
	}
	m.Alg = cmp.Or(m.Alg, alg)
	return Key{ID: m.Kid, Alg: m.Alg, Public: pub, Feed: m.JetonUse == useFeed}, check(m.Alg, pub)
}

// public is the key itself and the algorithm that it implies, or nil if it is of
// a kind or size that is not used here.
func (m members) public() (oauth.Alg, crypto.PublicKey, error) {
	switch m.Kty {
	case "EC":
		for alg, c := range curves {
			if c.name != m.Crv {
				continue
			}
			x, errX := decode(m.X)
			y, errY := decode(m.Y)
			if errX != nil || errY != nil || len(x) != c.size || len(y) != c.size {
				return "", nil, fmt.Errorf("has an x and y that are not %d octets each in base64url", c.size)
			}
			pub, err := ecdsa.ParseUncompressedPublicKey(c.curve, slices.Concat([]byte{4}, x, y))
			if err != nil {
				return "", nil, errOffCurve
			}
			return alg, pub, nil
		}
	case "OKP":
		if m.Crv != "Ed25519" {
			break
		}
		x, err := decode(m.X)
		if err != nil || len(x) != ed25519.PublicKeySize {
			return "", nil, fmt.Errorf("has an x that is not %d octets in base64url", ed25519.PublicKeySize)
		}
		return oauth.EdDSA, ed25519.PublicKey(x), nil
	case "RSA":
		n, errN := decode(m.N)
		e, errE := decode(m.E)
		if errN != nil || errE != nil || len(n) == 0 || len(e) == 0 || len(e) > 4 {
			return "", nil, errors.New("has an n and e that are not base64url, or an e over 2³¹")
		}
		pub := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
		if pub.N.BitLen() < MinRSABits || pub.N.BitLen() > MaxRSABits {
			break
		}
		return oauth.RS256, pub, nil
	}
	return "", nil, nil
}

var b64 = base64.RawURLEncoding.Strict()

// decode reads canonical base64url without padding or line ends, which the
// decoder alone would skip.
func decode(s string) ([]byte, error) {
	b, err := b64.DecodeString(s)
	if err == nil && encode(b) != s {
		err = errors.New("not canonical")
	}
	return b, err
}
