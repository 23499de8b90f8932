package server

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/manage"
	"github.com/jeton-auth/jeton/oauth"
)

// A person who is cut off is so at pairwise clients too, whose tokens name them otherwise;
// the tokens end with their grant as all do.
func TestPairwiseTokensAreRevoked(t *testing.T) {
	t.Parallel()
	for what, revoke := range map[string]func(*issuer, string) error{
		"the person is cut off": func(i *issuer, _ string) error {
			_, err := i.manager.Revoke(t.Context(), audit.Origin{}, manage.Target{User: "ada@example.com"}, "test")
			return err
		},
		"the person is switched off": func(i *issuer, _ string) error {
			return i.manager.DisableUser(t.Context(), audit.Origin{}, "ada@example.com", true)
		},
		"the person is deleted": func(i *issuer, _ string) error {
			return i.manager.DeleteUser(t.Context(), audit.Origin{}, "ada@example.com")
		},
		"the grant ends": func(i *issuer, refresh string) error {
			i.post("/revoke", shop, "token", refresh).want(t, 200, "")
			return nil
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			i := start(t)
			if err := i.Server.Close(); err != nil {
				t.Fatal(err)
			}
			i.open(strings.Replace(testConfig, "    id_token_alg: ES256\n", "    id_token_alg: ES256\n    subject_type: pairwise\n    sector_identifier_uri: https://shop.example.com/sector\n", 1))
			r := i.login()
			access := r.str(t, "access_token")
			if sub := payload(t, access)["sub"]; sub == i.ada().ID || !i.active(access) {
				t.Fatalf("the token is of %v, active %v", sub, i.active(access))
			}
			if err := revoke(i, r.str(t, "refresh_token")); err != nil {
				t.Fatal(err)
			}
			if i.active(access) {
				t.Error("the token lives on")
			}
		})
	}
}

// A client that knows people by other names from now on loses what it holds; any other
// change leaves it.
func TestChangedNamesEndGrants(t *testing.T) {
	t.Parallel()
	i := start(t)
	pairwise := strings.Replace(testConfig, "    id_token_alg: ES256\n", "    id_token_alg: ES256\n    subject_type: pairwise\n    sector_identifier_uri: https://one.example.com/sector\n", 1)
	for what, step := range map[string]struct {
		before, after string
		ends          bool
	}{
		"another name":   {testConfig, strings.Replace(testConfig, "name: Web shop", "name: Shop", 1), false},
		"pairwise":       {testConfig, pairwise, true},
		"another list":   {pairwise, strings.Replace(pairwise, "/sector", "/other", 1), false},
		"another sector": {pairwise, strings.Replace(pairwise, "one.example", "two.example", 1), true},
		"public":         {pairwise, testConfig, true},
	} {
		apply := func(text string) {
			t.Helper()
			if err := i.manager.Apply(t.Context(), parseConfig(t, text, i.dir, i.kek)); err != nil {
				t.Fatal(err)
			}
		}
		apply(step.before)
		r := i.login()
		apply(step.after)
		if i.active(r.str(t, "access_token")) == step.ends {
			t.Errorf("%s: the access token lives: %v", what, step.ends)
		}
		status := 200
		code := oauth.ErrorCode("")
		if step.ends {
			status, code = 400, oauth.InvalidGrant
		}
		i.refresh(shop, r.str(t, "refresh_token")).want(t, status, code)
	}
}

// The list of a sector is fetched before a client's first request, and a client that is
// not in it gets nothing; a host that is down stops no server.
func TestSectorList(t *testing.T) {
	t.Parallel()
	var body, asked atomic.Value
	var times atomic.Int64
	body.Store("")
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		times.Add(1)
		asked.Store(r.URL.Path)
		if body.Load() == "" {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = w.Write([]byte(body.Load().(string)))
	}))
	t.Cleanup(site.Close)
	i := start(t)
	if err := i.Server.Close(); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(testConfig, "    id_token_alg: ES256\n", "    id_token_alg: ES256\n    subject_type: pairwise\n    sector_identifier_uri: "+site.URL+"/list.json\n", 1)
	i.open(strings.Replace(text, "resources:\n", "outbound: {allow: [127.0.0.0/8]}\nresources:\n", 1))
	request := "/authorize?" + url.Values{
		"client_id": {"shop-web"}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid"},
		"code_challenge": {s256(testVerifier)}, "code_challenge_method": {"S256"},
	}.Encode()
	ask := func() (location, code string) {
		w := httptest.NewRecorder()
		i.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost:8080"+request, nil))
		location = w.Header().Get("Location")
		u, err := url.Parse(location)
		if err != nil {
			t.Fatal(err)
		}
		return location, u.Query().Get("error")
	}
	for _, step := range []struct {
		list  string
		error oauth.ErrorCode
	}{
		{"", oauth.TemporarilyUnavailable},
		{`{"redirect_uris":[]}`, oauth.UnauthorizedClient},
		{`["` + callback + `"]`, oauth.UnauthorizedClient},
		{`["` + callback + `","https://shop.example.com/other","https://else.example.com/"]`, ""},
		{"", ""}, // what was good is not asked again
	} {
		body.Store(step.list)
		before := times.Load()
		location, code := ask()
		if code != string(step.error) || code == "" && !strings.HasPrefix(location, "/login") || code != "" && !strings.HasPrefix(location, callback+"?") {
			t.Errorf("%q: %s", step.list, location)
		}
		if _, again := ask(); again != code {
			t.Errorf("%q: then %q", step.list, again)
		}
		if n := times.Load() - before; n > 1 {
			t.Errorf("%q was fetched %d times", step.list, n)
		}
		i.clock.Advance(time.Minute)
	}
	if asked.Load() != "/list.json" {
		t.Errorf("asked for %v", asked.Load())
	}
}
