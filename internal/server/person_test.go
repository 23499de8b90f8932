package server

import (
	"testing"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// Tokens tell of a person as they are when a code or refresh token is redeemed, though
// memory has the grant with the person as they were.
func TestPersonChanges(t *testing.T) {
	t.Parallel()
	i := start(t)
	rename := func(name string) {
		t.Helper()
		u := i.ada()
		u.Name = name
		if err := i.store.Write(t.Context(), func(tx *store.Tx) error { return tx.UpdateUser(u) }); err != nil {
			t.Fatal(err)
		}
	}
	told := func(r reply, want string) string {
		t.Helper()
		r.want(t, 200, "")
		if got := payload(t, r.str(t, "id_token"))["name"]; got != want {
			t.Errorf("an ID token has the name %v, want %s", got, want)
		}
		return r.str(t, "refresh_token")
	}
	var code string
	err := i.audit.Write(t.Context(), func(tx *store.Tx) (e audit.Event, err error) {
		u, err := tx.UserByLogin("ada@example.com")
		if err != nil {
			return e, err
		}
		code, err = i.manager.Grants.Create(tx, &store.Grant{
			Client: "shop-web", Subject: u.ID, User: u, Rev: i.revoked.Head(), AbsoluteAt: tx.Now().Add(1 << 50),
			Code: &store.CodeDetails{RedirectURI: callback, Challenge: s256(testVerifier)},
			Details: store.GrantDetails{
				Scopes: []string{oauth.ScopeOpenID, oauth.ScopeOfflineAccess}, AuthTime: tx.Now(),
				Claims: store.ClaimsRequest{IDToken: map[string]*store.ClaimRequest{"name": nil}},
			},
		})
		return audit.Event{Type: audit.GrantCreated, Subject: u.ID}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	rename("Ada the Second")
	token := told(i.redeem(shop, code, callback), "Ada the Second")
	token = told(i.refresh(shop, token), "Ada the Second")
	rename("Ada the Third")
	token = told(i.refresh(shop, token), "Ada the Third")
	told(i.refresh(shop, token), "Ada the Third")
}
