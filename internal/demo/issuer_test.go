package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/jeton-auth/jeton/internal/clock"
)

const (
	clientID     = "demo-web"
	clientSecret = "the web app's secret, long enough"
	apiSecret    = "the API's secret, long enough too"
	subject      = "u_ada"
	opaqueToken  = "opaque-token"
)

// issuer is an authorization server that logs everybody in as Ada at once. A test
// changes what it says.
type issuer struct {
	*httptest.Server
	t     testing.TB
	clock clock.Clock
	key   *ecdsa.PrivateKey
	api   string

	mu       sync.Mutex
	codes    map[string]url.Values // the authorization request by code
	number   int64                 // of the refresh token
	revoked  bool
	dead     map[string]bool // access tokens revoked alone
	most     int             // of them; then the grant ends
	lag      int             // introspections after a revocation that still say active
	opaque   bool
	hint     string         // the id_token_hint of the last logout
	idToken  map[string]any // changes to the next ID tokens
	answer   url.Values     // changes to the authorization responses
	userinfo map[string]any
	refuse   string // the error of the next token requests
}

func newIssuer(t testing.TB, c clock.Clock) *issuer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	is := &issuer{
		t: t, clock: c, key: key, codes: map[string]url.Values{}, dead: map[string]bool{}, idToken: map[string]any{}, answer: url.Values{},
		userinfo: map[string]any{"sub": subject, "name": "Ada Lovelace", "email": "ada@example.com", "email_verified": true},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", is.metadata)
	mux.HandleFunc("GET /jwks", is.jwks)
	mux.HandleFunc("GET /authorize", is.authorize)
	mux.HandleFunc("POST /token", is.token)
	mux.HandleFunc("POST /revoke", is.revoke)
	mux.HandleFunc("POST /introspect", is.introspect)
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, _ *http.Request) { send(w, 200, is.userinfo) })
	mux.HandleFunc("GET /logout", is.logout)
	is.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		is.mu.Lock()
		defer is.mu.Unlock()
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(is.Close)
	return is
}

func send(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// set changes the issuer while it serves.
func (is *issuer) set(change func()) {
	is.mu.Lock()
	defer is.mu.Unlock()
	change()
}

func (is *issuer) metadata(w http.ResponseWriter, _ *http.Request) {
	send(w, 200, map[string]any{
		"issuer": is.URL, "authorization_endpoint": is.URL + "/authorize", "token_endpoint": is.URL + "/token",
		"jwks_uri": is.URL + "/jwks", "userinfo_endpoint": is.URL + "/userinfo", "revocation_endpoint": is.URL + "/revoke",
		"introspection_endpoint": is.URL + "/introspect", "end_session_endpoint": is.URL + "/logout",
		"response_types_supported": []string{"code"}, "id_token_signing_alg_values_supported": []string{"ES256"},
		"authorization_response_iss_parameter_supported": true,
	})
}

func (is *issuer) jwks(w http.ResponseWriter, _ *http.Request) {
	send(w, 200, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: is.key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
}

func (is *issuer) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != clientID || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" ||
		q.Get("nonce") == "" || q.Get("state") == "" || q.Get("scope") == "" {
		http.Error(w, "incomplete authorization request: "+r.URL.RawQuery, http.StatusBadRequest)
		return
	}
	code := fmt.Sprint("code", len(is.codes))
	is.codes[code] = q
	answer := url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {is.URL}}
	maps.Copy(answer, is.answer)
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+answer.Encode(), http.StatusSeeOther)
}

func (is *issuer) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	if id != clientID || secret != clientSecret {
		send(w, 401, map[string]string{"error": "invalid_client"})
		return
	}
	refused := is.refuse
	nonce := ""
	switch r.PostFormValue("grant_type") {
	case "authorization_code":
		asked := is.codes[r.PostFormValue("code")]
		delete(is.codes, r.PostFormValue("code"))
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		if asked == nil || asked.Get("redirect_uri") != r.PostFormValue("redirect_uri") || asked.Get("code_challenge") != encode(sum[:]) {
			refused = "invalid_grant"
		}
		nonce = asked.Get("nonce")
		is.number, is.revoked = 1, false
	case "refresh_token":
		if r.PostFormValue("refresh_token") != refreshToken(is.number) || is.revoked {
			refused = "invalid_grant"
		}
		is.number++
	}
	if refused != "" {
		send(w, 400, map[string]string{"error": refused, "error_description": "not <today>"})
		return
	}
	access := is.accessToken(nil)
	if is.opaque {
		access = opaqueToken
	}
	now := is.clock.Now()
	idToken := map[string]any{
		"iss": is.URL, "sub": subject, "aud": clientID, "iat": now.Unix(), "exp": now.Unix() + 300, "at_hash": half(access),
	}
	if nonce != "" {
		idToken["nonce"] = nonce
	}
	maps.Copy(idToken, is.idToken)
	send(w, 200, map[string]any{
		"access_token": access, "token_type": "Bearer", "expires_in": 300, "refresh_token": refreshToken(is.number),
		"id_token": is.sign("JWT", idToken),
	})
}

// accessToken is one for the API, with changes.
func (is *issuer) accessToken(changes map[string]any) string {
	now := is.clock.Now()
	c := map[string]any{
		"iss": is.URL, "sub": subject, "aud": []string{is.api, is.URL}, "client_id": clientID, "iat": now.Unix(), "exp": now.Unix() + 300,
		"jti": "g1." + rand.Text(), "rev": 0, "scope": "openid profile email orders:read orders:write",
	}
	maps.Copy(c, changes)
	return is.sign("at+jwt", c)
}

func (is *issuer) sign(typ string, claims map[string]any) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		is.t.Error(err)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: is.key, KeyID: "k1"}},
		(&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		is.t.Error(err)
	}
	signed, err := s.Sign(payload)
	if err != nil {
		is.t.Error(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		is.t.Error(err)
	}
	return text
}

func (is *issuer) revoke(w http.ResponseWriter, r *http.Request) {
	token := r.PostFormValue("token")
	switch id, _, _ := r.BasicAuth(); {
	case id == clientID && token == refreshToken(is.number):
		is.revoked = true
	case id == clientID && strings.Count(token, ".") == 2 && r.PostFormValue("token_type_hint") == "access_token":
		is.dead[token] = true
		is.revoked = is.most > 0 && len(is.dead) >= is.most
	default:
		send(w, 400, map[string]string{"error": "invalid_request", "error_description": "that is not the token"})
	}
}

func (is *issuer) introspect(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	if id != is.api || secret != apiSecret {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	token := r.PostFormValue("token")
	active := !is.revoked && !is.dead[token] && (token == opaqueToken || strings.HasPrefix(token, "ey"))
	if !active && is.lag > 0 {
		is.lag--
		active = true
	}
	answer := map[string]any{"active": active}
	if active {
		maps.Copy(answer, map[string]any{"sub": subject, "client_id": clientID, "aud": is.api, "scope": "orders:read"})
	}
	send(w, 200, answer)
}

func (is *issuer) logout(w http.ResponseWriter, r *http.Request) {
	is.hint = r.FormValue("id_token_hint")
	http.Redirect(w, r, r.FormValue("post_logout_redirect_uri"), http.StatusSeeOther)
}

// refreshToken has the layout of Jeton's.
func refreshToken(n int64) string {
	raw := make([]byte, 54)
	raw[0], raw[1] = 1, 'r'
	binary.BigEndian.PutUint64(raw[20:], uint64(n))
	return "jtr_" + encode(raw)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// half is at_hash of OpenID Connect Core §3.1.3.6.
func half(token string) string {
	sum := sha256.Sum256([]byte(token))
	return encode(sum[:16])
}

func signature(token string) string { return token[strings.LastIndexByte(token, '.')+1:] }
