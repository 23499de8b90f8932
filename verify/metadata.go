package verify

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/dpop"
)

// MetadataPath is where the description of an API stands whose identifier has no
// path. A path follows it (RFC 9728 §3.1).
const MetadataPath = "/.well-known/oauth-protected-resource"

// Resource describes an API to clients (RFC 9728 §2).
type Resource struct {
	// ID is the API's identifier, an https URL without fragment. When empty it is
	// the first Audience.
	ID            string
	Name          string
	Documentation string   // URL of a page for developers
	Scopes        []string // that can be asked for
}

// describe keeps the description and derives what challenges begin with from it.
func (v *Verifier) describe(r *Resource) error {
	v.challenge = string(appendParam([]byte(oauth.TokenTypeBearer), "realm", v.audience[0]))
	v.proofChallenge = string(appendParam(appendParam([]byte(oauth.TokenTypeDPoP), "realm", v.audience[0]), "algs", dpop.List(v.algs)))
	if r != nil {
		v.resource = *r
		v.resource.Scopes = slices.Clone(r.Scopes)
	}
	if v.resource.ID == "" {
		v.resource.ID = v.audience[0]
	}
	if r == nil {
		return nil
	}
	u, err := url.Parse(v.resource.ID)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u)) {
		return errors.New("verify: Metadata needs an API identifier that is an https URL without fragment")
	}
	if slices.ContainsFunc(r.Scopes, func(s string) bool { return !oauth.ValidScope(s) }) {
		return errors.New("verify: Metadata names a malformed scope")
	}
	address := u.Scheme + "://" + u.Host + MetadataPath + strings.TrimSuffix(u.EscapedPath(), "/")
	if u.RawQuery != "" {
		address += "?" + u.RawQuery
	}
	for _, challenge := range []*string{&v.challenge, &v.proofChallenge} {
		*challenge = string(appendParam([]byte(*challenge), "resource_metadata", address))
	}
	return nil
}

// Metadata serves the description of the API (RFC 9728 §3.2). Mount it without
// authentication at MetadataPath followed by the path of the API's identifier.
func (v *Verifier) Metadata() http.Handler {
	doc, _ := json.Marshal(struct {
		Resource      string      `json:"resource"`
		Issuers       []string    `json:"authorization_servers"`
		Scopes        []string    `json:"scopes_supported,omitempty"`
		Methods       []string    `json:"bearer_methods_supported"`
		ProofAlgs     []oauth.Alg `json:"dpop_signing_alg_values_supported"`
		Name          string      `json:"resource_name,omitempty"`
		Documentation string      `json:"resource_documentation,omitempty"`
	}{v.resource.ID, []string{v.issuer}, v.resource.Scopes, []string{"header"}, v.algs, v.resource.Name, v.resource.Documentation})
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "public, max-age=3600")
		// Public and the same for everyone: browser clients of other origins may read it.
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Write(doc)
	})
}
