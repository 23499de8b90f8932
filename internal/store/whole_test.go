package store

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// Every table of the migrations is moved with an issuer, but for those that belong to
// the database itself, and each engine has the same.
func TestWholeIsWhole(t *testing.T) {
	t.Parallel()
	want := map[string]bool{"holds": true}
	for _, tab := range whole {
		want[tab.Name] = true
	}
	create := regexp.MustCompile(`CREATE TABLE (\w+)`)
	for _, engine := range []string{"sqlite", "postgres"} {
		files, err := filepath.Glob(filepath.Join(engine, "migrations", "*.sql"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no migrations of %s: %v", engine, err)
		}
		got := map[string]bool{}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range create.FindAllStringSubmatch(string(text), -1) {
				got[m[1]] = true
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s has the tables %v, and copies and backups hold %v: list a new table with its key in internal/store/whole.go",
				engine, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
	}
}
