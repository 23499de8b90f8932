package endpoints

import (
	"slices"

	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/oauth"
)

// requestMetadata says in which forms authorization requests may come (RFC 9101 §10.5,
// RFC 9126 §5, RFC 9396 §10). Request objects are supported where a client has keys to
// check them by.
type requestMetadata struct {
	PARRequired           bool        `json:"require_pushed_authorization_requests,omitempty"`
	RequestParameter      bool        `json:"request_parameter_supported"`
	RequestURIParameter   bool        `json:"request_uri_parameter_supported"`
	RequestURIMustBeKnown bool        `json:"require_request_uri_registration,omitempty"`
	RequestAlgs           []oauth.Alg `json:"request_object_signing_alg_values_supported,omitempty"`
	SignedRequestRequired bool        `json:"require_signed_request_object,omitempty"`
	DetailTypes           []string    `json:"authorization_details_types_supported,omitempty"`
}

func (m *Metadata) requests() requestMetadata {
	r := requestMetadata{
		PARRequired:           m.everyProfile(spec.Profile.FAPI),
		SignedRequestRequired: m.everyProfile(spec.Profile.MessageSigning),
	}
	for _, c := range m.Directory.Clients() {
		for _, t := range c.AuthorizationDetailsTypes {
			if !slices.Contains(r.DetailTypes, t) {
				r.DetailTypes = append(r.DetailTypes, t)
			}
		}
		if c.JWKS == "" && c.JWKSURI == "" {
			continue
		}
		r.RequestParameter = true
		if len(c.RequestURIs) > 0 {
			r.RequestURIParameter, r.RequestURIMustBeKnown = true, true
		}
		for _, a := range c.Profile.SigningAlgs() {
			if !slices.Contains(r.RequestAlgs, a) {
				r.RequestAlgs = append(r.RequestAlgs, a)
			}
		}
	}
	slices.Sort(r.DetailTypes)
	return r
}
