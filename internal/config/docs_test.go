package config

import (
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/spec"
)

const minimal = `
issuer: https://id.example.com
behind_proxy: {trusted: [10.0.0.0/8]}
store: sqlite:/var/lib/jeton/jeton.db
key_encryption_key: env:KEK
resources:
  - id: https://api.example.com
clients:
  - id: shop
    auth_method: client_secret_basic
    secret: env:SECRET
    grant_types: [authorization_code]
users:
  - email: ada@example.com
`

// TestPage holds docs/config.md to the structs: each key has one row with its
// type, its default, and an example that is read without a problem.
func TestPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{}
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "| `") {
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
			key := strings.Trim(cells[0], " `")
			if rows[key] != nil || len(cells) != 5 {
				t.Errorf("docs/config.md: the row of %s stands twice or has not five cells", key)
			}
			rows[key] = cells
		}
	}
	c, err := Parse("jeton.yaml", []byte(minimal), "/etc/jeton", lookup(environment))
	if err != nil {
		t.Fatal(err)
	}
	for key, typ := range allKeys(reflect.TypeFor[Config](), "") {
		row, ok := rows[key]
		if !ok {
			t.Errorf("docs/config.md: add a row for %s", key)
			continue
		}
		delete(rows, key)
		if got, want := strings.TrimSpace(row[1]), typeName(typ); got != want {
			t.Errorf("docs/config.md: %s: the type is %q, write %q", key, got, want)
		}
		if got, want := strings.TrimSpace(row[2]), defaultOf(c, key); !strings.HasPrefix(got, want) {
			t.Errorf("docs/config.md: %s: the default is %q, begin with %q", key, got, want)
		}
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(strings.Trim(row[4], " `")), &doc); err != nil {
			t.Errorf("docs/config.md: %s: %v", key, err)
			continue
		}
		r := newReader("docs/config.md", "", func(string) (string, bool) { return "x", true }, func(string) ([]byte, error) { return []byte("x"), nil })
		r.value(doc.Content[0], reflect.New(typ).Elem(), key)
		if len(r.problems) > 0 {
			t.Errorf("the example of %v", r.problems)
		}
	}
	for key := range rows {
		t.Errorf("docs/config.md: %s is not a key: remove its row", key)
	}
}

func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[secret.Text](), reflect.TypeFor[Key](), reflect.TypeFor[[]byte]():
		return "reference"
	case reflect.TypeFor[spec.Duration]():
		return "duration"
	case reflect.TypeFor[spec.JWKS]():
		return "JWK Set"
	case reflect.TypeFor[netip.Prefix]():
		return "network"
	}
	switch t.Kind() {
	case reflect.Slice:
		return strings.Replace("list of "+typeName(t.Elem()), "network", "networks", 1)
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "number"
	case reflect.Map:
		return "keys and values"
	}
	panic(t)
}

// defaultOf is how the default of key begins on the page, "" where it cannot be
// told from the minimal configuration.
func defaultOf(c *Config, key string) string {
	switch key {
	case "behind_proxy.trusted", "clients[].secret", "clients[].resources", "password.concurrency", "resources[].name", "clients[].require_pkce", "clients[].response_types", "clients[].profile":
		return ""
	case "issuer", "store", "key_encryption_key", "resources[].id", "clients[].id", "clients[].auth_method", "clients[].grant_types", "users[].email":
		return "required"
	}
	v := reflect.ValueOf(c).Elem()
	for part := range strings.SplitSeq(key, ".") {
		part, list := strings.CutSuffix(part, "[]")
		fields := fieldsOf(v.Type())
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == part })
		v = v.FieldByIndex(fields[i].index)
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return "none"
			}
			v = v.Elem()
		}
		if list {
			v = v.Index(0)
		}
	}
	if d, ok := v.Interface().(spec.Duration); ok {
		if day := days(1); d > days(14) && key == "keys.rotate" {
			return fmt.Sprintf("`%dd`", d/day)
		}
		return "`" + d.String() + "`"
	}
	if v.IsZero() && v.Kind() != reflect.Bool {
		return "none"
	}
	return fmt.Sprintf("`%v`", v)
}

// TestExample loads docs/jeton.example.yaml in both its forms, and asks it for
// every key.
func TestExample(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../docs/jeton.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	example := string(data)
	proxied := strings.Replace(strings.Replace(example, "\ntls:", "\n# tls:", 1), "# behind_proxy:", "behind_proxy:", 1)

	env := map[string]string{"JETON_KEK": environment["KEK"], "ADA_PASSWORD": environment["PASSWORD"]}
	for _, name := range []string{"ORDERS_API_SECRET", "SHOP_WEB_SECRET", "REPORT_JOB_SECRET"} {
		env[name] = environment["SECRET"]
	}
	env["SHOP_WEB_OLD_SECRET"] = "b2xk" + environment["SECRET"]
	read := func(path string) ([]byte, error) { return pemFiles()[strings.TrimPrefix(path, "/etc/jeton/tls/")], nil }
	seen := map[string]bool{}
	for _, text := range []string{example, proxied} {
		c, err := parse("jeton.example.yaml", []byte(text), "/etc/jeton", lookup(env), read)
		if err != nil {
			t.Fatal(err)
		}
		if (c.TLS == nil) == (c.BehindProxy == nil) {
			t.Error("want one of tls and behind_proxy")
		}
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		collect(doc.Content[0], "", seen)
	}
	for key := range allKeys(reflect.TypeFor[Config](), "") {
		if !seen[key] {
			t.Errorf("docs/jeton.example.yaml: show %s", key)
		}
	}
}

// collect notes the paths that n holds.
func collect(n *yaml.Node, path string, seen map[string]bool) {
	seen[path] = true
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			collect(n.Content[i+1], join(path, n.Content[i].Value), seen)
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			collect(item, path+"[]", seen)
		}
	}
}
