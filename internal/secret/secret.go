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
// its estimated strength is under MinBits.
func Weak(s string) bool { return len(s) < MinLength || Bits(s) < MinBits }

// Bits estimates the strength of s in bits: its characters, repetitions aside, times
// what each could tell. That is the size of the alphabet, or the Shannon entropy of the
// characters where they are spread less evenly than chance spreads them. A random
// string gets what it was made with: less only by an accident rarer than one in 10,000.
func Bits(s string) float64 {
	if s == "" {
		return 0
	}
	s = s[:min(len(s), judged)]
	var seen [256]int
	for i := range len(s) {
		seen[s[i]]++
	}
	size := alphabet(&seen)
	perChar := math.Log2(float64(size))
	if h := entropy(&seen, len(s)); h < uneven*math.Log2(float64(min(size, len(s)))) {
		perChar = h
	}
	return perChar * float64(unforeseen(s))
}

const (
	uneven = 0.6 // of the most that the entropy can be; random strings of MinLength stay above
	chance = 6   // characters that a random string may repeat by accident
	judged = 512 // characters that are looked at; they suffice, whatever follows
)

// entropy is the Shannon entropy of n characters, in bits each.
func entropy(seen *[256]int, n int) (h float64) {
	for _, c := range seen {
		if c > 0 {
			p := float64(c) / float64(n)
			h -= p * math.Log2(p)
		}
	}
	return h
}

// unforeseen counts the characters of s. What repeats an earlier part counts as two.
func unforeseen(s string) (n int) {
	for i := 0; i < len(s); {
		same := 0
		for j := range i {
			same = max(same, shared(s[i:], s[j:]))
		}
		if same > chance {
			i, n = i+same, n+2
		} else {
			i, n = i+1, n+1
		}
	}
	return n
}

// shared is the length of the common beginning.
func shared(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
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
	if !other && !has('a', 'z') && !has('0', '1') && !has('8', '9') {
		return 32 // base32 (RFC 4648 §6)
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
