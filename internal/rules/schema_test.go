package rules

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// table is what a migration says of one table.
type table struct {
	columns []string
	indexes []string // the definitions
}

var (
	createTable = regexp.MustCompile(`(?s)CREATE TABLE (\w+) \((.*?)\n\)`)
	column      = regexp.MustCompile(`(?m)^  ([a-z_]+) +(?:INTEGER|TEXT|BLOB)\b`)
	createIndex = regexp.MustCompile(`CREATE (?:UNIQUE )?INDEX \w+ ON (\w+) ([^;]+);`)
	addColumn   = regexp.MustCompile(`ALTER TABLE (\w+) ADD COLUMN ([a-z_]+)`)
)

func schema(t *testing.T) map[string]*table {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "internal/store/*/migrations/*.sql"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no migrations were found: %v", err)
	}
	tables := map[string]*table{}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		for _, m := range createTable.FindAllStringSubmatch(text, -1) {
			created := &table{}
			for _, c := range column.FindAllStringSubmatch(m[2], -1) {
				created.columns = append(created.columns, c[1])
			}
			tables[m[1]] = created
		}
		for _, m := range addColumn.FindAllStringSubmatch(text, -1) {
			tables[m[1]].columns = append(tables[m[1]].columns, m[2])
		}
		for _, m := range createIndex.FindAllStringSubmatch(text, -1) {
			tables[m[1]].indexes = append(tables[m[1]].indexes, m[2])
		}
	}
	return tables
}

// sql is every string literal of the store's code: its SQL among them.
func sql(t *testing.T) []string {
	t.Helper()
	var texts []string
	for _, f := range code(t) {
		if f.pkg != "internal/store" {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				texts = append(texts, lit.Value)
			}
			return true
		})
	}
	return texts
}

func TestSchemaAndStoreAgree(t *testing.T) {
	t.Parallel()
	texts := sql(t)
	for name, tab := range schema(t) {
		// The files that name a table are few; its columns are looked for in all the SQL,
		// since a statement is put together from pieces.
		if !slices.ContainsFunc(texts, func(s string) bool { return word(name).MatchString(s) }) {
			t.Errorf("no SQL of internal/store names the table %s: use it, or leave it out of the schema", name)
		}
		for _, c := range tab.columns {
			if !slices.ContainsFunc(texts, func(s string) bool { return word(c).MatchString(s) }) {
				t.Errorf("no SQL of internal/store names %s.%s: read and write it, or leave it out of the schema", name, c)
			}
		}
	}
}

// An index over a column that a rotation changes would be written with every
// refresh; without one the update stays inside its row's page.
func TestNoIndexCoversWhatRotationChanges(t *testing.T) {
	t.Parallel()
	var rotation string
	for _, text := range sql(t) {
		if strings.Contains(text, "UPDATE grants SET number = number + 1") {
			rotation = text
		}
	}
	set, _, _ := strings.Cut(rotation, "WHERE")
	changed := regexp.MustCompile(`([a-z_]+) = `).FindAllStringSubmatch(set, -1)
	if len(changed) < 3 {
		t.Fatalf("the statement that rotates a grant was not recognised: %q", rotation)
	}
	for _, m := range changed {
		for _, index := range schema(t)["grants"].indexes {
			if word(m[1]).MatchString(index) {
				t.Errorf("the index on grants %s covers %s, which every rotation changes: find another way to the rows", index, m[1])
			}
		}
	}
}

func word(s string) *regexp.Regexp { return regexp.MustCompile(`\b` + s + `\b`) }
