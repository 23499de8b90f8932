package server

import (
	"bytes"
	"encoding/json"
	"html"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/jeton-auth/jeton/oauth"
)

// probe calls what an issuer advertises.
type probe struct {
	*issuer
	t       *testing.T
	doc     map[string]any
	clients map[string]party
	logouts chan string   // logout tokens that came to the clients' site
	hosted  *atomic.Value // the request object that stands there
}

// visitor is a browser without JavaScript, at the issuer.
type visitor struct {
	*probe
	jar *cookiejar.Jar
}

func (p *probe) browser() *visitor {
	p.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return &visitor{p, jar}
}

func (s *visitor) open(method, target string, form url.Values, header ...string) reply {
	s.t.Helper()
	base, err := url.Parse(discoveryIssuer + "/")
	if err != nil {
		s.t.Fatal(err)
	}
	u, err := base.Parse(target)
	if err != nil || u.Host != base.Host {
		s.t.Fatalf("the browser is led to %q: %v", target, err)
	}
	r := httptest.NewRequest(method, u.String(), strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for pair := range slices.Chunk(header, 2) {
		r.Header.Set(pair[0], pair[1])
	}
	for _, c := range s.jar.Cookies(u) {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	s.jar.SetCookies(u, w.Result().Cookies())
	return reply{w.Code, w.Header(), w.Body.Bytes()}
}

// page is the first of our own pages that a request leads to, or the answer that leaves
// for the client.
func (s *visitor) page(target string, header ...string) (r reply, left string) {
	s.t.Helper()
	r = s.open(http.MethodGet, target, nil, header...)
	return s.follow(r, header...)
}

func (s *visitor) follow(r reply, header ...string) (_ reply, left string) {
	s.t.Helper()
	for range 10 {
		to := r.header.Get("Location")
		if r.status != http.StatusSeeOther || to == "" {
			return r, ""
		}
		if !strings.HasPrefix(to, discoveryIssuer+"/") && !strings.HasPrefix(to, "/") {
			return r, to
		}
		r = s.open(http.MethodGet, to, nil, header...)
	}
	s.t.Fatal("the redirects have no end")
	return r, ""
}

var (
	formAction = regexp.MustCompile(`<form [^>]*action="([^"]*)"`)
	formInput  = regexp.MustCompile(`<input [^>]*>`)
	attribute  = regexp.MustCompile(`(name|value|type)="([^"]*)"`)
)

// fields are where the first form of a page goes, and what it holds.
func fields(page []byte) (action string, v url.Values) {
	v = url.Values{}
	begin := bytes.Index(page, []byte("<form "))
	if begin < 0 {
		return "", v
	}
	page = page[begin:]
	if end := bytes.Index(page, []byte("</form>")); end >= 0 {
		page = page[:end]
	}
	if m := formAction.FindSubmatch(page); m != nil {
		action = html.UnescapeString(string(m[1]))
	}
	for _, input := range formInput.FindAll(page, -1) {
		a := map[string]string{}
		for _, m := range attribute.FindAllSubmatch(input, -1) {
			a[string(m[1])] = html.UnescapeString(string(m[2]))
		}
		if a["name"] != "" {
			v.Set(a["name"], a["value"])
		}
	}
	return action, v
}

// submit fills in the first form of a page of ours and sends it.
func (s *visitor) submit(r reply, pairs ...string) (reply, string) {
	s.t.Helper()
	action, v := fields(r.body)
	for pair := range slices.Chunk(pairs, 2) {
		v.Set(pair[0], pair[1])
	}
	return s.follow(s.open(http.MethodPost, action, v, "Origin", discoveryIssuer, "Sec-Fetch-Site", "same-origin"))
}

// through answers the pages that stand in the way, until one leaves for the client or is
// not for people.
func (s *visitor) through(r reply, left string) (reply, string) {
	s.t.Helper()
	for range 5 {
		switch {
		case left != "" || r.status != http.StatusOK:
			return r, left
		case bytes.Contains(r.body, []byte(`id="login"`)):
			r, left = s.submit(r, "username", "ada@example.com", "password", adaPassword, "login", "1")
		case bytes.Contains(r.body, []byte(`id="allow"`)):
			r, left = s.submit(r, "allow", "1")
		default:
			return r, left
		}
	}
	return r, left
}

// request is an authorization request of a client, whose parameters pairs change; an
// empty value takes one away.
func (p *probe) request(c party, pairs ...string) url.Values {
	v := url.Values{
		"client_id": {c.ID}, "response_type": {"code"}, "redirect_uri": {c.RedirectURIs[0]}, "scope": {"openid offline_access orders:read"},
		"state": {once()}, "nonce": {once()}, "code_challenge": {s256(testVerifier)}, "code_challenge_method": {"S256"},
	}
	for pair := range slices.Chunk(pairs, 2) {
		if v.Set(pair[0], pair[1]); pair[1] == "" {
			v.Del(pair[0])
		}
	}
	return v
}

// object signs a request (RFC 9101 §4).
func (p *probe) object(c party, v url.Values) string {
	p.t.Helper()
	now := p.clock.Now().Unix()
	claims := map[string]any{"iss": c.ID, "aud": discoveryIssuer, "iat": now, "nbf": now, "exp": now + 120, "jti": once()}
	for name := range v {
		claims[name] = v.Get(name)
		if name == "claims" || name == "authorization_details" {
			claims[name] = json.RawMessage(v.Get(name))
		}
	}
	return sign(p.t, c.alg, map[string]any{"typ": "oauth-authz-req+jwt"}, claims)
}

// target is the address that a request is opened at, in the form that the client's
// registration demands: pushed, signed, or plain.
func (p *probe) target(c party, v url.Values) string {
	p.t.Helper()
	if c.RequireSignedRequest {
		v = url.Values{"client_id": {c.ID}, "request": {p.object(c, v)}}
	}
	if c.RequirePAR {
		v = url.Values{"client_id": {c.ID}, "request_uri": {p.push(c, v).want(p.t, http.StatusCreated, "").str(p.t, "request_uri")}}
	}
	return "/authorize?" + v.Encode()
}

// push sends a request to /par.
func (p *probe) push(c party, v url.Values) reply {
	p.t.Helper()
	var pairs []string
	for name := range v {
		if name != "client_id" || !c.Confidential() || c.Certificates() {
			pairs = append(pairs, name, v.Get(name))
		}
	}
	as := p.as(c)
	return p.post("/par", func(r *http.Request, v url.Values) { as(r, v); v.Set("client_id", c.ID) }, without(pairs, "client_id")...)
}

func without(pairs []string, name string) []string {
	var out []string
	for pair := range slices.Chunk(pairs, 2) {
		if pair[0] != name {
			out = append(out, pair...)
		}
	}
	return out
}

// ask asks for authorization in a new browser and gives the parameters of the response,
// and how they came: "query", "fragment" or "form_post".
func (p *probe) ask(c party, pairs ...string) (got url.Values, how string) {
	p.t.Helper()
	return p.askIn(p.browser(), c, pairs...)
}

func (p *probe) askIn(s *visitor, c party, pairs ...string) (got url.Values, how string) {
	p.t.Helper()
	r, left := s.through(s.page(p.target(c, p.request(c, pairs...))))
	return p.response(c, r, left)
}

// response reads an authorization response, JARM's too.
func (p *probe) response(c party, r reply, left string) (got url.Values, how string) {
	p.t.Helper()
	if left == "" {
		action, v := fields(r.body)
		if r.status != http.StatusOK || action == "" || strings.HasPrefix(action, "/") {
			p.t.Fatalf("%s: no response but %d %.2000s", c.ID, r.status, r.body)
		}
		got, how, left = v, "form_post", action
	} else if to, params, ok := strings.Cut(left, "#"); ok {
		got, how, left = p.parse(params), "fragment", to
	} else {
		to, params, _ := strings.Cut(left, "?")
		got, how, left = p.parse(params), "query", to
	}
	if left != c.RedirectURIs[0] {
		p.t.Errorf("%s: the response goes to %q", c.ID, left)
	}
	if jwt := got.Get("response"); jwt != "" {
		if len(got) != 1 {
			p.t.Errorf("%s: parameters stand beside the signed response: %v", c.ID, got)
		}
		alg, claims := p.verified(jwt)
		if claims["iss"] != discoveryIssuer || claims["aud"] != c.ID {
			p.t.Errorf("%s: the signed response is of %v for %v", c.ID, claims["iss"], claims["aud"])
		}
		got, how = url.Values{}, how+".jwt "+string(alg)
		for name, v := range claims {
			if s, ok := v.(string); ok {
				got.Set(name, s)
			}
		}
	}
	if got.Get("iss") != discoveryIssuer {
		p.t.Errorf("%s: iss of the response is %q", c.ID, got.Get("iss"))
	}
	return got, how
}

func (p *probe) parse(query string) url.Values {
	v, err := url.ParseQuery(query)
	if err != nil {
		p.t.Fatal(err)
	}
	return v
}

// verified checks a JWS of the issuer by its published keys.
func (p *probe) verified(compact string) (alg oauth.Alg, claims map[string]any) {
	p.t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(p.get("/jwks", nil).body, &set); err != nil {
		p.t.Fatal(err)
	}
	all := []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.ES384, jose.EdDSA}
	jws, err := jose.ParseSignedCompact(compact, all)
	if err != nil {
		p.t.Fatalf("%.40s: %v", compact, err)
	}
	h := jws.Signatures[0].Protected
	keys := set.Key(h.KeyID)
	if len(keys) != 1 {
		p.t.Fatalf("the key set has %d keys %q", len(keys), h.KeyID)
	}
	text, err := jws.Verify(keys[0].Key)
	if err != nil || json.Unmarshal(text, &claims) != nil {
		p.t.Fatalf("%.40s is not signed by key %s: %v", compact, h.KeyID, err)
	}
	return oauth.Alg(h.Algorithm), claims
}

// tokens is a whole code flow: the answer of /token.
func (p *probe) tokens(c party, pairs ...string) reply {
	p.t.Helper()
	got, _ := p.ask(c, pairs...)
	if got.Get("code") == "" {
		p.t.Fatalf("%s: no code but %v", c.ID, got)
	}
	return p.spend(c, got.Get("code")).want(p.t, http.StatusOK, "")
}

func (p *probe) spend(c party, code string) reply {
	p.t.Helper()
	return p.send(c, "/token", "grant_type", "authorization_code", "code", code, "redirect_uri", c.RedirectURIs[0], "code_verifier", testVerifier)
}

// use calls an endpoint with an access token, as the client's tokens are bound.
func (p *probe) use(c party, path, token string) reply {
	p.t.Helper()
	try := func(nonce string) reply {
		r := httptest.NewRequest(http.MethodGet, discoveryIssuer+path, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		if c.DPoPBound {
			r.Header.Set("Authorization", "DPoP "+token)
			r.Header.Set("DPoP", p.proof(c.alg, http.MethodGet, path, token, nonce))
		}
		p.as(c)(r, url.Values{})
		if c.AuthMethod == oauth.ClientSecretBasic {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		return p.do(r)
	}
	r := try("")
	if nonce := r.header.Get("DPoP-Nonce"); r.status == http.StatusUnauthorized && nonce != "" {
		r = try(nonce)
	}
	return r
}
