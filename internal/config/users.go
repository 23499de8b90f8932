package config

import (
	"fmt"
	"net/mail"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/jeton-auth/jeton/internal/secret"
)

// Bounds of a seed user's password: NIST SP 800-63B-4 §3.1.1.2 where a password
// is the only factor, and what one hash may be fed.
const (
	minPassword = 15   // characters
	maxPassword = 1024 // bytes
)

func (r *reader) checkUsers(users []User) {
	emails, names := map[string]int{}, map[string]int{}
	for i, u := range users {
		path := fmt.Sprintf("users[%d]", i)
		if u.Email == "" {
			r.add(path+".email", "is required: write for instance ada@example.com")
		} else if !validEmail(u.Email) {
			r.add(path+".email", "is not an e-mail address: write for instance ada@example.com")
		}
		r.twice(emails, strings.ToLower(u.Email), i, path+".email", "users")
		if strings.ContainsFunc(u.Username, func(c rune) bool { return c <= ' ' || c > '~' || c == '@' }) || len(u.Username) > 64 {
			r.add(path+".username", "must be at most 64 printable ASCII characters without spaces and @: write for instance ada")
		}
		r.twice(names, strings.ToLower(u.Username), i, path+".username", "users")
		if !printable(u.Name) || len(u.Name) > maxText {
			r.add(path+".name", "must be plain text of at most %d bytes", maxText)
		}
		r.password(path+".password", u.Password)
		r.labels(path+".roles", u.Roles)
		r.labels(path+".groups", u.Groups)
	}
}

func (r *reader) password(path string, p secret.Text) {
	switch s := p.Reveal(); {
	case s == "":
	case !utf8.ValidString(s):
		r.add(path, "is not UTF-8 text: choose another")
	case utf8.RuneCountInString(s) < minPassword:
		r.add(path, "is short: it needs at least %d characters, for instance four words", minPassword)
	case len(s) > maxPassword:
		r.add(path, "is longer than %d bytes: choose a shorter one", maxPassword)
	}
}

// labels checks roles or groups.
func (r *reader) labels(path string, values []string) {
	seen := make(map[string]bool, len(values))
	for i, v := range values {
		field := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case !printable(v) || len(v) > maxText:
			r.add(field, "must be plain text of at most %d bytes", maxText)
		case seen[v]:
			r.add(field, "stands in the list twice: remove one")
		}
		seen[v] = true
	}
}

// validEmail takes an address alone, as people type it: no display name, no
// quotes, no comment, a domain.
func validEmail(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s && len(s) <= 254 && printable(s) && !strings.ContainsAny(s, `" ()<>[]\`)
}

// maxText bounds a name, role, group or claim in bytes.
const maxText = 255

// standardClaims are the claims of OpenID Connect Core §5.1 that a seed user may
// be given, beside those that have a key of their own.
var standardClaims = []string{
	"given_name", "family_name", "middle_name", "nickname", "profile", "picture", "website", "gender",
	"birthdate", "zoneinfo", "locale", "phone_number", "phone_number_verified", "address",
}

// addressClaims are the members of address (OpenID Connect Core §5.1.1).
var addressClaims = []string{"formatted", "street_address", "locality", "region", "postal_code", "country"}

func (r *reader) claims(n *yaml.Node, path string) map[string]any {
	return r.members(n, path, standardClaims, func(name string, v *yaml.Node, sub string) any {
		switch name {
		case "phone_number_verified":
			if !r.is(v, "!!bool") {
				r.add(sub, "must be true or false, without quotes")
			}
			return strings.EqualFold(v.Value, "true")
		case "address":
			return r.members(v, sub, addressClaims, func(_ string, v *yaml.Node, sub string) any { return r.claim(v, sub) })
		}
		return r.claim(v, sub)
	})
}

func (r *reader) claim(n *yaml.Node, path string) string {
	s := r.text(n, path)
	if len(s) > maxText || !printable(strings.ReplaceAll(s, "\n", "")) {
		r.add(path, "must be plain text of at most %d bytes", maxText)
	}
	return s
}

// members reads a mapping whose keys are among names.
func (r *reader) members(n *yaml.Node, path string, names []string, read func(name string, v *yaml.Node, path string) any) map[string]any {
	known := make([]field, len(names))
	for i, name := range names {
		known[i].key = name
	}
	m := map[string]any{}
	r.each(n, path, known, func(f field, v *yaml.Node, sub string) { m[f.key] = read(f.key, v, sub) })
	return m
}
