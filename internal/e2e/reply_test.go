package e2e

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/jeton-auth/jeton/oauth"
)

// reply is an answer, read to its end.
type reply struct {
	t      testing.TB
	status int
	header http.Header
	body   string
}

func read(t testing.TB, resp *http.Response) reply {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{t, resp.StatusCode, resp.Header, string(body)}
}

// want fails the test unless the answer has the status and the error code.
func (r reply) want(status int, code oauth.ErrorCode) reply {
	r.t.Helper()
	got := ""
	if code != "" {
		got = r.str("error")
	}
	if r.status != status || got != string(code) {
		r.t.Fatalf("the answer is %d %s, want %d %s", r.status, r.body, status, code)
	}
	return r
}

func (r reply) json() map[string]any {
	r.t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(r.body), &m); err != nil {
		r.t.Fatalf("the answer %d %.300q is not JSON: %v", r.status, r.body, err)
	}
	return m
}

func (r reply) str(name string) string {
	r.t.Helper()
	s, _ := r.json()[name].(string)
	return s
}

func (r reply) access() string  { r.t.Helper(); return r.str("access_token") }
func (r reply) refresh() string { r.t.Helper(); return r.str("refresh_token") }

// caller authenticates a request.
type caller func(*http.Request, url.Values)

// basic encodes the id and the secret as RFC 6749 §2.3.1 asks.
func basic(id, secret string) caller {
	return func(r *http.Request, _ url.Values) { r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret)) }
}

func inForm(id, secret string) caller {
	return func(_ *http.Request, v url.Values) {
		v.Set("client_id", id)
		if secret != "" {
			v.Set("client_secret", secret)
		}
	}
}

func nobody(*http.Request, url.Values) {}

// values makes url.Values of name, value, name, value …
func values(pairs ...string) url.Values {
	v := url.Values{}
	for p := range slices.Chunk(pairs, 2) {
		v.Add(p[0], p[1])
	}
	return v
}

// ask sends a form and gives the answer, or the error of a connection that was cut.
func (i *issuer) ask(path string, as caller, pairs ...string) (*http.Response, error) {
	v := values(pairs...)
	req, err := http.NewRequest(http.MethodPost, i.url+path, nil)
	if err != nil {
		return nil, err
	}
	as(req, v)
	text := v.Encode()
	req.Body, req.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return i.web.Do(req)
}

// post sends a form.
func (i *issuer) post(path string, as caller, pairs ...string) reply {
	i.t.Helper()
	resp, err := i.ask(path, as, pairs...)
	if err != nil {
		i.t.Fatal(err)
	}
	return read(i.t, resp)
}

// get fetches a path.
func (i *issuer) get(path string, header ...string) reply {
	i.t.Helper()
	req, err := http.NewRequest(http.MethodGet, i.url+path, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	for p := range slices.Chunk(header, 2) {
		req.Header.Add(p[0], p[1])
	}
	resp, err := i.web.Do(req)
	if err != nil {
		i.t.Fatal(err)
	}
	return read(i.t, resp)
}

func (i *issuer) introspect(token string) bool {
	i.t.Helper()
	return i.post("/introspect", basic(orders, apiSecret), "token", token).want(200, "").json()["active"] == true
}

func (i *issuer) rotate(a app, token string) reply {
	i.t.Helper()
	return i.post("/token", a.as, "grant_type", "refresh_token", "refresh_token", token)
}

// number is the one that a code or refresh token has in its grant.
func number(t testing.TB, token string) int64 {
	t.Helper()
	_, text, _ := strings.Cut(token, "_")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) < 28 {
		t.Fatalf("%.12q… is no credential of a grant", token)
	}
	return int64(binary.BigEndian.Uint64(append([]byte{0, 0}, raw[22:28]...)))
}

// grantID is the grant that a code or refresh token belongs to.
func grantID(t testing.TB, token string) string {
	t.Helper()
	_, text, _ := strings.Cut(token, "_")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) < 28 {
		t.Fatalf("%.12q… is no credential of a grant", token)
	}
	return string(raw[6:22])
}

// header and payload read a JWT without judging it.
func header(t testing.TB, token string) map[string]any  { t.Helper(); return part(t, token, 0) }
func payload(t testing.TB, token string) map[string]any { t.Helper(); return part(t, token, 1) }

func part(t testing.TB, token string, n int) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%.12q… is no JWT", token)
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[n])
	if err != nil {
		t.Fatal(err)
	}
	return reply{t: t, body: string(b)}.json()
}

// tokens is an answer of /token, for workers that may not end the test.
type tokens struct {
	Access  string          `json:"access_token"`
	Refresh string          `json:"refresh_token"`
	Error   oauth.ErrorCode `json:"error"`
}

func readTokens(resp *http.Response) (got tokens, err error) {
	return got, json.NewDecoder(resp.Body).Decode(&got)
}

// raw is text in base64url.
func raw(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
