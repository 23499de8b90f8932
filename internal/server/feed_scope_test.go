package server

import (
	"slices"
	"strings"
	"testing"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

const feedResource = "http://localhost:8080/revocations"

// A client with the scope jeton:feed, declared or created, gets a token for the
// feed's built-in resource.
func TestFeedScope(t *testing.T) {
	t.Parallel()
	i := start(t)
	declared := strings.Replace(testConfig, "users:\n", `  - id: gateway
    auth_method: client_secret_basic
    secret: env:OTHER
    grant_types: [client_credentials]
    scopes: [jeton:feed, orders:read]
users:
`, 1)
	if err := i.manager.Apply(t.Context(), parseConfig(t, declared, i.dir, i.kek)); err != nil {
		t.Fatal(err)
	}
	created, made, err := i.manager.CreateClient(t.Context(), audit.Origin{Actor: "test"}, spec.Client{
		ID: "follower", AuthMethod: oauth.ClientSecretBasic, GrantTypes: []oauth.GrantType{oauth.ClientCredentials}, Scopes: []string{oauth.ScopeFeed},
	})
	if err != nil || !slices.Equal(created.Resources, []string{feedResource}) {
		t.Fatalf("resources %v, %v", created.Resources, err)
	}
	for _, as := range []caller{basic("gateway", otherSecret), basic("follower", made.Reveal())} {
		r := i.post("/token", as, "grant_type", "client_credentials", "scope", oauth.ScopeFeed).want(t, 200, "")
		claims := payload(t, r.str(t, "access_token"))
		if claims["aud"] != feedResource || claims["scope"] != oauth.ScopeFeed || r.json(t)["expires_in"] != 300.0 {
			t.Errorf("claims %v", claims)
		}
	}
	i.post("/token", robot, "grant_type", "client_credentials", "scope", oauth.ScopeFeed).want(t, 400, oauth.InvalidScope)
	// Scopes of two resources are two tokens.
	i.post("/token", basic("gateway", otherSecret), "grant_type", "client_credentials").want(t, 400, oauth.InvalidTarget)
}

// What every issuer has can be neither removed nor replaced, and nobody introspects
// in its name.
func TestBuiltinResource(t *testing.T) {
	t.Parallel()
	i := start(t)
	by := audit.Origin{Actor: "test"}
	for range 2 {
		r, ok := i.manager.Directory.Resource(feedResource)
		if !ok || r.Source != store.SourceBuiltin || r.AccessToken.Alg != oauth.ES256 || r.AccessToken.Format != spec.FormatJWT {
			t.Fatalf("the built-in resource: %+v", r)
		}
		if err := i.manager.DeleteResource(t.Context(), by, feedResource); err == nil || !strings.Contains(err.Error(), "every issuer has it") {
			t.Errorf("deleting it: %v", err)
		}
		if _, _, err := i.manager.CreateResource(t.Context(), by, spec.Resource{ID: feedResource}, true); err == nil {
			t.Error("it was replaced")
		}
		if _, _, err := i.manager.CreateResource(t.Context(), by, spec.Resource{ID: "https://thief.example.com", Scopes: []string{oauth.ScopeFeed}}, true); err == nil || !strings.Contains(err.Error(), "issuer itself") {
			t.Errorf("another resource has its scope: %v", err)
		}
		i.post("/introspect", basic(feedResource, ""), "token", "x").want(t, 401, oauth.InvalidClient)
		i.restart()
	}
}
