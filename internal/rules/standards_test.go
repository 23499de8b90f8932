package rules

import (
	"flag"
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/standards.md")

// document is a specification, feature one thing that it asks for or offers: held by the
// tests it names, or not supported, for a reason.
type document struct {
	name, url string
	features  []feature
}

type feature struct {
	what  string
	tests []string // directory.TestName
	why   string   // what isn't supported, and why not; a sentence
}

func held(what string, tests ...string) feature { return feature{what: what, tests: tests} }

func missing(what, why string) feature { return feature{what: what, why: why} }

// TestStandards holds docs/standards.md to the table, and the table to the tests: what
// no test holds may not be called supported.
func TestStandards(t *testing.T) {
	t.Parallel()
	for _, problem := range unheld(standards, testNames(t)) {
		t.Error(problem)
	}
	page := filepath.Join(root, "docs", "standards.md")
	want := standardsPage()
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := os.ReadFile(page); err != nil || string(got) != want {
		t.Errorf("docs/standards.md is not what the table says (%v): go test ./internal/rules -run TestStandards -update", err)
	}
}

// The rule finds a row without a test, with one that is not there, and with both a test
// and an excuse.
func TestStandardsNeedTests(t *testing.T) {
	t.Parallel()
	there := map[string]bool{"internal/x.TestOne": true}
	for _, tt := range []struct {
		row  feature
		want int
	}{
		{held("a", "internal/x.TestOne"), 0},
		{missing("a", "Nobody asked."), 0},
		{held("a"), 1},
		{held("a", "internal/x.TestTwo"), 1},
		{feature{"a", []string{"internal/x.TestOne"}, "Nobody asked."}, 1},
		{missing("a", "nobody"), 1},
		{held("", "internal/x.TestOne"), 1},
	} {
		got := unheld([]document{{"RFC 1", "https://example.com", []feature{tt.row}}}, there)
		if len(got) != tt.want {
			t.Errorf("%+v: %d problems %q, want %d", tt.row, len(got), got, tt.want)
		}
	}
}

// unheld lists what is wrong with the table, given the tests that there are.
func unheld(all []document, there map[string]bool) []string {
	var problems []string
	for _, s := range all {
		for _, f := range s.features {
			row := s.name + ", " + f.what
			switch supported := len(f.tests) > 0; {
			case f.what == "" || supported && f.why != "":
				problems = append(problems, row+": a row says what it is about, and names tests or a reason, not both")
			case !supported && !strings.HasSuffix(f.why, "."):
				problems = append(problems, row+": name the tests that hold it, or say in a sentence why it is not supported")
			}
			for _, name := range f.tests {
				if !there[name] {
					problems = append(problems, fmt.Sprintf("%s: there is no test %s: write it, or correct the name", row, name))
				}
			}
		}
	}
	return problems
}

// testNames are all tests, as "internal/spec.TestDuration".
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, f := range tree(t) {
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if ok && f.test && fn.Recv == nil && (strings.HasPrefix(fn.Name.Name, "Test") || strings.HasPrefix(fn.Name.Name, "Fuzz")) {
				names[f.pkg+"."+fn.Name.Name] = true
			}
		}
	}
	return names
}

const standardsTop = `# The standards

What Jeton supports of each specification, and what it does not, and why. Written from the table in
` + "`internal/rules/standards_table_test.go`" + ` by ` + "`go test ./internal/rules -run TestStandards -update`" + `: each row names the tests that
hold it, and a row whose test is not there fails the build.

How to read it: a feature is there if tests are named beside it. What a client, a resource or the server has to be
configured for is in [config](config.md); what isn't configured is absent from the metadata.

## Profiles

` + "`profile`" + `, for the server or a client, sets what is absent and refuses what contradicts it, naming the clause.

| Profile | Sets and locks |
|---|---|
| ` + "`oidc`" + ` | OpenID Connect Core and OAuth 2.0 as RFC 9700 would have them: nothing more. |
| ` + "`oauth21`" + ` | PKCE for every client; code is the only response type; a public client's refresh tokens rotate or are bound; a client assertion names the issuer alone. |
| ` + "`fapi2`" + ` | FAPI 2.0 Security Profile: confidential clients with ` + "`private_key_jwt`" + ` or certificates; every access token bound (` + "`dpop_bound`" + ` unless ` + "`mtls_bound`" + ` is set); ` + "`require_par`" + `; PKCE; code alone; refresh tokens that don't rotate; ES256, EdDSA or PS256 alone, in ID tokens ES256 unless said otherwise. |
| ` + "`fapi2-message-signing`" + ` | The same, with ` + "`require_signed_request`" + ` and responses in signed JWTs (JARM) alone. |
`

func standardsPage() string {
	var b strings.Builder
	b.WriteString(standardsTop)
	for _, s := range standards {
		fmt.Fprintf(&b, "\n## [%s](%s)\n\n| What | Supported | Tests |\n|---|---|---|\n", s.name, s.url)
		for _, f := range s.features {
			state := "yes"
			if f.why != "" {
				state = "No. " + f.why
			}
			names := make([]string, len(f.tests))
			for i, name := range f.tests {
				names[i] = "`" + strings.TrimPrefix(name, "internal/") + "`"
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", f.what, state, strings.Join(names, ", "))
		}
	}
	return b.String()
}
