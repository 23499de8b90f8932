package config

import (
	"fmt"
	"slices"

	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/oauth"
)

func (r *reader) checkClients(c *Config) {
	known := c.SpecResources()
	first := map[string]int{}
	for i, client := range c.Clients {
		path := fmt.Sprintf("clients[%d]", i)
		for _, p := range client.Validate(known) {
			r.add(join(path, p.Field), "%s", p.Message)
		}
		r.checkLocks(path, client.Profile)
		r.checkCertificates(c, path, &client.Client)
		r.twice(first, client.ID, i, path+".id", "clients")
		supported := slices.Contains(spec.AuthMethods, client.AuthMethod)
		switch field := path + ".secret"; {
		case client.Secret == "" && client.AuthMethod.HasSecret():
			r.add(field, "is required with auth_method %s: write env:NAME or file:PATH, and make one with: jeton keygen --secret", client.AuthMethod)
		case client.Secret != "" && supported && !client.AuthMethod.HasSecret():
			r.add(field, "has no use with auth_method %s: remove it, or write auth_method: client_secret_basic", client.AuthMethod)
		case client.Secret != "":
			r.strong(field, client.Secret)
		}
		switch field := path + ".old_secret"; {
		case client.OldSecret == "":
		case client.Secret == "":
			r.add(field, "has no use without secret: write the new secret there, or remove it")
		case client.OldSecret == client.Secret:
			r.add(field, "is the same as secret: write the secret that it replaces, or remove it")
		default:
			r.strong(field, client.OldSecret)
		}
	}
}

// checkLocks reports what the file switches off although the client's profile demands it:
// the defaults would only switch it on again.
func (r *reader) checkLocks(path string, p spec.Profile) {
	for _, lock := range p.Locks() {
		if field := join(path, lock.Field); r.off[field] {
			r.add(field, "breaks profile %s: write true, or remove it (%s)", p, lock.Clause)
		}
	}
}

// checkCertificates reports a client whose certificate would never be seen.
func (r *reader) checkCertificates(c *Config, path string, client *spec.Client) {
	if !client.Certificates() || c.Certificates() {
		return
	}
	field := join(path, "auth_method")
	if client.AuthMethod != oauth.TLSClientAuth && client.AuthMethod != oauth.SelfSignedTLS {
		field = join(path, "mtls_bound")
	}
	r.add(field, "needs the client's certificate, which does not arrive here: write tls.client_auth: request, tls.client_ca, or behind_proxy.client_cert_header")
}

func words[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = string(w)
	}
	return out
}
