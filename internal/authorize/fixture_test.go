package authorize

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/directory"
	"github.com/jeton-auth/jeton/internal/grant"
	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/limit"
	"github.com/jeton-auth/jeton/internal/login"
	"github.com/jeton-auth/jeton/internal/password"
	"github.com/jeton-auth/jeton/internal/revoke"
	"github.com/jeton-auth/jeton/internal/session"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/store/sqlite"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

const (
	issuer   = "https://id.example.com"
	callback = "https://shop.example.com/callback"
	orders   = "https://api.example.com"
	vault    = "https://vault.example.com"
	foreign  = "https://foreign.example.com"
	adas     = "seven wooden bridges in fog"
)

var challenge = func() string {
	sum := sha256.Sum256([]byte("verifier"))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}()

type pepper struct{}

func (pepper) Pepper() keys.Root { return keys.Root{ID: 1, Secret: make([]byte, 32)} }

func (p pepper) PepperByID(int64) (keys.Root, bool) { return p.Pepper(), true }

// hints takes "hint:SUBJECT" for an ID token of ours.
type hints struct{}

func (hints) Subject(token string) (sub, sid, clientID string, err error) {
	sub, ok := strings.CutPrefix(token, "hint:")
	if !ok {
		return "", "", "", errors.New("not ours")
	}
	return sub, "", "shop", nil
}

type fixture struct {
	*Flows
	t        testing.TB
	clock    *clock.Manual
	password *login.Password
}

func open(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{t: t, clock: clock.NewManual(begin)}
	engine := &sqlite.Engine{}
	discard := slog.New(slog.DiscardHandler)
	st, err := store.Open(t.Context(), engine, filepath.Join(t.TempDir(), "jeton.db"), f.clock, discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(st.Close(), engine.Close()); err != nil {
			t.Error(err)
		}
	})
	f.Flows = &Flows{Store: st}
	hasher := password.New(password.Params{Memory: 64, Iterations: 1, Parallelism: 1}, 2, 1000)
	phc, err := hasher.Hash(t.Context(), adas)
	if err != nil {
		t.Fatal(err)
	}
	f.write(func(tx *store.Tx) error {
		return errors.Join(
			tx.CreateIssuer(time.Hour),
			tx.CreateUser(store.User{ID: "u_ada", Email: "ada@example.com", Password: phc}),
			tx.CreateUser(store.User{ID: "u_bob", Email: "bob@example.com", Password: phc}))
	})
	revoked, err := revoke.Open(t.Context(), st, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := directory.Open(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	alog := audit.New(st, discard)
	f.Parser = Parser{Issuer: issuer, Directory: dir, Hints: hints{}}
	f.Audit, f.Revoked = alog, revoked
	f.Grants = grant.New(st, pepper{}, revoked)
	f.Sessions = session.New(f.Grants, session.Policy{Idle: time.Hour, Absolute: 10 * time.Hour})
	f.password = &login.Password{Store: st, Audit: alog, Hasher: hasher, Limits: limit.New(alog, st), Log: discard}
	for id, scopes := range map[string][]string{orders: {"orders:read", "orders:write"}, vault: {"vault:open", "orders:read"}, foreign: {"foreign:read"}} {
		f.write(func(tx *store.Tx) error {
			return dir.PutResource(tx, store.Resource{Resource: spec.Resource{ID: id, Scopes: scopes}.WithDefaults()})
		})
	}
	base := spec.Client{
		AuthMethod: oauth.ClientSecretBasic, RedirectURIs: []string{callback},
		GrantTypes: []oauth.GrantType{oauth.AuthorizationCode, oauth.RefreshToken},
		Scopes:     []string{"openid", "email", "offline_access", "orders:read", "orders:write", "vault:open"},
		Resources:  []string{orders, vault},
	}
	f.client("shop", base, func(c *store.Client) { c.FirstParty = true })
	f.client("third", base, func(*store.Client) {})
	f.client("many", base, func(c *store.Client) {
		c.RedirectURIs = []string{"https://shop.example.com/a", "https://shop.example.com/b?x=1", "http://localhost:3000/cb", "http://127.0.0.1/cb", "com.example.app:/cb"}
		c.RequirePKCE = new(false)
	})
	f.client("one", base, func(c *store.Client) {
		c.Scopes, c.Resources, c.GrantTypes = []string{"openid", "orders:read"}, []string{orders}, []oauth.GrantType{oauth.AuthorizationCode}
	})
	f.client("off", base, func(c *store.Client) { c.Disabled = true })
	f.client("robot", base, func(c *store.Client) { c.GrantTypes = []oauth.GrantType{oauth.ClientCredentials} })
	return f
}

func (f *fixture) client(id string, c spec.Client, change func(*store.Client)) {
	f.t.Helper()
	c.ID = id
	full := store.Client{Client: c.WithDefaults(), Source: store.SourceAPI}
	change(&full)
	f.write(func(tx *store.Tx) error { return f.Directory.PutClient(tx, full) })
}

// write is used before there is a directory as well.
func (f *fixture) write(body func(*store.Tx) error) {
	f.t.Helper()
	if err := f.Store.Write(f.t.Context(), body); err != nil {
		f.t.Fatal(err)
	}
}

// params is a request that is right, changed by pairs of name and value; an empty
// value leaves the parameter out.
func params(pairs ...string) url.Values {
	v := url.Values{
		"response_type": {"code"}, "client_id": {"shop"}, "redirect_uri": {callback}, "scope": {"openid"},
		"state": {"s t&te"}, "code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			v.Del(pairs[i])
		} else {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	return v
}

func request(pairs ...string) web.Params { return web.NewParams(params(pairs...)) }
