package endpoints

import (
	"slices"

	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// devices shows the device flow where a client may use it, and hides it where none may.
func (m *Metadata) devices(doc *metadata) {
	if slices.ContainsFunc(m.Directory.Clients(), func(c *store.Client) bool { return c.MayUse(oauth.DeviceCode) }) {
		doc.Device = m.Issuer + "/device_authorization"
		if doc.Aliases != nil {
			doc.Aliases.Device = doc.Device
		}
		return
	}
	doc.GrantTypes = slices.DeleteFunc(doc.GrantTypes, func(g oauth.GrantType) bool { return g == oauth.DeviceCode })
}
