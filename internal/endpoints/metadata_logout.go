package endpoints

import (
	"slices"

	"github.com/jeton-auth/jeton/internal/store"
)

// logoutMetadata says how clients hear of logouts (OpenID Connect Back-Channel Logout §2.1,
// Front-Channel Logout §3): in the ways that some client registered.
type logoutMetadata struct {
	Backchannel         bool `json:"backchannel_logout_supported,omitempty"`
	BackchannelSession  bool `json:"backchannel_logout_session_supported,omitempty"`
	Frontchannel        bool `json:"frontchannel_logout_supported,omitempty"`
	FrontchannelSession bool `json:"frontchannel_logout_session_supported,omitempty"`
}

func (m *Metadata) logouts() (l logoutMetadata) {
	clients := m.Directory.Clients()
	l.Backchannel = slices.ContainsFunc(clients, func(c *store.Client) bool { return c.BackchannelLogoutURI != "" })
	l.Frontchannel = slices.ContainsFunc(clients, func(c *store.Client) bool { return c.FrontchannelLogoutURI != "" })
	l.BackchannelSession, l.FrontchannelSession = l.Backchannel, l.Frontchannel
	return l
}
