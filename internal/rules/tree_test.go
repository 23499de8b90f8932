package rules

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/jeton-auth/jeton"

// root is the repository's, seen from this package's directory.
const root = "../.."

// file is one Go file of the module. The tests read them in their own process:
// what another process reads, the test cache does not see.
type file struct {
	name  string // path from the root
	pkg   string // directory from the root
	test  bool
	lines int
	fset  *token.FileSet
	ast   *ast.File
}

// at is where a node stands, as an editor understands it.
func (f *file) at(n ast.Node) string { return f.fset.Position(n.Pos()).String() }

var parsed = sync.OnceValues(parseTree)

func tree(t *testing.T) []*file {
	t.Helper()
	files, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 50 {
		t.Fatalf("only %d Go files were found: the rules look at the wrong directory", len(files))
	}
	return files
}

// code is the tree without tests.
func code(t *testing.T) []*file {
	t.Helper()
	var files []*file
	for _, f := range tree(t) {
		if !f.test {
			files = append(files, f)
		}
	}
	return files
}

func parseTree() ([]*file, error) {
	var files []*file
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if d.IsDir() {
			return enter(p, name)
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := parseFile(fset, p, name)
		if err == nil {
			files = append(files, f)
		}
		return err
	})
	return files, err
}

// enter skips what is no package of this module.
func enter(p, name string) error {
	base := path.Base(name)
	if name == "." {
		return nil
	}
	if strings.HasPrefix(base, ".") || base == "testdata" || base == "node_modules" || base == "bin" {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(p, "go.mod")); !errors.Is(err, fs.ErrNotExist) {
		return fs.SkipDir
	}
	return nil
}

func parseFile(fset *token.FileSet, p, name string) (*file, error) {
	text, err := os.ReadFile(p)
	if err != nil {
		return nil, err
	}
	syntax, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &file{
		name: name, pkg: path.Dir(name), test: strings.HasSuffix(name, "_test.go"),
		lines: bytes.Count(text, []byte("\n")), fset: fset, ast: syntax,
	}, nil
}
