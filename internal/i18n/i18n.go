// Package i18n holds every text that people are shown, in each language that
// Jeton speaks. A language is one plain file under catalog; English is complete
// and stands in wherever another language has no answer.
package i18n

import (
	"bufio"
	"embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/text/language"
)

// Lang is a language of the catalog as a BCP 47 tag, fit for a lang attribute.
// The zero value speaks English.
type Lang string

const (
	English Lang = "en"
	German  Lang = "de"
	French  Lang = "fr"
)

// The first language is what a stranger gets.
var languages = []Lang{English, German, French}

//go:embed catalog/*.txt
var files embed.FS

var catalogs = sync.OnceValue(func() map[Lang]map[string]string {
	all := make(map[Lang]map[string]string, len(languages))
	for _, l := range languages {
		name := "catalog/" + string(l) + ".txt"
		data, err := files.ReadFile(name)
		if err != nil {
			panic(err)
		}
		if all[l], err = parse(name, string(data)); err != nil {
			panic(err)
		}
	}
	return all
})

var matcher = sync.OnceValue(func() language.Matcher {
	tags := make([]language.Tag, len(languages))
	for i, l := range languages {
		tags[i] = language.Make(string(l))
	}
	return language.NewMatcher(tags)
})

// Languages lists what Jeton speaks, as in ui_locales_supported (OpenID Connect
// Discovery §3).
func Languages() []Lang { return slices.Clone(languages) }

// Keys lists the keys of the messages that l has, sorted.
func (l Lang) Keys() []string { return slices.Sorted(maps.Keys(catalogs()[l])) }

// T is the message of a key in l, with the arguments put in for its %s. A
// message that l lacks is given in English; an unknown key is given back as it is.
func (l Lang) T(key string, args ...any) string {
	text, ok := catalogs()[l][key]
	if !ok {
		text, ok = catalogs()[English][key]
	}
	switch {
	case !ok:
		return key
	case len(args) == 0:
		return text
	}
	return fmt.Sprintf(text, args...)
}

// maxPreference bounds, in bytes, how much of what a browser or a client says
// about its languages is read.
const maxPreference = 512

// Match chooses a language from an Accept-Language header (RFC 9110 §12.5.4)
// and the ui_locales of an authorization request (OpenID Connect Core §3.1.2.1),
// which comes first. What can't be understood counts as not said.
func Match(acceptLanguage, uiLocales string) Lang {
	var wanted []language.Tag
	for _, s := range strings.Fields(cut(uiLocales, ' ')) {
		if tag, err := language.Parse(s); err == nil {
			wanted = append(wanted, tag)
		}
	}
	accepted, _, _ := language.ParseAcceptLanguage(cut(acceptLanguage, ','))
	wanted = append(wanted, accepted...)
	// The matcher prefers an exact "en" to an earlier "de-CH"; the person does not.
	for _, tag := range wanted {
		if _, i, sure := matcher().Match(tag); sure >= language.High {
			return languages[i]
		}
	}
	_, i, _ := matcher().Match(wanted...)
	return languages[i]
}

// cut shortens a list that is too long to its last whole element that fits.
func cut(list string, separator byte) string {
	if len(list) <= maxPreference {
		return list
	}
	return list[:max(0, strings.LastIndexByte(list[:maxPreference], separator))]
}

// parse reads a catalog: lines of key = text, blank lines and # comments.
func parse(name, data string) (map[string]string, error) {
	catalog := make(map[string]string)
	lines := bufio.NewScanner(strings.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		key, text, ok := strings.Cut(line, " = ")
		key, text = strings.TrimSpace(key), strings.TrimSpace(text)
		if !ok || key == "" || text == "" {
			return nil, fmt.Errorf("%s:%d: want key = text", name, n)
		}
		if _, twice := catalog[key]; twice {
			return nil, fmt.Errorf("%s:%d: %s stands here a second time", name, n, key)
		}
		catalog[key] = text
	}
	return catalog, lines.Err()
}
