package e2e

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs the command line by the scripts of testdata/script. Beside
// testscript's own, they have these commands:
//
//	ready                   waits until the server on $PORT answers
//	fetch [-u ID SECRET] PATH [NAME=VALUE ...]
//	                        asks the server, with a form if there are values, and
//	                        prints the answer
//	capture NAME REGEXP     puts what the expression's group finds in stdout into $NAME
//
// $PORT is free, in jeton.yaml too, and the secrets of the configurations are in the
// environment.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(jeton)+string(os.PathListSeparator)+os.Getenv("PATH"))
			env.Setenv("PORT", fmt.Sprint(freePorts(t, 3)))
			for name, value := range environment {
				env.Setenv(name, value)
			}
			kek, err := exec.Command(jeton, "keygen").Output()
			if err != nil {
				return err
			}
			return errors.Join(
				os.WriteFile(filepath.Join(env.WorkDir, "kek"), kek, 0o600),
				fillIn(filepath.Join(env.WorkDir, "jeton.yaml"), "$PORT", env.Getenv("PORT")))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ready":   ready,
			"fetch":   fetch,
			"capture": capture,
		},
	})
}

// fillIn replaces a word in a file, if there is one.
func fillIn(path, word, value string) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, os.WriteFile(path, []byte(strings.ReplaceAll(string(text), word, value)), 0o600))
}

func ready(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: ready")
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 3000 {
		resp, err := http.Get("http://localhost:" + ts.Getenv("PORT") + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		<-tick.C
	}
	ts.Fatalf("the server does not answer")
}

func fetch(ts *testscript.TestScript, neg bool, args []string) {
	as := caller(nobody)
	if len(args) > 3 && args[0] == "-u" {
		as, args = basic(args[1], args[2]), args[3:]
	}
	if neg || len(args) == 0 {
		ts.Fatalf("usage: fetch [-u ID SECRET] PATH [NAME=VALUE ...]")
	}
	form := url.Values{}
	for _, pair := range args[1:] {
		name, value, _ := strings.Cut(pair, "=")
		form.Add(name, value)
	}
	method := http.MethodGet
	if len(form) > 0 {
		method = http.MethodPost
	}
	req, err := http.NewRequest(method, "http://localhost:"+ts.Getenv("PORT")+args[0], strings.NewReader(form.Encode()))
	ts.Check(err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	as(req, form)
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	_, err = io.Copy(ts.Stdout(), resp.Body)
	ts.Check(err)
}

func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture NAME REGEXP")
	}
	found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("nothing in stdout is like %s", args[1])
	}
	ts.Setenv(args[0], found[1])
}

var listed = regexp.MustCompile(`(?m)^  ([a-z][a-z ]*[a-z])(?: |$)`)

// TestHelp asks every command for help, those within groups too.
func TestHelp(t *testing.T) {
	t.Parallel()
	help := func(command ...string) string {
		t.Helper()
		out, err := exec.Command(jeton, append(command, "--help")...).Output()
		if err != nil {
			t.Errorf("jeton %s --help: %v", strings.Join(command, " "), err)
		}
		if name := strings.Join(append([]string{"jeton"}, command...), " "); !strings.Contains(string(out), name) {
			t.Errorf("%s --help does not name it: %s", name, out)
		}
		if len(out) > 0 && !strings.Contains(string(out), "Show context-sensitive help") {
			t.Errorf("jeton %s --help is no help: %s", strings.Join(command, " "), out)
		}
		return string(out)
	}
	_, commands, _ := strings.Cut(help(), "Commands:\n")
	groups := map[string]bool{}
	for _, m := range listed.FindAllStringSubmatch(commands, -1) {
		command := strings.Fields(m[1])
		help(command...)
		groups[command[0]] = true
	}
	for group := range groups {
		help(group)
	}
	for _, want := range []string{"dev", "serve", "check", "keygen", "user", "client", "resource", "key", "completion", "version"} {
		if !groups[want] {
			t.Errorf("jeton --help does not list %s", want)
		}
	}
	for _, wrong := range [][]string{{"nonsense"}, {"client", "nonsense"}, {"serve", "nonsense"}, {"serve", "--nonsense"}, {"client"}, {}} {
		out, err := exec.Command(jeton, wrong...).CombinedOutput()
		if err == nil {
			t.Errorf("jeton %s ends with 0: %s", strings.Join(wrong, " "), out)
		}
	}
}
