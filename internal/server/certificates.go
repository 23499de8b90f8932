package server

import (
	"github.com/jeton-auth/jeton/internal/config"
	"github.com/jeton-auth/jeton/oauth/mtls"
)

// shown says where clients' certificates come from.
func shown(c *config.Config) mtls.Source {
	if c.BehindProxy == nil {
		return mtls.Source{}
	}
	return mtls.Source{Header: c.BehindProxy.ClientCertHeader, Trusted: c.BehindProxy.Trusted}
}
