// Package feed holds what an issuer and the readers of its revocation feed agree
// on: what entries name, how they are written, the running hash that chains them,
// the signed heartbeat, and the view of all of them against which tokens are
// checked. docs/revocation-feed.md describes the format for readers in any
// language.
package feed

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Kind says what an entry names.
type Kind string

// Absolute kinds revoke what they name. Cutoff kinds revoke every token that they
// name and that carries a rev below the entry's number.
const (
	Token   Kind = "token"   // by its whole jti
	Grant   Kind = "grant"   // by the handle at the front of jti
	Session Kind = "session" // by sid
	Key     Kind = "key"     // by kid
	Subject Kind = "subject" // cutoff, by sub
	Client  Kind = "client"  // cutoff, by client_id
	All     Kind = "all"     // cutoff, of every token of the issuer
)

// Cutoff tells whether entries of the kind are cutoffs.
func (k Kind) Cutoff() bool { return k == Subject || k == Client || k == All }

// Plain tells whether entries of the kind say what they name. The others hold a
// hash of it: only who has a token recognises its entry.
func (k Kind) Plain() bool { return k == Key || k == Client || k == All }

func (k Kind) known() bool {
	switch k {
	case Token, Grant, Session, Key, Subject, Client, All:
		return true
	}
	return false
}

// Entry is one revocation.
type Entry struct {
	N     int64  // its number; the first is 1, and none is left out
	Kind  Kind   //
	Value string // what it names, as Value writes it
	Until int64  // Unix second after which no token that it names is alive
	At    int64  // of a cutoff, the Unix second in which it was made; else 0
}

// ID is what an entry names, and what a token is found by: the first 16 octets of
// SHA-256(kind ‖ ":" ‖ value).
type ID [2]uint64

// NewID is the ID of a value of a kind.
func NewID(k Kind, value string) ID {
	h := digest(k, value)
	return ID{binary.BigEndian.Uint64(h[:]), binary.BigEndian.Uint64(h[8:])}
}

func digest(k Kind, value string) [sha256.Size]byte {
	var buf [128]byte
	b := append(buf[:0], k...)
	b = append(b, ':')
	b = append(b, value...)
	return sha256.Sum256(b)
}

const idSize = 16

// Value is how a value of a kind stands in entries: plain, or the base64url of its
// ID.
func Value(k Kind, value string) string {
	if k.Plain() {
		return value
	}
	h := digest(k, value)
	return base64.RawURLEncoding.EncodeToString(h[:idSize])
}

var b64 = base64.RawURLEncoding.Strict()

// ID is what the entry names. The error says that its value is malformed.
func (e Entry) ID() (ID, error) {
	if e.Kind.Plain() {
		return NewID(e.Kind, e.Value), nil
	}
	var raw [idSize + 2]byte
	if len(e.Value) != b64.EncodedLen(idSize) {
		return ID{}, errValue
	}
	if n, err := b64.Decode(raw[:], []byte(e.Value)); err != nil || n != idSize {
		return ID{}, errValue
	}
	return ID{binary.BigEndian.Uint64(raw[:]), binary.BigEndian.Uint64(raw[8:])}, nil
}

var errValue = errors.New("feed: an entry's value is not 16 octets in base64url")

// Handle is the part of a jti that names the token's grant; empty when there is
// none.
func Handle(jti string) string {
	i := strings.LastIndexByte(jti, '.')
	if i < 0 {
		return ""
	}
	return jti[:i]
}

// Hash chains the entries of a log: it stands for all of them up to one.
type Hash [sha256.Size]byte

// String is the hash in base64url.
func (h Hash) String() string { return base64.RawURLEncoding.EncodeToString(h[:]) }

// MarshalText is String.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what String writes.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != b64.EncodedLen(len(h)) {
		return errHash
	}
	var raw [sha256.Size + 1]byte
	n, err := b64.Decode(raw[:], text)
	if err != nil || n != len(h) {
		return errHash
	}
	copy(h[:], raw[:])
	return nil
}

var errHash = errors.New("feed: a hash is not 32 octets in base64url")

// Start is the hash of an empty log of an incarnation: SHA-256 over "jeton-feed",
// a line feed and the incarnation.
func Start(incarnation string) Hash { return sha256.Sum256([]byte("jeton-feed\n" + incarnation)) }

// Next is the hash after one more entry: SHA-256 over the hash before it and its
// number, kind, until, at and value, with a line feed between two of these.
func (h Hash) Next(e Entry) Hash {
	var buf [256]byte
	b := append(buf[:0], h[:]...)
	b = strconv.AppendInt(b, e.N, 10)
	b = append(b, '\n')
	b = append(b, e.Kind...)
	b = append(b, '\n')
	b = strconv.AppendInt(b, e.Until, 10)
	b = append(b, '\n')
	b = strconv.AppendInt(b, e.At, 10)
	b = append(b, '\n')
	b = append(b, e.Value...)
	return sha256.Sum256(b)
}

// Position is how far a log goes, or a reader has read it.
type Position struct {
	Incarnation string
	N           int64
	Hash        Hash
}

// ErrGap says that entries don't follow the position. A reader starts again from a
// snapshot.
var ErrGap = errors.New("feed: the entries don't follow what was read before")

// Extend moves the position over a batch that follows it.
func (p *Position) Extend(b Batch) error {
	if b.Incarnation != p.Incarnation || b.From != p.N {
		return fmt.Errorf("%w: at %d of %s came %d to %d of %s", ErrGap, p.N, p.Incarnation, b.From, b.To, b.Incarnation)
	}
	h := p.Hash
	for _, e := range b.Entries {
		h = h.Next(e)
	}
	p.N, p.Hash = b.To, h
	return nil
}
