package endpoints_test

import (
	"net/http"
	"testing"
)

// A resource that changes after its client was declared does not lead around the client's
// profile (FAPI 2.0 Security Profile 5.4.1).
func TestFAPI2ResourceChanges(t *testing.T) {
	t.Parallel()
	a, _ := startFAPI(t)
	b := a.browser()
	page := b.get(b.get(byURI(a.id, a.push(a.request("scope", "openid offline_access accounts")))).to("/login?flow=")).want(http.StatusOK)
	got := b.submit(page, 0, "username", "ada@example.com", "password", password1, "login", "1").client(appCallback)
	status, out := a.send("/token", values("grant_type", "authorization_code", "code", got.Get("code"), "redirect_uri", appCallback, "code_verifier", verifier))
	if status != http.StatusOK {
		t.Fatalf("%d %v", status, out)
	}
	a.command(http.MethodDelete, "/resources/https:%2F%2Fapi.example.com", "")
	a.command(http.MethodPost, "/resources", `{"id":"https://api.example.com","scopes":["accounts"],"access_token":{"alg":"RS256"}}`)
	form := values("grant_type", "refresh_token", "refresh_token", out["refresh_token"].(string))
	if status, out := a.send("/token", form); status != http.StatusBadRequest || out["error"] != "invalid_target" {
		t.Errorf("%d %v", status, out)
	}
	form.Set("scope", "openid")
	if status, out := a.send("/token", form); status != http.StatusOK {
		t.Errorf("%d %v", status, out)
	}
}
