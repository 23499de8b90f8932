package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jeton-auth/jeton/internal/pgtest"
)

// root is the repository's, seen from this package's directory.
const root = "../.."

// jeton is the binary under test. It is built once for all tests.
var jeton string

func TestMain(m *testing.M) {
	if path := os.Getenv(ledgerVariable); path != "" {
		if err := serveLedger(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "jeton-e2e-")
	if err == nil {
		defer os.RemoveAll(dir)
		jeton = filepath.Join(dir, "bin", "jeton")
		err = errors.Join(lookAtSources(), build(jeton))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return pgtest.Main(m) // which starts PostgreSQL when a test wants it
}

func build(path string) error {
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, root+"/cmd/jeton").CombinedOutput()
	if err != nil {
		return fmt.Errorf("jeton does not build: %w\n%s", err, out)
	}
	return nil
}

// lookAtSources looks at every file that the binary is made of. The test cache knows
// what the test process looked at, but not what the compiler did.
func lookAtSources() error {
	for _, name := range []string{"go.mod", "go.sum", "cmd", "internal", "oauth", "verify"} {
		err := filepath.WalkDir(filepath.Join(root, name), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && d.Name() == "e2e" {
				return fs.SkipDir
			}
			if err == nil {
				_, err = os.Stat(path)
			}
			if errors.Is(err, fs.ErrNotExist) { // somebody is editing
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
