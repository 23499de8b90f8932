package endpoints

import (
	"slices"

	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// responseMetadata says by which algorithms answers are signed (JARM §4, OpenID Connect
// Discovery §3).
type responseMetadata struct {
	ResponseAlgs []oauth.Alg `json:"authorization_signing_alg_values_supported,omitempty"`
	UserInfoAlgs []oauth.Alg `json:"userinfo_signing_alg_values_supported,omitempty"`
}

func (m *Metadata) responses() (r responseMetadata) {
	add := func(list *[]oauth.Alg, alg oauth.Alg) {
		if alg != "" && !slices.Contains(*list, alg) {
			*list = append(*list, alg)
		}
	}
	for _, c := range m.Directory.Clients() {
		add(&r.UserInfoAlgs, c.UserinfoAlg)
		if c.MayUse(oauth.AuthorizationCode) || len(c.ResponseTypes) > 0 {
			add(&r.ResponseAlgs, c.ResponseAlgorithm())
		}
	}
	return r
}

// responseTypes are code, and those that a client was given.
func (m *Metadata) responseTypes() []oauth.ResponseType {
	var types []oauth.ResponseType
	for _, t := range spec.ResponseTypes {
		given := func(c *store.Client) bool { return c.MayRespond(t) }
		if t == oauth.ResponseCode || slices.ContainsFunc(m.Directory.Clients(), given) {
			types = append(types, t)
		}
	}
	return types
}

func (m *Metadata) subjectTypes() []oauth.SubjectType {
	types := []oauth.SubjectType{oauth.SubjectPublic}
	if slices.ContainsFunc(m.Directory.Clients(), func(c *store.Client) bool { return c.Pairwise() }) {
		types = append(types, oauth.SubjectPairwise)
	}
	return types
}
