package endpoints_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/login"
	"github.com/jeton-auth/jeton/verify"
)

// inside sends requests to a handler in this process.
type inside struct{ http.Handler }

func (i inside) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	i.ServeHTTP(w, r)
	return w.Result(), nil
}

var challenged = regexp.MustCompile(`(error|acr_values|max_age)="([^"]*)"`)

// An API that wants a recent login says so; what it says goes to the authorization endpoint
// as it is, and the token that comes of it is taken (RFC 9470).
func TestStepUp(t *testing.T) {
	t.Parallel()
	s := startResponses(t)
	v, err := verify.New(t.Context(), s.issuer, verify.Audience("https://api.example.com"), verify.Clock(s.clock.Now),
		verify.HTTPClient(&http.Client{Transport: inside{s.Handler()}}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	api := v.RequireAll(verify.Scopes("orders:read"), verify.ACR("urn:example:more", login.ACRPassword), verify.MaxAge(2*time.Minute))(
		http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	call := func(token string) (int, map[string]string) {
		r := httptest.NewRequest(http.MethodGet, "https://api.example.com/", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		said := map[string]string{}
		for _, m := range challenged.FindAllStringSubmatch(w.Header().Get("WWW-Authenticate"), -1) {
			said[m[1]] = m[2]
		}
		return w.Code, said
	}
	redeem := func(a answer) string {
		_, _, out := s.call("/token", "shop", values("grant_type", "authorization_code", "code", a.client(callback).Get("code"), "redirect_uri", callback))
		return out["access_token"].(string)
	}
	b := s.browser()
	ask := bare("shop", "scope", "openid orders:read")
	if status, said := call(redeem(b.login("ada", ask...))); status != http.StatusOK {
		t.Fatalf("a recent login: %d %v", status, said)
	}
	s.clock.Advance(3 * time.Minute)
	old := redeem(b.authorize(ask...))
	status, said := call(old)
	if status != http.StatusUnauthorized || said["error"] != "insufficient_user_authentication" || said["max_age"] != "120" || said["acr_values"] != "urn:example:more "+login.ACRPassword {
		t.Fatalf("an old login: %d %v", status, said)
	}
	again := append(ask, "max_age", said["max_age"], "acr_values", said["acr_values"])
	if got := b.authorize(append(again, "prompt", "none")...).client(callback); got.Get("error") != "login_required" {
		t.Errorf("silently: %v", got)
	}
	page := b.get(b.authorize(again...).to("/login?flow=")).want(http.StatusOK)
	fresh := redeem(b.submit(page, 0, "username", "ada@example.com", "password", password1, "login", "1"))
	if status, said := call(fresh); status != http.StatusOK {
		t.Errorf("after the login: %d %v", status, said)
	}
	before, after := claimsOf(t, old)["auth_time"].(float64), claimsOf(t, fresh)["auth_time"].(float64)
	if after < before+180 {
		t.Errorf("auth_time was %v and is %v", before, after)
	}
	if status, _ := call(old); status != http.StatusUnauthorized {
		t.Errorf("the old token still: %d", status)
	}
}
