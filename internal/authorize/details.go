package authorize

import (
	"slices"

	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/tokens"
	"github.com/jeton-auth/jeton/oauth"
)

// details takes authorization_details (RFC 9396 §2). Where no resource is named, they ask
// for the APIs that they name as locations; or, without a location, for the only one that
// the client has.
func (s *parsing) details() (refusal *oauth.Error) {
	if !s.params.Has("authorization_details") {
		return nil
	}
	if len(s.Client.AuthorizationDetailsTypes) == 0 {
		return oauth.Refuse(oauth.InvalidAuthzDetails, "this client may not ask for authorization_details: register authorization_details_types")
	}
	s.Request.Details, refusal = tokens.ParseDetails(s.params.Get("authorization_details"), s.Client.AuthorizationDetailsTypes)
	if refusal != nil || s.Request.ResourceAsked {
		return refusal
	}
	for _, d := range s.Request.Details {
		for _, id := range d.Locations {
			s.ofLocation(id)
		}
	}
	if scopes, _ := oauth.ParseScope(s.params.Get("scope")); len(s.Request.Resources) == 0 && len(scopes) == 0 && len(s.Client.Resources) == 1 {
		s.ofLocation(s.Client.Resources[0])
	}
	return nil
}

func (s *parsing) ofLocation(id string) {
	if _, ok := s.Directory.Resource(id); ok && slices.Contains(s.Client.Resources, id) && s.granted(id) == nil {
		s.Request.Resources = append(s.Request.Resources, store.GrantedResource{ID: id})
	}
}
