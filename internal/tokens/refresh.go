package tokens

import (
	"slices"
	"time"

	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// DescribeRefresh is the introspection answer for the current refresh token of a
// live grant, which ends at a time. name is what the client calls the person.
func DescribeRefresh(g *store.Grant, name string, ends time.Time) []byte {
	scopes := slices.Clone(g.Details.Scopes)
	for _, r := range g.Details.Resources {
		for _, s := range r.Scopes {
			if !slices.Contains(scopes, s) {
				scopes = append(scopes, s)
			}
		}
	}
	o := newObject(nil)
	o.name("active")
	o.b = append(o.b, "true"...)
	o.str("token_type", "refresh_token")
	o.str("client_id", g.Client)
	o.str("sub", name)
	o.str("scope", oauth.JoinScope(scopes))
	o.details(g.Details.AuthorizationDetails)
	o.num("iat", g.RotatedAt.Unix())
	o.num("exp", ends.Unix())
	return o.end()
}
