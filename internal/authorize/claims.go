package authorize

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/jeton-auth/jeton/internal/claims"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// Claims about the login rather than the person: asked for one by one, and needing
// no scope.
const (
	claimSubject = "sub"
	claimACR     = "acr"
)

var ofTheLogin = []string{claimSubject, claimACR, "amr", "auth_time"}

// claims takes the claims parameter (OpenID Connect Core §5.5). A claim that is not
// supported, or whose scope the client may not have, is left out, as any claim may
// be.
func (s *parsing) claims() *oauth.Error {
	text, refusal := s.text("claims", maxClaims)
	if refusal != nil || text == "" {
		return refusal
	}
	var asked store.ClaimsRequest
	if err := json.Unmarshal([]byte(text), &asked); err != nil {
		return oauth.Refuse(oauth.InvalidRequest, "claims is not a JSON object with the members userinfo and id_token: see OpenID Connect Core 5.5")
	}
	for _, part := range []map[string]*store.ClaimRequest{asked.UserInfo, asked.IDToken} {
		maps.DeleteFunc(part, func(name string, _ *store.ClaimRequest) bool { return !s.mayAsk(name) })
		if sub := part[claimSubject]; sub != nil && sub.Value != nil {
			if _, ok := sub.Value.(string); !ok {
				return oauth.Refuse(oauth.InvalidRequest, "claims asks for a sub that is not a string")
			}
		}
	}
	s.Request.Claims = asked
	return nil
}

func (s *parsing) mayAsk(claim string) bool {
	if slices.Contains(ofTheLogin, claim) {
		return true
	}
	scope, ok := claims.Scope(claim)
	return ok && slices.Contains(s.Client.Scopes, scope)
}

// wants tells whether a request is for this person, by the client's name for them, or for
// whoever comes: the hint, and the sub that the claims parameter may name, say so.
func wants(r *store.AuthorizationRequest, subject string) bool {
	if r.IDTokenHint != "" && r.IDTokenHint != subject {
		return false
	}
	for _, part := range []map[string]*store.ClaimRequest{r.Claims.UserInfo, r.Claims.IDToken} {
		if sub := part[claimSubject]; sub != nil && sub.Value != nil && sub.Value != subject {
			return false
		}
	}
	return true
}

// meets tells whether a context class is one that the request calls essential
// (OpenID Connect Core §5.5.1.1), or whether it calls none so.
func meets(r *store.AuthorizationRequest, acr string) bool {
	asked := r.Claims.IDToken[claimACR]
	if asked == nil || !asked.Essential || asked.Value == nil && len(asked.Values) == 0 {
		return true
	}
	return asked.Value == acr || slices.Contains(asked.Values, any(acr))
}

// needs are the scopes that take the person's consent, by resource: those asked for,
// and those to which the claims belong that are asked for one by one.
func (p *Pending) needs() map[string][]string {
	needs := map[string][]string{}
	if len(p.Request.Scopes) > 0 {
		needs[""] = slices.Clone(p.Request.Scopes)
	}
	for _, part := range []map[string]*store.ClaimRequest{p.Request.Claims.UserInfo, p.Request.Claims.IDToken} {
		for claim := range part {
			if scope, ok := claims.Scope(claim); ok && !slices.Contains(needs[""], scope) {
				needs[""] = append(needs[""], scope)
			}
		}
	}
	for _, api := range p.Request.Resources {
		needs[api.ID] = api.Scopes
	}
	return needs
}
