package spec

import (
	"slices"

	"github.com/jeton-auth/jeton/oauth"
)

// Profile names a set of rules for clients. The zero value is ProfileOIDC.
type Profile string

const (
	ProfileOIDC         Profile = "oidc"
	ProfileOAuth21      Profile = "oauth21"
	ProfileFAPI2        Profile = "fapi2"
	ProfileFAPI2Signing Profile = "fapi2-message-signing"
)

// fapiAlgs are those of FAPI 2.0 Security Profile 5.4.1.
var fapiAlgs = []oauth.Alg{oauth.ES256, oauth.EdDSA, oauth.PS256}

// FAPI tells whether the FAPI 2.0 Security Profile holds.
func (p Profile) FAPI() bool { return p == ProfileFAPI2 || p == ProfileFAPI2Signing }

// MessageSigning tells whether FAPI 2.0 Message Signing holds too.
func (p Profile) MessageSigning() bool { return p == ProfileFAPI2Signing }

// SigningAlgs are the algorithms of every JWT that the profile lets an issuer make and
// accept: ID tokens, access tokens, responses, client assertions, request objects and DPoP
// proofs.
func (p Profile) SigningAlgs() []oauth.Alg {
	if p.FAPI() {
		return slices.Clone(fapiAlgs)
	}
	return slices.Clone(Algs)
}

// AudienceIsIssuer tells whether a client assertion must name the issuer alone, as a single
// string (FAPI 2.0 Security Profile 5.3.2.1 item 8); otherwise it may name the issuer or
// the endpoint that it is sent to.
func (p Profile) AudienceIsIssuer() bool { return p.FAPI() || p == ProfileOAuth21 }

// AuthMethods are the client authentication methods that the profile knows.
func (p Profile) AuthMethods() []oauth.AuthMethod {
	if p.FAPI() {
		return []oauth.AuthMethod{oauth.PrivateKeyJWT, oauth.TLSClientAuth, oauth.SelfSignedTLS}
	}
	return slices.Clone(AuthMethods)
}

// ResponseTypes are those that the profile knows.
func (p Profile) ResponseTypes() []oauth.ResponseType {
	if p.FAPI() || p == ProfileOAuth21 {
		return []oauth.ResponseType{oauth.ResponseCode}
	}
	return slices.Clone(ResponseTypes)
}

// ResponseModes are those that the profile knows, the one that an authorization request
// without response_mode gets first; that of ProfileFAPI2Signing is signed (FAPI 2.0 Message
// Signing 5.4.1), that of the others follows from the response type.
func (p Profile) ResponseModes() []oauth.ResponseMode {
	if p.MessageSigning() {
		return []oauth.ResponseMode{oauth.ModeJWT, oauth.ModeQueryJWT, oauth.ModeFragmentJWT, oauth.ModeFormPostJWT}
	}
	return slices.Clone(ResponseModes)
}

// BearerInBody tells whether an access token may stand in a form (RFC 6750 §2.2). OAuth 2.1
// allows it (5.1.2), FAPI 2.0 Security Profile 5.3.3 item 3 knows the header alone.
func (p Profile) BearerInBody() bool { return !p.FAPI() }
