package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/keys"
)

// The parties of testConfig.
const (
	shopSecret  = "c2hvcC1zZWNyZXQtb2YtdGhlLXRlc3RzLTAwMDAwMDE"
	clubSecret  = "Y2x1Yi1zZWNyZXQtb2YtdGhlLXRlc3RzLTAwMDAwMDI"
	robotSecret = "cm9ib3Qtc2VjcmV0LW9mLXRoZS10ZXN0cy0wMDAwMDM"
	apiSecret   = "YXBpLXNlY3JldC1vZi10aGUtdGVzdHMtMDAwMDAwMDQ"
	vaultSecret = "dmF1bHQtc2VjcmV0LW9mLXRoZS10ZXN0cy0wMDAwMDU"
	adaPassword = "seven wooden bridges in fog"
	bobPassword = "nineteen copper kettles at noon"
	orders      = "https://api.example.com"
	vault       = "https://vault.example.com"
)

// testConfig has one of each: ISSUER, LISTEN and KEK are replaced.
const testConfig = `issuer: ISSUER
listen: LISTEN
store: sqlite:jeton.db
key_encryption_key: file:kek
log: {format: json, level: info}
resources:
  - id: https://api.example.com
    name: Orders API
    scopes: [orders:read, orders:write]
    access_token: {format: jwt, lifetime: 5m, alg: ES256}
    introspection_secret: env:API_SECRET
  - id: https://vault.example.com
    name: Vault
    scopes: [vault:open]
    access_token: {format: opaque, lifetime: 2m}
    introspection_secret: env:VAULT_SECRET
clients:
  - id: shop
    name: Web shop
    auth_method: client_secret_basic
    secret: env:SHOP_SECRET
    redirect_uris: [https://shop.example.com/callback]
    post_logout_redirect_uris: [https://shop.example.com/]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, profile, email, offline_access, roles, orders:read, orders:write, vault:open]
    resources: [https://api.example.com, https://vault.example.com]
    first_party: true
  - id: club
    name: Book club
    auth_method: client_secret_post
    secret: env:CLUB_SECRET
    redirect_uris: [https://club.example.com/callback]
    post_logout_redirect_uris: [https://club.example.com/bye]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, profile, email, offline_access, orders:read]
    resources: [https://api.example.com]
    id_token_alg: ES256
    require_pkce: false
  - id: phone
    name: Phone app
    auth_method: none
    redirect_uris: ["http://127.0.0.1/callback"]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, offline_access, orders:read]
    resources: [https://api.example.com]
    first_party: true
  - id: robot
    auth_method: client_secret_basic
    secret: env:ROBOT_SECRET
    grant_types: [client_credentials]
    scopes: [orders:read, orders:write]
    resources: [https://api.example.com]
users:
  - {email: ada@example.com, email_verified: true, name: Ada Lovelace, password: env:ADA_PASSWORD, roles: [admin]}
  - {email: bob@example.com, name: Bob, password: env:BOB_PASSWORD}
`

// environment is what testConfig refers to.
var environment = map[string]string{
	"SHOP_SECRET": shopSecret, "CLUB_SECRET": clubSecret, "ROBOT_SECRET": robotSecret,
	"API_SECRET": apiSecret, "VAULT_SECRET": vaultSecret, "ADA_PASSWORD": adaPassword, "BOB_PASSWORD": bobPassword,
}

// issuer is a jeton process with a directory of its own.
type issuer struct {
	t    testing.TB
	url  string // its identifier and address
	addr string // what it listens on
	dir  string
	web  *http.Client // follows no redirect
	cmd  *exec.Cmd
	// end is closed when the process has ended.
	end chan struct{}
	// wrap stands in front of the command line.
	wrap []string
	// troubled tells that the log may hold errors.
	troubled bool
}

// option changes an issuer before it starts.
type option func(i *issuer, config *string)

// with replaces parts of testConfig: old, new, old, new …
func with(parts ...string) option {
	return func(i *issuer, config *string) {
		for p := range slices.Chunk(parts, 2) {
			if !strings.Contains(*config, p[0]) {
				i.t.Fatalf("the configuration holds no %q", p[0])
			}
		}
		*config = strings.NewReplacer(parts...).Replace(*config)
	}
}

// troubled admits errors in the log.
func troubled(i *issuer, _ *string) { i.troubled = true }

// start runs jeton serve until the test ends.
func start(t testing.TB, options ...option) *issuer {
	t.Helper()
	port := freePorts(t, 1)
	i := &issuer{t: t, dir: t.TempDir(), addr: fmt.Sprintf("127.0.0.1:%d", port), url: fmt.Sprintf("http://localhost:%d", port)}
	i.web = &http.Client{
		Timeout:       time.Minute,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 1100, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	config := testConfig
	for _, o := range options {
		o(i, &config)
	}
	i.write("kek", keys.NewKEK()+"\n")
	i.configure(config)
	i.begin()
	t.Cleanup(func() {
		i.stop()
		i.checkLog()
	})
	return i
}

// secure makes the issuer end TLS itself, with a certificate of a made-up authority.
func secure(i *issuer, config *string) {
	ca, cert, key := certificate(i.t)
	i.write("ca.pem", string(ca))
	i.write("cert.pem", string(cert))
	i.write("key.pem", string(key))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	i.web.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots}
	i.url = strings.Replace(i.url, "http:", "https:", 1)
	*config = "tls: {cert: file:cert.pem, key: file:key.pem}\n" + *config
}

// write puts a file into the issuer's directory, as a whole.
func (i *issuer) write(name, text string) {
	i.t.Helper()
	next := filepath.Join(i.dir, name+".new")
	if err := errors.Join(os.WriteFile(next, []byte(text), 0o600), os.Rename(next, filepath.Join(i.dir, name))); err != nil {
		i.t.Fatal(err)
	}
}

// configure writes jeton.yaml.
func (i *issuer) configure(config string) {
	i.t.Helper()
	i.write("jeton.yaml", strings.NewReplacer("ISSUER", i.url, "LISTEN", i.addr).Replace(config))
}

// command is a jeton command in the issuer's directory.
func (i *issuer) command(args ...string) *exec.Cmd {
	line := append(slices.Clone(i.wrap), append([]string{jeton}, args...)...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Dir = i.dir
	cmd.Env = os.Environ()
	for name, value := range environment {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

// begin starts the process and waits until it answers.
func (i *issuer) begin() {
	i.t.Helper()
	if err := i.spawn(); err != nil {
		i.t.Fatal(err)
	}
	if !i.ready() {
		i.t.Fatalf("jeton did not start:\n%s", i.readLog())
	}
}

// spawn starts the process.
func (i *issuer) spawn() error {
	log, err := os.OpenFile(i.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	i.cmd, i.end = i.command("serve", "-c", "jeton.yaml"), make(chan struct{})
	i.cmd.Stderr, i.cmd.Stdout = log, log
	if err := i.cmd.Start(); err != nil {
		return err
	}
	go func(cmd *exec.Cmd, end chan struct{}) {
		_ = cmd.Wait() // how it ended stands in cmd.ProcessState
		close(end)
	}(i.cmd, i.end)
	return nil
}

func (i *issuer) path(name string) string { return filepath.Join(i.dir, name) }

// ready waits for /readyz. False: the process ended, or half a minute went by.
func (i *issuer) ready() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return wait(ctx, i.end, func() bool {
		resp, err := i.web.Get(i.url + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// wait asks every few milliseconds until the answer is yes. False: ended was closed,
// or ctx is over.
func wait(ctx context.Context, ended <-chan struct{}, done func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return false
		case <-ended:
			return false
		case <-tick.C:
		}
	}
	return true
}

// eventually fails the test unless done says yes within half a minute.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if !wait(ctx, nil, done) {
		t.Fatalf("waited in vain: %s", what)
	}
}

func (i *issuer) running() bool {
	select {
	case <-i.end:
		return false
	default:
		return true
	}
}

// stop ends the process as an operator would, and expects it to end well.
func (i *issuer) stop() {
	i.t.Helper()
	if !i.running() {
		return
	}
	// The server waits some seconds for connections that are open but unused.
	i.web.CloseIdleConnections()
	_ = i.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-i.end:
	case <-time.After(30 * time.Second):
		i.kill()
		i.t.Errorf("jeton did not end within 30 seconds of SIGTERM")
	}
	if code := i.cmd.ProcessState.ExitCode(); code != 0 {
		i.t.Errorf("jeton ended with %d:\n%s", code, i.readLog())
	}
}

// kill ends the process where it stands.
func (i *issuer) kill() {
	_ = i.cmd.Process.Kill()
	<-i.end
}

func (i *issuer) readLog() string {
	log, err := os.ReadFile(i.path("log"))
	if err != nil {
		i.t.Error(err)
	}
	return string(log)
}

// token is how a credential of any kind begins: one of ours, or a JWS with two
// segments of JSON. A random id may hold a few of these characters by chance.
var token = regexp.MustCompile(`\bjt[acr]_[A-Za-z0-9_-]{16}|\beyJ[A-Za-z0-9_-]{8,}\.eyJ`)

// checkLog holds what every log must: no failure of ours, and no secret.
func (i *issuer) checkLog() {
	i.t.Helper()
	log := i.readLog()
	for _, value := range environment {
		if strings.Contains(log, value) {
			i.t.Errorf("the log holds the secret %.6s…", value)
		}
	}
	for line := range strings.Lines(log) {
		switch {
		case !json.Valid([]byte(line)):
			i.t.Errorf("a line of the log is no JSON: %s", line)
		case token.MatchString(line):
			i.t.Errorf("the log holds a token: %s", line)
		case strings.Contains(line, "panic"), !i.troubled && strings.Contains(line, `"level":"ERROR"`):
			i.t.Errorf("the log holds a failure: %s", line)
		}
	}
	if i.t.Failed() {
		i.t.Logf("log of the issuer:\n%s", log[max(0, len(log)-2<<10):])
	}
}

// Ports below those that the system gives to connections, so that nobody gets one of
// them by chance between the moment it was found free and the moment it is used.
const firstPort, lastPort = 12_000, 30_000

var nextPort atomic.Int64

// freePorts finds so many free ports in a row and gives the first.
func freePorts(t testing.TB, n int) int {
	t.Helper()
	nextPort.CompareAndSwap(0, firstPort+rand.Int64N(lastPort-firstPort))
	for range 1000 {
		first := int(nextPort.Add(int64(n))) - n
		if first+n > lastPort {
			nextPort.Store(firstPort)
			continue
		}
		if free(first, n) {
			return first
		}
	}
	t.Fatal("no free ports")
	return 0
}

func free(first, n int) bool {
	for port := first; port < first+n; port++ {
		for _, host := range []string{"127.0.0.1", "[::1]"} {
			ln, err := net.Listen("tcp", fmt.Sprintf("%s:%d", host, port))
			if errors.Is(err, syscall.EADDRINUSE) {
				return false
			}
			if err == nil {
				ln.Close()
			}
		}
	}
	return true
}

// run runs a command beside the server and gives what it prints.
func (i *issuer) run(t testing.TB, args ...string) reply {
	t.Helper()
	var stdout, stderr strings.Builder
	cmd := i.command(args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("jeton %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return reply{t: t, body: stdout.String()}
}
