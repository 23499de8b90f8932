package oauth

import (
	"slices"
	"strings"
)

// ParseScope splits a scope parameter into its tokens, without duplicates and in
// the order in which they first appear. ok is false when a character stands in it
// that RFC 6749 §3.3 does not allow.
func ParseScope(s string) (scopes []string, ok bool) {
	for _, token := range strings.Split(s, " ") {
		if token == "" {
			continue
		}
		if !ValidScope(token) {
			return nil, false
		}
		if !slices.Contains(scopes, token) {
			scopes = append(scopes, token)
		}
	}
	return scopes, true
}

// ValidScope tells whether s is one scope-token of RFC 6749 §3.3.
func ValidScope(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= 0x20 || c == '"' || c == '\\' || c > 0x7e {
			return false
		}
	}
	return s != ""
}

// JoinScope is the wire form of a list of scopes.
func JoinScope(scopes []string) string { return strings.Join(scopes, " ") }
