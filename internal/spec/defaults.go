package spec

import (
	"cmp"
	"slices"
	"time"

	"github.com/jeton-auth/jeton/oauth"
)

// What an absent setting means.
const (
	DefaultIdle              = Duration(720 * time.Hour)
	DefaultAbsolute          = Duration(2160 * time.Hour)
	DefaultGraceConfidential = Duration(10 * time.Second)
	DefaultGracePublic       = Duration(30 * time.Second)
	DefaultIDTokenAlg        = oauth.RS256
	DefaultLifetime          = Duration(5 * time.Minute)
	DefaultAccessTokenAlg    = oauth.ES256
	DefaultFormat            = FormatJWT
)

// shortDeviceCode is what people write for oauth.DeviceCode.
const shortDeviceCode oauth.GrantType = "device_code"

// WithDefaults is a copy of c, sharing nothing with it, in which every absent
// setting has what its profile demands or its default, except for the resources: InferResources has theirs. An
// empty list that is not nil stays empty.
func (c Client) WithDefaults() Client {
	c.RedirectURIs = slices.Clone(c.RedirectURIs)
	c.PostLogoutRedirectURIs = slices.Clone(c.PostLogoutRedirectURIs)
	c.GrantTypes = slices.Clone(c.GrantTypes)
	if i := slices.Index(c.GrantTypes, shortDeviceCode); i >= 0 {
		c.GrantTypes[i] = oauth.DeviceCode
	}
	c.Scopes = slices.Clone(c.Scopes)
	c.Resources = slices.Clone(c.Resources)
	c.RequestURIs = slices.Clone(c.RequestURIs)
	c.ResponseTypes = slices.Clone(c.ResponseTypes)
	for i, t := range c.ResponseTypes {
		c.ResponseTypes[i] = oauth.ParseResponseType(string(t))
	}
	c.ResponseModes = slices.Clone(c.ResponseModes)
	c.AuthorizationDetailsTypes = slices.Clone(c.AuthorizationDetailsTypes)
	if c.Scopes == nil && c.MayUse(oauth.AuthorizationCode) {
		c.Scopes = []string{oauth.ScopeOpenID}
	}
	if c.RequirePKCE != nil {
		c.RequirePKCE = new(*c.RequirePKCE)
	}
	c = c.withProfile()
	c.IDTokenAlg = cmp.Or(c.IDTokenAlg, DefaultIDTokenAlg)
	c.SubjectType = cmp.Or(c.SubjectType, oauth.SubjectPublic)

	r := &c.RefreshToken
	if r.Absolute == 0 {
		r.Absolute = max(DefaultAbsolute, r.Idle)
	}
	if r.Idle == 0 {
		r.Idle = min(DefaultIdle, r.Absolute)
	}
	r.Rotate = cmp.Or(r.Rotate, c.defaultRotation())
	grace := DefaultGracePublic
	if c.Confidential() {
		grace = DefaultGraceConfidential
	}
	if r.Grace != nil {
		grace = *r.Grace
	}
	r.Grace = &grace
	return c
}

// defaultRotation: who proves a key at each use gains nothing by a new token.
func (c *Client) defaultRotation() Rotate {
	switch c.AuthMethod {
	case oauth.PrivateKeyJWT, oauth.TLSClientAuth, oauth.SelfSignedTLS:
		return RotateNever
	}
	return RotateAlways
}

// InferResources is c with the default of absent resources: the identifiers of all
// known ones that declare a scope of c, in their order. A list that is not nil,
// even an empty one, stays as it is.
func (c Client) InferResources(known Resources) Client {
	if c.Resources != nil {
		return c
	}
	for _, r := range known {
		asked := func(s string) bool { return slices.Contains(c.Scopes, s) }
		if slices.ContainsFunc(r.Scopes, asked) && !slices.Contains(c.Resources, r.ID) {
			c.Resources = append(c.Resources, r.ID)
		}
	}
	return c
}

// WithDefaults is a copy of r, sharing nothing with it, in which every absent
// setting has its default.
func (r Resource) WithDefaults() Resource {
	r.Name = cmp.Or(r.Name, r.ID)
	r.Scopes = slices.Clone(r.Scopes)
	t := &r.AccessToken
	t.Format = cmp.Or(t.Format, DefaultFormat)
	t.Lifetime = cmp.Or(t.Lifetime, DefaultLifetime)
	t.Alg = cmp.Or(t.Alg, DefaultAccessTokenAlg)
	return r
}
