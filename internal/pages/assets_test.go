package pages

import (
	"bytes"
	"fmt"
	"math"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestAssets(t *testing.T) {
	t.Parallel()
	r := newRenderer(t)
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r.Assets().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w
	}
	for path, contentType := range map[string]string{r.css: "text/css; charset=utf-8", r.icon: "image/svg+xml"} {
		w := get(path)
		h := w.Header()
		if w.Code != 200 || h.Get("Content-Type") != contentType || h.Get("Cache-Control") != "public, max-age=31536000, immutable" ||
			h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Length") != strconv.Itoa(w.Body.Len()) {
			t.Errorf("%s: %d %v", path, w.Code, h)
		}
	}
	if !bytes.Equal(get(r.css).Body.Bytes(), Stylesheet()) {
		t.Error("the pages' stylesheet and Stylesheet differ")
	}
	for _, path := range []string{"/assets/", "/assets/jeton.css", "/assets/jeton.0000000000000000.css", "/assets/../pages.go", "/"} {
		if w := get(path); w.Code != 404 || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d, Cache-Control %q", path, w.Code, w.Header().Get("Cache-Control"))
		}
	}
	if s := Stylesheet(); len(s) > 0 {
		s[0] ^= 1
		if bytes.Equal(s, Stylesheet()) {
			t.Error("Stylesheet gives away its own bytes")
		}
	}
}

func TestStylesheetLoadsNothing(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"url(", "@import", "http:", "https:", "@font-face"} {
		if bytes.Contains(css, []byte(bad)) {
			t.Errorf("the stylesheet has %s, which the policy or privacy forbids", bad)
		}
	}
}

// Every class that a template names has a rule.
func TestClassesExist(t *testing.T) {
	t.Parallel()
	r := newRenderer(t)
	for name, s := range samples {
		for _, n := range tags(t, write(t, r, s.status, s.page, "").Body.String()) {
			for _, class := range strings.Fields(n.attr["class"]) {
				if !regexp.MustCompile(`\.` + regexp.QuoteMeta(class) + `\b`).Match(css) {
					t.Errorf("%s: no rule for .%s", name, class)
				}
			}
		}
	}
}

// Text needs 4.5:1 on its ground (WCAG 2.2, 1.4.3); edges and the focus ring that
// tell a control need 3:1 (1.4.11).
func TestContrast(t *testing.T) {
	t.Parallel()
	light, dark, ok := strings.Cut(string(css), "@media (prefers-color-scheme: dark)")
	if !ok {
		t.Fatal("no dark scheme")
	}
	dark, _, _ = strings.Cut(dark, "\n}")
	for scheme, text := range map[string]string{"light": light, "dark": dark} {
		colours := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(text, -1) {
			colours[m[1]] = m[2]
		}
		for _, p := range []struct {
			front, back string
			ratio       float64
		}{
			{"ink", "paper", 4.5},
			{"ink", "ring", 4.5},
			{"ink", "card", 4.5},
			{"ink", "soft", 4.5},
			{"ink", "soft-hover", 4.5},
			{"ink", "field", 4.5},
			{"muted", "card", 4.5},
			{"muted", "soft", 4.5},
			{"muted", "paper", 4.5},
			{"muted", "ring", 4.5},
			{"accent", "card", 4.5},
			{"accent-hover", "card", 4.5},
			{"accent", "paper", 4.5},
			{"on-accent", "accent", 4.5},
			{"on-accent", "accent-hover", 4.5},
			{"on-bad", "bad", 4.5},
			{"on-bad", "bad-hover", 4.5},
			{"good", "good-soft", 4.5},
			{"bad", "bad-soft", 4.5},
			{"field-edge", "card", 3},
			{"field-edge", "field", 3},
			{"bad", "card", 3},
			{"bad", "field", 3},
			{"accent", "soft", 3},
		} {
			front, back := colours[p.front], colours[p.back]
			if front == "" || back == "" {
				t.Fatalf("%s has no colour %s or %s", scheme, p.front, p.back)
			}
			if got := contrast(t, front, back); got < p.ratio {
				t.Errorf("%s: %s %s on %s %s has contrast %.2f, want %.1f", scheme, p.front, front, p.back, back, got, p.ratio)
			}
		}
	}
}

// contrast is the ratio of WCAG 2.2's definition.
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	la, lb := luminance(t, a), luminance(t, b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	var rgb [3]int
	if _, err := fmt.Sscanf(colour, "#%02x%02x%02x", &rgb[0], &rgb[1], &rgb[2]); err != nil {
		t.Fatalf("%s: %v", colour, err)
	}
	var sum float64
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		c := float64(rgb[i]) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
