package tokens

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/recent"
	"github.com/jeton-auth/jeton/internal/revoke"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/feed"
	"github.com/jeton-auth/jeton/verify"
)

// Token is an access token of ours that was read: signature or seal, issuer and
// form are right. It is shared between requests and must not be changed.
type Token struct {
	*verify.Claims
	Scopes []string
	KeyID  string // empty for opaque tokens

	introspection []byte
	names         *feed.Names
}

// For tells whether audience is among the token's.
func (t *Token) For(audience string) bool { return slices.Contains(t.Audience, audience) }

// Introspection is the answer to a question about this token (RFC 7662 §2.2).
func (t *Token) Introspection() []byte { return t.introspection }

// Reader reads the issuer's own tokens, without a network or a database.
type Reader struct {
	issuer string
	ring   *keys.Ring
	log    *revoke.Log
	seen   *recent.Cache[string, seen]
}

// seen is a token that was read with the key ring of a generation.
type seen struct {
	*Token
	generation uint64
}

// seenBytes bounds the memory of the tokens that were read before, and entryOverhead
// is what one takes besides its text, counted generously.
const (
	seenBytes     = 12 << 20
	entryOverhead = 512
)

// NewReader makes a Reader of an issuer's tokens.
func NewReader(issuer string, ring *keys.Ring, log *revoke.Log) *Reader {
	return &Reader{issuer: issuer, ring: ring, log: log, seen: recent.New[string, seen](seenBytes)}
}

// Access reads an access token that is valid at now and not revoked. What makes a
// token good at one moment only is looked at each time; what its bytes decide is
// remembered. ErrInvalid: it is not valid.
func (r *Reader) Access(token string, now time.Time) (*Token, error) {
	t, err := r.Read(token, now)
	if err == nil && r.log.Revoked(t.names) {
		return nil, ErrInvalid
	}
	return t, err
}

// Read is Access for a token that may be revoked already.
func (r *Reader) Read(token string, now time.Time) (*Token, error) {
	generation := r.ring.Generation()
	before, ok := r.seen.Get(token)
	t := before.Token
	if !ok || before.generation != generation {
		var err error
		if t, err = r.first(token); err != nil {
			return nil, err
		}
		// The caller's string may be a part of a whole request.
		r.seen.Put(strings.Clone(token), seen{t, generation}, len(token)+2*len(t.introspection)+entryOverhead)
	}
	if t.Expiry <= now.Unix() || t.NotBefore > now.Unix() {
		return nil, ErrInvalid
	}
	return t, nil
}

// first reads a token for the first time.
func (r *Reader) first(token string) (*Token, error) {
	var payload []byte
	var kid string
	var err error
	if LooksOpaque(token) {
		payload, err = unseal(r.ring, r.issuer, token)
	} else {
		payload, kid, err = verify.Signed(token, oauth.TypAccessToken, r.ring.Key)
	}
	if err != nil {
		return nil, errors.Join(ErrInvalid, err)
	}
	claims, err := verify.DecodeClaims(payload)
	if err != nil {
		return nil, errors.Join(ErrInvalid, err)
	}
	if claims.Issuer != r.issuer || claims.ID == "" || claims.Subject == "" || claims.Expiry == 0 || !claims.HasRev {
		return nil, ErrInvalid
	}
	t := &Token{Claims: claims, Scopes: claims.Scopes(), KeyID: kid}
	t.introspection = t.describe(payload)
	t.names = feed.NewNames(feed.Claims{
		ID: t.ID, SessionID: t.SessionID, Subject: t.Subject, ClientID: t.ClientID, KeyID: kid, IssuedAt: t.IssuedAt, Rev: t.Rev, HasRev: true,
	})
	return t, nil
}

// Named is a token of which the jti is known, and who holds it. It serves to revoke it.
func Named(id, subject, clientID string, rev int64) *Token {
	return &Token{
		Claims: &verify.Claims{ID: id, Subject: subject, ClientID: clientID, Rev: rev, HasRev: true},
		names:  feed.NewNames(feed.Claims{ID: id, Subject: subject, ClientID: clientID, Rev: rev, HasRev: true}),
	}
}

// describe is the introspection answer: the token's claims, said to be active.
func (t *Token) describe(payload []byte) []byte {
	answer := make([]byte, 0, len(payload)+64)
	kind := oauth.TokenTypeBearer
	if t.Confirmation != nil && t.Confirmation.JKT != "" {
		kind = oauth.TokenTypeDPoP // RFC 9449 §6.2
	}
	answer = append(answer, `{"active":true,"token_type":"`+kind+`",`...)
	return append(answer, payload[1:]...)
}

// ErrHint says that an id_token_hint is no ID token of ours.
var ErrHint = errors.New("tokens: not an ID token of this issuer")

// Subject reads an ID token that comes back as a hint. Its age does not matter
// (OpenID Connect RP-Initiated Logout §2).
func (r *Reader) Subject(idToken string) (sub, sid, clientID string, err error) {
	payload, _, err := verify.Signed(idToken, oauth.TypIDToken, r.ring.Key)
	if err != nil {
		return "", "", "", errors.Join(ErrHint, err)
	}
	claims, err := verify.DecodeClaims(payload)
	if err != nil {
		return "", "", "", errors.Join(ErrHint, err)
	}
	// Signed userinfo has no exp: no other JWT stands in for an ID token.
	if claims.Issuer != r.issuer || claims.Subject == "" || claims.Expiry == 0 || len(claims.Audience) != 1 {
		return "", "", "", fmt.Errorf("%w: it is for somebody else", ErrHint)
	}
	return claims.Subject, claims.SessionID, claims.Audience[0], nil
}

// halfHash is the left half of a token's hash by the hash of the algorithm that
// signs the ID token (OpenID Connect Core §3.1.3.6).
func halfHash(alg oauth.Alg, token string) string {
	var sum []byte
	switch alg {
	case oauth.ES384:
		h := sha512.Sum384([]byte(token))
		sum = h[:]
	case oauth.EdDSA:
		h := sha512.Sum512([]byte(token))
		sum = h[:]
	default:
		h := sha256.Sum256([]byte(token))
		sum = h[:]
	}
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
