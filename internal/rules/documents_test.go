package rules

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// documents are the Markdown pages, by path from the root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		names, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			rel, err := filepath.Rel(root, name)
			if err != nil {
				t.Fatal(err)
			}
			pages[filepath.ToSlash(rel)] = string(text)
		}
	}
	if len(pages) < 5 {
		t.Fatalf("only %d documents were found", len(pages))
	}
	return pages
}

func TestDocumentsLinkToWhatIsThere(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`)
	for name, text := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target := filepath.Join(root, filepath.Dir(name), filepath.FromSlash(m[1]))
			if _, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s links to %s, which is not there: mend the link", name, m[1])
			}
		}
	}
}

func TestDecisionsAreListed(t *testing.T) {
	t.Parallel()
	pages := documents(t)
	for name := range pages {
		dir, file := filepath.Split(name)
		if dir == "docs/decisions/" && file != "README.md" && !strings.Contains(pages["docs/decisions/README.md"], "("+file+")") {
			t.Errorf("docs/decisions/README.md does not list %s: add its row", file)
		}
	}
}

// What documents and comments name of the tree is there.
func TestDocumentsNameWhatIsThere(t *testing.T) {
	t.Parallel()
	path := regexp.MustCompile("`((?:internal|cmd|oauth|verify|docs|scripts)/[a-z0-9_/]+(?:\\.[a-z]+)?)`")
	for name, text := range documents(t) {
		for _, m := range path.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(m[1]))); errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s names %s, which is not there: mend the name, or the page", name, m[1])
			}
		}
	}
}
