package pages

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"strconv"
)

//go:embed assets/jeton.css
var css []byte

//go:embed assets/mark.svg
var icon []byte

// asset is a file that never changes under its name.
type asset struct {
	contentType string
	data        []byte
}

// Stylesheet is the CSS of the pages, for a demo that wants to look like them.
// What classes there are stands at its top.
func Stylesheet() []byte { return bytes.Clone(css) }

// add keeps data under a path that names its hash, and gives the path.
func (r *Renderer) add(name, extension, contentType string, data []byte) string {
	sum := sha256.Sum256(data)
	path := r.brand.Base + "/assets/" + name + "." + hex.EncodeToString(sum[:8]) + "." + extension
	r.assets[path] = asset{contentType, data}
	return path
}

// Assets serves what the pages refer to, at assets/ under the brand's base. A name
// holds the hash of its content, so browsers keep it for a year.
func (r *Renderer) Assets() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		a, ok := r.assets[req.URL.Path]
		if !ok {
			h.Set("Cache-Control", "no-store")
			http.NotFound(w, req)
			return
		}
		h.Set("Content-Type", a.contentType)
		h.Set("Content-Length", strconv.Itoa(len(a.data)))
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		w.Write(a.data)
	})
}
