package pages

import (
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jeton-auth/jeton/internal/i18n"
)

// hostile are values that leave the place where they stand if it forgets them
// (SECURITY_CASES 13).
var hostile = []string{
	`"><script>alert(1)</script>`,
	`'><img src=x onerror=alert(1)>`,
	`" onfocus="alert(1)" x="`,
	`' onfocus='alert(1)`,
	"x onfocus=alert(1)",
	"` onfocus=alert(1)",
	`</title><script>alert(1)</script>`,
	`</form><form action=https://evil.example>`,
	`</textarea></style><base href=https://evil.example>`,
	`<!-- `, `--> <b>`, `]]>`, `<![CDATA[`, `<?x ?>`,
	`javascript:alert(1)`,
	"java\tscript:alert(1)",
	`data:text/html,<script>alert(1)</script>`,
	`{{.}}{{template "main"}}`, `%s%n%!d`, `&quot;&#34;&lt;`, `\u003cscript\u003e`,
	"+ADw-script+AD4-alert(1)",
	"\u202egpj.exe\u2066", "\u2028\u2029\ufdd0\ufeff",
	strings.Repeat("<", 5000),
}

// fill sets every string in v, however deep, to s, and gives maps and slices one
// element.
func fill(v reflect.Value, s string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), s)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), s)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, s)
		fill(value, s)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	default:
		panic(fmt.Sprintf("teach fill about %s", v.Type()))
	}
}

func filled(p Page, s string) Page {
	v := reflect.New(reflect.TypeOf(p)).Elem()
	fill(v, s)
	return v.Interface().(Page)
}

// skeleton is a page without its values: tags and the names of attributes.
func skeleton(t *testing.T, page string) []string {
	t.Helper()
	var s []string
	for _, n := range tags(t, page) {
		s = append(s, n.name+" "+strings.Join(slices.Sorted(maps.Keys(n.attr)), " "))
	}
	return s
}

func TestHostileValuesStayValues(t *testing.T) {
	t.Parallel()
	r := newRenderer(t)
	for _, p := range []Page{Login{}, Consent{}, Error{}, Logout{}, LoggedOut{}, Home{}, Device{}, DeviceDone{}} {
		want := skeleton(t, write(t, r, 400, filled(p, "x"), i18n.English).Body.String())
		for _, s := range hostile {
			w := write(t, r, 400, filled(p, s), i18n.English)
			page := w.Body.String()
			if diff := cmp.Diff(want, skeleton(t, page)); diff != "" {
				t.Errorf("%T with %.60q has another structure:\n%s", p, s, diff)
			}
			for _, n := range tags(t, page) {
				for name, value := range n.attr {
					if name != "action" && name != "href" {
						continue
					}
					if u, err := url.Parse(value); err != nil || u.Scheme != "" || u.Host != "" {
						t.Errorf("%T with %.60q: <%s %s=%q>", p, s, n.name, name, value)
					}
				}
				if n.attr["type"] == "hidden" && (n.attr["name"] != s || n.attr["value"] != s) {
					t.Errorf("%T: a hidden field holds %q and %q, want %q", p, n.attr["name"], n.attr["value"], s)
				}
				if n.attr["id"] == "username" && n.attr["value"] != s {
					t.Errorf("%T: username is %q, want %q", p, n.attr["value"], s)
				}
			}
			if got := w.Header().Get("Content-Security-Policy"); got != policy("") {
				t.Errorf("%T with %.60q: policy %q", p, s, got)
			}
		}
	}
}

func TestHostileLinks(t *testing.T) {
	t.Parallel()
	r := newRenderer(t)
	for raw, want := range map[string]string{
		"https://shop.example.com/":                "https://shop.example.com/",
		"http://127.0.0.1:8082/":                   "http://127.0.0.1:8082/",
		"com.example.app:/done?x=1":                "com.example.app:/done?x=1",
		`https://a.example/"><script>x</script>`:   "https://a.example/%22%3E%3Cscript%3Ex%3C/script%3E",
		`https://a.example/?q='" onclick=x`:        `https://a.example/?q=%27%22%20onclick=x`,
		"javascript:alert(1)":                      "",
		"JaVaScRiPt:alert(1)":                      "",
		"java\nscript:alert(1)":                    "",
		" javascript:alert(1)":                     "",
		"vbscript:x":                               "",
		"data:text/html,<script>alert(1)</script>": "",
		"//evil.example/":                          "",
		"/relative":                                "",
		"https:evil":                               "",
		"file:///etc/passwd":                       "",
		"ms-settings:x":                            "",
	} {
		got := ""
		for _, n := range tags(t, write(t, r, 200, LoggedOut{ContinueURL: raw}, i18n.English).Body.String()) {
			if n.name == "a" {
				got = n.attr["href"]
			}
		}
		if got != want {
			t.Errorf("ContinueURL %q links to %q, want %q", raw, got, want)
		}
	}
}

func TestHostileAction(t *testing.T) {
	t.Parallel()
	for _, raw := range hostile {
		for _, n := range tags(t, write(t, newRenderer(t), 200, Login{Action: raw}, i18n.English).Body.String()) {
			if action := strings.ToLower(n.attr["action"]); n.name == "form" && strings.Contains(action, "script:") {
				t.Errorf("action %q", action)
			}
		}
	}
}
