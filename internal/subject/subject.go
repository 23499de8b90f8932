// Package subject gives the names by which clients know people (OpenID Connect Core §8).
// A public client knows a person by the name that the issuer has for them, a pairwise one
// by a name that its sector alone sees: two sectors can't tell that they speak of the same
// person. Names are computed each time, from a root of the key ring, and none is stored.
package subject

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/url"

	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/store"
)

// Roots are the random roots of the key ring.
type Roots interface {
	PepperByID(id int64) (keys.Root, bool)
}

// first is the pepper that the ring was made with. No pepper is ever removed, and one that
// is rotated leaves people's names as they were.
const first = 1

// Names gives people's names. The zero value knows no pairwise ones.
type Names struct{ key []byte }

// New derives the key of pairwise names.
func New(roots Roots) (*Names, error) {
	root, ok := roots.PepperByID(first)
	if !ok {
		return nil, errors.New("subject: the key ring has lost its first root")
	}
	key, err := hkdf.Key(sha256.New, root.Secret, nil, "jeton pairwise subject", sha256.Size)
	return &Names{key}, err
}

// For is what a client calls a subject.
func (n *Names) For(c *store.Client, subject string) string {
	if !c.Pairwise() {
		return subject
	}
	m := hmac.New(sha256.New, n.key)
	m.Write([]byte(Sector(c)))
	m.Write([]byte{0})
	m.Write([]byte(subject))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// All are the names, beside its own, that pairwise clients among those given have for a
// subject.
func (n *Names) All(clients []*store.Client, subject string) []string {
	var all []string
	sectors := map[string]bool{}
	for _, c := range clients {
		if sector := Sector(c); c.Pairwise() && !sectors[sector] {
			sectors[sector] = true
			all = append(all, n.For(c, subject))
		}
	}
	return all
}

// Same tells whether two clients have the same name for everybody.
func Same(a, b *store.Client) bool {
	if a.Pairwise() && b.Pairwise() {
		return Sector(a) == Sector(b)
	}
	return a.Pairwise() == b.Pairwise()
}

// Sector is the host of sector_identifier_uri or, without one, of the redirect URIs, which
// have one host alone.
func Sector(c *store.Client) string {
	from := c.SectorIdentifierURI
	if from == "" && len(c.RedirectURIs) > 0 {
		from = c.RedirectURIs[0]
	}
	u, err := url.Parse(from)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
