package tokens

import (
	"net/url"
	"slices"
	"time"

	"github.com/jeton-auth/jeton/oauth"
)

// Front is which tokens of a grant go out with an authorization response (OpenID Connect
// Core §3.2.2.5, §3.3.2.5).
type Front struct {
	Head   int64  // of the revocation log, read before the grant was made
	Nonce  string // of the request
	Code   string // that goes out beside the tokens; empty: none does
	Access bool
	ID     bool
	// Alone tells that no access token will ever go out, so that the claims of the scopes
	// have no other place than the ID token (§5.4).
	Alone bool
}

// Fronted are those tokens.
type Fronted struct {
	AccessToken string
	ExpiresIn   int64 // seconds
	Scope       string
	IDToken     string
}

// responseLifetime is how long a response may be taken; JARM §2.1 recommends ten minutes at
// most.
const responseLifetime = 5 * time.Minute

// Response signs the parameters of an authorization response for a client (JARM §2.1). It
// has no sub, so that nobody takes it for an ID token.
func (m *Minter) Response(now time.Time, client string, alg oauth.Alg, params url.Values) (string, error) {
	o := newObject(make([]byte, 0, 512))
	o.str("iss", m.issuer)
	o.str("aud", client)
	o.num("iat", now.Unix())
	o.num("exp", now.Add(responseLifetime).Unix())
	for _, name := range sorted(params) {
		if name != "iss" {
			o.str(name, params.Get(name))
		}
	}
	return m.sign(alg, oauth.TypJWT, o.end())
}

func sorted(params url.Values) []string {
	var names []string
	for name := range params {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// UserInfo signs claims about a person for a client (OpenID Connect Core §5.3.2).
func (m *Minter) UserInfo(client string, alg oauth.Alg, claims map[string]any) (string, error) {
	o := newObject(make([]byte, 0, 512))
	o.str("iss", m.issuer)
	o.str("aud", client)
	for name, value := range claims {
		if name == "iss" || name == "aud" {
			continue
		}
		if err := o.any(name, value); err != nil {
			return "", err
		}
	}
	return m.sign(alg, oauth.TypJWT, o.end())
}
