package server

import (
	"strings"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/manage"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/oauth"
)

// Two secrets overlap while one replaces the other, across a restart, until a time or
// until somebody ends it.
func TestSecretsOverlap(t *testing.T) {
	t.Parallel()
	i := start(t)
	by := audit.Origin{Actor: "operator"}
	_, first, err := i.manager.CreateClient(t.Context(), by, spec.Client{ID: "job", AuthMethod: oauth.ClientSecretBasic, GrantTypes: []oauth.GrantType{oauth.ClientCredentials}})
	if err != nil {
		t.Fatal(err)
	}
	renew := func(overlap time.Duration) string {
		t.Helper()
		s, err := i.manager.NewClientSecret(t.Context(), by, "job", overlap)
		if err != nil {
			t.Fatal(err)
		}
		return s.Reveal()
	}
	takes := func(what string, want bool, secret string) {
		t.Helper()
		r := i.post("/introspect", basic("job", secret), "token", "x")
		if (r.status == 200) != want || !want && r.str(t, "error") != string(oauth.InvalidClient) {
			t.Errorf("%s: %d %s", what, r.status, r.body)
		}
	}
	second := renew(24 * time.Hour)
	takes("old, in time", true, first.Reveal())
	takes("new, in time", true, second)
	takes("another", false, otherSecret)
	i.restart()
	i.clock.Advance(24*time.Hour - time.Second)
	takes("old, at the end", true, first.Reveal())
	i.clock.Advance(time.Second)
	takes("old, too late", false, first.Reveal())
	takes("new", true, second)

	third := renew(time.Hour)
	if err := i.manager.EndOldSecret(t.Context(), by, "job"); err != nil {
		t.Fatal(err)
	}
	takes("old, ended", false, second)
	takes("new", true, third)
	if err := i.manager.EndOldSecret(t.Context(), by, "job"); err == nil {
		t.Error("what is not there was ended")
	}
	fourth := renew(time.Hour)
	fifth := renew(time.Hour)
	takes("the one before the old one", false, third)
	takes("old", true, fourth)
	takes("new", true, fifth)
	sixth := renew(0)
	takes("old, without overlap", false, fifth)
	takes("new", true, sixth)
	for name, id := range map[string]string{"declared in the file": "shop-web", "public": "phone", "unknown": "nobody"} {
		if _, err := i.manager.NewClientSecret(t.Context(), by, id, 0); err == nil {
			t.Errorf("a client that is %s got a secret", name)
		}
		if i.manager.EndOldSecret(t.Context(), by, id) == nil {
			t.Errorf("a client that is %s had an old secret", name)
		}
	}
	for _, d := range []time.Duration{-time.Second, manage.MaxOverlap + 1} {
		if _, err := i.manager.NewClientSecret(t.Context(), by, "job", d); err == nil {
			t.Errorf("an overlap of %s is taken", d)
		}
	}
	takes("after what was refused", true, sixth)
}

// In the file old_secret names the secret that is replaced, for as long as it stands there.
func TestDeclaredSecretsOverlap(t *testing.T) {
	t.Parallel()
	i := start(t)
	ask := func(secret string) reply {
		return i.post("/token", basic("robot", secret), "grant_type", "client_credentials")
	}
	apply := func(text string) {
		t.Helper()
		if err := i.manager.Apply(t.Context(), parseConfig(t, text, i.dir, i.kek)); err != nil {
			t.Fatal(err)
		}
	}
	both := strings.Replace(testConfig, "secret: env:ROBOT", "secret: env:OTHER\n    old_secret: env:ROBOT", 1)
	apply(both)
	ask(robotSecret).want(t, 200, "")
	ask(otherSecret).want(t, 200, "")
	i.clock.Advance(1000 * time.Hour)
	ask(robotSecret).want(t, 200, "")
	apply(strings.Replace(both, "    old_secret: env:ROBOT\n", "", 1))
	ask(robotSecret).want(t, 401, oauth.InvalidClient)
	ask(otherSecret).want(t, 200, "")
}
