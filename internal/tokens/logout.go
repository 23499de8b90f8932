package tokens

import (
	"encoding/base64"
	"time"

	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/oauth"
)

// Logout is what a logout token says.
type Logout struct {
	Subject  string // as the client knows it
	ClientID string
	SID      string
	Alg      oauth.Alg
}

// logoutLifetime is how long a logout token may be taken (OpenID Connect Back-Channel
// Logout §2.4: two minutes at most).
const logoutLifetime = 2 * time.Minute

// Logout makes a logout token.
func (m *Minter) Logout(now time.Time, l Logout) (string, error) {
	o := newObject(make([]byte, 0, 512))
	o.str("iss", m.issuer)
	o.str("sub", l.Subject)
	o.str("aud", l.ClientID)
	o.num("iat", now.Unix())
	o.num("exp", now.Add(logoutLifetime).Unix())
	o.str("jti", base64.RawURLEncoding.EncodeToString(secret.Bytes(16)))
	if err := o.any("events", map[string]struct{}{oauth.EventBackchannelLogout: {}}); err != nil {
		return "", err
	}
	o.str("sid", l.SID)
	return m.sign(l.Alg, oauth.TypLogoutToken, o.end())
}
