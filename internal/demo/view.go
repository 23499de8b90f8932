package demo

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/verify"
)

// view is what the templates see.
type view struct {
	Title, Brand string
	Wide         bool
	Options      Options
	Account      *accountView // nil: signed out
	Last         *result
	Times        *timesView // of the page of times alone
	TV           *tvView    // of the TV alone
	Reload       int        // seconds until the browser loads the page again; 0: it does not
}

type accountView struct {
	Name   string
	Email  string
	Claims []claim
	Token  tokenView
	// Number is that of the refresh token in its grant, 0 if there is none to see.
	Number    int64
	Refreshes int
	Revoked   bool
}

// Refreshed is how often in words.
func (a accountView) Refreshed() string {
	switch a.Refreshes {
	case 0:
		return "not yet"
	case 1:
		return "once"
	}
	return fmt.Sprintf("%d times", a.Refreshes)
}

// claim is one with its value, and for a time the words for it.
type claim struct{ Name, Value, Time string }

// tokenView is an access token, read but not judged.
type tokenView struct {
	JWT             bool
	Header, Payload string
	Audience        []string
	Scopes          []string
	Key             string    // thumbprint of the DPoP key that it is bound to; empty: it is a bearer token
	Expires         time.Time // zero: unknown
	Left, Life      int64     // seconds
}

// describe reads what is kept about an account into what is shown.
func (a *web) describe(acc *account) *accountView {
	v := &accountView{
		Claims: claimList(acc.claims), Token: a.readToken(acc.token.AccessToken),
		Refreshes: acc.refreshes, Revoked: acc.revoked,
	}
	if strings.EqualFold(acc.token.TokenType, oauth.TokenTypeDPoP) {
		v.Token.Key = a.prover.JKT()
	}
	v.Number, _ = number(acc.token.RefreshToken)
	v.Email, _ = acc.claims["email"].(string)
	for _, name := range []string{"name", "preferred_username", "email", "sub"} {
		if v.Name, _ = acc.claims[name].(string); v.Name != "" {
			break
		}
	}
	if v.Token.Expires.IsZero() && !acc.token.Expiry.IsZero() {
		v.Token.until(acc.token.Expiry, a.clock.Now())
	}
	return v
}

// readToken looks into a JWT. An app needn't, and can't with an opaque token.
func (a *web) readToken(token string) (v tokenView) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return v
	}
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		return v
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return v
	}
	c, err := verify.DecodeClaims(payload)
	if err != nil {
		return v
	}
	v.JWT, v.Header, v.Payload = true, indent(header), indent(payload)
	v.Audience, v.Scopes = c.Audience, c.Scopes()
	v.Life = c.Expiry - c.IssuedAt
	v.until(time.Unix(c.Expiry, 0), a.clock.Now())
	return v
}

func (v *tokenView) until(expires, now time.Time) {
	v.Expires = expires
	v.Left = max(0, int64(expires.Sub(now)/time.Second))
	v.Life = max(v.Life, v.Left)
}

// Remaining is the time left in words, as demo.js writes it.
func (v tokenView) Remaining() string {
	switch {
	case v.Left <= 0:
		return "expired"
	case v.Left < 60:
		return fmt.Sprintf("%d s left", v.Left)
	}
	return fmt.Sprintf("%d min %d s left", v.Left/60, v.Left%60)
}

// personal are the claims about the person, shown before those about the login.
var personal = []string{"name", "email", "email_verified", "preferred_username", "roles", "groups", "sub"}

// claimList is the claims, each as JSON unless it is text.
func claimList(claims map[string]any) []claim {
	list := make([]claim, 0, len(claims))
	names := slices.DeleteFunc(slices.Clone(personal), func(name string) bool { _, ok := claims[name]; return !ok })
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		if !slices.Contains(personal, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		c := claim{Name: name}
		switch v := claims[name].(type) {
		case string:
			c.Value = v
		case float64:
			c.Value = fmt.Sprintf("%.0f", v)
			switch name {
			case "iat", "exp", "auth_time", "updated_at":
				c.Time = time.Unix(int64(v), 0).UTC().Format("2 Jan 2006 15:04:05 UTC")
			}
		default:
			b, _ := json.Marshal(v) // it came from JSON
			c.Value = string(b)
		}
		list = append(list, c)
	}
	return list
}

// number is the number that a refresh token of Jeton has in its grant. To an app a
// refresh token is opaque; this one looks, to show what a refresh changes.
func number(token string) (n int64, ok bool) {
	rest, found := strings.CutPrefix(token, "jtr_")
	raw, err := base64.RawURLEncoding.DecodeString(rest)
	// Version, kind, pepper's id and grant's id come first: 22 octets.
	if !found || err != nil || len(raw) < 28 {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(append([]byte{0, 0}, raw[22:28]...))), true
}
