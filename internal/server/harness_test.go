package server

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/config"
	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/password"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

const (
	shopSecret   = "c2hvcC1zZWNyZXQtb2YtdGhlLXRlc3RzLTAwMDAwMDE"
	otherSecret  = "b3RoZXItc2VjcmV0LW9mLXRoZS10ZXN0cy0wMDAwMDI"
	robotSecret  = "cm9ib3Qtc2VjcmV0LW9mLXRoZS10ZXN0cy0wMDAwMDM"
	apiSecret    = "YXBpLXNlY3JldC1vZi10aGUtdGVzdHMtMDAwMDAwMDQ"
	vaultSecret  = "dmF1bHQtc2VjcmV0LW9mLXRoZS10ZXN0cy0wMDAwMDU"
	adaPassword  = "seven wooden bridges in fog"
	api          = "https://api.example.com"
	vaultAPI     = "https://vault.example.com"
	callback     = "https://shop.example.com/callback"
	testVerifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

const testConfig = `
issuer: http://localhost:8080
store: sqlite:jeton.db
key_encryption_key: env:KEK
resources:
  - id: https://api.example.com
    name: Orders API
    scopes: [orders:read, orders:write]
    access_token: {format: jwt, lifetime: 5m, alg: ES256}
    introspection_secret: env:API
  - id: https://vault.example.com
    name: Vault
    scopes: [vault:open]
    access_token: {format: opaque, lifetime: 2m}
    introspection_secret: env:VAULT
clients:
  - id: shop-web
    name: Web shop
    auth_method: client_secret_basic
    secret: env:SHOP
    redirect_uris: [https://shop.example.com/callback, https://shop.example.com/other]
    post_logout_redirect_uris: [https://shop.example.com/]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, profile, email, offline_access, roles, orders:read, orders:write, vault:open]
    resources: [https://api.example.com, https://vault.example.com]
    first_party: true
    id_token_alg: ES256
  - id: other-web
    auth_method: client_secret_post
    secret: env:OTHER
    redirect_uris: [https://other.example.com/callback]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, profile, offline_access, orders:read]
    resources: [https://api.example.com]
    require_pkce: false
  - id: phone
    auth_method: none
    redirect_uris: ["http://127.0.0.1/callback"]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, offline_access, orders:read]
    resources: [https://api.example.com]
    first_party: true
  - id: robot
    auth_method: client_secret_basic
    secret: env:ROBOT
    grant_types: [client_credentials]
    scopes: [orders:read, orders:write]
    resources: [https://api.example.com]
users:
  - {email: ada@example.com, email_verified: true, name: Ada Lovelace, password: env:ADA, roles: [admin]}
`

// issuer is a server under test, with its own database and a clock that stands still.
type issuer struct {
	*Server
	t     testing.TB
	clock *clock.Manual
	dir   string
	log   logBuffer
	kek   string
}

// logBuffer keeps what the server logs.
type logBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func parseConfig(t testing.TB, text, dir, kek string) *config.Config {
	t.Helper()
	env := map[string]string{
		"KEK": kek, "SHOP": shopSecret, "OTHER": otherSecret, "ROBOT": robotSecret, "API": apiSecret, "VAULT": vaultSecret, "ADA": adaPassword,
	}
	c, err := config.Parse("jeton.yaml", []byte(text), dir, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func start(t testing.TB) *issuer {
	t.Helper()
	i := &issuer{
		t: t, dir: t.TempDir(), kek: keys.NewKEK(),
		clock: clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
	}
	i.open(testConfig)
	t.Cleanup(func() {
		if err := i.Server.Close(); err != nil {
			t.Error(err)
		}
	})
	return i
}

func (i *issuer) open(text string) {
	i.t.Helper()
	srv, err := Open(i.t.Context(), Options{
		Config: parseConfig(i.t, text, i.dir, i.kek), Clock: i.clock,
		Log:    slog.New(slog.NewTextHandler(&i.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Hasher: password.New(password.Params{Memory: 8, Iterations: 1, Parallelism: 1}, 2, 64),
	})
	if err != nil {
		i.t.Fatal(err)
	}
	if err := srv.serveFromNow(i.t.Context()); err != nil {
		i.t.Fatal(err)
	}
	srv.manager.Revoker.PerGrant, srv.manager.Revoker.PerOwn = most, most
	i.Server = srv
}

// restart closes the server and opens it again on the same database.
func (i *issuer) restart() {
	i.t.Helper()
	if err := i.Server.Close(); err != nil {
		i.t.Fatal(err)
	}
	i.open(testConfig)
}

// reply is an answer of the server.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) json(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(r.body, &m); err != nil {
		t.Fatalf("the answer %d %q is not JSON: %v", r.status, r.body, err)
	}
	return m
}

func (r reply) str(t testing.TB, name string) string {
	t.Helper()
	s, _ := r.json(t)[name].(string)
	return s
}

func (i *issuer) do(req *http.Request) reply {
	rec := httptest.NewRecorder()
	i.Handler().ServeHTTP(rec, req)
	return reply{rec.Code, rec.Header(), rec.Body.Bytes()}
}

// caller authenticates a request.
type caller func(*http.Request, url.Values)

func basic(id, secret string) caller {
	return func(r *http.Request, _ url.Values) { r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret)) }
}

func form(id, secret string) caller {
	return func(_ *http.Request, v url.Values) {
		v.Set("client_id", id)
		if secret != "" {
			v.Set("client_secret", secret)
		}
	}
}

var (
	shop  = basic("shop-web", shopSecret)
	other = form("other-web", otherSecret)
	robot = basic("robot", robotSecret)
	phone = form("phone", "")
	asAPI = basic(api, apiSecret)
)

// post sends a form; values are name, value, name, value …
func (i *issuer) post(path string, as caller, values ...string) reply {
	i.t.Helper()
	v := url.Values{}
	for k := 0; k < len(values); k += 2 {
		v.Add(values[k], values[k+1])
	}
	req := httptest.NewRequest(http.MethodPost, path, nil)
	if as != nil {
		as(req, v)
	}
	req.Body = io.NopCloser(strings.NewReader(v.Encode()))
	req.ContentLength = int64(len(v.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return i.do(req)
}

// want checks an answer's status and error code.
func (r reply) want(t testing.TB, status int, code oauth.ErrorCode) reply {
	t.Helper()
	got := ""
	if code != "" || r.status >= 400 {
		got = r.str(t, "error")
	}
	if r.status != status || got != string(code) {
		t.Fatalf("answer %d %s, want %d %q", r.status, r.body, status, code)
	}
	return r
}

// asked is what a person is taken to have granted.
type asked struct {
	client    string
	redirect  string
	scopes    []string
	resources []store.GrantedResource
	named     bool
	challenge string
	nonce     string
	claims    store.ClaimsRequest
	session   []byte
	sent      bool
}

func s256(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// readOrders is what most tests are granted.
func readOrders(client, redirect string) asked {
	return asked{
		client: client, redirect: redirect, sent: true, challenge: s256(testVerifier), nonce: "n-1",
		scopes:    []string{oauth.ScopeOpenID, oauth.ScopeOfflineAccess},
		resources: []store.GrantedResource{{ID: api, Scopes: []string{"orders:read"}}},
	}
}

func (i *issuer) ada() store.User {
	i.t.Helper()
	u, err := i.store.Read(i.t.Context()).UserByLogin("ada@example.com")
	if err != nil {
		i.t.Fatal(err)
	}
	return u
}

// code makes a grant as the browser flow would, and returns its code.
func (i *issuer) code(a asked) (code string) {
	i.t.Helper()
	c, ok := i.manager.Directory.Client(a.client)
	if !ok {
		i.t.Fatalf("no client %q", a.client)
	}
	subject := i.ada().ID
	err := i.audit.Write(i.t.Context(), func(tx *store.Tx) (e audit.Event, err error) {
		if !c.FirstParty {
			if err := tx.PutConsent(store.Consent{Subject: subject, Client: a.client, Scopes: map[string][]string{"": a.scopes}}); err != nil {
				return e, err
			}
		}
		code, err = i.manager.Grants.Create(tx, &store.Grant{
			Client: a.client, Subject: subject, Session: a.session, Rev: i.revoked.Head(),
			AbsoluteAt: tx.Now().Add(c.RefreshToken.Absolute.Std()),
			Code:       &store.CodeDetails{RedirectURI: a.redirect, RedirectURISent: a.sent, Challenge: a.challenge, Nonce: a.nonce},
			Details:    store.GrantDetails{Scopes: a.scopes, Resources: a.resources, ResourceAsked: a.named, Claims: a.claims, AuthTime: tx.Now(), AMR: []string{"pwd"}},
		})
		return audit.Event{Type: audit.GrantCreated, Subject: subject}, err
	})
	if err != nil {
		i.t.Fatal(err)
	}
	return code
}

// redeem exchanges a code.
func (i *issuer) redeem(as caller, code, redirect string, more ...string) reply {
	i.t.Helper()
	return i.post("/token", as, append([]string{
		"grant_type", "authorization_code", "code", code, "redirect_uri", redirect, "code_verifier", testVerifier,
	}, more...)...)
}

// login is a whole grant for the shop: the answer of the code's redemption.
func (i *issuer) login() reply {
	i.t.Helper()
	return i.redeem(shop, i.code(readOrders("shop-web", callback)), callback).want(i.t, 200, "")
}

func (i *issuer) refresh(as caller, token string, more ...string) reply {
	i.t.Helper()
	return i.post("/token", as, append([]string{"grant_type", "refresh_token", "refresh_token", token}, more...)...)
}

func (i *issuer) active(token string) bool {
	i.t.Helper()
	return i.post("/introspect", asAPI, "token", token).want(i.t, 200, "").json(i.t)["active"] == true
}

func (i *issuer) userinfo(token string) reply {
	req := httptest.NewRequest(http.MethodGet, "/userinfo", nil)
	req.Header.Set("Authorization", "Bearer "+token)
	return i.do(req)
}

// payload decodes a JWT without checking it.
func payload(t testing.TB, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", token)
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	return reply{body: b}.json(t)
}

// audited lists the types of the audit events so far.
func (i *issuer) audited() []string {
	i.t.Helper()
	events, err := i.store.Read(i.t.Context()).AuditEvents(time.Time{}, 10_000)
	if err != nil {
		i.t.Fatal(err)
	}
	var types []string
	for _, e := range events {
		types = append(types, e.Type)
	}
	return types
}

func (i *issuer) wasAudited(t audit.Type) bool { return slices.Contains(i.audited(), string(t)) }

func (i *issuer) grantRows() int64 {
	i.t.Helper()
	n, err := i.store.Read(i.t.Context()).CountGrants()
	if err != nil {
		i.t.Fatal(err)
	}
	return n
}

// count runs a query of one number on a connection of its own.
func (i *issuer) count(query string, into *int) error {
	db, err := sql.Open("sqlite", i.databasePath())
	if err != nil {
		return err
	}
	return errors.Join(db.QueryRow(query).Scan(into), db.Close())
}

func (i *issuer) databasePath() string { return filepath.Join(i.dir, "jeton.db") }
