package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/oauth"
)

// A ring made just now rotates, all algorithms or one; then caches lack the next
// key, and only force helps.
func TestKeyRotate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := filepath.Join(dir, "jeton.yaml")
	text := fmt.Sprintf("issuer: http://localhost:8080\nstore: sqlite:%s\nkey_encryption_key: file:%s\n", filepath.Join(dir, "jeton.db"), filepath.Join(dir, "kek"))
	for path, text := range map[string]string{config: text, filepath.Join(dir, "kek"): keys.NewKEK() + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key := func(args ...string) (int, string, string) {
		return command(t, append([]string{"key"}, append(args, "-c", config)...)...)
	}
	ids := func(out string) map[string]string {
		var ring []keys.Info
		if err := json.Unmarshal([]byte(out), &ring); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		all := map[string]string{}
		for _, k := range ring {
			if k.Purpose == keys.Sign && k.State != keys.Retired {
				all[string(k.Alg)+" "+string(k.State)] = k.ID
			}
		}
		return all
	}
	rotates := func(args ...string) (before, after map[string]string) {
		t.Helper()
		_, out, _ := key("list", "--json")
		before = ids(out)
		code, out, errs := key(append([]string{"rotate", "--json"}, args...)...)
		if code != 0 {
			t.Fatalf("%v: exit %d, %s", args, code, errs)
		}
		return before, ids(out)
	}
	refuses := func(says string, args ...string) {
		t.Helper()
		code, out, errs := key(append([]string{"rotate"}, args...)...)
		if code != 1 || out != "" || !strings.Contains(errs, says) {
			t.Errorf("%v: exit %d, %s%s", args, code, out, errs)
		}
	}
	follows := func(before, after map[string]string, alg oauth.Alg, want bool) {
		t.Helper()
		next := before[string(alg)+" next"]
		if next == "" || after[string(alg)+" next"] == "" || (after[string(alg)+" active"] == next) != want {
			t.Errorf("%s: %v, then %v", alg, before, after)
		}
	}

	before, after := rotates("--alg", "ES256")
	follows(before, after, oauth.ES256, true)
	follows(before, after, oauth.RS256, false)
	refuses("--force", "--alg", "ES256")
	before, after = rotates()
	follows(before, after, oauth.ES256, false)
	follows(before, after, oauth.RS256, true)
	refuses("--force")
	refuses("HS256", "--alg", "HS256", "--force")
	before, after = rotates("--force")
	follows(before, after, oauth.ES256, true)
	follows(before, after, oauth.RS256, true)
	if code, out, errs := key("rotate", "--force"); code != 0 || !strings.Contains(out, " retired ") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}
