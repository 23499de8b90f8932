package store

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// ErrText says that a text holds a NUL character or is not UTF-8. PostgreSQL keeps no
// such text, so no engine does.
var ErrText = errors.New("store: a text holds a NUL character or is not UTF-8")

// good refuses the texts that an engine could not keep.
func good(args []any) error {
	for _, a := range args {
		if s, ok := a.(string); ok && (strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s)) {
			return ErrText
		}
	}
	return nil
}
