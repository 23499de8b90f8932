//go:build faults

package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/keys"
)

// config is that of every node: ISSUER, LISTEN and STORE are replaced.
const config = `issuer: ISSUER
listen: LISTEN
store: STORE
key_encryption_key: file:kek
log: {format: json, level: info}
password: {memory: 7168, iterations: 5}
resources:
  - id: https://api.example.com
    scopes: [read]
    access_token: {format: jwt, lifetime: 30m, alg: ES256}
    introspection_secret: env:SECRET
clients:
  - id: shop
    auth_method: client_secret_basic
    secret: env:SECRET
    redirect_uris: [https://shop.example.com/callback]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, offline_access, read]
    resources: [https://api.example.com]
    first_party: true
  - id: mint
    auth_method: client_secret_basic
    secret: env:SECRET
    redirect_uris: [https://shop.example.com/callback]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, offline_access, read]
    resources: [https://api.example.com]
    first_party: true
  - id: phone
    auth_method: none
    redirect_uris: ["http://127.0.0.1/callback"]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, offline_access, read]
    resources: [https://api.example.com]
    first_party: true
users:
  - {email: ada@example.com, password: env:PASSWORD}
  - {email: bob@example.com, password: env:PASSWORD}
  - {email: eve@example.com, password: env:PASSWORD}
`

const (
	secret   = "c2VjcmV0LW9mLXRoZS1mYXVsdC10ZXN0cy0wMDAwMDE"
	password = "seven wooden bridges in fog"
	api      = "https://api.example.com"
)

// patience is how long a cluster may take to serve again when a fault is over.
const patience = time.Minute

// cluster is an issuer of several nodes on one database.
type cluster struct {
	t     *testing.T
	url   string
	nodes []*node
}

// node is a process of the command.
type node struct {
	t    *testing.T
	name string
	dir  string
	addr string
	url  string
	http *http.Client
	cmd  *exec.Cmd
	end  chan struct{}
	gone atomic.Int64 // when it last did not answer, or that it can't, in Unix milliseconds
}

// some is a node that answered lately, if there is one: a load balancer knows as much.
func (c *cluster) some() *node {
	n := c.nodes[rand.IntN(len(c.nodes))]
	for range 2 * len(c.nodes) {
		if time.Now().UnixMilli()-n.gone.Load() > 2000 {
			break
		}
		n = c.nodes[rand.IntN(len(c.nodes))]
	}
	return n
}

// answerFor is how long a client waits for an answer: longer than a node's own bounds.
const answerFor = 8 * time.Second

// startCluster runs a node on each DSN until the test ends.
func startCluster(t *testing.T, dsns ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, url: fmt.Sprintf("http://localhost:%d", freePort(t))}
	kek := keys.NewKEK() + "\n"
	for k, dsn := range dsns {
		n := &node{t: t, name: fmt.Sprintf("node %d", k+1), dir: t.TempDir(), url: c.url, addr: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
		n.http = n.client(nil)
		text := strings.NewReplacer("ISSUER", c.url, "LISTEN", n.addr, "STORE", dsn).Replace(config)
		for name, text := range map[string]string{"jeton.yaml": text, "kek": kek} {
			if err := os.WriteFile(filepath.Join(n.dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c.nodes = append(c.nodes, n)
		n.start()
		t.Cleanup(n.stop)
	}
	c.ready()
	return c
}

// client is one that reaches this node alone, whatever the URL says.
func (n *node) client(jar http.CookieJar) *http.Client {
	return &http.Client{
		Timeout: answerFor, Jar: jar,
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 100,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, n.addr)
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (n *node) start() {
	n.t.Helper()
	log, err := os.OpenFile(filepath.Join(n.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	defer log.Close()
	cmd, end := exec.Command(jeton, "serve", "-c", "jeton.yaml"), make(chan struct{})
	cmd.Dir, cmd.Stdout, cmd.Stderr = n.dir, log, log
	cmd.Env = append(os.Environ(), "SECRET="+secret, "PASSWORD="+password)
	// It ends with this process, however that does: the kernel looks at the thread that
	// started it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended stands in its log
			close(end)
		}
	}()
	if err := <-started; err != nil {
		n.t.Fatal(err)
	}
	n.cmd, n.end = cmd, end
}

func (n *node) signal(s syscall.Signal) { _ = n.cmd.Process.Signal(s) }

// kill ends the process with SIGKILL.
func (n *node) kill() {
	n.signal(syscall.SIGKILL)
	<-n.end
}

// stop ends the process at the end of a test.
func (n *node) stop() {
	n.signal(syscall.SIGCONT)
	n.kill()
	if n.t.Failed() {
		log, _ := os.ReadFile(filepath.Join(n.dir, "log"))
		lines := strings.Split(strings.TrimSpace(string(log)), "\n")
		n.t.Logf("the log of %s ends:\n%s", n.name, strings.Join(lines[max(0, len(lines)-8):], "\n"))
	}
	n.http.CloseIdleConnections()
}

// answers tells whether a node is ready.
func (n *node) answers() bool {
	resp, err := n.http.Get(n.url + "/readyz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// ready waits until all nodes are.
func (c *cluster) ready() {
	c.t.Helper()
	for _, n := range c.nodes {
		eventually(c.t, n.name+" is ready", n.answers)
	}
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !is(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("after %s it is not yet so that %s", patience, what)
		}
	}
}

// lasts lets a fault last.
func lasts(t *testing.T, d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

var ports sync.Map

// freePort finds a port that nobody listens on, below those of outgoing connections.
func freePort(t *testing.T) int {
	t.Helper()
	for range 1000 {
		port := 12_000 + rand.IntN(18_000)
		if _, taken := ports.LoadOrStore(port, true); taken {
			continue
		}
		if ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			ln.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// session is a person who is logged in.
type session struct {
	jar http.CookieJar
	c   *cluster
}

// logIn logs a person in.
func (c *cluster) logIn(email string) *session {
	c.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	s := &session{jar, c}
	browser := c.nodes[0].client(jar)
	defer browser.CloseIdleConnections()
	get := func(path string) *http.Response {
		resp, err := browser.Get(c.url + path)
		if err != nil {
			c.t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	resp := get("/authorize?" + shop.request().Encode())
	at := resp.Header.Get("Location")
	flow, err := url.Parse(at)
	if err != nil || flow.Query().Get("flow") == "" {
		c.t.Fatalf("an authorization request is answered with %d %q", resp.StatusCode, at)
	}
	form := url.Values{"flow": {flow.Query().Get("flow")}, "username": {email}, "password": {password}, "login": {"1"}}
	req, err := http.NewRequest(http.MethodPost, c.url+"/login", strings.NewReader(form.Encode()))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	if resp, err = browser.Do(req); err != nil {
		c.t.Fatal(err)
	}
	resp.Body.Close()
	if _, err := codeIn(resp); err != nil {
		c.t.Fatal(err)
	}
	return s
}
