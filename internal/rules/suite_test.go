package rules

import (
	"go/ast"
	"slices"
	"testing"
)

// suite is what every engine passes.
const suite = "internal/store/storetest"

// Whatever is done to a record is done to it on every engine's database: an SQL text
// that one of them reads otherwise is found nowhere else.
func TestSuiteCoversTheStore(t *testing.T) {
	t.Parallel()
	named := map[string]bool{}
	for _, f := range code(t) {
		if f.pkg == suite {
			ast.Inspect(f.ast, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok {
					named[sel.Sel.Name] = true
				}
				return true
			})
		}
	}
	methods := 0
	for _, f := range code(t) {
		if f.pkg != "internal/store" {
			continue
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv == nil || !fn.Name.IsExported() || !slices.Contains([]string{"Tx", "Reader"}, receiver(fn)) {
				continue
			}
			methods++
			if !named[fn.Name.Name] {
				t.Errorf("%s: nothing in %s calls %s: add a test there, for all engines to pass", f.at(fn), suite, fn.Name.Name)
			}
		}
	}
	if methods < 60 {
		t.Errorf("only %d methods of transactions and readers were recognised: this test no longer understands the store", methods)
	}
}

// receiver is the type that a method belongs to.
func receiver(fn *ast.FuncDecl) string {
	typ := fn.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if id, ok := typ.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}
