package verify

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds how deep objects and arrays may nest, the outermost counted.
const maxDepth = 8

var (
	errSyntax    = errors.New("is not well-formed JSON")
	errDuplicate = errors.New("has a member that stands twice in its object")
	errDepth     = errors.New("nests deeper than " + strconv.Itoa(maxDepth) + " levels")
	errText      = errors.New("holds a string that is not valid Unicode")
	errNumber    = errors.New("holds a number that is out of range")
)

// reader reads a JSON text (RFC 8259) in one pass and in place: strings without
// escapes are parts of the text itself. Beyond what encoding/json refuses, it
// refuses duplicate members after unescaping, invalid UTF-8, lone surrogates and
// deep nesting. The first error sticks, and everything after it is a no-op.
type reader struct {
	s     string
	i     int
	depth int
	names []string // members so far of the objects that are open, outermost first
	err   error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// peek skips white space and gives the next octet, or 0 at the end or after an
// error.
func (r *reader) peek() byte {
	if r.err != nil {
		return 0
	}
	for ; r.i < len(r.s); r.i++ {
		switch c := r.s[r.i]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

func (r *reader) take(c byte) {
	if r.peek() != c {
		r.fail(errSyntax)
		return
	}
	r.i++
}

// end fails unless nothing but white space is left.
func (r *reader) end() {
	r.peek()
	if r.i != len(r.s) {
		r.fail(errSyntax)
	}
}

// members reads an object and yields each member's name. The body of the loop
// reads exactly one value.
func (r *reader) members(yield func(name string) bool) {
	first := len(r.names)
	r.enter('{')
	for n := 0; r.next(n, '}'); n++ {
		name := r.text()
		r.take(':')
		if r.err != nil {
			return
		}
		r.names = append(r.names, name)
		if !yield(name) {
			return
		}
	}
	if r.err == nil {
		if !unique(r.names[first:]) {
			r.fail(errDuplicate)
		}
		r.names = r.names[:first]
	}
}

// unique tells whether no name stands twice. It may sort them.
func unique(names []string) bool {
	if len(names) <= 16 {
		for i, name := range names {
			if slices.Contains(names[:i], name) {
				return false
			}
		}
		return true
	}
	slices.Sort(names)
	for i := 1; i < len(names); i++ {
		if names[i] == names[i-1] {
			return false
		}
	}
	return true
}

// elements reads an array and yields once before each element. The body of the
// loop reads exactly one value.
func (r *reader) elements(yield func() bool) {
	r.enter('[')
	for n := 0; r.next(n, ']'); n++ {
		if !yield() {
			return
		}
	}
}

func (r *reader) enter(open byte) {
	r.take(open)
	if r.depth++; r.depth > maxDepth {
		r.fail(errDepth)
	}
}

// next stands before item n of an object or array: it takes the comma, or the
// closing bracket and gives false.
func (r *reader) next(n int, closing byte) bool {
	if r.peek() == closing {
		r.i++
		r.depth--
		return false
	}
	if n > 0 {
		r.take(',')
	}
	return r.err == nil
}

// skip reads any value.
func (r *reader) skip() {
	switch c := r.peek(); {
	case c == '{':
		for range r.members {
			r.skip()
		}
	case c == '[':
		for range r.elements {
			r.skip()
		}
	case c == '"':
		r.text()
	case c == '-' || c >= '0' && c <= '9':
		r.number()
	default:
		r.literal()
	}
}

func (r *reader) literal() {
	for _, word := range [...]string{"true", "false", "null"} {
		if r.err == nil && strings.HasPrefix(r.s[r.i:], word) {
			r.i += len(word)
			return
		}
	}
	r.fail(errSyntax)
}

// text reads a string.
func (r *reader) text() string {
	r.take('"')
	if r.err != nil {
		return ""
	}
	start, ascii := r.i, true
	for ; r.i < len(r.s); r.i++ {
		switch c := r.s[r.i]; {
		case c == '"':
			s := r.s[start:r.i]
			r.i++
			if !ascii && !utf8.ValidString(s) {
				r.fail(errText)
			}
			return s
		case c == '\\':
			return r.escaped(start)
		case c < ' ':
			r.fail(errSyntax)
			return ""
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	r.fail(errSyntax)
	return ""
}

// escaped reads the rest of a string in which the first backslash was met.
func (r *reader) escaped(start int) string {
	b := make([]byte, 0, len(r.s[start:])/2)
	b = append(b, r.s[start:r.i]...)
	for r.i < len(r.s) {
		c := r.s[r.i]
		r.i++
		switch {
		case c == '"':
			if !utf8.Valid(b) {
				r.fail(errText)
			}
			return string(b)
		case c < ' ':
			r.fail(errSyntax)
			return ""
		case c != '\\':
			b = append(b, c)
			continue
		case r.i == len(r.s):
			r.fail(errSyntax)
			return ""
		}
		c = r.s[r.i]
		r.i++
		if c == 'u' {
			b = utf8.AppendRune(b, r.unicode())
			if r.err != nil {
				return ""
			}
			continue
		}
		at := strings.IndexByte(`"\/bfnrt`, c)
		if at < 0 {
			r.fail(errSyntax)
			return ""
		}
		b = append(b, "\"\\/\b\f\n\r\t"[at])
	}
	r.fail(errSyntax)
	return ""
}

// unicode reads the four digits after \u, and the second half of a surrogate
// pair. A half without the other fails: what it means differs among readers.
func (r *reader) unicode() rune {
	c := r.hex4()
	if !utf16.IsSurrogate(c) {
		return c
	}
	if !strings.HasPrefix(r.s[r.i:], `\u`) {
		r.fail(errText)
		return 0
	}
	r.i += 2
	if c = utf16.DecodeRune(c, r.hex4()); c == utf8.RuneError {
		r.fail(errText)
	}
	return c
}

func (r *reader) hex4() rune {
	if len(r.s)-r.i < 4 {
		r.fail(errSyntax)
		return 0
	}
	n, err := strconv.ParseUint(r.s[r.i:r.i+4], 16, 16)
	if err != nil {
		r.fail(errSyntax)
	}
	r.i += 4
	return rune(n)
}

// number reads a number and gives its text. One that overflows a float64 fails.
func (r *reader) number() string {
	r.peek()
	start, whole := r.i, true
	r.accept('-', '-')
	if !r.accept('0', '0') && r.digits() == 0 {
		r.fail(errSyntax)
	}
	if r.accept('.', '.') {
		whole = false
		if r.digits() == 0 {
			r.fail(errSyntax)
		}
	}
	if r.accept('e', 'E') {
		whole = false
		r.accept('+', '-')
		if r.digits() == 0 {
			r.fail(errSyntax)
		}
	}
	if r.err != nil {
		return ""
	}
	s := r.s[start:r.i]
	if !whole || len(s) > 300 {
		if _, err := strconv.ParseFloat(s, 64); err != nil {
			r.fail(errNumber)
		}
	}
	return s
}

func (r *reader) accept(a, b byte) bool {
	if r.err != nil || r.i == len(r.s) || r.s[r.i] != a && r.s[r.i] != b {
		return false
	}
	r.i++
	return true
}

func (r *reader) digits() int {
	start := r.i
	for r.err == nil && r.i < len(r.s) && r.s[r.i] >= '0' && r.s[r.i] <= '9' {
		r.i++
	}
	return r.i - start
}
