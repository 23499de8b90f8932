package demo

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strconv"

	"github.com/jeton-auth/jeton/internal/pages"
)

//go:embed templates/*.html
var templates embed.FS

//go:embed assets
var assets embed.FS

// views are the pages, each a file under templates that fills the layout.
var views = []string{"api", "signedout", "signedin", "times", "tv"}

// renderer writes the pages of both parts. They borrow the issuer's stylesheet.
type renderer struct{ views map[string]*template.Template }

func newPages() (*renderer, error) {
	layout, err := template.New("layout.html").ParseFS(templates, "templates/layout.html")
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	p := &renderer{views: map[string]*template.Template{}}
	for _, name := range views {
		page, err := layout.Clone()
		if err != nil {
			return nil, fmt.Errorf("demo: %w", err)
		}
		if p.views[name], err = page.ParseFS(templates, "templates/"+name+".html"); err != nil {
			return nil, fmt.Errorf("demo: %w", err)
		}
	}
	return p, nil
}

// write answers with a page. Forms may lead to this origin and to formAction, since
// Chromium holds form-action against the redirects that answer a form too.
func (p *renderer) write(w http.ResponseWriter, status int, name string, data any, formAction string) {
	var page bytes.Buffer
	if err := p.views[name].Execute(&page, data); err != nil {
		http.Error(w, "the page could not be written", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self' "+formAction+"; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	// Not no-referrer: browsers would then send Origin: null with our own forms.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(page.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes())
}

// files serves the stylesheets, the picture and the script of the pages.
func files(mux *http.ServeMux) {
	serve := func(name, contentType string, data []byte) {
		mux.HandleFunc("GET /assets/"+name, func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			h.Set("Content-Type", contentType)
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("Cache-Control", "no-cache") // the next jeton dev may be another version
			_, _ = w.Write(data)
		})
	}
	serve("jeton.css", "text/css; charset=utf-8", pages.Stylesheet())
	for name, contentType := range map[string]string{
		"demo.css": "text/css; charset=utf-8",
		"demo.js":  "text/javascript; charset=utf-8",
		"mark.svg": "image/svg+xml",
	} {
		data, err := assets.ReadFile("assets/" + name)
		if err != nil {
			panic(err) // go:embed has put it there
		}
		serve(name, contentType, data)
	}
}
