//go:build faults

package faults

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// app is a client of the issuer.
type app struct {
	id, redirect string
	public       bool
}

var (
	shop  = app{"shop", "https://shop.example.com/callback", false}
	mint  = app{"mint", "https://shop.example.com/callback", false}
	phone = app{"phone", "http://127.0.0.1/callback", true}
)

// verifier and its challenge serve every request: this is no test of PKCE.
const (
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

func (a app) request() url.Values {
	return url.Values{
		"response_type": {"code"}, "client_id": {a.id}, "redirect_uri": {a.redirect}, "scope": {"openid offline_access read"},
		"state": {"s"}, "code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}
}

// outcome is what a client knows after a request.
type outcome int

const (
	unknown outcome = iota // no answer, or one that says that it may have been done
	done
	refused // the answer says that it was not done, and won't be
)

// answer is what came back.
type answer struct {
	outcome
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Active  bool   `json:"active"`
	Error   string `json:"error"`
	status  int
	err     error
}

func (a answer) String() string {
	if a.err != nil {
		return a.err.Error()
	}
	return fmt.Sprintf("%d %s", a.status, a.Error)
}

// post sends a form on behalf of an app, or of the API.
func (n *node) post(path string, as app, form url.Values) (a answer) {
	if as.public {
		form.Set("client_id", as.id)
	}
	req, err := http.NewRequest(http.MethodPost, n.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{err: err}
	}
	req.GetBody = nil // what was sent is never sent again behind our back
	if !as.public {
		req.SetBasicAuth(url.QueryEscape(as.id), secret)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := n.http.Do(req)
	if err != nil {
		n.gone.Store(time.Now().UnixMilli())
		return answer{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	a.status = resp.StatusCode
	switch {
	case err != nil:
		return answer{err: err}
	case a.status == http.StatusOK:
		a.outcome = done
	case a.status < 500:
		a.outcome = refused
	default:
		n.gone.Store(time.Now().UnixMilli())
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &a); err != nil {
			return answer{err: err}
		}
	}
	return a
}

func (n *node) redeem(as app, code string) answer {
	return n.post("/token", as, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {as.redirect}, "code_verifier": {verifier}})
}

func (n *node) rotate(as app, token string) answer {
	return n.post("/token", as, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

func (n *node) revoke(as app, token string) answer {
	return n.post("/revoke", as, url.Values{"token": {token}})
}

func (n *node) introspect(token string) answer {
	return n.post("/introspect", app{id: api}, url.Values{"token": {token}})
}

// code has a person who is logged in allow an app something: no page is needed.
func (s *session) code(n *node, a app) (string, error) {
	req, err := http.NewRequest(http.MethodGet, n.url+"/authorize?"+a.request().Encode(), nil)
	if err != nil {
		return "", err
	}
	for _, c := range s.jar.Cookies(req.URL) {
		req.AddCookie(c)
	}
	resp, err := n.http.Do(req)
	if err != nil {
		n.gone.Store(time.Now().UnixMilli())
		return "", err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return "", err
	}
	return codeIn(resp)
}

func codeIn(resp *http.Response) (string, error) {
	at, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || at.Query().Get("code") == "" {
		return "", fmt.Errorf("no code came: %d %s", resp.StatusCode, at)
	}
	return at.Query().Get("code"), nil
}

// credential reads the grant and the number of a code or refresh token.
func credential(token string) (grant []byte, number int64) {
	_, text, _ := strings.Cut(token, "_")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) < 28 {
		panic(fmt.Sprintf("%.12q… is no credential of a grant", token))
	}
	return raw[6:22], int64(binary.BigEndian.Uint64(append([]byte{0, 0}, raw[22:28]...)))
}
