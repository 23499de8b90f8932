// Package secret holds values that must not be printed, and the few operations
// on secrets that are easy to get wrong: making them, hashing the strong ones,
// comparing in constant time and judging whether one is strong enough.
package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"math"
)

// Text is a secret string. It does not print: every formatting verb, and JSON
// and text encoding, give a placeholder.
type Text string

const hidden = "[secret]"

func (Text) String() string               { return hidden }
func (Text) GoString() string             { return hidden }
func (Text) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Reveal is the secret itself, for the one place that needs it.
func (t Text) Reveal() string { return string(t) }

// Bytes returns n random bytes. It never fails: crypto/rand ends the program
// where the system has no randomness.
func Bytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// Random is a new secret of 256 random bits in base64url.
func Random() Text { return Text(base64.RawURLEncoding.EncodeToString(Bytes(32))) }

// ID is a new random identifier of 128 bits in base64url: unguessable, but not a
// secret.
func ID() string { return base64.RawURLEncoding.EncodeToString(Bytes(16)) }

// Hash is the SHA-256 of a secret that is itself strong (128 random bits or
// more). Passwords do not belong here.
func Hash(s string) []byte {
	h := sha256.Sum256([]byte(s))
	return h[:]
}

// Matches compares a presented strong secret with a kept hash in constant time.
func Matches(hash []byte, presented string) bool {
	return subtle.ConstantTimeCompare(hash, Hash(presented)) == 1
}

// MinLength and MinBits bound what a configured client or API secret must have.
const (
	MinLength = 24
	MinBits   = 128
)

// Weak tells whether a configured secret is shorter than MinLength characters or
// its estimated strength is under MinBits. The estimate is the length times the
// Shannon entropy of its characters, or the size of the alphabet where that is
// what long random strings show, whichever is lower.
func Weak(s string) bool { return len(s) < MinLength || Bits(s) < MinBits }

// Bits estimates the strength of s in bits.
func Bits(s string) float64 {
	if s == "" {
		return 0
	}
	var seen [256]int
	for i := range len(s) {
		seen[s[i]]++
	}
	distinct := 0
	for _, n := range seen {
		if n > 0 {
			distinct++
		}
	}
	// A string that repeats a shorter one is as strong as that one.
	period := period(s)
	size := alphabet(&seen)
	perChar := math.Log2(float64(size))
	// Few distinct characters for the length: the writer chose from those alone.
	if expected := float64(size) * (1 - math.Pow(1-1/float64(size), float64(len(s)))); float64(distinct) < expected/2 {
		perChar = math.Log2(float64(distinct))
	}
	return perChar * float64(period)
}

// alphabet is the size of the smallest common alphabet that holds the characters.
func alphabet(seen *[256]int) int {
	has := func(lo, hi byte) bool {
		for c := int(lo); c <= int(hi); c++ {
			if seen[c] > 0 {
				return true
			}
		}
		return false
	}
	hexLower := !has('g', 'z') && !has('A', 'Z')
	hexUpper := !has('G', 'Z') && !has('a', 'z')
	size, other := 0, false
	for c, n := range seen {
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		other = other || n > 0 && !alnum
	}
	if !other && (hexLower || hexUpper) && has('0', '9') {
		if !has('a', 'f') && !has('A', 'F') {
			return 10
		}
		return 16
	}
	if has('0', '9') {
		size += 10
	}
	if has('a', 'z') {
		size += 26
	}
	if has('A', 'Z') {
		size += 26
	}
	if other {
		size += 2 // base64's two; more would flatter a sentence with a comma
	}
	return max(size, 2)
}

// period is the length of the shortest prefix of which s is a repetition.
func period(s string) int {
	fail := make([]int, len(s))
	for i := 1; i < len(s); i++ {
		k := fail[i-1]
		for k > 0 && s[i] != s[k] {
			k = fail[k-1]
		}
		if s[i] == s[k] {
			k++
		}
		fail[i] = k
	}
	return len(s) - fail[len(s)-1]
}
