package tokens

import (
	"encoding/json"
	"slices"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/verify"
)

// Bounds of authorization_details: they stand in access tokens, of which opaque ones are
// the tightest.
const (
	maxDetails     = 20
	maxDetailBytes = 2 << 10
)

// ParseDetails reads an authorization_details parameter (RFC 9396 §2) as strictly as
// verifiers will read the tokens that carry it, and takes the given types alone.
func ParseDetails(text string, types []string) ([]oauth.AuthorizationDetail, *oauth.Error) {
	if len(text) > maxDetailBytes {
		return nil, badDetails("is longer than %d bytes", maxDetailBytes)
	}
	// An introspection answer that is signed nests them deepest.
	if _, err := verify.DecodeClaims([]byte(`{"i":{"d":` + text + `}}`)); err != nil {
		return nil, badDetails("is not JSON that can be read in one way only: members stand once, and nest little")
	}
	var all []json.RawMessage
	if err := json.Unmarshal([]byte(text), &all); err != nil || all == nil {
		return nil, badDetails("is not a JSON array")
	}
	if len(all) == 0 || len(all) > maxDetails {
		return nil, badDetails("must hold from one to %d objects", maxDetails)
	}
	details := make([]oauth.AuthorizationDetail, len(all))
	for i, raw := range all {
		if err := details[i].UnmarshalJSON(raw); err != nil {
			return nil, badDetails("is wrong: %s", err)
		}
		if !slices.Contains(types, details[i].Type) {
			return nil, badDetails("holds a type that this client may not ask for: register it in authorization_details_types")
		}
	}
	return details, nil
}

func badDetails(format string, args ...any) *oauth.Error {
	return oauth.Refuse(oauth.InvalidAuthzDetails, "authorization_details "+format, args...)
}

// DetailsFor are those of details that are for one of the audiences: those that name it
// among their locations, and those of which no location is a known API's. An API does not
// see what is for other ones.
func DetailsFor(details []oauth.AuthorizationDetail, audience []string, known func(string) bool) []oauth.AuthorizationDetail {
	var kept []oauth.AuthorizationDetail
	for _, d := range details {
		if !slices.ContainsFunc(d.Locations, known) || slices.ContainsFunc(d.Locations, func(l string) bool { return slices.Contains(audience, l) }) {
			kept = append(kept, d)
		}
	}
	return kept
}

// details appends an array of authorization details; an empty one is left out.
func (o *object) details(details []oauth.AuthorizationDetail) {
	if len(details) == 0 {
		return
	}
	o.name("authorization_details")
	o.b = append(o.b, '[')
	for i, d := range details {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = append(o.b, d.Raw...)
	}
	o.b = append(o.b, ']')
}
