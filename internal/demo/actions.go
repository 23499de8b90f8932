package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/jeton-auth/jeton/oauth"
)

// result is what came of the last action, shown until the next one.
type result struct {
	Good      bool
	Title     string
	Detail    string
	Status    string // of the API's answer
	Challenge string // its WWW-Authenticate
	Body      string
	At        time.Time
}

func (a *web) result(r *result) *result {
	r.At = a.clock.Now()
	return r
}

// act makes a handler of an action of whoever is signed in. Its result is kept for
// the page that follows. A browser that goes away does not end the action: a refresh
// cut short would spend a token and lose its successor.
func (a *web) act(page string, action func(context.Context, *account) *result) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s := a.sessions.find(r); s != nil {
			s.mu.Lock()
			if s.account != nil {
				s.last[page] = a.result(action(context.WithoutCancel(r.Context()), s.account))
			}
			s.mu.Unlock()
		}
		http.Redirect(w, r, page, http.StatusSeeOther)
	}
}

// reply is what the API answered.
type reply struct {
	status          int
	challenge, body string
	took            time.Duration
}

const maxReply = 64 << 10

// ask calls the API with an access token.
func (a *web) ask(ctx context.Context, token *oauth2.Token) (*reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.opts.API+"/orders", nil)
	if err != nil {
		return nil, err
	}
	token.SetAuthHeader(req)
	began := time.Now()
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	return &reply{resp.StatusCode, resp.Header.Get("WWW-Authenticate"), strings.TrimSpace(string(body)), time.Since(began)}, err
}

// into puts the reply into a result.
func (p *reply) into(r *result) *result {
	r.Status, r.Challenge, r.Body = fmt.Sprintf("%d %s", p.status, http.StatusText(p.status)), p.challenge, indent([]byte(p.body))
	return r
}

func (a *web) callAPI(ctx context.Context, acc *account) *result {
	p, err := a.ask(ctx, acc.token)
	switch {
	case err != nil:
		return &result{Title: "The API did not answer.", Detail: err.Error()}
	case p.status == http.StatusOK:
		return p.into(&result{Good: true, Title: "The API took the token.", Detail: "It answered in " + ms(p.took) + "."})
	}
	return p.into(&result{Title: "The API refused the token.", Detail: "It answered in " + ms(p.took) + "."})
}

func (a *web) refresh(ctx context.Context, acc *account) *result {
	if acc.token.RefreshToken == "" {
		return &result{Title: "There is no refresh token.", Detail: "The issuer gave none to this client."}
	}
	ctx = oidc.ClientContext(ctx, a.client)
	old := acc.token
	next, err := a.oauth.TokenSource(ctx, &oauth2.Token{RefreshToken: old.RefreshToken}).Token()
	if err == nil {
		_, err = identify(ctx, a.ids, acc, next)
	}
	if err != nil {
		if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok && refused.ErrorCode == string(oauth.InvalidGrant) {
			acc.revoked = true // the grant is over, and its tokens with it
		}
		return &result{Title: "The issuer gave no new token.", Detail: explain(err)}
	}
	acc.token = next
	acc.refreshes++
	detail := "The refresh token is the same: this client does not rotate."
	if next.RefreshToken != old.RefreshToken {
		detail = "The refresh token is a new one too; the old one has been spent."
		was, before := number(old.RefreshToken)
		is, after := number(next.RefreshToken)
		if before && after {
			detail = fmt.Sprintf("The refresh token's number rose from %d to %d, in the one row that this grant has.", was, is)
		}
	}
	return &result{Good: true, Title: "You have a new access token.", Detail: detail}
}

// revoke ends the grant at the issuer and then measures how long the access token
// is still good at the API.
func (a *web) revoke(ctx context.Context, acc *account) *result {
	token, hint := acc.token.RefreshToken, oauth.HintRefreshToken
	if token == "" {
		token, hint = acc.token.AccessToken, oauth.HintAccessToken
	}
	t, err := a.try(ctx, token, hint, acc.token)
	acc.revoked = acc.revoked || t != nil
	return t.result(err)
}

// tellIssuer revokes a token (RFC 7009 §2.1).
func (a *web) tellIssuer(ctx context.Context, token, hint string) error {
	form := url.Values{"token": {token}, "token_type_hint": {hint}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.ends.Revocation, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(a.opts.ClientID), url.QueryEscape(a.opts.ClientSecret.Reveal()))
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	var e struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	_ = json.NewDecoder(io.LimitReader(resp.Body, maxReply)).Decode(&e)
	return &oauth2.RetrieveError{Response: resp, ErrorCode: e.Code, ErrorDescription: e.Description}
}

// ms is a duration as people read it, with a space that does not break.
func ms(d time.Duration) string {
	v, digits := float64(d)/float64(time.Millisecond), 1
	if v < 10 {
		digits = 2
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + "\u00a0ms"
}

func indent(raw []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return string(raw)
	}
	return b.String()
}
