package rules

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// table is what migrations say of one table. Types are those that engines share.
type table struct {
	columns []string // names, in their order
	defined []string // each column: name, type, and what else is said of it
	key     string
	indexes []string // the definitions
}

// script is one engine's migrations, one after the other.
type script struct {
	tables map[string]*table
	others []string // statements that are none about tables, columns and indexes
}

var (
	comment     = regexp.MustCompile(`(?m)--.*$`)
	spaces      = regexp.MustCompile(`\s+`)
	options     = regexp.MustCompile(`\) ?(?:STRICT|WITHOUT ROWID|WITH \()[^)]*\)?$`) // of one engine's tables
	createTable = regexp.MustCompile(`^CREATE TABLE (\w+) \((.*)\)$`)
	column      = regexp.MustCompile(`^(\w+) (INTEGER|BIGINT|TEXT|BLOB|BYTEA)\b ?(.*)$`)
	compoundKey = regexp.MustCompile(`^PRIMARY KEY (\(.*\))$`)
	createIndex = regexp.MustCompile(`^CREATE ((?:UNIQUE )?INDEX \w+ ON (\w+) (.*))$`)
	addColumn   = regexp.MustCompile(`^ALTER TABLE (\w+) ADD COLUMN (.*)$`)
)

// kinds are the types that mean the same.
var kinds = map[string]string{"INTEGER": "integer", "BIGINT": "integer", "BLOB": "bytes", "BYTEA": "bytes", "TEXT": "text"}

// read adds what a migration does.
func (s *script) read(text string) error {
	for statement := range strings.SplitSeq(comment.ReplaceAllString(text, ""), ";") {
		statement = strings.TrimSpace(spaces.ReplaceAllString(statement, " "))
		if m := createTable.FindStringSubmatch(options.ReplaceAllString(statement, ")")); m != nil {
			s.tables[m[1]] = &table{}
			for _, part := range parts(m[2]) {
				if err := s.tables[m[1]].add(part); err != nil {
					return fmt.Errorf("table %s: %w", m[1], err)
				}
			}
		} else if m := createIndex.FindStringSubmatch(statement); m != nil && s.tables[m[2]] != nil {
			s.tables[m[2]].indexes = append(s.tables[m[2]].indexes, m[1])
		} else if m := addColumn.FindStringSubmatch(statement); m != nil && s.tables[m[1]] != nil {
			if err := s.tables[m[1]].add(m[2]); err != nil {
				return fmt.Errorf("table %s: %w", m[1], err)
			}
		} else if statement != "" && !strings.HasPrefix(statement, "SET LOCAL ") {
			s.others = append(s.others, statement)
		}
	}
	return nil
}

// parts are what commas outside of parentheses part.
func parts(text string) (all []string) {
	depth, from := 0, 0
	for i, c := range text {
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				all = append(all, strings.TrimSpace(text[from:i]))
				from = i + 1
			}
		}
	}
	return append(all, strings.TrimSpace(text[from:]))
}

// add reads a column, or a key of several.
func (t *table) add(part string) error {
	if m := compoundKey.FindStringSubmatch(part); m != nil {
		t.key = m[1]
		return nil
	}
	m := column.FindStringSubmatch(part)
	if m == nil {
		return fmt.Errorf("%q is no column as this test knows them: give it a type that all engines have, or teach the test", part)
	}
	rest := strings.TrimSpace(strings.ReplaceAll(m[3], `COLLATE "C"`, ""))
	t.columns = append(t.columns, m[1])
	t.defined = append(t.defined, strings.TrimSpace(m[1]+" "+kinds[m[2]]+" "+spaces.ReplaceAllString(rest, " ")))
	return nil
}

// differences says how two engines' schemas differ; empty: in nothing that counts.
func differences(a, b *script) (all []string) {
	for _, name := range slices.Sorted(maps.Keys(a.tables)) {
		x, y := a.tables[name], b.tables[name]
		switch {
		case y == nil:
			all = append(all, fmt.Sprintf("only one has the table %s", name))
		case !slices.Equal(x.defined, y.defined):
			all = append(all, fmt.Sprintf("the columns of %s are %q and %q", name, x.defined, y.defined))
		case x.key != y.key:
			all = append(all, fmt.Sprintf("the key of %s is %q and %q", name, x.key, y.key))
		case !slices.Equal(x.indexes, y.indexes):
			all = append(all, fmt.Sprintf("the indexes of %s are %q and %q", name, x.indexes, y.indexes))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.tables)) {
		if a.tables[name] == nil {
			all = append(all, fmt.Sprintf("only the other has the table %s", name))
		}
	}
	if !slices.Equal(a.others, b.others) {
		all = append(all, fmt.Sprintf("other statements are %q and %q", a.others, b.others))
	}
	return all
}

// migrations are each engine's files, by name.
func migrations(t *testing.T) map[string]map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "internal/store/*/migrations/*.sql"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no migrations were found: %v", err)
	}
	all := map[string]map[string]string{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		engine := filepath.Base(filepath.Dir(filepath.Dir(name)))
		if all[engine] == nil {
			all[engine] = map[string]string{}
		}
		all[engine][filepath.Base(name)] = string(text)
	}
	return all
}

// schema is what the embedded engine's migrations come to; the others' are the same.
func schema(t *testing.T) map[string]*table {
	t.Helper()
	s := &script{tables: map[string]*table{}}
	files := migrations(t)["sqlite"]
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := s.read(files[name]); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return s.tables
}

// One SQL text serves every engine, and a database is copied from one to another: after
// each migration they have the same tables.
func TestEnginesHaveOneSchema(t *testing.T) {
	t.Parallel()
	all := migrations(t)
	first := all["sqlite"]
	for engine, files := range all {
		ours, theirs := &script{tables: map[string]*table{}}, &script{tables: map[string]*table{}}
		if len(files) != len(first) {
			t.Errorf("%s has %d migrations, sqlite %d: each has a file of every engine's", engine, len(files), len(first))
		}
		for _, name := range slices.Sorted(maps.Keys(first)) {
			if _, ok := files[name]; !ok {
				t.Errorf("%s has no migration %s, which sqlite has: give it one of that name", engine, name)
				continue
			}
			if err := ours.read(first[name]); err != nil {
				t.Fatalf("sqlite, %s: %v", name, err)
			}
			if err := theirs.read(files[name]); err != nil {
				t.Fatalf("%s, %s: %v", engine, name, err)
			}
			for _, d := range differences(ours, theirs) {
				t.Errorf("after %s sqlite and %s differ: %s", name, engine, d)
			}
			if a, b := serves(first[name]), serves(files[name]); a != b {
				t.Errorf("%s says %q in sqlite and %q in %s: one release has one answer", name, a, b, engine)
			}
		}
	}
	if len(first) == 0 || len(all) < 2 {
		t.Errorf("migrations were found of %d engines, %d of them sqlite's", len(all), len(first))
	}
	if tables := schema(t); len(tables) < 12 || len(tables["grants"].columns) < 15 || len(tables["grants"].indexes) < 3 {
		t.Errorf("only %d tables were recognised: this test no longer understands the migrations", len(tables))
	}
}

// serves is a migration's first line, if it says which programs the schema serves.
func serves(text string) string {
	first, _, _ := strings.Cut(text, "\n")
	if !strings.HasPrefix(first, "-- serves: ") {
		return ""
	}
	return first
}

// A release is put in place node by node, so whoever changes the schema says what becomes
// of the nodes of the release before.
func TestMigrationsSayWhomTheyServe(t *testing.T) {
	t.Parallel()
	for engine, files := range migrations(t) {
		for _, name := range slices.Sorted(maps.Keys(files))[1:] {
			if serves(files[name]) == "" {
				t.Errorf("%s, %s: begin it with a line such as %q: the oldest schema version whose programs still work after it, its own if none do", engine, name, "-- serves: 1")
			}
		}
	}
}

func TestSchemaDifferences(t *testing.T) {
	t.Parallel()
	const base = "CREATE TABLE a (\n  id TEXT PRIMARY KEY, -- x, y;\n  n INTEGER NOT NULL CHECK (n IN (1, 2)),\n  b BLOB NOT NULL\n) STRICT, WITHOUT ROWID;\nCREATE INDEX a_n ON a (n) WHERE length(b) > 0;\n" +
		"CREATE TABLE k (\n  x TEXT NOT NULL,\n  y TEXT NOT NULL,\n  PRIMARY KEY (x, y)\n);\n"
	const same = "SET LOCAL lock_timeout = '1s';\nCREATE TABLE a (id TEXT COLLATE \"C\" PRIMARY KEY,\n n BIGINT NOT NULL CHECK (n IN (1, 2))\n, b BYTEA  NOT NULL) WITH (fillfactor = 70);CREATE INDEX a_n ON a (n) WHERE length(b) > 0;" +
		"CREATE TABLE k (x TEXT NOT NULL, y TEXT NOT NULL, PRIMARY KEY (x, y));"
	read := func(text string) *script {
		s := &script{tables: map[string]*table{}}
		if err := s.read(text); err != nil {
			t.Fatal(err)
		}
		return s
	}
	ours := read(base)
	for _, c := range []struct{ from, to, says string }{
		{"", "", ""},
		{"n BIGINT NOT NULL", "n BIGINT", "the columns of a"},
		{"n BIGINT", "n TEXT", "the columns of a"},
		{"(1, 2)", "(1, 3)", "the columns of a"},
		{"PRIMARY KEY,", "NOT NULL,", "the columns of a"},
		{"id TEXT", "ident TEXT", "the columns of a"},
		{"(x, y)", "(y, x)", "the key of k"},
		{"a (n)", "a (n, b)", "the indexes of a"},
		{"CREATE INDEX", "CREATE UNIQUE INDEX", "the indexes of a"},
		{"CREATE TABLE k", "CREATE TABLE l", "only one has the table k"},
		{"SET LOCAL", "DELETE FROM k; SET LOCAL", "other statements"},
		{"SET LOCAL", "ALTER TABLE a ADD COLUMN c TEXT; SET LOCAL", "other statements"}, // there is no table yet
	} {
		theirs := read(strings.Replace(same, c.from, c.to, 1))
		got := strings.Join(differences(ours, theirs), "\n")
		if (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("%q instead of %q: got %q, want something with %q", c.to, c.from, got, c.says)
		}
	}
	added := read(same + "ALTER TABLE a ADD COLUMN c TEXT NOT NULL DEFAULT ''")
	if got := differences(ours, added); len(got) != 1 || !slices.Equal(added.tables["a"].columns, []string{"id", "n", "b", "c"}) {
		t.Errorf("a column was added, and the differences are %q", got)
	}
	if err := (&script{tables: map[string]*table{}}).read("CREATE TABLE a (id JSONB);"); err == nil {
		t.Error("a type of one engine's alone was accepted")
	}
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
