package config

import (
	"iter"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// field is a key of a mapping and the struct field that takes its value.
type field struct {
	key   string
	index []int
	typ   reflect.Type
}

// fieldsOf lists the keys of a struct, those of an embedded one first.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for _, f := range reflect.VisibleFields(t) {
		if key := f.Tag.Get("yaml"); key != "" && key != "-" {
			fields = append(fields, field{key, f.Index, f.Type})
		}
	}
	return fields
}

func find(fields []field, key string) (field, bool) {
	if i := slices.IndexFunc(fields, func(f field) bool { return f.key == key }); i >= 0 {
		return fields[i], true
	}
	return field{}, false
}

// holdsKeys tells whether t is read from a mapping.
func holdsKeys(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[netip.Prefix]()
}

// allKeys yields every key under t that holds a value of its own, such as
// "sessions.idle" or "clients[].id", with its type.
func allKeys(t reflect.Type, path string) iter.Seq2[string, reflect.Type] {
	return func(yield func(string, reflect.Type) bool) {
		for _, f := range fieldsOf(t) {
			sub, inner := join(path, f.key), f.typ
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Slice && holdsKeys(inner.Elem()) {
				sub, inner = sub+"[]", inner.Elem()
			}
			if !holdsKeys(inner) {
				if !yield(sub, inner) {
					return
				}
				continue
			}
			for k, typ := range allKeys(inner, sub) {
				if !yield(k, typ) {
					return
				}
			}
		}
	}
}

// Variable is the name of the environment variable that overrides the key at
// path: JETON_SESSIONS_IDLE for sessions.idle. It is empty for keys in a list.
func Variable(path string) string {
	if strings.Contains(path, "[") {
		return ""
	}
	return "JETON_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// override puts the values of environment variables into the tree, as if the
// file held them. An empty variable is as good as none.
func (r *reader) override(root *yaml.Node) {
	for path := range allKeys(reflect.TypeFor[Config](), "") {
		if variable := Variable(path); variable != "" {
			if value, _ := r.env(variable); value != "" {
				r.set(root, strings.Split(path, "."), r.scalar(value, variable))
			}
		}
	}
}

func (r *reader) scalar(value, variable string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}
	r.setBy[n] = variable
	return n
}

func (r *reader) set(n *yaml.Node, keys []string, value *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		return // and will be reported as such
	}
	i := 0
	for i < len(n.Content) && n.Content[i].Value != keys[0] {
		i += 2
	}
	if i == len(n.Content) {
		child := &yaml.Node{Kind: yaml.MappingNode}
		r.setBy[child] = r.setBy[value]
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: keys[0]}, child)
	}
	if len(keys) == 1 {
		n.Content[i+1] = value
		return
	}
	r.set(n.Content[i+1], keys[1:], value)
}

// suggest names the key that was probably meant, or all that there are.
func (r *reader) suggest(key string, fields []field) string {
	if r.full() {
		return ""
	}
	key = key[:min(len(key), 64)]
	best, least := "", 100
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.key
		if d := distance(fold(key), fold(f.key)); d < least {
			best, least = f.key, d
		}
	}
	if least <= max(1, len(best)/3) || least == 2 && len(best) >= 4 {
		return "did you mean " + best + "?"
	}
	return "write one of " + strings.Join(names, ", ")
}

// fold makes redirectURIs, redirect-uris and redirect_uris the same.
func fold(key string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(key))
}

// distance is how many letters must be added, removed or replaced to make b of a
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
