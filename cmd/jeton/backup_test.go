package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/transfer"
)

func users(t *testing.T, config string) string {
	t.Helper()
	out, _ := succeeds(t, "user", "list", "-c", config)
	return out
}

func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	config, dir := site(t, "")
	file := filepath.Join(dir, "backup")
	fails(t, "there is no database", "backup", "-c", config, "-o", file)
	succeeds(t, "user", "create", "ada@example.com", "-c", config)
	out, errs := succeeds(t, "backup", "-c", config, "-o", file)
	if !strings.Contains(out, "backup of http://localhost:8080 at ") || !strings.Contains(errs, "users: 1 rows") {
		t.Errorf("%s%s", out, errs)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup has the mode %v: %v", info.Mode(), err)
	}
	text, err := os.ReadFile(file)
	if err != nil || bytes.Contains(text, []byte("ada@example.com")) || !bytes.Contains(text[:400], []byte(`"issuer":"http://localhost:8080"`)) {
		t.Errorf("what stands in the clear is not the header alone: %q, %v", text[:400], err)
	}
	succeeds(t, "user", "create", "bob@example.com", "-c", config)
	fails(t, "the database is not empty", "restore", "-c", config, file)
	if !strings.Contains(users(t, config), "bob@") {
		t.Error("a restore that was refused changed something")
	}

	// What is not whole, or not ours, touches nothing.
	for name, change := range map[string]func([]byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)-1000] },
		"changed": func(b []byte) []byte { b[len(b)-1000] ^= 1; return b },
		"header":  func(b []byte) []byte { return bytes.Replace(b, []byte(`"head":0`), []byte(`"head":1`), 1) },
		"foreign": func([]byte) []byte { return []byte("SQLite format 3\x00") },
	} {
		bad := filepath.Join(dir, name)
		if err := os.WriteFile(bad, change(bytes.Clone(text)), 0o600); err != nil {
			t.Fatal(err)
		}
		fails(t, "sealed:", "restore", "-c", config, "--force", bad)
		fails(t, "sealed:", "restore", "-c", config, "--check", bad)
	}
	if !strings.Contains(users(t, config), "bob@") {
		t.Error("a backup that is not whole replaced what was there")
	}
	kek := filepath.Join(dir, "kek")
	right, err := os.ReadFile(kek)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{keys.NewKEK(), string(right)} {
		if err := os.WriteFile(kek, []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
		if key != string(right) {
			fails(t, "the key does not open this file", "restore", "-c", config, "--force", file)
		}
	}

	if out, _ := succeeds(t, "restore", "-c", config, "--check", file); !strings.Contains(out, "backup of") {
		t.Errorf("--check: %s", out)
	}
	out, _ = succeeds(t, "restore", "-c", config, "--force", "--json", file)
	var restored transfer.Restored
	if err := json.Unmarshal([]byte(out), &restored); err != nil || len(restored.Former) != 1 || restored.Cutoff <= transfer.Jump {
		t.Errorf("%v: %s", err, out)
	}
	if all := users(t, config); !strings.Contains(all, "ada@") || strings.Contains(all, "bob@") {
		t.Errorf("restored: %s", all)
	}
	// Once more from the same backup: the incarnation in between is not forgotten.
	out, _ = succeeds(t, "restore", "-c", config, "--force", "--json", file)
	var again transfer.Restored
	if err := json.Unmarshal([]byte(out), &again); err != nil || len(again.Former) != 2 || again.Former[1] != restored.Incarnation || again.Cutoff <= restored.Cutoff+transfer.Jump-1000 {
		t.Errorf("%v: %s", err, out)
	}
	out, _ = succeeds(t, "recover", "-c", config)
	if !strings.Contains(out, "Nothing said that") || !strings.Contains(out, "is now incarnation") {
		t.Errorf("recover: %s", out)
	}
	other, _ := site(t, "")
	moved, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, bytes.Replace(moved, []byte("8080"), []byte("8081"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	fails(t, "the backup is of the issuer http://localhost:8080", "restore", "-c", config, "--force", file)
}

func TestBackupForAge(t *testing.T) {
	t.Parallel()
	config, dir := site(t, "")
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	file, key := filepath.Join(dir, "backup"), filepath.Join(dir, "age.key")
	if err := os.WriteFile(key, []byte("# made for a test\n"+identity.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	succeeds(t, "user", "create", "ada@example.com", "-c", config)
	fails(t, "--recipient", "backup", "-c", config, "-o", file, "--recipient", "age1nobody")
	succeeds(t, "backup", "-c", config, "-o", file, "--recipient", identity.Recipient().String())
	if err := os.Remove(filepath.Join(dir, "jeton.db")); err != nil {
		t.Fatal(err)
	}
	fails(t, "an identity is needed", "restore", "-c", config, file)
	succeeds(t, "restore", "-c", config, "--identity", key, file)
	if all := users(t, config); !strings.Contains(all, "ada@") {
		t.Errorf("restored: %s", all)
	}
}
