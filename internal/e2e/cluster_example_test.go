//go:build e2e

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/oauth"
)

// cli is the client of examples/cluster that people log in to.
var cli = app{"cli", "http://127.0.0.1:9999/callback", inForm("cli", "")}

// example is examples/cluster, running; the issuer is its proxy.
type example struct {
	*issuer
	cmd     *exec.Cmd
	ended   chan struct{}
	printed string
	dir     string
	env     map[string]string // what it tells about itself
}

const exampleDir = root + "/examples/cluster"

// startExample runs the script until the test ends.
func startExample(t *testing.T) *example {
	t.Helper()
	// The test cache sees what this process looks at, not what the script does.
	for _, name := range []string{"run.sh", "jeton.yaml", "haproxy.cfg"} {
		if _, err := os.Stat(filepath.Join(exampleDir, name)); err != nil {
			t.Fatal(err)
		}
	}
	port := freePorts(t, 6)
	e := &example{ended: make(chan struct{}), env: map[string]string{}}
	e.issuer = &issuer{t: t, url: fmt.Sprintf("http://localhost:%d", port), web: &http.Client{
		Timeout: time.Minute, Transport: &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	e.cmd = exec.Command("bash", filepath.Join(exampleDir, "run.sh"), strconv.Itoa(port))
	e.cmd.Env = append(os.Environ(), "JETON="+jeton, "API_SECRET="+apiSecret, "ROBOT_SECRET="+robotSecret, "ADA_PASSWORD="+adaPassword)
	var stderr strings.Builder
	e.cmd.Stderr = &stderr
	stdout, err := e.cmd.StdoutPipe()
	if err == nil {
		err = e.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			e.printed += lines.Text() + "\n"
			if strings.HasPrefix(lines.Text(), "ready.") {
				close(ready)
				break
			}
		}
		_ = e.cmd.Wait() // how it ended stands in cmd.ProcessState
		close(e.ended)
	}()
	t.Cleanup(func() { e.end(&stderr, port) })
	select {
	case <-ready:
	case <-e.ended:
		t.Fatalf("the script ended with %s:\n%s%s", e.cmd.ProcessState, e.printed, stderr.String())
	case <-time.After(3 * time.Minute):
		t.Fatalf("the script is not ready:\n%s", stderr.String())
	}
	m := regexp.MustCompile(`(?m)^  \. (\S+)/env$`).FindStringSubmatch(e.printed)
	if m == nil {
		t.Fatalf("the script does not say where its directory is:\n%s", e.printed)
	}
	e.dir = m[1]
	text, err := os.ReadFile(e.dir + "/env")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range strings.Fields(string(text)) {
		name, value, _ := strings.Cut(word, "=")
		e.env[name] = value
	}
	return e
}

// end is Ctrl-C: nothing may be left.
func (e *example) end(stderr *strings.Builder, port int) {
	if e.t.Failed() {
		logs, err := filepath.Glob(e.dir + "/log/*")
		if err != nil {
			e.t.Error(err)
		}
		for _, name := range logs {
			text, _ := os.ReadFile(name) // a log that can't be read is shown as empty
			e.t.Logf("%s:\n%s", name, text[max(0, len(text)-4<<10):])
		}
	}
	e.web.CloseIdleConnections()
	_ = e.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-e.ended:
	case <-time.After(time.Minute):
		_ = e.cmd.Process.Kill() // all that it started ends with it
		e.t.Error("the script did not end within a minute of Ctrl-C")
		return
	}
	if code := e.cmd.ProcessState.ExitCode(); code != 0 {
		e.t.Errorf("the script ended with %d:\n%s", code, stderr.String())
	}
	if !free(port, 6) {
		e.t.Error("something that the script started still listens")
	}
	if _, err := os.Stat(e.dir); !errors.Is(err, fs.ErrNotExist) {
		e.t.Errorf("the script left %s behind: %v", e.dir, err)
	}
}

// signal sends a signal to a process of the example, as the page that it prints says.
func (e *example) signal(name string, sig syscall.Signal) {
	e.t.Helper()
	pid, err := strconv.Atoi(e.env[name])
	if err == nil && pid <= 1 {
		err = errors.New("this is no process of the example")
	}
	if err == nil {
		err = syscall.Kill(pid, sig)
	}
	if err != nil {
		e.t.Fatalf("%s=%s: %v", name, e.env[name], err)
	}
}

// stream follows the feed through the proxy, and closes the channel at the first
// revocation.
func (e *example) stream(t *testing.T) <-chan struct{} {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.url+"/revocations", nil)
	if err != nil {
		t.Fatal(err)
	}
	basic(orders, apiSecret)(req, nil)
	req.Header.Set("Accept", "text/event-stream")
	resp, err := e.web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() && lines.Text() != "event: heartbeat" { // behind all that was there
	}
	if err := lines.Err(); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("the feed answers %d %v", resp.StatusCode, err)
	}
	heard := make(chan struct{})
	go func() {
		for lines.Scan() {
			if lines.Text() == "event: revocations" {
				close(heard)
				return
			}
		}
	}()
	return heard
}

// all logs in, refreshes, revokes and introspects through the proxy, and hears of it.
func (e *example) all(t *testing.T) (refresh, access string) {
	t.Helper()
	heard := e.stream(t)
	p := e.ada()
	kept := p.tokens(cli, "openid offline_access orders:read")
	got := p.tokens(cli, "openid offline_access orders:read")
	for range 3 { // three nodes
		got = e.rotate(cli, got.refresh()).want(200, "")
	}
	if !e.introspect(got.access()) {
		t.Error("a token is inactive")
	}
	e.post("/revoke", cli.as, "token", got.refresh()).want(200, "")
	if e.introspect(got.access()) {
		t.Error("a revoked token is active on the next node")
	}
	select {
	case <-heard:
	case <-time.After(10 * time.Second):
		t.Error("a stream of the feed does not come through the proxy")
	}
	e.rotate(cli, got.refresh()).want(400, oauth.InvalidGrant)
	return kept.refresh(), got.access()
}

// TestClusterExample does what examples/cluster invites to.
func TestClusterExample(t *testing.T) {
	t.Parallel()
	e := startExample(t)
	refresh, revoked := e.all(t)

	// What a node is at work on is lost when it dies, and nothing after that.
	e.signal("NODE1_PID", syscall.SIGKILL)
	eventually(t, "the node is gone", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(e.env["NODE1"], "http://"))
		if err == nil {
			conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	refresh = e.rotate(cli, refresh).want(200, "").refresh()
	e.all(t)

	// Without a primary keys are served. The standby has what was acknowledged.
	e.signal("PRIMARY_PID", syscall.SIGQUIT)
	eventually(t, "no node is ready", func() bool { return e.get("/readyz").status == http.StatusServiceUnavailable })
	e.get("/jwks").want(200, "")
	if out, err := exec.Command("psql", "-XAtq", "-d", e.env["STANDBY"], "-c", "SELECT pg_promote()").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, node := range []string{"NODE2", "NODE3"} {
		eventually(t, node+" found the standby", func() bool {
			resp, err := e.web.Get(e.env[node] + "/readyz")
			return err == nil && read(t, resp).status == http.StatusOK
		})
	}
	if e.introspect(revoked) {
		t.Error("a token that was revoked before the primary died is active")
	}
	e.rotate(cli, refresh).want(200, "")
	e.all(t)
}
