package endpoints_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What ends between the person's yes and the device's next poll gives nothing (case 22).
func TestDeviceOverMeanwhile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		scope, want string
		end         func(*site, *browser)
	}{
		"nothing ends": {"openid", "", func(*site, *browser) {}},
		"logout": {"openid", "invalid_grant", func(_ *site, b *browser) {
			b.submit(b.get("/logout").want(http.StatusOK), 0, "logout", "1").want(http.StatusOK)
		}},
		"logout, offline": {"openid offline_access", "", func(_ *site, b *browser) {
			b.submit(b.get("/logout").want(http.StatusOK), 0, "logout", "1").want(http.StatusOK)
		}},
		"user off": {"openid offline_access", "invalid_grant", func(s *site, _ *browser) { s.command(http.MethodPost, "/users/ada@example.com/disable", "") }},
		"user off and on": {"openid offline_access", "invalid_grant", func(s *site, _ *browser) {
			s.command(http.MethodPost, "/users/ada@example.com/disable", "")
			s.command(http.MethodPost, "/users/ada@example.com/enable", "")
		}},
		"client off": {"openid offline_access", "invalid_client", func(s *site, _ *browser) { s.command(http.MethodPost, "/clients/tv/disable", "") }},
		"client off and on": {"openid offline_access", "invalid_grant", func(s *site, _ *browser) {
			s.command(http.MethodPost, "/clients/tv/disable", "")
			s.command(http.MethodPost, "/clients/tv/enable", "")
		}},
		"all": {"openid offline_access", "invalid_grant", func(s *site, _ *browser) { s.command(http.MethodPost, "/revocations", `{"all":true}`) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startDevices(t)
			device, user := s.codes("tv", "scope", c.scope)
			b := s.browser()
			b.submit(b.consentTo(user), 0, "allow", "1").want(http.StatusOK)
			c.end(s, b)
			s.poll("tv", device, c.want)
		})
	}
}

// command asks as the operator's command does.
func (s *site) command(method, path, body string) {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.Admin().ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	if w.Code != http.StatusOK {
		s.t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
}
