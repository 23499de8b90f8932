// Package grant turns grants into the strings that clients hold and back. A grant
// is one row; its code is number 0 and its refresh tokens are 1, 2, 3 …, each a
// string with a MAC that neither a database dump nor a server key alone can make.
package grant

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"

	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/store"
)

// Kind tells a code from a refresh token. It is under the MAC, so one can't be
// presented as the other.
type Kind byte

const (
	Code    Kind = 'c'
	Refresh Kind = 'r'
)

// The credential's bytes: version, kind, pepper id, grant id, number, pre-tag,
// tag. 54 bytes fill base64url without a remainder, so each credential has one
// spelling only.
const (
	version   = 1
	headLen   = 1 + 1 + 4 + 16 + 6
	preTagLen = 6
	tagLen    = 20
	rawLen    = headLen + preTagLen + tagLen
	maxNumber = 1<<48 - 1
)

// ErrForged says that a string is no credential of ours.
var ErrForged = errors.New("grant: not a credential of this issuer")

// Credential is a parsed code or refresh token. Until Authentic says so, it is only
// a claim.
type Credential struct {
	Kind   Kind
	Pepper int64
	ID     store.GrantID
	Number int64
	raw    [rawLen]byte
}

// Looks tells whether s has the form of a credential: which of the token parsers
// should be asked.
func Looks(s string) bool {
	return len(s) == 4+rawLen/3*4 && (strings.HasPrefix(s, "jtc_") || strings.HasPrefix(s, "jtr_"))
}

func parse(s string) (c Credential, err error) {
	if !Looks(s) {
		return c, ErrForged
	}
	if n, err := base64.RawURLEncoding.Strict().Decode(c.raw[:], []byte(s[4:])); err != nil || n != rawLen {
		return c, ErrForged
	}
	c.Kind = Kind(c.raw[1])
	if c.raw[0] != version || byte(c.Kind) != s[2] {
		return c, ErrForged
	}
	c.Pepper = int64(binary.BigEndian.Uint32(c.raw[2:]))
	copy(c.ID[:], c.raw[6:])
	var number [8]byte
	copy(number[2:], c.raw[22:28])
	c.Number = int64(binary.BigEndian.Uint64(number[:]))
	if (c.Kind == Code) != (c.Number == 0) {
		return c, ErrForged
	}
	return c, nil
}

// format makes the credential of a grant with a number.
func format(pepper keys.Root, g *store.Grant, kind Kind, number int64) string {
	var raw [rawLen]byte
	raw[0], raw[1] = version, byte(kind)
	binary.BigEndian.PutUint32(raw[2:], uint32(pepper.ID))
	copy(raw[6:], g.ID[:])
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(number))
	copy(raw[22:28], n[2:])
	copy(raw[headLen:], preTag(pepper, raw[:headLen]))
	copy(raw[headLen+preTagLen:], tag(pepper, g, raw[:headLen]))
	return "jt" + string(kind) + "_" + base64.RawURLEncoding.EncodeToString(raw[:])
}

// preTag turns forged floods away before any read.
func preTag(pepper keys.Root, head []byte) []byte {
	m := hmac.New(sha256.New, pepper.Secret)
	m.Write([]byte("jeton pre-tag\x00"))
	m.Write(head)
	return m.Sum(nil)[:preTagLen]
}

// tag needs the pepper and the row's secret.
func tag(pepper keys.Root, g *store.Grant, head []byte) []byte {
	// HKDF fails only when more is asked than it can give.
	key, err := hkdf.Key(sha256.New, pepper.Secret, append(append([]byte{}, g.Secret...), g.ID[:]...), "jeton grant tag", sha256.Size)
	if err != nil {
		panic(err)
	}
	m := hmac.New(sha256.New, key)
	m.Write(head)
	return m.Sum(nil)[:tagLen]
}

// plausible checks the pre-tag.
func (c *Credential) plausible(pepper keys.Root) bool {
	return subtle.ConstantTimeCompare(preTag(pepper, c.raw[:headLen]), c.raw[headLen:headLen+preTagLen]) == 1
}

// authentic checks the tag against the grant's row.
func (c *Credential) authentic(pepper keys.Root, g *store.Grant) bool {
	return g.Pepper == c.Pepper && len(g.Secret) > 0 &&
		subtle.ConstantTimeCompare(tag(pepper, g, c.raw[:headLen]), c.raw[headLen+preTagLen:]) == 1
}
