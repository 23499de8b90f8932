package spec

import "strings"

// validateRequests holds the rules about how the client may ask.
func (c Client) validateRequests(p *problems) {
	unique(p, "request_uris", c.RequestURIs)
	for i, raw := range c.RequestURIs {
		// A fragment may hold the hash of what is there (OpenID Connect Core §6.2).
		before, _, _ := strings.Cut(raw, "#")
		p.endpoint(at("request_uris", i), before)
	}
	if c.RequireSignedRequest && !c.HasKeys() && !c.Profile.MessageSigning() {
		p.add("require_signed_request", "needs the keys that requests are signed by: write jwks or jwks_uri")
	}
	unique(p, "authorization_details_types", c.AuthorizationDetailsTypes)
	for i, t := range c.AuthorizationDetailsTypes {
		if t == "" || len(t) > MaxID || !visibleASCII(t) {
			p.add(at("authorization_details_types", i), "%s is not a type: write printable ASCII without spaces, at most %d characters", quote(t), MaxID)
		}
	}
}
