package server

import (
	"strings"
	"sync"
	"testing"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/oauth"
)

// Case 32: a token that is minted while the cutoff commits is covered.
func TestMintedWhileDisabled(t *testing.T) {
	t.Parallel()
	i := start(t)
	by := audit.Origin{Actor: "test"}
	for range 25 {
		var mu sync.Mutex
		var minted []string
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 40 {
					r := i.post("/token", robot, "grant_type", "client_credentials")
					if r.status != 200 {
						return
					}
					token := r.str(t, "access_token")
					mu.Lock()
					minted = append(minted, token)
					mu.Unlock()
				}
			})
		}
		if err := i.manager.DisableClient(t.Context(), by, "robot", true); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		for _, token := range minted {
			if i.active(token) {
				t.Fatal("a token of a client that was switched off is active")
			}
		}
		if err := i.manager.DisableClient(t.Context(), by, "robot", false); err != nil {
			t.Fatal(err)
		}
	}
}

// There is no un-revoke: a client whose id comes back inherits nothing.
func TestClientComesBack(t *testing.T) {
	t.Parallel()
	i := start(t)
	a := readOrders("other-web", "https://other.example.com/callback")
	r := i.redeem(other, i.code(a), a.redirect).want(t, 200, "")
	without := strings.Replace(testConfig, "  - id: other-web", "  - id: yet-another", 1)
	for _, text := range []string{without, testConfig} {
		if err := i.manager.Apply(t.Context(), parseConfig(t, text, i.dir, i.kek)); err != nil {
			t.Fatal(err)
		}
	}
	i.refresh(other, r.str(t, "refresh_token")).want(t, 400, oauth.InvalidGrant)
	if i.active(r.str(t, "access_token")) {
		t.Error("the old access token is active again")
	}
	if _, err := i.store.Read(t.Context()).Consent(i.ada().ID, "other-web"); err == nil {
		t.Error("the new client inherits the old one's consent")
	}
	i.redeem(other, i.code(a), a.redirect).want(t, 200, "")
}

// A resource of any algorithm works from the moment it is created.
func TestResourceOfAnotherAlg(t *testing.T) {
	t.Parallel()
	i := start(t)
	by := audit.Origin{Actor: "test"}
	_, _, err := i.manager.CreateResource(t.Context(), by, spec.Resource{
		ID: "https://new.example.com", Scopes: []string{"new:read"}, AccessToken: spec.AccessToken{Alg: oauth.EdDSA},
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	c, secret, err := i.manager.CreateClient(t.Context(), by, spec.Client{
		ID: "new", AuthMethod: oauth.ClientSecretBasic, GrantTypes: []oauth.GrantType{oauth.ClientCredentials},
		Scopes: []string{"new:read"}, Resources: []string{"https://new.example.com"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		i.post("/token", basic(c.ID, secret.Reveal()), "grant_type", "client_credentials").want(t, 200, "")
		i.restart()
	}
}
