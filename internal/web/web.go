// Package web holds what every HTTP door needs and no standard library gives in
// this form: strict parameters, the real peer behind listed proxies, protection
// against other origins, request ids, bounded bodies and the answers' headers.
package web

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/oauth"
)

// MaxForm bounds a posted form, MaxParameters how many parameters any request has.
const (
	MaxForm       = 64 << 10
	MaxParameters = 100
)

// Params are the parameters of one request, each at most once.
type Params struct{ values url.Values }

// NewParams makes Params from values that are known to be single, for tests and
// for requests that come in another form.
func NewParams(values url.Values) Params { return Params{values} }

// Get is the parameter's value; empty when it is absent. RFC 6749 §3.1 and §3.2
// treat a parameter without a value as one that was not sent.
func (p Params) Get(name string) string { return p.values.Get(name) }

// Has tells whether the parameter was sent with a value.
func (p Params) Has(name string) bool { return p.values.Get(name) != "" }

// All are the values of a parameter that may be repeated, without those that are
// empty and so count as not sent.
func (p Params) All(name string) []string {
	return slices.DeleteFunc(slices.Clone(p.values[name]), func(v string) bool { return v == "" })
}

// With is p with another value of one parameter.
func (p Params) With(name, value string) Params {
	values := maps.Clone(p.values)
	if values == nil {
		values = url.Values{}
	}
	values[name] = []string{value}
	return Params{values}
}

// Values are all parameters. They are shared: they must not be changed.
func (p Params) Values() url.Values { return p.values }

// repeatable are the parameters that a standard lets stand more than once:
// resource (RFC 8707 §2) and audience (RFC 8693 §2.1).
func repeatable(name string) bool { return name == "resource" || name == "audience" }

// parse is url.ParseQuery with a bound and with duplicates refused (RFC 6749 §3.1).
func parse(raw string) (Params, *oauth.Error) {
	if strings.Count(raw, "&") >= MaxParameters {
		return Params{}, oauth.Refuse(oauth.InvalidRequest, "the request has more than %d parameters", MaxParameters)
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return Params{}, oauth.Refuse(oauth.InvalidRequest, "the parameters are not form-url-encoded")
	}
	for name, v := range values {
		if len(v) > 1 && !repeatable(name) {
			return Params{}, oauth.Refuse(oauth.InvalidRequest, "the parameter %s stands more than once", printable(name))
		}
		for _, s := range v {
			if strings.IndexByte(s, 0) >= 0 {
				return Params{}, oauth.Refuse(oauth.InvalidRequest, "the parameter %s holds a NUL character", printable(name))
			}
			if !utf8.ValidString(s) {
				// RFC 6749, appendix B; and no store keeps such a text.
				return Params{}, oauth.Refuse(oauth.InvalidRequest, "the parameter %s is not UTF-8", printable(name))
			}
		}
	}
	return Params{values}, nil
}

// printable is a name as an error text may show it: short, and of the characters
// that RFC 6749 §5.2 allows in a description.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return '?'
		}
		return r
	}, name[:min(len(name), 40)])
}

// Query reads the parameters of the URL.
func Query(r *http.Request) (Params, *oauth.Error) { return parse(r.URL.RawQuery) }

// Form reads the parameters of a posted form, and of the body alone: what stands in
// the URL is not looked at, so that no secret need ever be there.
func Form(w http.ResponseWriter, r *http.Request) (Params, *oauth.Error) {
	if ct := r.Header.Get("Content-Type"); ct != "application/x-www-form-urlencoded" {
		if mt, _, err := mime.ParseMediaType(ct); err != nil || mt != "application/x-www-form-urlencoded" {
			return Params{}, oauth.Refuse(oauth.InvalidRequest, "send the parameters as application/x-www-form-urlencoded in the body")
		}
	}
	body, err := readBody(w, r)
	if err != nil {
		var tooBig *http.MaxBytesError
		if errors.As(err, &tooBig) {
			return Params{}, oauth.Refuse(oauth.InvalidRequest, "the body is larger than %d bytes", MaxForm)
		}
		return Params{}, oauth.Refuse(oauth.InvalidRequest, "the body could not be read")
	}
	return parse(body)
}

func readBody(w http.ResponseWriter, r *http.Request) (string, error) {
	limited := http.MaxBytesReader(w, r.Body, MaxForm)
	if r.ContentLength > 0 && r.ContentLength <= MaxForm {
		b := make([]byte, r.ContentLength)
		_, err := io.ReadFull(limited, b)
		return string(b), err
	}
	b, err := io.ReadAll(limited)
	return string(b), err
}

// JSON writes v as the whole answer, never to be stored.
func JSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, `{"error":"server_error"}`, http.StatusInternalServerError)
		return
	}
	RawJSON(w, status, b)
}

// RawJSON writes an encoded answer, never to be stored (RFC 6749 §5.1).
func RawJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Cache-Control"] = noStore
	h["Pragma"] = noCache
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// Shared header values save an allocation on every answer.
var (
	jsonType = []string{"application/json"}
	noStore  = []string{"no-store"}
	noCache  = []string{"no-cache"}
	nosniff  = []string{"nosniff"}
)

// requestIDHeader carries the request's id, to the client and to our own log.
const requestIDHeader = "X-Request-Id"

// WithRequestID gives each request an id of ours. An id that a client sends is not
// believed: it could be another request's.
func WithRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h[requestIDHeader] = []string{secret.ID()}
		h["X-Content-Type-Options"] = nosniff
		next.ServeHTTP(w, r)
	})
}

// RequestID is the id that WithRequestID gave the request that w answers.
func RequestID(w http.ResponseWriter) string { return w.Header().Get(requestIDHeader) }

// Peers finds the real peer of a request behind the proxies that are listed.
type Peers struct{ trusted []netip.Prefix }

// NewPeers believes X-Forwarded-For from the listed networks alone; none listed,
// from nobody.
func NewPeers(trusted []netip.Prefix) Peers { return Peers{trusted} }

// Addr is the address of the real peer: the last one in X-Forwarded-For that is not
// itself a listed proxy. The zero Addr: it has none, as on a unix socket.
func (p Peers) Addr(r *http.Request) netip.Addr {
	host, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	peer := host.Addr().Unmap()
	if !p.lists(peer) {
		return peer
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return peer
		}
		peer = hop.Unmap()
		if !p.lists(peer) {
			return peer
		}
	}
	return peer
}

func (p Peers) lists(a netip.Addr) bool {
	for _, t := range p.trusted {
		if t.Contains(a) {
			return true
		}
	}
	return false
}

// Foreign tells whether a browser sent this request from another origin than ours.
// Sec-Fetch-Site is judged first: our pages say no-referrer, so that browsers send
// "Origin: null" with their forms. A request without either header comes from no
// current browser, or from none at all; the cookies that state depends on are
// SameSite, and protect it as well.
func Foreign(r *http.Request, origin string) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return false
	case "":
	default:
		return true
	}
	o := r.Header.Get("Origin")
	return o != "" && o != "null" && o != origin
}

// Origin is the scheme, host and port of a URL, as browsers write it.
func Origin(u *url.URL) string { return u.Scheme + "://" + u.Host }
