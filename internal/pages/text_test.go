package pages

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jeton-auth/jeton/internal/i18n"
	"github.com/jeton-auth/jeton/oauth"
)

// usedKeys are the catalog keys that templates and views name.
func usedKeys(t *testing.T) map[string]bool {
	t.Helper()
	used := map[string]bool{}
	call := regexp.MustCompile(`\.(?:T|Say) "([^"]+)"`)
	files, err := fs.Glob(templates, "templates/*.html")
	if err != nil || len(files) != len(names)+1 {
		t.Fatalf("%d templates for %d pages and a layout: %v", len(files), len(names), err)
	}
	for _, file := range files {
		data, err := fs.ReadFile(templates, file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range call.FindAllSubmatch(data, -1) {
			used[string(m[1])] = true
		}
	}
	for _, key := range loginErrors {
		used[key] = true
	}
	for _, key := range deviceErrors {
		used[key] = true
	}
	for _, key := range factNames {
		used[key] = true
	}
	for _, key := range scopeTexts {
		used[key] = true
	}
	for _, e := range []texts{requestError, clientError, deniedError, loginError, notFoundError, busyError, serverError} {
		used[e.Title], used[e.Text] = true, true
	}
	return used
}

func TestCatalogIsComplete(t *testing.T) {
	t.Parallel()
	used := usedKeys(t)
	for _, lang := range i18n.Languages() {
		has := map[string]bool{}
		for _, key := range lang.Keys() {
			has[key] = true
			if !used[key] {
				t.Errorf("%s: nothing uses %s; take it out of catalog/%s.txt", lang, key, lang)
			}
		}
		for key := range used {
			if !has[key] {
				t.Errorf("%s lacks %s; write it into catalog/%s.txt", lang, key, lang)
			}
		}
	}
	for _, scope := range oauth.IdentityScopes {
		if scopeTexts[scope] == "" {
			t.Errorf("scopeTexts lacks %s", scope)
		}
	}
}

func TestSay(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		lang  i18n.Lang
		key   string
		value string
		want  []piece
	}{
		{i18n.English, "login.lead", "Shop", []piece{{"to continue to ", false}, {"Shop", true}}},
		{i18n.English, "consent.lead", "%s \ufdd0", []piece{{"%s ", true}, {" would like your permission to use this account:", false}}},
		{i18n.German, "login.lead", "a\u202eb", []piece{{"weiter zu ", false}, {"ab", true}}},
		{i18n.English, "login.lead", "", []piece{{"to continue to ", false}, {"", true}}},
	} {
		if diff := cmp.Diff(tt.want, say(tt.lang, tt.key, []string{tt.value})); diff != "" {
			t.Errorf("%s in %s with %q (-want +got):\n%s", tt.key, tt.lang, tt.value, diff)
		}
	}
}

func TestShow(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Web shop":                         "Web shop",
		"a\r\nb\tc\u2028d":                 "a  b c d",
		"\x00\x1b[31mred\u200f\u061c":      "[31mred",
		"\u202emoc.live\u202c\u2066x":      "moc.livex",
		"bad \xff utf":                     "bad \ufffd utf",
		"👩\u200d👩\u200d👧 שלום":             "👩\u200d👩\u200d👧 שלום",
		strings.Repeat("é", maxShown):      strings.Repeat("é", maxShown),
		strings.Repeat("é", maxShown+1):    strings.Repeat("é", maxShown-1) + "…",
		strings.Repeat("\u202e", 9) + "ok": "ok",
	} {
		if got := show(in); got != want {
			t.Errorf("show(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestErrorTexts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		code   string
		status int
		want   texts
	}{
		{"", 400, requestError},
		{"", 403, deniedError},
		{"", 404, notFoundError},
		{"", 429, busyError},
		{"", 500, serverError},
		{"", 502, serverError},
		{"", 503, busyError},
		{"invalid_request", 400, requestError},
		{"invalid_request", 404, requestError},
		{"unauthorized_client", 400, clientError},
		{"access_denied", 200, deniedError},
		{"server_error", 500, serverError},
		{"temporarily_unavailable", 503, busyError},
		{"login_required", 400, loginError},
		{"no such code", 500, serverError},
	} {
		if got := errorTexts(tt.code, tt.status); got != tt.want {
			t.Errorf("%q with %d says %s", tt.code, tt.status, got.Title)
		}
	}
}
