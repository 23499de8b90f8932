package endpoints

import (
	"slices"

	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/oauth"
)

// clientMetadata says how clients authenticate (RFC 8414 §2, RFC 8705 §3.3 and §5), before
// it is narrowed to the profiles in use.
type clientMetadata struct {
	Methods               []oauth.AuthMethod `json:"token_endpoint_auth_methods_supported"`
	Algs                  []oauth.Alg        `json:"token_endpoint_auth_signing_alg_values_supported,omitempty"`
	RevocationMethods     []oauth.AuthMethod `json:"revocation_endpoint_auth_methods_supported"`
	RevocationAlgs        []oauth.Alg        `json:"revocation_endpoint_auth_signing_alg_values_supported,omitempty"`
	IntrospectionMethods  []string           `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectionSignAlgs []oauth.Alg        `json:"introspection_endpoint_auth_signing_alg_values_supported,omitempty"`
	CertificateBound      bool               `json:"tls_client_certificate_bound_access_tokens,omitempty"`
	Aliases               *aliases           `json:"mtls_endpoint_aliases,omitempty"`
}

// aliases are where clients with a certificate go: to the same doors, which ask everybody
// for one.
type aliases struct {
	Token         string `json:"token_endpoint"`
	PAR           string `json:"pushed_authorization_request_endpoint"`
	Device        string `json:"device_authorization_endpoint,omitempty"`
	UserInfo      string `json:"userinfo_endpoint"`
	Revocation    string `json:"revocation_endpoint"`
	Introspection string `json:"introspection_endpoint"`
}

func (m *Metadata) clients() clientMetadata {
	d := clientMetadata{Methods: m.Methods, RevocationMethods: m.Methods}
	if slices.Contains(m.Methods, oauth.PrivateKeyJWT) {
		d.Algs, d.RevocationAlgs, d.IntrospectionSignAlgs = spec.Algs, spec.Algs, spec.Algs
	}
	if m.Certificates {
		d.CertificateBound = true
		d.Aliases = &aliases{
			Token: m.Issuer + "/token", PAR: m.Issuer + "/par", UserInfo: m.Issuer + "/userinfo",
			Revocation: m.Issuer + "/revoke", Introspection: m.Issuer + "/introspect",
		}
	}
	return d
}
