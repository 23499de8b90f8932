package pages

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jeton-auth/jeton/internal/i18n"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample is a page as people meet it.
type sample struct {
	page   Page
	status int
}

var hidden = map[string]string{"flow": "Zm9v", "a": "1"}

var samples = map[string]sample{
	"login":          {Login{Action: "/login", Hidden: hidden, ClientName: "Web shop", RedirectOrigin: "https://shop.example.com"}, 200},
	"login_alone":    {Login{Action: "/login"}, 200},
	"login_hint":     {Login{Action: "/login", Username: "ada@example.com"}, 200},
	"login_wrong":    {Login{Action: "/login", Hidden: hidden, ClientName: "Web shop", Username: "ada@example.com", Error: WrongCredentials, CancelAction: "/cancel"}, 401},
	"login_many":     {Login{Action: "/login", Hidden: hidden, Username: "ada@example.com", Error: TooMany}, 429},
	"login_expired":  {Login{Action: "/login", Hidden: hidden, Error: SessionExpired}, 400},
	"login_again":    {Login{Action: "/login", Hidden: hidden, ClientName: "Web shop", Username: "ada@example.com", Reauthenticate: true, CancelAction: "/cancel"}, 200},
	"login_again_me": {Login{Action: "/login", Username: "ada@example.com", Reauthenticate: true, Error: WrongCredentials}, 401},
	"consent": {Consent{
		Action: "/consent", Hidden: hidden, ClientName: "Web shop", Account: "ada@example.com",
		Scopes: []ScopeLine{
			{Name: "openid"},
			{Name: "orders:read", Resource: "Orders API"},
			{Name: "profile"},
			{Name: "orders:write", Resource: "Orders API", Text: "Place orders"},
			{Name: "profile", Resource: "Directory"},
			{Name: "offline_access"},
			{Name: "strange"},
		},
		Details: []Detail{
			{Type: "payment_initiation", Facts: []Fact{
				{Name: "locations", Values: []string{"https://bank.example.com/payments"}},
				{Name: "actions", Values: []string{"initiate", "status"}},
				{Name: "instructedAmount", Values: []string{"amount: 123.50, currency: EUR"}},
			}},
			{Type: "photo-api"},
		},
		RedirectOrigin: "com.example.app:", RedirectHost: "shop.example.com",
	}, 200},
	"consent_device": {Consent{Action: "/consent", Hidden: hidden, ClientName: "Television", Account: "ada@example.com", Scopes: []ScopeLine{{Name: "openid"}}, UserCode: "BCDF-GHJK"}, 200},
	"device":         {Device{Action: "/device"}, 200},
	"device_filled":  {Device{Action: "/device", UserCode: "BCDF-GHJK"}, 200},
	"device_wrong":   {Device{Action: "/device", UserCode: "BCDF-GHJL", Error: WrongCode}, 400},
	"device_many":    {Device{Action: "/device", UserCode: "BCDF-GHJL", Error: TooManyCodes}, 429},
	"device_done":    {DeviceDone{}, 200},
	"device_refused": {DeviceDone{Refused: true}, 200},
	"consent_bare":   {Consent{Action: "/consent", ClientName: "cli", Account: "ada"}, 200},
	"error":          {Error{Title: "No such app", Message: "Register the client first.", Code: "invalid_client", RequestID: "r-1"}, 400},
	"error_code":     {Error{Code: "unauthorized_client", RequestID: "r-1"}, 400},
	"error_unknown":  {Error{Code: "invalid_target"}, 400},
	"error_notfound": {Error{}, 404},
	"error_internal": {Error{RequestID: "r-1"}, 500},
	"logout":         {Logout{Action: "/logout", Hidden: hidden, Account: "ada@example.com", ClientName: "Web shop", RedirectOrigin: "https://shop.example.com"}, 200},
	"logout_bare":    {Logout{Action: "/logout"}, 200},
	"loggedout":      {LoggedOut{ContinueURL: "https://shop.example.com/?a=1&b=2", ContinueName: "Web shop"}, 200},
	"loggedout_app":  {LoggedOut{ContinueURL: "com.example.app:/done"}, 200},
	"loggedout_bare": {LoggedOut{}, 200},
	"loggedout_apps": {LoggedOut{ContinueURL: "https://shop.example.com/", ContinueName: "Web shop", Frames: []string{"https://a.example.com/out?iss=i&sid=s", "https://a.example.com/b", "javascript:alert(1)"}}, 200},
	"formpost":       {FormPost{Action: "https://shop.example.com/cb?a=1&b=2", Origin: "https://shop.example.com", Fields: map[string]string{"code": "jtc_1", "state": `"><script>`}}, 200},
	"home":           {Home{Account: "ada@example.com", Issuer: "https://id.example.com"}, 200},
	"home_nobody":    {Home{}, 200},
}

func newRenderer(t *testing.T) *Renderer {
	t.Helper()
	r, err := New(Brand{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// write gives the answer with p to a browser that speaks lang.
func write(t *testing.T, r *Renderer, status int, p Page, lang i18n.Lang) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequest("GET", "/", nil)
	req.Header.Set("Accept-Language", string(lang))
	w := httptest.NewRecorder()
	r.Write(w, req, status, p)
	return w
}

var hash = regexp.MustCompile(`(/assets/[a-z]+)\.[0-9a-f]{16}\.`)

func TestGolden(t *testing.T) {
	t.Parallel()
	r := newRenderer(t)
	for name, s := range samples {
		for _, lang := range i18n.Languages() {
			if lang != i18n.English && name != "login_wrong" && name != "consent" {
				continue // what differs is the catalog
			}
			file := filepath.Join("testdata", name+"."+string(lang)+".html")
			w := write(t, r, s.status, s.page, lang)
			if w.Code != s.status {
				t.Errorf("%s: status %d, want %d", name, w.Code, s.status)
			}
			got := hash.ReplaceAllString(w.Body.String(), "$1.HASH.")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				continue
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s differs; if that is meant, run go test ./internal/pages -update (-want +got):\n%s", file, diff)
			}
		}
	}
}

// node is a start tag.
type node struct {
	name string
	attr map[string]string
}

// tags parses a page strictly enough that an unescaped value would show.
func tags(t *testing.T, page string) []node {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var nodes []node
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nodes
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, page)
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		n := node{start.Name.Local, map[string]string{}}
		for _, a := range start.Attr {
			if _, twice := n.attr[a.Name.Local]; twice {
				t.Errorf("<%s> has %s twice", n.name, a.Name.Local)
			}
			n.attr[a.Name.Local] = a.Value
		}
		nodes = append(nodes, n)
	}
}

func TestEveryPageIsSound(t *testing.T) {
	t.Parallel()
	r := newRenderer(t)
	for name, s := range samples {
		for _, lang := range i18n.Languages() {
			page := write(t, r, s.status, s.page, lang).Body.String()
			plain := page
			switch s.page.(type) {
			case FormPost:
				plain = strings.Replace(page, `<script src="`+r.script+`" defer></script>`, "", 1)
			case LoggedOut:
				plain = strings.Replace(page, `<script src="`+r.leave+`" defer></script>`, "", 1)
			}
			for _, bad := range []string{"%!", "ZgotmplZ", "<script", "style=", "<no value>", " onclick"} {
				if strings.Contains(plain, bad) {
					t.Errorf("%s.%s contains %q:\n%s", name, lang, bad, page)
				}
			}
			count, ids, autofocus := map[string]int{}, map[string]bool{}, 0
			for _, n := range tags(t, page) {
				count[n.name]++
				if id := n.attr["id"]; id != "" {
					if ids[id] {
						t.Errorf("%s.%s: id %s twice", name, lang, id)
					}
					ids[id] = true
				}
				if _, ok := n.attr["autofocus"]; ok {
					autofocus++
				}
				if n.name == "html" && n.attr["lang"] != string(lang) {
					t.Errorf("%s.%s: lang is %q", name, lang, n.attr["lang"])
				}
				if n.name == "input" && n.attr["type"] == "password" && n.attr["value"] != "" {
					t.Errorf("%s.%s: the password is prefilled", name, lang)
				}
				if described := n.attr["aria-describedby"]; described != "" && !ids[described] {
					t.Errorf("%s.%s: described by %s, which does not stand above", name, lang, described)
				}
			}
			if count["h1"] != 1 || count["title"] != 1 || count["main"] != 1 {
				t.Errorf("%s.%s: want one h1, title and main, have %v", name, lang, count)
			}
			if autofocus > 1 {
				t.Errorf("%s.%s: %d elements want the focus", name, lang, autofocus)
			}
		}
	}
}

func TestLoginForm(t *testing.T) {
	t.Parallel()
	page := write(t, newRenderer(t), 200, samples["login_wrong"].page, i18n.English).Body.String()
	form, _, ok := strings.Cut(page, "</form>")
	if !ok || !strings.Contains(form, `<form method="post" action="/login">`) {
		t.Fatalf("the first form is another:\n%s", form)
	}
	for _, want := range []string{
		`<input type="hidden" name="a" value="1">`,
		`<input type="hidden" name="flow" value="Zm9v">`,
		`<input type="text" name="username" id="username" value="ada@example.com"`,
		`<input type="password" name="password" id="password"`,
		`<button type="submit" name="login" id="login"`,
		`autocomplete="username"`, `autocomplete="current-password"`,
		`role="alert"`, `aria-invalid="true" aria-describedby="login-error"`,
		`<label for="username">`, `<label for="password">`,
	} {
		if !strings.Contains(form, want) {
			t.Errorf("the form lacks %s:\n%s", want, form)
		}
	}
	if strings.Contains(form, `name="cancel"`) || !strings.Contains(page, `name="cancel" id="cancel"`) {
		t.Error("cancel must be a button of a second form")
	}
}

func TestLanguage(t *testing.T) {
	t.Parallel()
	r := newRenderer(t)
	w := write(t, r, 200, Login{UILocales: "fr"}, i18n.German)
	if got := w.Header().Get("Content-Language"); got != "fr" || !strings.Contains(w.Body.String(), "<h1>Se connecter</h1>") {
		t.Errorf("ui_locales=fr gives %q", got)
	}
}

func TestBrandAndPointer(t *testing.T) {
	t.Parallel()
	r, err := New(Brand{Name: "Ada & Co"})
	if err != nil {
		t.Fatal(err)
	}
	body := write(t, r, 400, &Error{Code: "access_denied"}, i18n.English).Body.String()
	for _, want := range []string{"<title>Access was not given · Ada &amp; Co</title>", "<span>Ada &amp; Co</span>"} {
		if !strings.Contains(body, want) {
			t.Errorf("lacks %s:\n%s", want, body)
		}
	}
}

type broken struct{ Page }

func (broken) template() string { return "broken" }

func TestFailureIsNeverHalfAPage(t *testing.T) {
	t.Parallel()
	r := newRenderer(t)
	check := func(name string) {
		w := write(t, r, 200, broken{Home{}}, i18n.English)
		if w.Code != http.StatusInternalServerError || !strings.HasPrefix(w.Body.String(), "Something went wrong.") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		h := w.Header()
		if h.Get("Content-Type") != "text/plain; charset=utf-8" || h.Get("Cache-Control") != "no-store" || h.Get("Content-Security-Policy") == "" {
			t.Errorf("%s: headers %v", name, h)
		}
	}
	check("missing template")
	layout, err := r.pages["home"].Clone()
	if err != nil {
		t.Fatal(err)
	}
	if r.pages["broken"], err = layout.Parse(`{{define "main"}}half a page {{.Page.NoSuchField}}{{end}}`); err != nil {
		t.Fatal(err)
	}
	check("failing template")
}

func TestHeadGetsLength(t *testing.T) {
	t.Parallel()
	r := newRenderer(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.Write(w, req, 200, Home{}) }))
	t.Cleanup(server.Close)
	lengths := map[string]int64{}
	for _, method := range []string{"GET", "HEAD"} {
		req, err := http.NewRequestWithContext(context.Background(), method, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var body bytes.Buffer
		body.ReadFrom(res.Body)
		res.Body.Close()
		lengths[method] = res.ContentLength
		if method == "GET" && int64(body.Len()) != res.ContentLength {
			t.Errorf("%d bytes, Content-Length %d", body.Len(), res.ContentLength)
		}
	}
	if lengths["GET"] != lengths["HEAD"] || lengths["GET"] <= 0 {
		t.Errorf("lengths %v", lengths)
	}
}
