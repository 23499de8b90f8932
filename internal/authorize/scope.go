package authorize

import (
	"net/url"
	"slices"
	"strings"

	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// resource takes the APIs that the tokens are to be for (RFC 8707 §2). Each must be
// one of the client's.
func (s *parsing) resource() *oauth.Error {
	asked := s.params.All("resource")
	if len(asked) > maxURIs {
		return oauth.Refuse(oauth.InvalidTarget, "there are more than %d resources", maxURIs)
	}
	for _, id := range asked {
		switch {
		case id == "" || s.granted(id) != nil:
			continue
		case !absolute(id):
			return oauth.Refuse(oauth.InvalidTarget, "resource must be an absolute URI without a fragment")
		case !slices.Contains(s.Client.Resources, id):
			return oauth.Refuse(oauth.InvalidTarget, "resource is not one that this client registered: it is compared as an exact string")
		}
		if _, ok := s.Directory.Resource(id); !ok {
			return oauth.Refuse(oauth.InvalidTarget, "resource is not known here any more")
		}
		s.Request.Resources = append(s.Request.Resources, store.GrantedResource{ID: id})
	}
	s.Request.ResourceAsked = len(s.Request.Resources) > 0
	return nil
}

// scope takes the scopes that are asked for. Unknown ones are ignored; a known one
// that the client may not have is refused. Without the parameter the client asks for
// all scopes of its APIs, or of the APIs named, and for nothing about the person
// (RFC 6749 §3.3).
func (s *parsing) scope() *oauth.Error {
	text := s.params.Get("scope")
	asked, ok := oauth.ParseScope(text)
	if !ok || len(text) > maxScope {
		return oauth.Refuse(oauth.InvalidScope, "scope is too long, or has a character that no scope has: write them with a space between")
	}
	if len(asked) == 0 && len(s.Request.Details) == 0 {
		s.allOfAPIs()
	}
	for _, scope := range asked {
		if refusal := s.oneScope(scope); refusal != nil {
			return refusal
		}
	}
	if len(s.Request.Scopes) == 0 && len(s.Request.Resources) == 0 {
		return oauth.Refuse(oauth.InvalidScope, "scope asks for nothing that is known here: write for instance openid")
	}
	return nil
}

func (s *parsing) oneScope(scope string) *oauth.Error {
	identity := slices.Contains(oauth.IdentityScopes, scope)
	switch {
	case !slices.Contains(s.Client.Scopes, scope):
		if identity || s.known(scope) {
			return oauth.Refuse(oauth.InvalidScope, "this client may not ask for the scope %s: register it, or leave it out", scope)
		}
		return nil
	case scope == oauth.ScopeOfflineAccess && (!s.Client.MayUse(oauth.RefreshToken) || !gives(s.Request.ResponseType, wordCode)):
		return nil // it could not be used (OpenID Connect Core §11)
	case identity:
		s.Request.Scopes = append(s.Request.Scopes, scope)
		return nil
	}
	// One of an API that resource does not name is left out (RFC 8707 §2.1).
	s.ofAPIs(scope)
	return nil
}

// ofAPIs adds a scope to each API that it is asked for at, and that declares it.
func (s *parsing) ofAPIs(scope string) {
	for _, id := range s.Client.Resources {
		api := s.granted(id)
		if api == nil && s.Request.ResourceAsked {
			continue
		}
		declared, ok := s.Directory.Resource(id)
		if !ok || !slices.Contains(declared.Scopes, scope) {
			continue
		}
		if api == nil {
			s.Request.Resources = append(s.Request.Resources, store.GrantedResource{ID: id})
			api = s.granted(id)
		}
		api.Scopes = append(api.Scopes, scope)
	}
}

func (s *parsing) allOfAPIs() {
	for _, scope := range s.Client.Scopes {
		if !slices.Contains(oauth.IdentityScopes, scope) {
			s.ofAPIs(scope)
		}
	}
}

// granted is the API of that id among those of the request.
func (s *parsing) granted(id string) *store.GrantedResource {
	for i := range s.Request.Resources {
		if s.Request.Resources[i].ID == id {
			return &s.Request.Resources[i]
		}
	}
	return nil
}

// known tells whether any API declares the scope.
func (s *parsing) known(scope string) bool {
	return slices.ContainsFunc(s.Directory.Resources(), func(r *store.Resource) bool { return slices.Contains(r.Scopes, scope) })
}

// absolute tells whether s is an absolute URI without a fragment (RFC 8707 §2).
func absolute(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.IsAbs() && !strings.Contains(s, "#")
}
