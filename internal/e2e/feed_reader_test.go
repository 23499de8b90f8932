//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

const readerDir = root + "/examples/feed-reader"

// node makes a command of Node over the reader of the feed in examples/.
func node(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	// The test cache sees what this process looks at, not what Node does.
	for _, name := range []string{readerDir + "/reader.mjs", readerDir + "/reader.test.mjs", "testdata/reader.mjs"} {
		if _, err := os.Stat(name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Fatal("no Node in PATH: run make need, or apt-get install nodejs")
	}
	return exec.CommandContext(t.Context(), "node", args...)
}

// TestFeedReaderAlone runs the reader's own tests, and sees that none was left out.
func TestFeedReaderAlone(t *testing.T) {
	t.Parallel()
	out, err := node(t, "--test", "--test-reporter=tap", readerDir+"/reader.test.mjs").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{`# pass [1-9]\d*`, "# fail 0", "# cancelled 0", "# skipped 0", "# todo 0"} {
		if !regexp.MustCompile("(?m)^" + want + "$").Match(out) {
			t.Errorf("the tests don't end with %s:\n%s", want, out)
		}
	}
}

// feedReader is the reader in JavaScript, following an issuer.
type feedReader struct {
	t     *testing.T
	tell  *json.Encoder
	lines *bufio.Scanner
}

// standing is what the reader says.
type standing struct {
	Revoked      bool
	Stale, Worst float64 // ms
	Head         int64
}

func (i *issuer) feedReader(t *testing.T) *feedReader {
	t.Helper()
	cmd := node(t, "testdata/reader.mjs")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the reader's troubles:\n%s", stderr.String())
		}
	})
	r := &feedReader{t, json.NewEncoder(stdin), bufio.NewScanner(stdout)}
	_ = r.tell.Encode(map[string]string{"issuer": i.url, "id": orders, "secret": apiSecret})
	return r
}

func (r *feedReader) ask(question any) (s standing) {
	r.t.Helper()
	_ = r.tell.Encode(question) // if it is gone, there is no answer
	if !r.lines.Scan() {
		r.t.Fatal("the reader has ended")
	}
	if err := json.Unmarshal(r.lines.Bytes(), &s); err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *feedReader) stands() standing { r.t.Helper(); return r.ask(struct{}{}) }

func (r *feedReader) revoked(token string) bool {
	r.t.Helper()
	return r.ask(map[string]any{"claims": payload(r.t, token), "kid": header(r.t, token)["kid"]}).Revoked
}

// maxStale is how old a reader's knowledge may get while all is well: a heartbeat comes
// each second.
const maxStale = 3000 // ms

// TestFeedReader follows a real issuer with the reader in JavaScript. It must judge
// every token as the issuer does.
func TestFeedReader(t *testing.T) {
	t.Parallel()
	i := start(t)
	r := i.feedReader(t)
	following := func() bool { return r.stands().Stale < maxStale }
	eventually(t, "the reader follows", following)
	r.stands() // what was before counts no more

	robot := func() string {
		return i.post("/token", basic("robot", robotSecret), "grant_type", "client_credentials", "scope", "orders:read").access()
	}
	ada, here := i.ada(), i.ada()
	const scope = "openid offline_access orders:read"
	first, elsewhere := ada.tokens(shop, "openid orders:read"), here.tokens(shop, "openid orders:read")
	byPhone := i.person("bob@example.com", bobPassword).tokens(phone, scope)
	all := []string{robot(), first.access(), elsewhere.access(), byPhone.access()}
	agree := func() {
		t.Helper()
		for n, token := range all {
			if alive := i.introspect(token); r.revoked(token) == alive {
				t.Errorf("token %d of %s: alive at the issuer %v, and for the reader %v", n, payload(t, token)["client_id"], alive, !alive)
			}
		}
	}
	agree()
	for _, way := range []struct {
		name   string
		mint   func() string
		revoke func(token string)
		after  bool // tokens made afterwards are good
	}{
		{"token", robot, func(token string) {
			i.post("/revoke", basic("robot", robotSecret), "token", token).want(200, "")
		}, true},
		{"grant", byPhone.access, func(string) {
			i.post("/revoke", phone.as, "token", byPhone.refresh()).want(200, "")
		}, false},
		{"session", first.access, func(string) {
			ada.get(i.url + "/logout?id_token_hint=" + first.str("id_token"))
		}, false},
		{"client", robot, func(string) {
			i.run(t, "client", "disable", "robot", "-c", "jeton.yaml")
			i.run(t, "client", "enable", "robot", "-c", "jeton.yaml")
		}, true},
		{"user", elsewhere.access, func(string) {
			i.run(t, "user", "disable", "ada@example.com", "-c", "jeton.yaml")
			i.run(t, "user", "enable", "ada@example.com", "-c", "jeton.yaml")
		}, false},
		{"key", robot, func(token string) {
			i.run(t, "key", "remove", header(t, token)["kid"].(string), "-c", "jeton.yaml")
		}, true},
		{"all", robot, func(string) { i.run(t, "revoke", "--all", "-c", "jeton.yaml") }, true},
	} {
		token := way.mint()
		if r.revoked(token) {
			t.Errorf("%s: revoked before its time", way.name)
		}
		way.revoke(token)
		eventually(t, "the reader hears of it: "+way.name, func() bool { return r.revoked(token) })
		all = append(all, token)
		if way.after {
			all = append(all, way.mint())
		}
		agree()
	}
	// Logged in again, ada is as good as new.
	all = append(all, i.ada().tokens(shop, "openid orders:read").access())
	agree()
	if s := r.stands(); s.Worst > maxStale {
		t.Errorf("what the reader knows was %.0f ms old", s.Worst)
	}

	// Over a restart nothing is missed and nothing forgotten.
	before := r.stands().Head
	i.stop()
	i.begin()
	last := robot()
	i.post("/revoke", basic("robot", robotSecret), "token", last).want(200, "")
	all = append(all, last)
	eventually(t, "the reader goes on after a restart", func() bool { return r.revoked(last) })
	eventually(t, "the reader follows again", func() bool { s := r.stands(); return s.Stale < maxStale && s.Head > before })
	agree()

	// Without the issuer the reader knows what it knew, and that this gets old.
	dead, alive := last, robot()
	i.kill()
	eventually(t, "the reader finds out that nobody is there", func() bool { return r.stands().Stale > maxStale })
	if !r.revoked(dead) || r.revoked(alive) {
		t.Error("the reader's verdicts changed when the issuer was gone")
	}
	i.begin()
	eventually(t, "the reader follows the issuer that came back", following)
	agree()
}
