package clientauth

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/clientkeys"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/verify"
)

// Bounds of an assertion's times. FAPI 2.0 Security Profile 5.3.2.1 item 13 takes what is
// up to 10 seconds ahead, and refuses what is more than 60.
const (
	MaxAssertionAge = time.Hour        // from now to exp
	assertionSkew   = 30 * time.Second // of iat and nbf
)

// PrivateKeyJWT is private_key_jwt (OpenID Connect Core §9, RFC 7523 §3): the client
// signs an assertion for each request.
type PrivateKeyJWT struct {
	// Issuer and Token, the token endpoint, are whom an assertion may be meant for.
	Issuer, Token string
	Keys          *clientkeys.Keys
	Store         *store.Store
	Audit         *audit.Log
}

// Name is the method's registered name.
func (*PrivateKeyJWT) Name() oauth.AuthMethod { return oauth.PrivateKeyJWT }

// Presented is true where the body holds an assertion. The client is whom it says to
// speak for; Check judges whether it does.
func (*PrivateKeyJWT) Presented(r Request) (string, bool, *oauth.Error) {
	assertion, kind := r.Params.Get("client_assertion"), r.Params.Get("client_assertion_type")
	switch {
	case assertion == "" && kind == "":
		return "", false, nil
	case kind != oauth.AssertionJWTBearer:
		return "", false, unfit("client_assertion_type is not %s", oauth.AssertionJWTBearer)
	case assertion == "":
		return "", false, unfit("client_assertion is missing")
	}
	claims, err := peek(assertion)
	if err != nil {
		return "", false, unfit("client_assertion is not a JWT in compact form whose claims are sound JSON")
	}
	sent := r.Params.Get("client_id")
	switch {
	case claims.Subject == "" || claims.Issuer != claims.Subject:
		return "", false, unfit("iss and sub of client_assertion must both be the client's id")
	case sent != "" && sent != claims.Subject:
		return "", false, unfit("client_id in the body is not the client of client_assertion")
	}
	return claims.Subject, true, nil
}

func unfit(format string, args ...any) *oauth.Error {
	return oauth.Refuse(oauth.InvalidClient, format, args...)
}

// peek reads claims that nothing vouches for yet.
func peek(compact string) (*verify.Claims, error) {
	parts := strings.SplitN(compact, ".", 4)
	if len(compact) > clientkeys.MaxJWS || len(parts) != 3 {
		return nil, clientkeys.ErrForm
	}
	payload, err := base64.RawURLEncoding.Strict().DecodeString(parts[1])
	if err != nil {
		return nil, err
	}
	return verify.DecodeClaims(payload)
}

// Check verifies the assertion's signature by the client's keys, and what it says. Until the signature is right nothing is told but that
// the client did not authenticate.
func (m *PrivateKeyJWT) Check(ctx context.Context, r Request, c *store.Client) error {
	if c.AuthMethod != oauth.PrivateKeyJWT || c.Disabled {
		return ErrRefused
	}
	signed, err := m.Keys.Verify(ctx, c, r.Params.Get("client_assertion"), c.Profile.SigningAlgs())
	if errors.Is(err, clientkeys.ErrFetch) {
		refusal := refused()
		refusal.Cause = err
		return refusal
	}
	if err != nil {
		return ErrRefused
	}
	claims, err := verify.DecodeClaims(signed.Payload)
	if err != nil {
		return unfit("client_assertion does not hold claims in sound JSON")
	}
	if refusal := m.judge(r, c, signed.Typ, claims, m.Store.Now()); refusal != nil {
		return refusal
	}
	return nil
}

// assertionTypes are the values of typ that an assertion may have. Other kinds of JWT
// that the client signs are no assertions (RFC 8725 §3.11).
var assertionTypes = []string{"", "jwt", "client-authentication+jwt"}

func (m *PrivateKeyJWT) judge(r Request, c *store.Client, typ string, a *verify.Claims, now time.Time) *oauth.Error {
	ahead := now.Add(assertionSkew).Unix()
	switch {
	case !slices.Contains(assertionTypes, strings.TrimPrefix(strings.ToLower(typ), "application/")):
		return unfit("typ of client_assertion is that of another kind of JWT: leave it out, or write JWT")
	case a.Issuer != c.ID || a.Subject != c.ID:
		return unfit("iss and sub of client_assertion must both be the client's id")
	case !m.meant(r, c, a):
		return m.otherAudience(c)
	case a.Expiry == 0:
		return unfit("client_assertion has no exp")
	case a.Expiry <= now.Unix():
		return unfit("client_assertion has expired")
	case a.Expiry > now.Add(MaxAssertionAge).Unix():
		return unfit("exp of client_assertion is more than %d minutes ahead: make one for each request", int(MaxAssertionAge.Minutes()))
	case a.IssuedAt > ahead:
		return unfit("iat of client_assertion is ahead of time: check the client's clock")
	case a.NotBefore > ahead:
		return unfit("nbf of client_assertion is ahead of time: check the client's clock")
	case a.ID == "":
		return unfit("client_assertion has no jti")
	}
	return nil
}

// meant tells whether the assertion is for this server alone: one that another server
// could be shown as well, or gave the idea of, is refused.
func (m *PrivateKeyJWT) meant(r Request, c *store.Client, a *verify.Claims) bool {
	if len(a.Audience) != 1 {
		return false
	}
	aud := a.Audience[0]
	if c.Profile.AudienceIsIssuer() {
		raw, _ := a.Raw("aud")
		return aud == m.Issuer && len(raw) > 0 && raw[0] == '"'
	}
	return aud == m.Issuer || aud == m.Token || aud == r.Endpoint
}

func (m *PrivateKeyJWT) otherAudience(c *store.Client) *oauth.Error {
	if c.Profile.AudienceIsIssuer() {
		return unfit("aud of client_assertion must be the issuer, %s, as a string and not an array", m.Issuer)
	}
	return unfit("aud of client_assertion must be either the issuer, %s, or the address of this endpoint, and nothing else", m.Issuer)
}

// Spend takes the assertion once, on whichever node. It comes last: what fails for another
// reason, or for want of the database, leaves the assertion as it was.
func (m *PrivateKeyJWT) Spend(ctx context.Context, r Request, c *store.Client) error {
	a, err := peek(r.Params.Get("client_assertion"))
	if err != nil {
		return refused()
	}
	key, until := store.Replay("client_assertion", c.ID, a.ID), time.Unix(a.Expiry, 0)
	won := false
	err = m.Audit.WriteRoutine(ctx, func(tx *store.Tx) (e audit.Event, err error) {
		if won, err = tx.UseOnce(key, until); won {
			e = audit.Event{Type: audit.AssertionUsed, Client: c.ID}
		}
		return e, err
	})
	if err == nil && !won {
		return unfit("client_assertion was used before: its jti must be new for each request")
	}
	return err
}
