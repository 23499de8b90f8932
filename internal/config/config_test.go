package config

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/oauth"
)

// mustParse parses text with the environment extended by env.
func mustParse(t *testing.T, text string, env map[string]string) *Config {
	t.Helper()
	all := maps.Clone(environment)
	maps.Copy(all, env)
	c, err := Parse("jeton.yaml", []byte(text), "/etc/jeton", lookup(all))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c := mustParse(t, minimal, nil)
	want := &Config{
		Issuer:        "https://id.example.com",
		Listen:        "127.0.0.1:8443",
		Store:         "sqlite:/var/lib/jeton/jeton.db",
		Profile:       "oidc",
		Introspection: Introspection{Mode: Confirmed, Within: spec.Duration(2 * time.Second)},
		Brand:         Brand{"Jeton"},
		Sessions:      Sessions{spec.Duration(8 * time.Hour), days(7)},
		Keys:          Keys{days(90), days(1), days(2)},
		Password:      Password{19456, 2, 1, runtime.GOMAXPROCS(0), 64},
		Log:           Log{"json", "info", false},
		Resources:     []Resource{{Resource: spec.Resource{ID: "https://api.example.com"}.WithDefaults()}},
		Clients: []Client{{
			Secret: secret.Text(environment["SECRET"]),
			Client: spec.Client{
				ID: "shop", AuthMethod: oauth.ClientSecretBasic, GrantTypes: []oauth.GrantType{oauth.AuthorizationCode}, Profile: spec.ProfileOIDC,
			}.WithDefaults(),
		}},
		Users: []User{{Email: "ada@example.com"}},
		Files: []string{"jeton.yaml"},
	}
	want.KeyEncryptionKey, _ = base64.StdEncoding.DecodeString(environment["KEK"])
	if diff := cmp.Diff(want, c, cmpopts.IgnoreFields(Config{}, "BehindProxy")); diff != "" {
		t.Error(diff)
	}
	if got := fmt.Sprint(c.BehindProxy.Trusted); got != "[10.0.0.0/8]" {
		t.Error(got)
	}
	if _, ok := c.SpecResources().Find("https://api.example.com"); !ok {
		t.Error("SpecResources lacks the resource")
	}
}

// Every issuer has the resource of its feed, and a client with its scope may ask for it.
func TestFeedScope(t *testing.T) {
	t.Parallel()
	c := mustParse(t, strings.Replace(minimal, "grant_types: [authorization_code]", "grant_types: [client_credentials]\n    scopes: [jeton:feed]", 1), nil)
	if got := c.Clients[0].Resources; !slices.Equal(got, []string{"https://id.example.com/revocations"}) {
		t.Error(got)
	}
	if len(c.Resources) != 1 {
		t.Errorf("the built-in resource counts as declared: %v", c.Resources)
	}
}

func TestLoopbackIssuer(t *testing.T) {
	t.Parallel()
	for issuer, listen := range map[string]string{
		"http://localhost:8080":      "127.0.0.1:8080",
		"http://127.0.0.2:8080/auth": "127.0.0.2:8080",
		"http://[::1]:8080":          "[::1]:8080",
		"https://localhost:9000":     "127.0.0.1:9000",
		"http://localhost":           "127.0.0.1:8443",
	} {
		c := mustParse(t, fmt.Sprintf("issuer: %q\nstore: sqlite:data/jeton.db\nkey_encryption_key: env:KEK\n", issuer), nil)
		if c.Listen != listen {
			t.Errorf("%s: listen is %s, want %s", issuer, c.Listen, listen)
		}
		if c.Store != "sqlite:/etc/jeton/data/jeton.db" {
			t.Errorf("store is %s", c.Store)
		}
	}
}

func TestTimeoutsGiveWay(t *testing.T) {
	t.Parallel()
	c := mustParse(t, minimal+"sessions: {absolute: 1h}\n", nil)
	if c.Sessions.Idle.Std() != time.Hour {
		t.Error(c.Sessions)
	}
	c = mustParse(t, minimal+"sessions: {idle: 14d}\n", nil)
	if c.Sessions.Absolute != days(14) {
		t.Error(c.Sessions)
	}
}

// TestClientNeedsLittle: what only has no effect is not refused.
func TestClientNeedsLittle(t *testing.T) {
	t.Parallel()
	c := mustParse(t, strings.Replace(minimal, "resources:\n  - id: https://api.example.com\nclients:\n", `
resources:
  - {id: https://api.example.com, scopes: [orders:read]}
  - {id: https://stock.example.com, scopes: [orders:read, stock:read]}
  - {id: https://other.example.com, scopes: [other]}
clients:
  - {id: spa, auth_method: none, grant_types: [authorization_code]}
  - {id: rest, auth_method: none, grant_types: [refresh_token]}
  - {id: once, auth_method: none, grant_types: [authorization_code], scopes: [openid, offline_access]}
  - {id: job, auth_method: client_secret_post, secret: env:SECRET, grant_types: [client_credentials], redirect_uris: [https://job.example.com/]}
  - {id: both, auth_method: none, grant_types: [authorization_code], scopes: [openid, orders:read]}
  - {id: one, auth_method: none, grant_types: [authorization_code], scopes: [stock:read]}
  - {id: listed, auth_method: none, grant_types: [authorization_code], scopes: [orders:read], resources: [https://api.example.com]}
  - {id: no-api, auth_method: none, grant_types: [authorization_code], resources: []}
`, 1), nil)
	got := map[string][]string{}
	for _, client := range c.Clients {
		got[client.ID] = client.Resources
	}
	want := map[string][]string{
		"spa": nil, "rest": nil, "once": nil, "job": nil, "shop": nil, "no-api": {},
		"both":   {"https://api.example.com", "https://stock.example.com"},
		"one":    {"https://stock.example.com"},
		"listed": {"https://api.example.com"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestVariablesOverride(t *testing.T) {
	t.Parallel()
	kek, _ := base64.StdEncoding.DecodeString(environment["KEK"])
	c := mustParse(t, strings.Replace(minimal, "behind_proxy: {trusted: [10.0.0.0/8]}", "sessions: {idle: 1h}", 1), map[string]string{
		"JETON_ISSUER":               "https://other.example.com",
		"JETON_LISTEN":               "8443:8443",
		"JETON_STORE":                "",
		"JETON_KEY_ENCRYPTION_KEY":   " " + environment["KEK"] + "\n",
		"JETON_SESSIONS_IDLE":        "2h",
		"JETON_KEYS_ROTATE":          "30d",
		"JETON_PASSWORD_MEMORY":      "47104",
		"JETON_LOG_REQUESTS":         "true",
		"JETON_LOG_LEVEL":            "warn",
		"JETON_BRAND_NAME":           "12",
		"JETON_BEHIND_PROXY_TRUSTED": "10.0.0.0/8, 2001:db8::1",
	})
	got := []any{
		c.Issuer, c.Listen, c.Store, string(c.KeyEncryptionKey), c.Sessions.Idle.Std(), c.Keys.Rotate, c.Password.Memory,
		c.Log.Requests, c.Log.Level, c.Brand.Name, fmt.Sprint(c.BehindProxy.Trusted),
	}
	want := []any{
		"https://other.example.com", "8443:8443", "sqlite:/var/lib/jeton/jeton.db", string(kek), 2 * time.Hour, days(30), 47104,
		true, "warn", "12", "[10.0.0.0/8 2001:db8::1/128]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestVariableNamesAreUnique(t *testing.T) {
	t.Parallel()
	paths := map[string]string{}
	for path := range allKeys(reflect.TypeFor[Config](), "") {
		if v := Variable(path); v != "" && paths[v] != "" {
			t.Errorf("%s overrides both %s and %s", v, path, paths[v])
		} else {
			paths[v] = path
		}
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var want []string
	text := "issuer: http://localhost:8080\nstore: sqlite:jeton.db\nkey_encryption_key: file:kek\ntls: {cert: file:cert.pem, key: file:key.pem}\n"
	text = strings.Replace(text, "http://", "https://", 1)
	want = append(want, write("jeton.yaml", text), write("kek", "\n "+environment["KEK"]+" \r\n"))
	for _, name := range []string{"cert.pem", "key.pem"} {
		want = append(want, write(name, string(pemFiles()[name])))
	}
	c, err := Load(want[0], lookup(nil))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, c.Files); diff != "" {
		t.Error(diff)
	}
	if len(c.KeyEncryptionKey) != 32 || len(c.TLS.Cert) == 0 || len(c.TLS.Key) == 0 || c.Store != "sqlite:"+filepath.Join(dir, "jeton.db") {
		t.Error("a file was not read")
	}
}

func TestLoadMissingFile(t *testing.T) {
	t.Parallel()
	_, err := Load("nowhere/jeton.yaml", lookup(nil))
	if err == nil || err.Error() != "nowhere/jeton.yaml: cannot be read: no such file or directory" {
		t.Error(err)
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "jeton.yaml")
	if err := os.WriteFile(path, make([]byte, MaxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path, lookup(nil)); err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") {
		t.Error(err)
	}
	if _, err := Parse("jeton.yaml", make([]byte, MaxSize+1), "", lookup(nil)); err == nil || err.Error() != "jeton.yaml: is larger than 1 MiB" {
		t.Error(err)
	}
}

func TestClaims(t *testing.T) {
	t.Parallel()
	c := mustParse(t, minimal+`
    claims:
      given_name: Ada
      birthdate: 1815-12-10
      phone_number_verified: true
      address: {country: GB, formatted: "1 Street\nLondon"}
`, nil)
	want := map[string]any{
		"given_name": "Ada", "birthdate": "1815-12-10", "phone_number_verified": true,
		"address": map[string]any{"country": "GB", "formatted": "1 Street\nLondon"},
	}
	if diff := cmp.Diff(want, c.Users[0].Claims); diff != "" {
		t.Error(diff)
	}
}

func TestRefreshGraceMayBeZero(t *testing.T) {
	t.Parallel()
	c := mustParse(t, strings.Replace(minimal, "    secret:", "    refresh_token: {grace: 0}\n    secret:", 1), nil)
	if g := c.Clients[0].RefreshToken.Grace; *g != 0 {
		t.Error(*g)
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	t.Parallel()
	c := mustParse(t, strings.Replace(minimal, "ada@example.com", "ada@example.com\n    password: env:PASSWORD", 1), nil)
	c.TLS = &TLS{Key: Key(pemFiles()["key.pem"])}
	printed := fmt.Sprintf("%v %+v %#v %d %x", c, *c, *c, c.KeyEncryptionKey, c.KeyEncryptionKey) + fmt.Sprint(c.TLS.Key, *c.TLS)
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	printed += string(b)
	for _, s := range []string{
		environment["KEK"], environment["SECRET"], environment["PASSWORD"], "PRIVATE KEY",
		string(c.KeyEncryptionKey), fmt.Sprintf("%x", []byte(c.KeyEncryptionKey)), fmt.Sprint([]byte(c.KeyEncryptionKey))[1:20],
	} {
		if strings.Contains(printed, s) {
			t.Errorf("%q stands in %s", s, printed)
		}
	}
}

// FuzzParse: whatever the file holds, reading it ends soon, in a configuration
// or in problems of one line each, and no panic.
func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	for _, name := range []string{"wrong_type", "aliases", "unknown_key", "users", "not_yaml", "two_documents"} {
		a, err := txtar.ParseFile("testdata/bad/" + name + ".txtar")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(a.Files[0].Data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parse("jeton.yaml", data, "", lookup(environment), func(string) ([]byte, error) { return nil, os.ErrNotExist })
		if (c == nil) == (err == nil) {
			t.Fatal("want either a configuration or an error")
		}
		if err == nil {
			return
		}
		if n := len(err.(Problems)); n > maxProblems+1 || strings.Count(err.Error(), "\n") != n-1 {
			t.Fatalf("%d problems: %s", n, err)
		}
	})
}
