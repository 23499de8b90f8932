package rules

import (
	"go/ast"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestPackagesSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	docs := map[string][]string{}
	tested := map[string]bool{} // packages of tests alone
	for _, f := range tree(t) {
		only, seen := tested[f.pkg]
		tested[f.pkg] = f.test && (only || !seen)
		if f.ast.Doc != nil {
			docs[f.pkg] = append(docs[f.pkg], f.ast.Doc.Text())
		}
	}
	for pkg, onlyTests := range tested {
		switch {
		case len(docs[pkg]) == 0 && onlyTests:
		case len(docs[pkg]) == 0:
			t.Errorf("%s has no doc comment: open it with a paragraph that says what it is for and what it promises", pkg)
		case len(docs[pkg]) > 1:
			t.Errorf("%s has %d doc comments: keep one, go doc would print them one after the other", pkg, len(docs[pkg]))
		default:
			if wrong := poorDoc(docs[pkg][0]); wrong != "" {
				t.Errorf("%s: its doc comment %s", pkg, wrong)
			}
		}
	}
}

// poorDoc says what a package's doc comment lacks; empty: nothing.
func poorDoc(text string) string {
	first, _, _ := strings.Cut(text, "\n\n")
	first = strings.TrimSpace(first)
	switch {
	case !strings.HasPrefix(first, "Package ") && !strings.HasPrefix(first, "Command "):
		return "does not begin with Package or Command and its name: go doc expects that"
	case !strings.HasSuffix(first, "."):
		return "does not end its first paragraph with a full stop: write whole sentences"
	case len(first) < 60:
		return "is too short to help: say in a paragraph what the package is for and what it promises"
	}
	return ""
}

func TestPoorDocs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, says string }{
		{"Package jobs runs what goes on in the background, each job under\na lease.\n", ""},
		{"Command jeton is a token authority: it logs people and programs in.\n\nMore\n", ""},
		{"Package jobs runs jobs.\n", "too short"},
		{"Package jobs runs what goes on in the background, each job under a lease\n", "full stop"},
		{"Jobs run what goes on in the background, each of them under a lease.\n", "does not begin"},
	} {
		if got := poorDoc(c.text); (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("%q: got %q, want something with %q", c.text, got, c.says)
		}
	}
}

func TestFilesAreShort(t *testing.T) {
	t.Parallel()
	const most = 500
	for _, f := range code(t) {
		if f.lines > most {
			t.Errorf("%s has %d lines, more than %d: it is perhaps two things, split it where one ends", f.name, f.lines, most)
		}
	}
}

func TestNothingIsSkipped(t *testing.T) {
	t.Parallel()
	for _, f := range tree(t) {
		if !f.test {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			name, receiver := method(call)
			if slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, name) && slices.Contains([]string{"t", "b", "f", "tb"}, receiver) {
				t.Errorf("%s: a test that skips passes where it proves nothing: let it fail and say what it needs, or put it behind the build tag of make test", f.at(call))
			}
			return true
		})
	}
}

func TestNothingIsLeftOpen(t *testing.T) {
	t.Parallel()
	open := regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)
	for _, f := range tree(t) {
		for _, g := range f.ast.Comments {
			if word := open.FindString(g.Text()); word != "" {
				t.Errorf("%s: a comment says %s: do it now, or write an issue and say here what is true today", f.at(g), word)
			}
		}
	}
}

func TestNothingRegistersItself(t *testing.T) {
	t.Parallel()
	for _, f := range code(t) {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s: func init runs unseen: build the value where it is used, and register it on a visible line of internal/server", f.at(fn))
			}
		}
	}
}

// writers may open a transaction without an event: the store itself and its suite of
// tests, the audit log that names the event, and the server for its signs of life.
var writers = []string{"internal/store", "internal/store/storetest", "internal/audit", "internal/server"}

// A change of state names its event (docs/decisions/0004), and so goes through
// audit.Log.Write. There are no types at hand here; the two kinds of transaction are
// told by what their bodies return.
func TestChangesAreAudited(t *testing.T) {
	t.Parallel()
	audited := 0
	for _, f := range code(t) {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			kind := transaction(call)
			if kind == withEvent {
				audited++
			}
			if kind == bare && !slices.Contains(writers, f.pkg) {
				t.Errorf("%s: this transaction names no event: write it through audit.Log.Write, with an audit.Event that says what happened", f.at(call))
			}
			return true
		})
	}
	if audited < 5 {
		t.Errorf("only %d audited transactions were recognised: this test no longer understands the code", audited)
	}
}

type kind int

const (
	neither   kind = iota
	bare           // store.Store.Write
	withEvent      // audit.Log.Write
)

// transaction tells a call of store.Store.Write from one of audit.Log.Write.
func transaction(call *ast.CallExpr) kind {
	name, receiver := method(call)
	if name != "Write" || len(call.Args) != 2 {
		return neither
	}
	body, ok := call.Args[1].(*ast.FuncLit)
	switch {
	case ok && body.Type.Results.NumFields() == 2:
		return withEvent
	case ok, slices.Contains([]string{"store", "Store", "st", "s.store"}, receiver):
		return bare
	}
	return neither
}

// method is the name of a method that is called, and the last name of what it is
// called on.
func method(call *ast.CallExpr) (name, receiver string) {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	switch x := sel.X.(type) {
	case *ast.Ident:
		receiver = x.Name
	case *ast.SelectorExpr:
		receiver = x.Sel.Name
	}
	return sel.Sel.Name, receiver
}
