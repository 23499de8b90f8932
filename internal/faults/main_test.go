//go:build faults

package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// jeton is the binary under test.
var jeton string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "jeton-faults-")
	if err == nil {
		defer os.RemoveAll(dir)
		jeton = filepath.Join(dir, "jeton")
		var out []byte
		if out, err = exec.Command("go", "build", "-buildvcs=false", "-o", jeton, "../../cmd/jeton").CombinedOutput(); err != nil {
			err = fmt.Errorf("jeton does not build: %w\n%s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		return 1
	}
	return m.Run()
}
