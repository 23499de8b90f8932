package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	api       = "https://api.example.com"
	vault     = "https://vault.example.com" // its tokens are opaque
	scope     = "orders:read"
	robot     = "robot"
	webClient = "shop-web"
	callback  = "http://127.0.0.1:9/callback" // nobody listens: the browser here stops before it
)

// scopes are what the robot may do where.
var scopes = map[string]string{api: scope, vault: "vault:open"}

// target is an issuer as its clients know it.
type target struct {
	addr        string
	robotSecret string
	webSecret   string
	apiSecret   string
	password    string // everybody's
}

// issuer is an instance of the product: a directory with its configuration and
// database, and the secrets.
type issuer struct {
	target
	dir   string
	store string
	kek   string
	users int
}

const configuration = `issuer: http://%[1]s
listen: %[1]s
store: %[8]s
key_encryption_key: env:BENCH_KEK
resources:
  - id: %[2]s
    name: Orders
    scopes: [%[3]s]
    access_token: {format: jwt, lifetime: 5m, alg: ES256}
    introspection_secret: env:BENCH_API
  - id: %[7]s
    name: Vault
    scopes: [vault:open]
    access_token: {format: opaque, lifetime: 5m}
    introspection_secret: env:BENCH_API
clients:
  - id: %[4]s
    auth_method: client_secret_basic
    secret: env:BENCH_ROBOT
    grant_types: [client_credentials]
    scopes: [%[3]s, "vault:open"]
    resources: [%[2]s, %[7]s]
  - id: %[5]s
    name: Web shop
    auth_method: client_secret_basic
    secret: env:BENCH_WEB
    redirect_uris: ["%[6]s"]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, offline_access, %[3]s]
    resources: [%[2]s]
    first_party: true
    id_token_alg: ES256
users:
`

// newIssuer writes a configuration with fresh secrets into a new directory.
func newIssuer(dir string, users int) (*issuer, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	i := &issuer{
		target: target{addr: addr, robotSecret: random(), webSecret: random(), apiSecret: random(), password: random()},
		dir:    dir, users: users, store: "sqlite:jeton.db",
	}
	kek := make([]byte, 32)
	_, _ = rand.Read(kek) // never fails
	i.kek = base64.StdEncoding.EncodeToString(kek)
	return i, i.configure(users)
}

// configure writes the configuration, with the first seeds of the users. The others
// stay in the database if they are there.
func (i *issuer) configure(seeds int) error {
	var text strings.Builder
	fmt.Fprintf(&text, configuration, i.addr, api, scope, robot, webClient, callback, vault, i.store)
	for n := range seeds {
		fmt.Fprintf(&text, "  - {email: %q, email_verified: true, name: Person %d, password: env:BENCH_PASSWORD}\n", i.user(n), n)
	}
	return os.WriteFile(i.config(), []byte(text.String()), 0o600)
}

// random is a secret of 256 bits.
func random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

func (i *issuer) user(n int) string { return fmt.Sprintf("person%d@example.com", n%i.users) }

func (i *issuer) config() string { return filepath.Join(i.dir, "jeton.yaml") }

func (i *issuer) database() string { return filepath.Join(i.dir, "jeton.db") }

// start runs the issuer until it is ready, and tells how long that took.
func (i *issuer) start(ctx context.Context, program string, args ...string) (*process, time.Duration, error) {
	return i.startAt(ctx, program, i.addr, args...)
}

// startAt is start of a node that listens elsewhere.
func (i *issuer) startAt(ctx context.Context, program, addr string, args ...string) (*process, time.Duration, error) {
	p, err := launch(ctx, filepath.Join(i.dir, "log"), []string{
		"JETON_LISTEN=" + addr, "BENCH_KEK=" + i.kek, "BENCH_ROBOT=" + i.robotSecret, "BENCH_WEB=" + i.webSecret, "BENCH_API=" + i.apiSecret,
		"BENCH_PASSWORD=" + i.password,
	}, program, append(args, "-c", i.config())...)
	if err != nil {
		return nil, 0, err
	}
	took, err := p.ready(addr, "/readyz")
	return p, took, err
}
