package server

import (
	"strings"
	"testing"

	"github.com/jeton-auth/jeton/internal/store"
)

// A claim that was asked for one by one goes out only while the client may have its scope,
// as the claims of scopes do.
func TestClaimsEndWithTheScopeOfTheClient(t *testing.T) {
	t.Parallel()
	i := start(t)
	a := readOrders("shop-web", callback)
	asked := map[string]*store.ClaimRequest{"email": nil, "name": nil}
	a.claims = store.ClaimsRequest{UserInfo: asked, IDToken: asked}
	r := i.redeem(shop, i.code(a), callback).want(t, 200, "")
	check := func(email any) {
		t.Helper()
		for what, claims := range map[string]map[string]any{
			"ID token": payload(t, r.str(t, "id_token")),
			"userinfo": i.userinfo(r.str(t, "access_token")).want(t, 200, "").json(t),
		} {
			if claims["email"] != email || claims["name"] != "Ada Lovelace" {
				t.Errorf("%s: %v", what, claims)
			}
		}
	}
	check("ada@example.com")
	without := strings.Replace(testConfig, "scopes: [openid, profile, email, offline_access, roles", "scopes: [openid, profile, offline_access, roles", 1)
	if err := i.manager.Apply(t.Context(), parseConfig(t, without, i.dir, i.kek)); err != nil {
		t.Fatal(err)
	}
	r = i.refresh(shop, r.str(t, "refresh_token")).want(t, 200, "")
	check(nil)
}
