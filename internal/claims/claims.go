// Package claims decides which claims about a person are released, in one place:
// ID token, userinfo, access token and introspection all ask here.
package claims

import (
	"maps"
	"slices"

	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// byScope are the claims that a scope asks for (OpenID Connect Core §5.4).
var byScope = map[string][]string{
	oauth.ScopeProfile: {
		"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username",
		"profile", "picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at",
	},
	oauth.ScopeEmail:   {"email", "email_verified"},
	oauth.ScopeAddress: {"address"},
	oauth.ScopePhone:   {"phone_number", "phone_number_verified"},
	oauth.ScopeRoles:   {"roles"},
	oauth.ScopeGroups:  {"groups"},
}

// Supported lists the claims that can be asked for, sorted.
func Supported() []string {
	all := []string{"sub", "acr", "amr", "auth_time"}
	for _, names := range byScope {
		all = append(all, names...)
	}
	slices.Sort(all)
	return all
}

// value is a claim about the user; ok is false where nothing is known.
func value(u *store.User, name string) (v any, ok bool) {
	switch name {
	case "email":
		return u.Email, u.Email != ""
	case "email_verified":
		return u.EmailVerified, u.Email != ""
	case "name":
		return u.Name, u.Name != ""
	case "roles":
		return u.Roles, len(u.Roles) > 0
	case "groups":
		return u.Groups, len(u.Groups) > 0
	case "updated_at":
		return u.UpdatedAt.Unix(), !u.UpdatedAt.IsZero()
	case "sub", "iss", "aud", "exp", "iat", "nbf", "jti", "acr", "amr", "auth_time", "nonce", "sid", "azp", "at_hash", "c_hash":
		return nil, false // the issuer's own words, never a user's attribute
	}
	v, ok = u.Claims[name]
	return v, ok && v != nil
}

// UserInfo are the claims that userinfo releases: those of the granted scopes and
// those asked for one by one.
func UserInfo(u *store.User, scopes []string, asked map[string]*store.ClaimRequest) map[string]any {
	out := map[string]any{"sub": u.ID}
	for _, scope := range scopes {
		release(out, u, byScope[scope])
	}
	individually(out, u, asked)
	return out
}

// IDToken are the claims about the user in an ID token. Those of the scopes come
// from userinfo (OpenID Connect Core §5.4); roles and groups, which no standard
// places, stand here too, where most software looks for them.
func IDToken(u *store.User, scopes []string, asked map[string]*store.ClaimRequest) map[string]any {
	out := map[string]any{}
	for _, scope := range []string{oauth.ScopeRoles, oauth.ScopeGroups} {
		if slices.Contains(scopes, scope) {
			release(out, u, byScope[scope])
		}
	}
	individually(out, u, asked)
	return out
}

// IDTokenAlone are the claims in an ID token beside which no access token ever goes out:
// those of the scopes have no other place (OpenID Connect Core §5.4).
func IDTokenAlone(u *store.User, scopes []string, asked map[string]*store.ClaimRequest) map[string]any {
	out := UserInfo(u, scopes, asked)
	delete(out, "sub")
	return out
}

// Still are those asked for one by one whose scope the client may have today.
func Still(c *store.Client, asked map[string]*store.ClaimRequest) map[string]*store.ClaimRequest {
	still := maps.Clone(asked)
	maps.DeleteFunc(still, func(name string, _ *store.ClaimRequest) bool {
		scope, ok := Scope(name)
		return !ok || !slices.Contains(c.Scopes, scope)
	})
	return still
}

func release(out map[string]any, u *store.User, names []string) {
	for _, name := range names {
		if v, ok := value(u, name); ok {
			out[name] = v
		}
	}
}

func individually(out map[string]any, u *store.User, asked map[string]*store.ClaimRequest) {
	for name := range asked {
		if _, ok := Scope(name); ok {
			release(out, u, []string{name})
		}
	}
}

// Scope is the scope that a claim belongs to; ok is false for a claim that is not
// supported.
func Scope(claim string) (scope string, ok bool) {
	for scope, names := range byScope {
		if slices.Contains(names, claim) {
			return scope, true
		}
	}
	return "", false
}
