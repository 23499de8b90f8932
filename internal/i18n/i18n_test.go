package i18n

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEveryLanguageSaysTheSame(t *testing.T) {
	t.Parallel()
	verb := regexp.MustCompile(`%.?`)
	for _, l := range Languages() {
		if diff := cmp.Diff(English.Keys(), l.Keys()); diff != "" {
			t.Errorf("%s has other keys than English; put the missing messages into catalog/%s.txt (-en +%s):\n%s", l, l, l, diff)
		}
		for _, key := range l.Keys() {
			want := verb.FindAllString(English.T(key), -1)
			got := verb.FindAllString(l.T(key), -1)
			if !slices.Equal(got, want) {
				t.Errorf("%s: %s takes %q, in English %q", l, key, got, want)
			}
			if slices.ContainsFunc(got, func(v string) bool { return v != "%s" }) {
				t.Errorf("%s: %s has a verb other than %%s: %q", l, key, got)
			}
			if strings.ContainsAny(l.T(key), `'"<>&`) {
				t.Errorf("%s: %s: write typographic quotes, and no markup", l, key)
			}
		}
	}
}

func TestT(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		lang Lang
		key  string
		args []any
		want string
	}{
		{English, "login.submit", nil, "Sign in"},
		{German, "login.submit", nil, "Anmelden"},
		{French, "login.lead", []any{"Web shop"}, "pour continuer vers Web shop"},
		{English, "login.lead", []any{"100 %d %s"}, "to continue to 100 %d %s"},
		{"", "login.submit", nil, "Sign in"},
		{"xx", "login.submit", nil, "Sign in"},
		{English, "no.such.key", nil, "no.such.key"},
		{German, "no.such.key", []any{"x"}, "no.such.key"},
	} {
		if got := tt.lang.T(tt.key, tt.args...); got != tt.want {
			t.Errorf("%q.T(%q, %q) = %q, want %q", tt.lang, tt.key, tt.args, got, tt.want)
		}
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		header, locales string
		want            Lang
	}{
		{"", "", English},
		{"*", "", English},
		{"de", "", German},
		{"de-AT,en;q=0.8", "", German},
		{"fr-CA,fr;q=0.9,en;q=0.8", "", French},
		{"en;q=0.3, fr;q=0.9", "", French},
		{"ja,de;q=0.5", "", German},
		{"ja,ko", "", English},
		{"de-CH,en", "", German},
		{"lb", "", German},
		{"br", "", French},
		{"de;q=0, fr", "", French},
		{"en-GB", "fr", French},
		{"de", "fr-CH de", French},
		{"de", "ja", German},
		{"fr", "!!! ,,", French},
		{"de", "en", English},
		{"en-US,en;q=0.9,de;q=0.8", "de-CH", German},
		{"\x00\xff;;;q=9,,", "", English},
		{strings.Repeat("ja,", 100_000) + "de", "", English},
		{"de," + strings.Repeat("ja,", 100_000), "", German},
		{strings.Repeat("a-", 100_000), strings.Repeat("b-", 100_000), English},
	} {
		if got := Match(tt.header, tt.locales); got != tt.want {
			t.Errorf("Match(%.40q, %.40q) = %s, want %s", tt.header, tt.locales, got, tt.want)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := parse("xx.txt", "# words\n\nb = 1 = 2\n a = %s ?\n")
	if diff := cmp.Diff(map[string]string{"a": "%s ?", "b": "1 = 2"}, got); diff != "" || err != nil {
		t.Errorf("parse: %v\n%s", err, diff)
	}
	for data, want := range map[string]string{
		"a = 1\nb":       "xx.txt:2: want key = text",
		"\na =":          "xx.txt:2: want key = text",
		" = x":           "xx.txt:1: want key = text",
		"a = 1\na = two": "xx.txt:2: a stands here a second time",
	} {
		if _, err := parse("xx.txt", data); err == nil || err.Error() != want {
			t.Errorf("parse(%q): %v, want %s", data, err, want)
		}
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("de-AT,en;q=0.8", "fr")
	f.Fuzz(func(t *testing.T, header, locales string) {
		if l := Match(header, locales); !slices.Contains(languages, l) {
			t.Errorf("Match(%q, %q) = %q", header, locales, l)
		}
	})
}
