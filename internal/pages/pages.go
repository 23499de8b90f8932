// Package pages renders everything that people see: sign-in, consent, sign-out,
// errors and the front page. Each page is a view struct, rendered on the server
// into plain HTML forms that need no JavaScript. Every value in a view is taken
// for hostile; html/template escapes it for the place where it stands, and the
// headers that Write sets leave a mistake nothing to work with.
package pages

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/jeton-auth/jeton/internal/i18n"
)

// Brand is how the service presents itself.
type Brand struct {
	Name string // "Jeton" when empty
	Base string // path under which the issuer lies: "" or "/id"
}

// Renderer writes pages. It is safe for concurrent use.
type Renderer struct {
	brand  Brand
	pages  map[string]*template.Template
	assets map[string]asset // by path
	css    string           // paths
	icon   string
	script string
	leave  string
}

//go:embed templates/*.html
var templates embed.FS

// names are the pages, each a file under templates that fills the layout.
var names = []string{"login", "consent", "error", "logout", "loggedout", "home", "formpost", "device", "devicedone"}

// New parses the templates. An error means that the program was built wrongly.
func New(brand Brand) (*Renderer, error) {
	if brand.Name == "" {
		brand.Name = "Jeton"
	}
	r := &Renderer{brand: brand, pages: make(map[string]*template.Template), assets: make(map[string]asset)}
	r.css = r.add("jeton", "css", "text/css; charset=utf-8", css)
	r.script = r.add("submit", "js", "text/javascript; charset=utf-8", submit)
	r.leave = r.add("leave", "js", "text/javascript; charset=utf-8", leave)
	r.icon = r.add("mark", "svg", "image/svg+xml", icon)
	layout, err := template.New("layout.html").Funcs(funcs).ParseFS(templates, "templates/layout.html")
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	for _, name := range names {
		page, err := layout.Clone()
		if err != nil {
			return nil, fmt.Errorf("pages: %w", err)
		}
		if r.pages[name], err = page.ParseFS(templates, "templates/"+name+".html"); err != nil {
			return nil, fmt.Errorf("pages: %w", err)
		}
	}
	return r, nil
}

// view is what a template sees. Its language's messages are called as .T.
type view struct {
	i18n.Lang
	Page      Page
	Status    int
	Brand     Brand
	CSS, Icon string
	Script    string
	Leave     string
}

// Say is the message of a key in pieces, so that a template can set the values
// in it apart from the text around them.
func (v view) Say(key string, values ...string) []piece { return say(v.Lang, key, values) }

// Write answers with p in the language of the request. The page is rendered
// before anything is sent: one that fails becomes a plain 500.
func (r *Renderer) Write(w http.ResponseWriter, req *http.Request, status int, p Page) {
	lang := i18n.Match(req.Header.Get("Accept-Language"), p.locales())
	setHeaders(w.Header(), policyOf(p))
	var page bytes.Buffer
	err := r.render(&page, view{Lang: lang, Page: p, Status: status, Brand: r.brand, CSS: r.css, Icon: r.icon, Script: r.script, Leave: r.leave})
	if err != nil {
		slog.ErrorContext(req.Context(), "a page could not be rendered", "page", p.template(), "error", err)
		http.Error(w, lang.T("error.server.title")+". "+lang.T("error.server.text"), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", string(lang))
	h.Set("Content-Length", strconv.Itoa(page.Len()))
	w.WriteHeader(status)
	w.Write(page.Bytes()) // the reader may be gone; nobody is left to tell
}

func (r *Renderer) render(page *bytes.Buffer, v view) error {
	t, ok := r.pages[v.Page.template()]
	if !ok {
		return fmt.Errorf("no template %q", v.Page.template())
	}
	return t.Execute(page, v)
}
