package pages

import (
	"html/template"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jeton-auth/jeton/internal/i18n"
)

// funcs are what templates call beside the messages.
var funcs = template.FuncMap{
	"show":        show,
	"clean":       clean,
	"groups":      groups,
	"link":        link,
	"errorTexts":  errorTexts,
	"factName":    func(name string) string { return factNames[name] },
	"loginError":  func(e LoginError) string { return loginErrors[e] },
	"deviceError": func(e DeviceError) string { return deviceErrors[e] },
}

// piece is a part of a message: text of the catalog, or a value put into it.
type piece struct {
	Text  string
	Value bool
}

// say splits a message around the values in it.
func say(l i18n.Lang, key string, values []string) []piece {
	const mark = "\ufdd0" // a noncharacter: no catalog holds it
	marks := make([]any, len(values))
	for i := range marks {
		marks[i] = mark
	}
	var pieces []piece
	for i, text := range strings.Split(l.T(key, marks...), mark) {
		if i > 0 {
			pieces = append(pieces, piece{show(values[i-1]), true})
		}
		if text != "" {
			pieces = append(pieces, piece{text, false})
		}
	}
	return pieces
}

// maxShown is how many characters of a name are shown, so that a long one can't
// push what matters out of sight.
const maxShown = 120

// show is a foreign name, fit to stand among words of ours.
func show(s string) string {
	s = clean(s)
	if utf8.RuneCountInString(s) <= maxShown {
		return s
	}
	return string([]rune(s)[:maxShown-1]) + "…"
}

// clean takes out what no name needs and what could make the text around it read
// differently: control characters and the marks that turn the direction of text.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.Is(unicode.Cc, r), unicode.Is(unicode.Bidi_Control, r), unicode.Is(unicode.Noncharacter_Code_Point, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// group is the scopes of one API, or of the identity service where Resource is
// empty.
type group struct {
	Resource string
	Lines    []line
}

// line is a scope as it is shown: a catalog key or a text, and the name.
type line struct{ Key, Text, Name string }

// groups puts the scopes of each API together, in the order in which the APIs
// come.
func groups(scopes []ScopeLine) []group {
	var all []group
	for _, s := range scopes {
		l := line{Text: s.Text, Name: s.Name}
		if s.Text == "" && s.Resource == "" {
			l.Key = scopeTexts[s.Name]
		}
		i := slices.IndexFunc(all, func(g group) bool { return g.Resource == s.Resource })
		if i < 0 {
			i = len(all)
			all = append(all, group{Resource: s.Resource})
		}
		all[i].Lines = append(all[i].Lines, l)
	}
	return all
}

// link is a URL that may stand in an href: http, https, or a private-use scheme,
// which has a dot in it as no scheme that a browser acts on itself has. Any other
// gives "".
func link(raw string) template.URL {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	web := (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
	if !web && !strings.Contains(u.Scheme, ".") {
		return ""
	}
	return template.URL(u.String())
}
