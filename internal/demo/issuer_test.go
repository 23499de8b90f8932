package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/dpop"
	"github.com/jeton-auth/jeton/oauth/feed"
)

const (
	clientID     = "demo-web"
	clientSecret = "the web app's secret, long enough"
	apiSecret    = "the API's secret, long enough too"
	tvID         = "demo-tv"
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
	log   *log

	mu       sync.Mutex
	codes    map[string]url.Values // the authorization request by code
	logins   int                   // each begins a grant
	number   int64                 // of the refresh token
	revoked  bool
	dead     int           // access tokens revoked alone
	most     int           // of them; then the grant ends
	lag      time.Duration // after which the feed tells of a revocation
	opaque   bool
	bearer   bool           // knows nothing of DPoP
	hint     string         // the id_token_hint of the last logout
	idToken  map[string]any // changes to the next ID tokens
	answer   url.Values     // changes to the authorization responses
	userinfo map[string]any
	refuse   string // the error of the next token requests
	device   deviceDesk
}

func newIssuer(t testing.TB, c clock.Clock) *issuer {
	is := &issuer{
		t: t, clock: c, key: newKey(t), codes: map[string]url.Values{}, idToken: map[string]any{}, answer: url.Values{},
		userinfo: map[string]any{"sub": subject, "name": "Ada Lovelace", "email": "ada@example.com", "email_verified": true},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", is.metadata)
	mux.HandleFunc("GET /jwks", is.jwks)
	mux.HandleFunc("GET /authorize", is.authorize)
	mux.HandleFunc("POST /device_authorization", is.deviceCodes)
	mux.HandleFunc("POST /token", is.token)
	mux.HandleFunc("POST /revoke", is.revoke)
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, _ *http.Request) { send(w, 200, is.userinfo) })
	mux.HandleFunc("GET /logout", is.logout)
	is.log = newLog(is)
	is.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/revocations" { // which lasts
			is.log.stream(w, r)
			return
		}
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

func newKey(t testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Close ends the streams, too, which the server would wait for.
func (is *issuer) Close() {
	is.log.close()
	is.Server.Close()
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
		"revocation_feed_endpoint": is.URL + "/revocations", "end_session_endpoint": is.URL + "/logout",
		"device_authorization_endpoint": is.URL + "/device_authorization",
		"response_types_supported":      []string{"code"}, "id_token_signing_alg_values_supported": []string{"ES256"},
		"authorization_response_iss_parameter_supported": true,
	})
}

func (is *issuer) jwks(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(is.log.jwks)
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
	if r.PostFormValue("grant_type") == string(oauth.DeviceCode) {
		is.poll(w, r)
		return
	}
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
		is.logins++
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
	is.issue(w, r, clientID, nonce, refreshToken(is.number))
}

// issue answers a token request with tokens for a client.
func (is *issuer) issue(w http.ResponseWriter, r *http.Request, client, nonce, refresh string) {
	bound, kind := map[string]any{}, "Bearer"
	if !is.bearer {
		sent, err := dpop.FromHeader(r.Header)
		if err != nil || sent == "" {
			is.t.Errorf("no proof: %v", err)
		}
		p, err := dpop.Check(sent, dpop.Expect{Method: "POST", URL: is.URL + "/token", Now: is.clock.Now()})
		if err != nil {
			is.t.Error(err)
		}
		bound, kind = map[string]any{"cnf": map[string]any{"jkt": p.JKT}}, "DPoP"
	}
	access := is.accessToken(bound)
	if is.opaque {
		access = opaqueToken
	}
	now := is.clock.Now()
	idToken := map[string]any{
		"iss": is.URL, "sub": subject, "aud": client, "iat": now.Unix(), "exp": now.Unix() + 300, "at_hash": half(access),
	}
	if nonce != "" {
		idToken["nonce"] = nonce
	}
	maps.Copy(idToken, is.idToken)
	send(w, 200, map[string]any{
		"access_token": access, "token_type": kind, "expires_in": 300, "refresh_token": refresh,
		"id_token": is.sign("JWT", idToken),
	})
}

// accessToken is one for the API, with changes.
func (is *issuer) accessToken(changes map[string]any) string {
	now := is.clock.Now()
	c := map[string]any{
		"iss": is.URL, "sub": subject, "aud": []string{is.api, is.URL}, "client_id": clientID, "iat": now.Unix(), "exp": now.Unix() + 300,
		"jti": is.grant() + "." + rand.Text(), "rev": 0, "scope": "openid profile email orders:read orders:write",
	}
	maps.Copy(c, changes)
	return is.sign("at+jwt", c)
}

func (is *issuer) sign(typ string, claims map[string]any) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		is.t.Error(err)
	}
	return is.jws("k1", is.key, typ, payload)
}

func (is *issuer) jws(kid string, key *ecdsa.PrivateKey, typ string, payload []byte) string {
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: kid}},
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

// grant is the handle of the last login's grant.
func (is *issuer) grant() string { return fmt.Sprint("g", is.logins) }

// end ends that grant.
func (is *issuer) end() {
	is.revoked = true
	is.log.revoke(feed.Grant, is.grant(), is.lag)
}

// jti is the id of an access token.
func (is *issuer) jti(token string) string {
	var c struct {
		ID string `json:"jti"`
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err = errors.Join(err, json.Unmarshal(payload, &c)); err != nil {
		is.t.Error(err)
	}
	return c.ID
}

func (is *issuer) revoke(w http.ResponseWriter, r *http.Request) {
	token := r.PostFormValue("token")
	switch id, _, _ := r.BasicAuth(); {
	case id == clientID && token == refreshToken(is.number):
		is.end()
	case id == clientID && strings.Count(token, ".") == 2 && r.PostFormValue("token_type_hint") == "access_token":
		is.log.revoke(feed.Token, is.jti(token), is.lag)
		if is.dead++; is.dead == is.most {
			is.end()
		}
	default:
		send(w, 400, map[string]string{"error": "invalid_request", "error_description": "that is not the token"})
	}
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
