package spec

import (
	"net/url"
	"slices"
)

// validateLogout holds the rules about the addresses that are told of a logout.
func (c Client) validateLogout(p *problems) {
	if c.BackchannelLogoutURI != "" {
		p.endpoint("backchannel_logout_uri", c.BackchannelLogoutURI)
	}
	const field = "frontchannel_logout_uri"
	if c.FrontchannelLogoutURI == "" || !p.endpoint(field, c.FrontchannelLogoutURI) {
		return
	}
	u, err := url.Parse(c.FrontchannelLogoutURI)
	if err != nil {
		return // endpoint parsed it
	}
	for _, name := range []string{"iss", "sid"} {
		if u.Query().Has(name) {
			p.add(field, "has the parameter %s, which the issuer adds itself: remove it", name)
			return
		}
	}
	// OpenID Connect Front-Channel Logout §2
	same := func(redirect string) bool { return origin(redirect) == origin(c.FrontchannelLogoutURI) }
	if !slices.ContainsFunc(c.RedirectURIs, same) {
		p.add(field, "must have the scheme, host and port of a redirect URI")
	}
}
