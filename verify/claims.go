package verify

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/jeton-auth/jeton/oauth"
)

// maxClaims bounds the octets of a claims set; a token's is smaller still, by
// MaxToken.
const maxClaims = 64 << 10

const (
	maxInteger = 1<<53 - 1    // what every JSON reader reads alike (RFC 8259 §6)
	maxDate    = 253402300799 // the last second of the year 9999
)

// Claims are the claims of an access token, or of an introspection answer. Times
// are whole seconds since the epoch (NumericDate, RFC 7519 §2; a fraction is cut
// off), and an absent claim is the zero value.
type Claims struct {
	Issuer    string   // iss
	Subject   string   // sub
	Audience  []string // aud, on the wire a string or an array
	Expiry    int64    // exp
	NotBefore int64    // nbf
	IssuedAt  int64    // iat
	ID        string   // jti
	ClientID  string   // client_id, RFC 9068 §2.2
	Scope     string   // scope, as on the wire; see Scopes and HasScope
	Nonce     string   // nonce, of an ID token
	SessionID string   // sid, OpenID Connect Front-Channel Logout §3

	AuthTime int64    // auth_time, when the person last proved who they are
	ACR      string   // acr, the class in which they did
	AMR      []string // amr, the methods they used

	// Roles and Groups (RFC 9068 §2.2.3.1) are filled from a string or an array of
	// strings. Of other shapes nothing is taken; Raw has them.
	Roles  []string
	Groups []string

	// Confirmation is the cnf claim (RFC 7800), nil when absent: the token is
	// worth nothing without proof of that key. Both its fields are empty when it is
	// bound in a way that is not known here.
	Confirmation *oauth.Confirmation

	// Rev is the number of the issuer's newest revocation when the token was
	// made. Only Jeton writes it; HasRev tells whether it is there.
	Rev    int64
	HasRev bool

	payload string
}

// Scopes are the tokens of the scope claim, without duplicates.
func (c *Claims) Scopes() []string {
	scopes, _ := oauth.ParseScope(c.Scope)
	return scopes
}

// HasScope tells whether scope is one of the token's scopes.
func (c *Claims) HasScope(scope string) bool {
	for rest := c.Scope; rest != ""; {
		var one string
		one, rest, _ = strings.Cut(rest, " ")
		if one == scope && one != "" {
			return true
		}
	}
	return false
}

// Raw is the JSON of a claim by its name, for the claims that have no field
// here; ok is false when it is absent. It reads the claims set anew each time.
func (c *Claims) Raw(name string) (value json.RawMessage, ok bool) {
	if c.payload == "" {
		return nil, false
	}
	r := reader{s: c.payload}
	for member := range r.members {
		r.peek()
		start := r.i
		r.skip()
		if member == name {
			return json.RawMessage(r.s[start:r.i]), true
		}
	}
	return nil, false
}

// DecodeClaims reads a claims set strictly. It refuses what readers could take
// in different ways or that costs too much: duplicate members at any level,
// invalid Unicode, numbers out of range, more than 8 levels or 64 KiB, and
// registered claims of the wrong type, null included. It judges nothing else:
// every claim may be absent. The error is an *oauth.Error.
func DecodeClaims(payload []byte) (*Claims, error) {
	c := new(Claims)
	if err := c.decode(payload); err != nil {
		return nil, invalid("The claims set %v.", err)
	}
	return c, nil
}

// decode is DecodeClaims into zero claims. Its error completes a sentence about
// the claims set. The claims'
// strings are parts of one copy
// of the payload.
func (c *Claims) decode(payload []byte) error {
	if len(payload) > maxClaims {
		return fmt.Errorf("has more than %d octets", maxClaims)
	}
	var names [32]string
	r := reader{s: string(payload), names: names[:0]}
	for name := range r.members {
		c.member(&r, name)
		if r.err != nil {
			break
		}
	}
	r.end()
	if r.err != nil {
		return r.err
	}
	c.payload = r.s
	return nil
}

func (c *Claims) member(r *reader, name string) {
	switch name {
	case "iss":
		c.Issuer = r.claim(name)
	case "sub":
		c.Subject = r.claim(name)
	case "aud":
		c.Audience = r.list(name)
	case "exp":
		c.Expiry = r.date(name)
	case "nbf":
		c.NotBefore = r.date(name)
	case "iat":
		c.IssuedAt = r.date(name)
	case "auth_time":
		c.AuthTime = r.date(name)
	case "jti":
		c.ID = r.claim(name)
	case "client_id":
		c.ClientID = r.claim(name)
	case "scope":
		c.Scope = r.claim(name)
	case "acr":
		c.ACR = r.claim(name)
	case "amr":
		c.AMR = r.list(name)
	case "rev":
		c.Rev, c.HasRev = r.integer(name), true
	case "cnf":
		c.Confirmation = r.confirmation(name)
	case "nonce":
		c.Nonce = r.claim(name)
	case "sid":
		c.SessionID = r.claim(name)
	case "roles":
		c.Roles = r.looseList()
	case "groups":
		c.Groups = r.looseList()
	default:
		r.skip()
	}
}

func (r *reader) claim(name string) string {
	r.want('"', name, "a string")
	return r.text()
}

// list reads a string or an array of strings.
func (r *reader) list(name string) []string {
	list, ok := r.strings()
	if !ok {
		r.mistyped(name, "a string or an array of strings")
	}
	return list
}

// looseList is list, but takes nothing from any other value.
func (r *reader) looseList() []string {
	list, ok := r.strings()
	if !ok {
		return nil
	}
	return list
}

// strings reads any value; ok tells that it is a string or an array of strings.
func (r *reader) strings() (list []string, ok bool) {
	switch r.peek() {
	case '"':
		return []string{r.text()}, true
	case '[':
		list, ok = make([]string, 0, 4), true
		for range r.elements {
			if r.peek() != '"' {
				ok = false
				r.skip()
				continue
			}
			list = append(list, r.text())
		}
		return list, ok
	}
	r.skip()
	return nil, false
}

func (r *reader) confirmation(name string) *oauth.Confirmation {
	r.want('{', name, "an object")
	cnf := new(oauth.Confirmation)
	for member := range r.members {
		switch member {
		case "jkt":
			cnf.JKT = r.claim(member)
		case "x5t#S256":
			cnf.X5TS256 = r.claim(member)
		default:
			r.skip()
		}
	}
	return cnf
}

// integer reads a whole number from 0 to maxInteger, written without fraction or
// exponent.
func (r *reader) integer(name string) int64 {
	r.want('0', name, "a number")
	n, err := strconv.ParseInt(r.number(), 10, 64)
	if r.err == nil && (err != nil || n < 0 || n > maxInteger) {
		r.fail(errNumber)
	}
	return n
}

// date reads a NumericDate from 1970 to 9999 and cuts its fraction off.
func (r *reader) date(name string) int64 {
	r.want('0', name, "a number")
	s := r.number()
	if r.err != nil {
		return 0
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 && n <= maxDate {
		return n
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f < 0 || f > maxDate {
		r.fail(errNumber)
		return 0
	}
	return int64(f)
}

// want fails unless the next value begins with c; '0' stands for any number.
func (r *reader) want(c byte, name, what string) {
	switch got := r.peek(); {
	case got == c, c == '0' && (got == '-' || got >= '1' && got <= '9'):
	default:
		r.mistyped(name, what)
	}
}

func (r *reader) mistyped(name, what string) {
	r.fail(fmt.Errorf("holds %s, which is not %s", name, what))
}
