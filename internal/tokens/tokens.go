// Package tokens makes and reads the tokens that are sent out: access tokens, as a
// JWT (RFC 9068) or opaque, and ID tokens. None of them leaves a row; the handle at
// the front of an access token's jti names the grant it was issued under.
package tokens

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/oauth"
)

// Access is what an access token says.
type Access struct {
	Subject  string
	ClientID string
	Audience []string
	Scopes   []string
	Handle   string // of the grant; ClientHandle where there is none
	Rev      int64  // head of the revocation log, read before the grant
	AuthTime time.Time
	ACR      string
	AMR      []string
	Roles    []string
	Groups   []string
	// Details are the authorization details that the token stands for (RFC 9396 §9.1).
	Details []oauth.AuthorizationDetail
	// Confirmation binds the token to a key.
	Confirmation oauth.Confirmation

	Format   spec.Format
	Alg      oauth.Alg
	Lifetime time.Duration
}

// ID is what an ID token says.
type ID struct {
	Subject  string
	ClientID string
	Nonce    string
	AuthTime time.Time
	ACR      string
	AMR      []string
	SID      string
	// AccessToken, if it goes out beside the ID token, is bound to it by at_hash.
	AccessToken string
	// Code, if it goes out beside the ID token, is bound to it by c_hash.
	Code string
	// Claims about the user; none of them replaces a claim of the issuer's own.
	Claims map[string]any
	Alg    oauth.Alg
}

// idLifetime is how long an ID token may be taken: it is read once, at login.
const idLifetime = 5 * time.Minute

const ownPrefix = "c."

// ClientHandle is the handle of tokens that a client got for itself, in one of its
// generations: no grant of a person can have it.
func ClientHandle(clientID string, generation int64) string {
	// No client id holds a space.
	h := sha256.Sum256([]byte("client:" + clientID + " " + strconv.FormatInt(generation, 10)))
	return ownPrefix + base64.RawURLEncoding.EncodeToString(h[:16])
}

// Minter signs and seals tokens.
type Minter struct {
	issuer string
	ring   *keys.Ring
}

// NewMinter makes a Minter for an issuer.
func NewMinter(issuer string, ring *keys.Ring) *Minter { return &Minter{issuer: issuer, ring: ring} }

// Issuer is the iss of every token made here.
func (m *Minter) Issuer() string { return m.issuer }

// Access makes an access token that is valid from now on, and tells its expiry.
func (m *Minter) Access(now time.Time, a Access) (token string, expires time.Time, err error) {
	expires = now.Add(a.Lifetime)
	if a.Lifetime < time.Second || a.Lifetime > MaxLifetime {
		return "", expires, fmt.Errorf("tokens: a lifetime of %s is out of bounds", a.Lifetime)
	}
	payload := m.accessClaims(now, expires, a)
	switch a.Format {
	case spec.FormatOpaque:
		token, err = m.seal(payload)
	case spec.FormatJWT:
		token, err = m.sign(a.Alg, oauth.TypAccessToken, payload)
	default:
		err = fmt.Errorf("tokens: unknown format %q", a.Format)
	}
	return token, expires, err
}

// MaxLifetime bounds access tokens that are verified locally.
const MaxLifetime = 24 * time.Hour

func (m *Minter) accessClaims(now, expires time.Time, a Access) []byte {
	o := newObject(make([]byte, 0, 512))
	o.str("iss", m.issuer)
	o.str("sub", a.Subject)
	if len(a.Audience) == 1 {
		o.str("aud", a.Audience[0])
	} else {
		o.strs("aud", a.Audience)
	}
	o.str("client_id", a.ClientID)
	o.num("iat", now.Unix())
	o.num("exp", expires.Unix())
	o.str("jti", a.Handle+"."+base64.RawURLEncoding.EncodeToString(secret.Bytes(12)))
	o.num("rev", a.Rev)
	o.str("scope", oauth.JoinScope(a.Scopes))
	if !a.AuthTime.IsZero() {
		o.num("auth_time", a.AuthTime.Unix())
	}
	o.str("acr", a.ACR)
	o.strs("amr", a.AMR)
	o.strs("roles", a.Roles)
	o.strs("groups", a.Groups)
	o.details(a.Details)
	if a.Confirmation != (oauth.Confirmation{}) {
		o.name("cnf")
		o.b = newObject(o.b).confirmation(a.Confirmation)
	}
	return o.end()
}

// own are the claims of an ID token that are the issuer's to make.
var own = []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash", "c_hash", "azp", "jti"}

// ID makes an ID token (OpenID Connect Core §2).
func (m *Minter) ID(now time.Time, id ID) (string, error) {
	o := newObject(make([]byte, 0, 512))
	o.str("iss", m.issuer)
	o.str("sub", id.Subject)
	o.str("aud", id.ClientID)
	o.num("iat", now.Unix())
	o.num("exp", now.Add(idLifetime).Unix())
	if !id.AuthTime.IsZero() {
		o.num("auth_time", id.AuthTime.Unix())
	}
	o.str("nonce", id.Nonce)
	o.str("acr", id.ACR)
	o.strs("amr", id.AMR)
	o.str("sid", id.SID)
	if id.AccessToken != "" {
		o.str("at_hash", halfHash(id.Alg, id.AccessToken))
	}
	if id.Code != "" {
		o.str("c_hash", halfHash(id.Alg, id.Code))
	}
	for name, value := range id.Claims {
		if slices.Contains(own, name) {
			continue
		}
		if err := o.any(name, value); err != nil {
			return "", fmt.Errorf("tokens: claim %q: %w", name, err)
		}
	}
	return m.sign(id.Alg, oauth.TypIDToken, o.end())
}

// Introspection signs an answer about a token for who asked (RFC 9701 §5). By its
// type, and for want of sub, exp and jti, nobody takes it for a token.
func (m *Minter) Introspection(now time.Time, caller string, alg oauth.Alg, answer []byte) (string, error) {
	o := newObject(make([]byte, 0, len(answer)+256))
	o.str("iss", m.issuer)
	o.str("aud", caller)
	o.num("iat", now.Unix())
	o.name("token_introspection")
	o.b = append(o.b, answer...)
	return m.sign(alg, oauth.TypIntrospection, o.end())
}

// sign makes a compact JWS by the active key of an algorithm.
func (m *Minter) sign(alg oauth.Alg, typ string, payload []byte) (string, error) {
	signer, ok := m.ring.Signer(alg)
	if !ok {
		return "", fmt.Errorf("tokens: the key ring has no active %s key", alg)
	}
	token, err := signer.JWS(typ, payload)
	if err != nil {
		return "", fmt.Errorf("tokens: %w", err)
	}
	return token, nil
}

// ErrInvalid says that a string is no access token of ours that is valid now.
var ErrInvalid = errors.New("tokens: not a valid token of this issuer")

// LooksOpaque tells whether s has the form of an opaque access token.
func LooksOpaque(s string) bool { return strings.HasPrefix(s, opaquePrefix) }
