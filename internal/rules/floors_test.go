package rules

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// page is where the floors stand, for people and for this test.
const page = "docs/ARCHITECTURE.md"

// building is each package's floor: the higher the number, the more it may import.
type building map[string]floor

type floor struct {
	height int
	name   string
}

// row is a row of the table: | 5a | `internal/audit` | what it is |
var row = regexp.MustCompile("^\\| (\\d+)([a-z]?) \\| `([a-z0-9/_]+)` \\|")

// parseFloors reads the table of floors.
func parseFloors(markdown string) building {
	b := building{}
	for line := range strings.Lines(markdown) {
		m := row.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		height, _ := strconv.Atoi(m[1]) // the expression admits digits alone
		height *= 100
		if m[2] != "" {
			height += int(m[2][0] - 'a')
		}
		b[m[3]] = floor{height, m[1] + m[2]}
	}
	return b
}

func readFloors(t *testing.T) building {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	return parseFloors(string(text))
}

// misplaced says what is wrong with an import; empty: nothing.
func (b building) misplaced(pkg, imported string) string {
	inner, ours := strings.CutPrefix(imported, module+"/")
	from, known := b[pkg]
	public := known && !strings.HasPrefix(pkg, "internal/") && !strings.HasPrefix(pkg, "cmd/")
	switch {
	case !known:
		return fmt.Sprintf("%s has no floor: give it a row in the table of floors in %s, above everything that it imports", pkg, page)
	case !ours && public && pkg == bridge && strings.HasPrefix(imported, "google.golang.org/"):
		return ""
	case !ours && public && !standard(imported) && !strings.HasPrefix(imported, "github.com/go-jose/go-jose/v4"):
		return fmt.Sprintf("%s is public and imports %s: beside the standard library and go-jose it may import nothing, since all who use it would have to", pkg, imported)
	case !ours:
		return ""
	}
	to, known := b[inner]
	switch {
	case !known:
		return fmt.Sprintf("%s has no floor: give it a row in the table of floors in %s, below %s, which imports it", inner, page, pkg)
	case public && strings.HasPrefix(inner, "internal/"):
		return fmt.Sprintf("%s is public and imports %s: move what it needs into a public package", pkg, inner)
	case to.height >= from.height:
		return fmt.Sprintf("%s on floor %s imports %s on floor %s, but a package imports only lower floors: move what it needs down, or declare a small interface in %s and join the two in internal/server", pkg, from.name, inner, to.name, pkg)
	}
	return ""
}

// bridge is the public package that others import for the sake of gRPC.
const bridge = "verify/verifygrpc"

// standard tells the standard library by its paths: no other has one without a dot
// in the first element.
func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

func TestPackagesImportOnlyLowerFloors(t *testing.T) {
	t.Parallel()
	b := readFloors(t)
	seen := map[string]bool{}
	for _, f := range code(t) {
		seen[f.pkg] = true
		if _, ok := b[f.pkg]; !ok {
			t.Errorf("%s: %s has no floor: give it a row in the table of floors in %s, above everything that it imports", f.name, f.pkg, page)
			continue
		}
		for _, i := range f.ast.Imports {
			imported, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if wrong := b.misplaced(f.pkg, imported); wrong != "" {
				t.Errorf("%s: %s", f.at(i), wrong)
			}
		}
	}
	for pkg := range b {
		if !seen[pkg] {
			t.Errorf("%s has a row for %s, which holds no Go code: remove the row, or mend its path", page, pkg)
		}
	}
}

func TestFloorsRefuse(t *testing.T) {
	t.Parallel()
	b := parseFloors("| Floor | Package | Is |\n|---|---|---|\n" +
		"| 0a | `oauth` | words |\n| 0b | `oauth/jwks` | keys |\n| 1 | `verify` | checks |\n| 2 | `internal/secret` | secrets |\n" +
		"| 3 | `" + bridge + "` | gRPC |\n" +
		"| 5a | `internal/audit` | events |\n| 5b | `internal/keys` | ring |\n| 5b | `internal/limit` | limits |\n| 10 | `internal/server` | all |\n")
	if len(b) != 9 {
		t.Fatalf("the table was read as %v", b)
	}
	for _, c := range []struct{ pkg, imported, says string }{
		{"internal/server", module + "/internal/keys", ""},
		{"internal/keys", module + "/internal/audit", ""},
		{"internal/keys", "modernc.org/sqlite", ""},
		{"verify", module + "/oauth/jwks", ""},
		{"verify", "net/http", ""},
		{"verify", "github.com/go-jose/go-jose/v4/jwt", ""},
		{"verify", "golang.org/x/sync/singleflight", "public"},
		{"verify", "google.golang.org/grpc", "public"},
		{bridge, "google.golang.org/grpc", ""},
		{bridge, module + "/verify", ""},
		{bridge, module + "/internal/secret", "public"},
		{"verify", module + "/internal/secret", "public"},
		{"oauth", module + "/oauth/jwks", "only lower floors"},
		{"internal/audit", module + "/internal/keys", "only lower floors"},
		{"internal/keys", module + "/internal/limit", "only lower floors"},
		{"internal/keys", module + "/internal/server", "only lower floors"},
		{"internal/keys", module + "/internal/new", "below internal/keys"},
		{"internal/new", "fmt", "has no floor"},
	} {
		got := b.misplaced(c.pkg, c.imported)
		if (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("%s imports %s: got %q, want something with %q", c.pkg, c.imported, got, c.says)
		}
	}
}
