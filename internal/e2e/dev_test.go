//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// dev is a running jeton dev.
type dev struct {
	issuer, api, web, password string
	// printed is what it told, up to where it is ready.
	printed string
}

func startDev(t *testing.T) *dev {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	port := freePorts(t, 3)
	cmd := exec.Command(jeton, "dev", "--port", fmt.Sprint(port), "--data", dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d := &dev{}
	lines := bufio.NewScanner(stdout)
	for ready := false; !ready && lines.Scan(); {
		d.printed += lines.Text() + "\n"
		line := strings.TrimSpace(lines.Text())
		for name, value := range map[string]*string{"Issuer": &d.issuer, "Demo API": &d.api, "Demo web app": &d.web, "Password": &d.password} {
			if rest, ok := strings.CutPrefix(line, name+"  "); ok {
				*value, _, _ = strings.Cut(strings.TrimSpace(rest), " ")
			}
		}
		ready = strings.HasPrefix(line, "ready in ")
	}
	drained := make(chan struct{})
	go func() {
		for lines.Scan() {
		}
		close(drained)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-drained
		if err := cmd.Wait(); err != nil {
			t.Errorf("jeton dev: %v\n%s", err, stderr.String())
		}
		if said := stderr.String(); strings.Contains(said, "level=ERROR") || strings.Contains(said, "panic") || token.MatchString(said) {
			t.Errorf("jeton dev logs:\n%s", said)
		}
	})
	if d.password == "" || d.web == "" {
		_ = cmd.Process.Signal(os.Interrupt)
		t.Fatalf("jeton dev did not say where it is: %+v", d)
	}
	return d
}

// TestTour pastes the tour that jeton dev prints into a shell.
func TestTour(t *testing.T) {
	t.Parallel()
	d := startDev(t)
	_, tour, _ := strings.Cut(d.printed, "A tour for another terminal:\n")
	tour, _, ok := strings.Cut(tour, "ready in")
	if !ok || strings.Count(tour, "curl ") < 6 {
		t.Fatalf("jeton dev prints no tour:\n%s", d.printed)
	}
	shell := exec.Command("bash", "-eu", "-o", "pipefail", "-c", tour)
	shell.Dir = t.TempDir()
	out, err := shell.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	rest := string(out)
	for _, want := range []string{
		"eyJ", "HTTP/1.1 200 ", `"orders"`, `"active":true`, "HTTP/1.1 200 ", `{"active":false}`, "HTTP/1.1 401 ", "invalid_token",
	} {
		if _, rest, ok = strings.Cut(rest, want); !ok {
			t.Fatalf("the tour shows no %s where it should:\n%s", want, out)
		}
	}
}
