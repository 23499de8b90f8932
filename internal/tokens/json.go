package tokens

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/jeton-auth/jeton/oauth"
)

// object appends a JSON object member by member, in the order of the calls. A
// token's claims are always the same few: appending them costs a fraction of
// reflection.
type object struct {
	b     []byte
	first bool
}

func newObject(b []byte) object { return object{append(b, '{'), true} }

func (o *object) end() []byte { return append(o.b, '}') }

func (o *object) name(name string) {
	if !o.first {
		o.b = append(o.b, ',')
	}
	o.first = false
	o.b = append(o.b, '"')
	o.b = append(o.b, name...)
	o.b = append(o.b, '"', ':')
}

// str appends a string; an empty one is left out.
func (o *object) str(name, value string) {
	if value == "" {
		return
	}
	o.name(name)
	o.b = appendString(o.b, value)
}

func (o *object) num(name string, value int64) {
	o.name(name)
	o.b = strconv.AppendInt(o.b, value, 10)
}

// strs appends an array of strings; an empty one is left out.
func (o *object) strs(name string, values []string) {
	if len(values) == 0 {
		return
	}
	o.name(name)
	o.b = append(o.b, '[')
	for i, v := range values {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = appendString(o.b, v)
	}
	o.b = append(o.b, ']')
}

// confirmation appends the members of a cnf claim and ends the object.
func (o object) confirmation(c oauth.Confirmation) []byte {
	o.str("jkt", c.JKT)
	o.str("x5t#S256", c.X5TS256)
	return o.end()
}

// any appends a value of another kind.
func (o *object) any(name string, value any) error {
	v, err := json.Marshal(value)
	if err != nil {
		return err
	}
	o.name(name)
	o.b = append(o.b, v...)
	return nil
}

// appendString appends s quoted. Text that needs escaping goes through
// encoding/json.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic(err) // a string always has a JSON form
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
