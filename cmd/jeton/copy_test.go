package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/transfer"
)

// site is a configuration with a database of its own.
func site(t *testing.T, more string) (config, dir string) {
	t.Helper()
	dir = t.TempDir()
	config = filepath.Join(dir, "jeton.yaml")
	text := "issuer: http://localhost:8080\nstore: sqlite:jeton.db\nkey_encryption_key: file:kek\n" + more
	for path, text := range map[string]string{config: text, filepath.Join(dir, "kek"): keys.NewKEK() + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return config, dir
}

// succeeds runs a command and gives what it printed.
func succeeds(t *testing.T, args ...string) (out, errs string) {
	t.Helper()
	code, out, errs := command(t, args...)
	if code != 0 {
		t.Fatalf("%v: exit %d: %s%s", args, code, out, errs)
	}
	return out, errs
}

// fails runs a command that is to fail, and say why.
func fails(t *testing.T, says string, args ...string) {
	t.Helper()
	code, out, errs := command(t, args...)
	if code != 1 || out != "" || !strings.Contains(errs, says) {
		t.Errorf("%v: exit %d, %s%s, want %q", args, code, out, errs, says)
	}
}

func TestCopyCommand(t *testing.T) {
	t.Parallel()
	config, dir := site(t, "")
	from, to := "sqlite:"+filepath.Join(dir, "jeton.db"), "sqlite:"+filepath.Join(dir, "other.db")
	fails(t, "there is no database", "copy", "--from", from, "--to", to)
	fails(t, "is no store", "copy", "--from", from, "--to", "mysql://x")
	fails(t, "the same store", "copy", "--from", from, "--to", from)
	succeeds(t, "user", "create", "ada@example.com", "-c", config)
	out, errs := succeeds(t, "copy", "--from", from, "--to", to, "--json")
	var copied transfer.Copied
	if err := json.Unmarshal([]byte(out), &copied); err != nil || copied.Incarnation == "" {
		t.Errorf("%v: %s", err, out)
	}
	if !strings.Contains(errs, "users: 1 rows") {
		t.Errorf("the progress is %q", errs)
	}
	fails(t, "holds this issuer already", "copy", "--from", from, "--to", to)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	moved := filepath.Join(dir, "moved.yaml")
	if err := os.WriteFile(moved, []byte(strings.Replace(string(text), "jeton.db", "other.db", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _ := succeeds(t, "user", "list", "-c", moved); !strings.Contains(out, "ada@example.com") {
		t.Errorf("the users of the copy: %s", out)
	}
	third := fmt.Sprintf("sqlite:%s", filepath.Join(dir, "third.db"))
	if out, _ := succeeds(t, "copy", "--from", to, "--to", third); !strings.Contains(out, "Both sides are equal") {
		t.Errorf("without --json: %s", out)
	}
}
