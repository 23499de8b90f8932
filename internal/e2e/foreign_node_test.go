//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const nodeClient = "foreign"

// fetchClient makes sure that the client is there, in the version of the lock file.
var fetchClient = sync.OnceValue(func() error {
	const advice = "run: npm ci --prefix internal/e2e/foreign"
	// The test cache sees what this process looks at, not what Node does.
	for _, name := range []string{"flow.mjs", "standards.mjs", "package.json", "package-lock.json"} {
		if _, err := os.Stat(filepath.Join(nodeClient, name)); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(nodeClient, "node_modules", "openid-client")); err == nil {
		return nil
	}
	if _, err := exec.LookPath("npm"); err != nil {
		return fmt.Errorf("openid-client is not installed, and npm is missing: install Node and npm, then %s", advice)
	}
	out, err := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", nodeClient).CombinedOutput()
	if err != nil {
		return fmt.Errorf("openid-client could not be fetched (%w); %s\n%s", err, advice, out)
	}
	return nil
})

// TestForeignNode goes the whole way with openid-client of npm, over TLS.
func TestForeignNode(t *testing.T) {
	t.Parallel()
	if err := fetchClient(); err != nil {
		t.Fatal(err)
	}
	type task map[string]any
	for name, todo := range map[string]task{
		"secret in the header": {
			"flow": "web", "id": "shop", "secret": shopSecret, "method": "client_secret_basic", "alg": "RS256",
			"redirect": shop.redirect, "bye": "https://shop.example.com/", "scope": "openid profile email offline_access roles",
		},
		"secret in the form": {
			"flow": "web", "id": "club", "secret": clubSecret, "method": "client_secret_post", "alg": "ES256",
			"redirect": club.redirect, "bye": "https://club.example.com/bye", "scope": "openid profile email offline_access",
		},
		"no secret": {
			"flow": "web", "id": "phone", "method": "none", "alg": "RS256",
			"redirect": phone.redirect, "scope": "openid profile email offline_access",
		},
		"no person": {
			"flow": "robot", "id": "robot", "secret": robotSecret, "method": "client_secret_basic",
			"scope": "orders:read", "api": task{"id": orders, "secret": apiSecret},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := start(t, secure, with("scopes: [openid, offline_access, orders:read]", "scopes: [openid, profile, email, offline_access, orders:read]"))
			todo["issuer"] = i.url
			i.runNode(t, i.ada(), todo)
		})
	}
}

// runNode runs flow.mjs, which asks for the browser when it needs one.
func (i *issuer) runNode(t *testing.T, p *person, todo any) {
	t.Helper()
	i.runScript(t, "flow.mjs", p, todo)
}

// runScript is runNode for a script of another name.
func (i *issuer) runScript(t *testing.T, script string, p *person, todo any) {
	t.Helper()
	ca, err := os.ReadFile(i.path("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	node := exec.CommandContext(t.Context(), "node", script)
	node.Dir = nodeClient
	node.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+i.path("ca.pem"), "CA_PEM="+string(ca))
	var stderr strings.Builder
	node.Stderr = &stderr
	stdin, err := node.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatalf("Node 20 or later is needed: %v", err)
	}
	tell := json.NewEncoder(stdin)
	_ = tell.Encode(todo) // if it is gone, Wait tells why
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		var said struct{ Open string }
		if err := json.Unmarshal(lines.Bytes(), &said); err != nil || said.Open == "" {
			t.Errorf("%s says %s", script, lines.Text())
			continue
		}
		fmt.Fprintln(stdin, p.leave(said.Open))
	}
	if err := node.Wait(); err != nil {
		t.Errorf("%s: %v\n%s", script, err, stderr.String())
	}
}

// leave goes from an address through whatever the issuer asks, and gives the address
// outside of it to which the browser is sent.
func (p *person) leave(address string) string {
	p.t.Helper()
	on := p.get(address)
	for _, button := range []string{"continue", "login", "allow", "logout"} {
		if on.status != 200 || !on.has(button) {
			continue
		}
		if button == "login" {
			on = p.logIn(on)
		} else {
			on = p.submit(on, button)
		}
	}
	return on.at.String()
}
