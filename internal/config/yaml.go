package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/spec"
)

// reader walks the file's nodes into the structs and notes where each key stands.
type reader struct {
	file, dir string
	env       func(string) (string, bool)
	read      func(string) ([]byte, error)
	files     []string
	at        map[string]place
	bad       map[string]bool       // paths with a problem
	off       map[string]bool       // paths that hold false
	setBy     map[*yaml.Node]string // nodes that an environment variable made
	problems  Problems
	dropped   int // problems beyond what is kept
}

func newReader(file, dir string, env func(string) (string, bool), read func(string) ([]byte, error)) *reader {
	return &reader{
		file: file, dir: dir, env: env, read: read, files: []string{file},
		at: map[string]place{}, bad: map[string]bool{}, off: map[string]bool{}, setBy: map[*yaml.Node]string{},
	}
}

// document is the root of the only document in data, or nil after a problem.
func (r *reader) document(data []byte) *yaml.Node {
	if len(data) > MaxSize {
		r.addAt(place{}, "", "is larger than 1 MiB")
		return nil
	}
	if at := notText(data); at >= 0 {
		r.addAt(place{line: 1 + bytes.Count(data[:at], []byte("\n"))}, "", "holds a control character or is not UTF-8: write plain text")
		return nil
	}
	var doc, next yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(data))
	err := d.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return &yaml.Node{Kind: yaml.MappingNode, Line: 1, Column: 1}
	}
	if err == nil {
		if err = d.Decode(&next); errors.Is(err, io.EOF) {
			return r.root(doc.Content[0])
		}
	}
	if err == nil {
		r.addAt(place{line: next.Line, column: next.Column}, "", "a second document begins here: write one document, without ---")
		return nil
	}
	line, message := syntaxError(err)
	r.addAt(place{line: line}, "", "is not valid YAML: %s", message)
	return nil
}

// notText is where data stops being UTF-8 text without control characters, or -1.
func notText(data []byte) int {
	for i, c := range string(data) {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0x7f || c == utf8.RuneError {
			return i
		}
	}
	return -1
}

var yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)

// syntaxError takes the line out of the YAML library's message. It names no line
// for the first one, and for a block that it could not end it names the line
// before the one that begins it.
func syntaxError(err error) (line int, message string) {
	m := yamlError.FindStringSubmatch(err.Error())
	if m == nil {
		return 1, err.Error()
	}
	line, _ = strconv.Atoi(m[1])
	if strings.HasPrefix(m[2], "unknown anchor") { // and the message repeats the value
		return 0, "a value begins with *: put it in quotes"
	}
	if strings.HasPrefix(m[2], "did not find expected ") {
		return line + 1, m[2] + "; look at the indentation and brackets of what begins here"
	}
	return max(1, line), m[2]
}

func (r *reader) root(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.MappingNode {
		return n
	}
	r.addAt(place{line: n.Line, column: n.Column}, "", "must hold keys and values: begin with issuer: https://id.example.com")
	return nil
}

// hasValue refuses what stands for another value, and nothing at all.
func (r *reader) hasValue(n *yaml.Node, path string) bool {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		r.add(path, "anchors and aliases are not supported: write the value out")
	case n.ShortTag() == "!!null":
		r.add(path, "has no value: write one, or remove the key")
	default:
		return true
	}
	return false
}

func (r *reader) value(n *yaml.Node, v reflect.Value, path string) {
	switch p := v.Addr().Interface().(type) {
	case *secret.Text:
		*p = secret.Text(r.reference(n, path))
	case *[]byte:
		*p = []byte(r.reference(n, path))
	case *Key:
		*p = Key(r.reference(n, path))
	case *spec.Duration:
		if *p = r.duration(n, path); *p == 0 {
			r.add(path, "must be more than 0: write a duration, or remove the key for the default")
		}
	case **spec.Duration:
		d := r.duration(n, path)
		*p = &d
	case *netip.Prefix:
		*p = r.prefix(n, path)
	case *spec.JWKS:
		*p = r.jwks(n, path)
	case *map[string]any:
		*p = r.claims(n, path)
	default:
		r.plain(n, v, path)
	}
}

// jwks is a document that stands in the file as it would stand in JSON.
func (r *reader) jwks(n *yaml.Node, path string) spec.JWKS {
	var doc struct {
		Keys []map[string]any `yaml:"keys" json:"keys"`
	}
	if n.Kind != yaml.MappingNode || n.Decode(&doc) != nil || len(doc.Keys) == 0 {
		r.add(path, "must be a JWK Set: write for instance {keys: [{kty: EC, crv: P-256, kid: \"1\", alg: ES256, x: …, y: …}]}")
		return ""
	}
	text, err := json.Marshal(doc)
	if err != nil {
		r.add(path, "has a value that JSON has no form for")
	}
	return spec.JWKS(text)
}

func (r *reader) plain(n *yaml.Node, v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		r.value(n, v.Elem(), path)
	case reflect.Struct:
		r.each(n, path, fieldsOf(v.Type()), func(f field, value *yaml.Node, sub string) {
			r.value(value, v.FieldByIndex(f.index), sub)
		})
	case reflect.Slice:
		r.list(n, v, path)
	case reflect.String:
		v.SetString(r.text(n, path))
	case reflect.Bool:
		b, err := strconv.ParseBool(n.Value)
		if err != nil || !r.is(n, "!!bool") {
			r.add(path, "must be true or false, without quotes")
		}
		v.SetBool(b)
		r.off[path] = err == nil && !b
	case reflect.Int:
		i, err := strconv.Atoi(n.Value)
		if err != nil || !r.is(n, "!!int") {
			r.add(path, "must be a whole number: write for instance 4")
		} else if i == 0 {
			r.add(path, "must be more than 0: write a number, or remove the key for the default")
		}
		v.SetInt(int64(i))
	default:
		panic("config: no way to read " + v.Type().String())
	}
}

// is tells whether n is a scalar of the type that tag names. A variable's value
// has no type of its own.
func (r *reader) is(n *yaml.Node, tag string) bool {
	return n.Kind == yaml.ScalarNode && (r.setBy[n] != "" || n.ShortTag() == tag)
}

// each calls read for every known key of a mapping and reports the others.
func (r *reader) each(n *yaml.Node, path string, known []field, read func(f field, value *yaml.Node, path string)) {
	if n.Kind != yaml.MappingNode {
		r.add(path, "must hold keys and values: write for instance {%s: …}", known[0].key)
		return
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := place{key.Line, key.Column, r.setBy[value]}
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" || key.Anchor != "" {
			r.addAt(at, path, "anchors, aliases and merge keys are not supported: write plain keys")
			continue
		}
		f, ok := find(known, key.Value)
		if !ok {
			r.addAt(at, join(path, shown(key.Value)), "unknown key: %s", r.suggest(key.Value, known))
			continue
		}
		sub := join(path, key.Value)
		if line, twice := lines[key.Value]; twice {
			r.addAt(at, sub, "stands in line %d already: keep one of the two", line)
			continue
		}
		lines[key.Value] = key.Line
		r.at[sub] = at
		if r.hasValue(value, sub) {
			read(f, value, sub)
		}
	}
}

func (r *reader) list(n *yaml.Node, v reflect.Value, path string) {
	items := n.Content
	switch {
	case r.setBy[n] != "":
		for item := range strings.SplitSeq(n.Value, ",") {
			items = append(items, r.scalar(strings.TrimSpace(item), r.setBy[n]))
		}
	case n.Kind != yaml.SequenceNode && holdsKeys(v.Type().Elem()):
		r.add(path, "must be a list: begin each entry with a dash, as in - %s: …", fieldsOf(v.Type().Elem())[0].key)
		return
	case n.Kind != yaml.SequenceNode:
		r.add(path, "must be a list: write it in brackets, as in [one, two]")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		sub := fmt.Sprintf("%s[%d]", path, i)
		r.at[sub] = place{item.Line, item.Column, r.setBy[item]}
		if r.hasValue(item, sub) {
			r.value(item, v.Index(i), sub)
		}
	}
}

// text is a string. Dates are strings here: no key means a time.
func (r *reader) text(n *yaml.Node, path string) string {
	switch {
	case n.Kind != yaml.ScalarNode:
		r.add(path, "must be a single text, not a list or keys and values")
	case !r.is(n, "!!str") && !r.is(n, "!!timestamp"):
		r.add(path, "must be text: put it in quotes")
	case n.Value == "":
		r.add(path, "is empty: write a value, or remove the key")
	}
	return n.Value
}

func (r *reader) duration(n *yaml.Node, path string) spec.Duration {
	d, err := spec.ParseDuration(n.Value)
	if err != nil || !r.is(n, "!!str") && !r.is(n, "!!int") {
		r.add(path, "must be a duration: write for instance 10s, 5m, 720h or 90d")
	}
	return d
}

func (r *reader) prefix(n *yaml.Node, path string) netip.Prefix {
	p, err := netip.ParsePrefix(n.Value)
	if a, bare := netip.ParseAddr(n.Value); bare == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	switch {
	case err != nil || n.Kind != yaml.ScalarNode:
		r.add(path, "must be a network or an address: write for instance 10.0.0.0/8 or 192.0.2.7")
	case p.Addr().Is4In6():
		r.add(path, "must be written as IPv4: write for instance 10.0.0.0/8")
	case p != p.Masked():
		r.add(path, "has bits set after the prefix: write %s", p.Masked())
	case p.Bits() == 0 && !strings.HasPrefix(path, "outbound."):
		r.add(path, "trusts everyone: write the networks of your proxies alone")
	}
	return p
}

// shown is a foreign key as a message may show it.
func shown(key string) string {
	if len(key) <= 40 && plainKey.MatchString(key) {
		return key
	}
	return fmt.Sprintf("%.40q", key)
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
