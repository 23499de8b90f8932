package verify

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// call sends a request with Authorization headers through the middleware to a
// handler that tells who called.
func call(middleware func(http.Handler) http.Handler, authorization ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest("GET", "/orders", nil)
	if authorization != nil {
		req.Header["Authorization"] = authorization
	}
	return callWith(middleware, req)
}

func callWith(middleware func(http.Handler) http.Handler, req *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("hello " + PrincipalFrom(r.Context()).Subject))
	})).ServeHTTP(w, req)
	return w
}

func TestRequire(t *testing.T) {
	t.Parallel()
	s := es256()
	v := newIssuer(s).verifier(t)
	good := s.token(nil)
	realm := `Bearer realm="https://api.example.com"`
	for name, c := range map[string]struct {
		middleware    func(http.Handler) http.Handler
		authorization []string
		status        int
		challenge     string
		code          string
	}{
		"sound":              {v.Require("orders:read"), []string{"Bearer " + good}, 200, "", ""},
		"two scopes":         {v.Require("orders:read", "openid"), []string{"Bearer " + good}, 200, "", ""},
		"no scope asked":     {v.Require(), []string{"Bearer " + good}, 200, "", ""},
		"scheme in capitals": {v.Require(), []string{"BEARER " + good}, 200, "", ""},
		"scheme in small":    {v.Require(), []string{"bearer  " + good}, 200, "", ""},
		"nothing":            {v.Require("orders:read"), nil, 401, realm, ""},
		"empty header":       {v.Require(), []string{""}, 401, realm, ""},
		"the word alone":     {v.Require(), []string{"Bearer"}, 401, realm, ""},
		"Basic":              {v.Require(), []string{"Basic YTpi"}, 401, realm, ""},
		"no scheme":          {v.Require(), []string{good}, 401, realm, ""},
		"scheme runs on":     {v.Require(), []string{"Bearer:" + good}, 401, realm, ""},
		"two headers":        {v.Require(), []string{"Bearer " + good, "Bearer " + good}, 400, `error="invalid_request"`, "invalid_request"},
		"two schemes":        {v.Require(), []string{"Basic YTpi", "Bearer " + good}, 400, `error="invalid_request"`, "invalid_request"},
		"two tokens":         {v.Require(), []string{"Bearer " + good + ", Bearer " + good}, 401, `error="invalid_token"`, "invalid_token"},
		"a token in quotes":  {v.Require(), []string{`Bearer "` + good + `"`}, 401, `error="invalid_token"`, "invalid_token"},
		"only padding":       {v.Require(), []string{"Bearer ===="}, 401, `error="invalid_token"`, "invalid_token"},
		"garbage":            {v.Require(), []string{"Bearer abc"}, 401, `error="invalid_token"`, "invalid_token"},
		"expired":            {v.Require(), []string{"Bearer " + s.token(map[string]any{"exp": 1})}, 401, `error="invalid_token", error_description="The token has expired."`, "invalid_token"},
		"scope missing":      {v.Require("orders:read", "orders:write"), []string{"Bearer " + good}, 403, `error="insufficient_scope", error_description="The token lacks a scope; this needs: orders:read orders:write.", scope="orders:read orders:write"`, "insufficient_scope"},
		"acr":                {v.RequireAll(ACR("gold", "silver")), []string{"Bearer " + good}, 401, `error="insufficient_user_authentication", error_description="This needs a stronger authentication; authorize again with acr_values=gold silver.", acr_values="gold silver"`, "insufficient_user_authentication"},
		"max_age":            {v.RequireAll(Scopes("orders:read"), MaxAge(30*time.Second)), []string{"Bearer " + good}, 401, `max_age="30"`, "insufficient_user_authentication"},
		"all met":            {v.RequireAll(Scopes("orders:read"), ACR("1"), MaxAge(2*time.Minute)), []string{"Bearer " + good}, 200, "", ""},
	} {
		w := call(c.middleware, c.authorization...)
		challenge := w.Header().Get("WWW-Authenticate")
		if w.Code != c.status || !strings.Contains(challenge, c.challenge) || c.challenge == realm && challenge != realm {
			t.Errorf("%s: %d, %s", name, w.Code, challenge)
		}
		if c.status == 200 {
			if w.Body.String() != "hello ada" || challenge != "" {
				t.Errorf("%s: %q, %s", name, w.Body, challenge)
			}
			continue
		}
		if !strings.HasPrefix(challenge, realm) || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers %v", name, w.Header())
		}
		var body struct {
			Error       string
			Description string `json:"error_description"`
		}
		if c.code == "" {
			if w.Body.Len() != 0 {
				t.Errorf("%s: body %q", name, w.Body)
			}
		} else if json.Unmarshal(w.Body.Bytes(), &body) != nil || body.Error != c.code || body.Description == "" || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: body %q", name, w.Body)
		}
	}
}

// A token counts in the header alone (case 14).
func TestTokenElsewhereIsIgnored(t *testing.T) {
	t.Parallel()
	v := newIssuer(es256()).verifier(t)
	good := es256().token(nil)
	query := httptest.NewRequest("GET", "/orders?access_token="+good, nil)
	form := httptest.NewRequest("POST", "/orders", strings.NewReader("access_token="+good))
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	cookie := httptest.NewRequest("GET", "/orders", nil)
	cookie.AddCookie(&http.Cookie{Name: "access_token", Value: good})
	for _, req := range []*http.Request{query, form, cookie} {
		if w := callWith(v.Require(), req); w.Code != 401 || strings.Contains(w.Header().Get("WWW-Authenticate"), "error") {
			t.Errorf("%d, %s", w.Code, w.Header().Get("WWW-Authenticate"))
		}
	}
}

func TestUnavailableIs503(t *testing.T) {
	t.Parallel()
	is := newIssuer(es256())
	is.down = true
	v := is.verifier(t, Lazy())
	w := call(v.Require(), "Bearer "+es256().token(nil))
	retry, err := strconv.Atoi(w.Header().Get("Retry-After"))
	if w.Code != 503 || err != nil || retry < 1 || retry > 5 || w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("%d, %v", w.Code, w.Header())
	}
	if body := w.Body.String(); !strings.Contains(body, "temporarily_unavailable") || strings.Contains(body, "invalid_token") || strings.Contains(body, "refused") {
		t.Errorf("body %s", body)
	}
}

func TestAppendParam(t *testing.T) {
	t.Parallel()
	b := appendParam([]byte("Bearer"), "realm", "a\"b\\c\r\nX-Evil: 1\x00é\x7f")
	b = appendParam(b, "error", "x")
	if got, want := string(b), `Bearer realm="a'b'c??X-Evil: 1???", error="x"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	is := newIssuer(es256())
	for _, c := range []struct{ id, address string }{
		{"", "https://api.example.com/.well-known/oauth-protected-resource"},
		{"https://api.example.com/", "https://api.example.com/.well-known/oauth-protected-resource"},
		{"https://api.example.com/v1", "https://api.example.com/.well-known/oauth-protected-resource/v1"},
		{"https://api.example.com/v1?k=1", "https://api.example.com/.well-known/oauth-protected-resource/v1?k=1"},
		{"http://localhost:8081", "http://localhost:8081/.well-known/oauth-protected-resource"},
	} {
		v := is.verifier(t, Metadata(Resource{ID: c.id, Name: "Orders", Scopes: []string{"orders:read"}}))
		want := `Bearer realm="https://api.example.com", resource_metadata="` + c.address + `"`
		if got := call(v.Require()).Header().Get("WWW-Authenticate"); got != want {
			t.Errorf("%s: challenge %s, want %s", c.id, got, want)
		}
	}
	v := is.verifier(t, Metadata(Resource{Name: "Orders", Documentation: "https://docs.example.com", Scopes: []string{"orders:read"}}))
	w := httptest.NewRecorder()
	v.Metadata().ServeHTTP(w, httptest.NewRequest("GET", MetadataPath, nil))
	want := `{"resource":"https://api.example.com","authorization_servers":["https://id.example.com"],"scopes_supported":["orders:read"],"bearer_methods_supported":["header"],"dpop_signing_alg_values_supported":["ES256","ES384","EdDSA","PS256","RS256"],"resource_name":"Orders","resource_documentation":"https://docs.example.com"}`
	if w.Code != 200 || w.Body.String() != want || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%d, %v, %s", w.Code, w.Header(), w.Body)
	}
	w = httptest.NewRecorder()
	v.Metadata().ServeHTTP(w, httptest.NewRequest("POST", MetadataPath, nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST answers %d", w.Code)
	}
	if got := call(is.verifier(t).Require()).Header().Get("WWW-Authenticate"); strings.Contains(got, "resource_metadata") {
		t.Errorf("metadata is named though it isn't configured: %s", got)
	}
}
