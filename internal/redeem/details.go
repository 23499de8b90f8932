package redeem

import (
	"slices"

	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/tokens"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

const detailsParameter = "authorization_details"

// stillDetails are those of a grant whose types the client may have today.
func stillDetails(client *store.Client, granted []oauth.AuthorizationDetail) []oauth.AuthorizationDetail {
	var kept []oauth.AuthorizationDetail
	for _, d := range granted {
		if slices.Contains(client.AuthorizationDetailsTypes, d.Type) {
			kept = append(kept, d)
		}
	}
	return kept
}

// narrowDetails takes those that a token request asks for among those that the client
// holds (RFC 9396 §6); all of them where it asks for none. What was for known APIs alone
// stays so: without their names it would be for all.
func narrowDetails(held []oauth.AuthorizationDetail, p web.Params, known func(string) bool) ([]oauth.AuthorizationDetail, *oauth.Error) {
	if !p.Has(detailsParameter) {
		return held, nil
	}
	var types []string
	for _, d := range held {
		types = append(types, d.Type)
	}
	asked, refusal := tokens.ParseDetails(p.Get(detailsParameter), types)
	if refusal != nil {
		return nil, refusal
	}
	for _, d := range asked {
		placed := slices.ContainsFunc(d.Locations, known)
		if !slices.ContainsFunc(held, func(h oauth.AuthorizationDetail) bool {
			return d.Within(h) && (placed || !slices.ContainsFunc(h.Locations, known))
		}) {
			return nil, oauth.Refuse(oauth.InvalidAuthzDetails, "authorization_details asks for more than was granted to this client: name fewer values of its arrays, and change nothing else")
		}
	}
	return asked, nil
}

// ownDetails are those that a client asks for itself: it holds what it may ask for.
func ownDetails(client *store.Client, p web.Params) ([]oauth.AuthorizationDetail, *oauth.Error) {
	if !p.Has(detailsParameter) {
		return nil, nil
	}
	return tokens.ParseDetails(p.Get(detailsParameter), client.AuthorizationDetailsTypes)
}

// located tells whether a detail is for this API, by name or because there is no other.
func (h holding) located(api string) bool {
	return slices.ContainsFunc(h.details, func(d oauth.AuthorizationDetail) bool {
		return slices.Contains(d.Locations, api) || len(d.Locations) == 0 && len(h.resources) == 1
	})
}
