package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/jeton-auth/jeton/oauth"
)

// device is a sign-in that waits for a person with another screen, and what became of it
// (RFC 8628).
type device struct {
	codes   deviceCodes
	every   time.Duration // least time between two polls
	next    time.Time     // of the next poll
	expires time.Time
	failed  error    // nil: it waits, or account is there
	account *account // who signed in
}

// deviceCodes are the answer to a device authorization request (RFC 8628 §3.2).
type deviceCodes struct {
	Device       string `json:"device_code"`
	User         string `json:"user_code"`
	Verification string `json:"verification_uri"`
	Complete     string `json:"verification_uri_complete"` // may be missing
	ExpiresIn    int64  `json:"expires_in"`                // seconds
	Interval     int64  `json:"interval"`                  // seconds; may be missing
}

const (
	defaultInterval = 5 * time.Second // between polls, where the issuer names none (RFC 8628 §3.2)
	slower          = 5 * time.Second // what slow_down adds to it (RFC 8628 §3.5)
)

// beginDevice asks the issuer for codes.
func (a *web) beginDevice(ctx context.Context) *device {
	d := &device{every: defaultInterval}
	d.failed = a.post(ctx, a.ends.Device, url.Values{
		"client_id": {a.opts.TVClientID},
		"scope":     {strings.Join([]string{oauth.ScopeOpenID, oauth.ScopeProfile, oauth.ScopeEmail, ScopeRead}, " ")},
	}, &d.codes)
	if d.failed == nil && (d.codes.Device == "" || d.codes.User == "" || d.codes.Verification == "") {
		d.failed = errors.New("the issuer's answer is incomplete")
	}
	if d.codes.Interval > 0 {
		d.every = time.Duration(d.codes.Interval) * time.Second
	}
	now := a.clock.Now()
	d.next, d.expires = now.Add(d.every), now.Add(time.Duration(d.codes.ExpiresIn)*time.Second)
	return d
}

func (d *device) waits() bool { return d.failed == nil && d.account == nil }

// poll asks once whether the person has answered, unless it is too soon. It is true when
// somebody has just signed in.
func (a *web) poll(ctx context.Context, d *device) bool {
	now := a.clock.Now()
	if !d.waits() || now.Before(d.next) {
		return false
	}
	if !now.Before(d.expires) {
		d.failed = &oauth2.RetrieveError{ErrorCode: string(oauth.ExpiredToken)}
		return false
	}
	var answer struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int64  `json:"expires_in"`
		IDToken     string `json:"id_token"`
	}
	err := a.post(ctx, a.oauth.Endpoint.TokenURL, url.Values{
		"grant_type":  {string(oauth.DeviceCode)},
		"client_id":   {a.opts.TVClientID},
		"device_code": {d.codes.Device},
	}, &answer)
	if err == nil {
		token := &oauth2.Token{AccessToken: answer.AccessToken, TokenType: answer.TokenType}
		if answer.ExpiresIn > 0 {
			token.Expiry = a.clock.Now().Add(time.Duration(answer.ExpiresIn) * time.Second)
		}
		token = token.WithExtra(map[string]any{"id_token": answer.IDToken})
		d.account, d.failed = a.meet(oidc.ClientContext(ctx, a.client), a.tvIDs, token, "")
		return d.failed == nil
	}
	d.wait(err)
	d.next = a.clock.Now().Add(d.every)
	return false
}

// wait takes what a poll failed with: a reason to go on, perhaps slower, or the end.
func (d *device) wait(err error) {
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	switch {
	case !ok:
		d.every *= 2 // no answer: RFC 8628 §3.5 wants fewer polls then
	case refused.ErrorCode == string(oauth.AuthorizationPending):
	case refused.ErrorCode == string(oauth.SlowDown):
		d.every += slower
	default:
		d.failed = err
	}
}

// post sends a form and reads the JSON that comes back. An *oauth2.RetrieveError is the
// issuer's refusal; other errors are no answer that could be read.
func (a *web) post(ctx context.Context, to string, form url.Values, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return err
	}
	if resp.StatusCode == http.StatusOK {
		return json.Unmarshal(body, into)
	}
	refusal := struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}{}
	if err := json.Unmarshal(body, &refusal); err != nil || refusal.Code == "" {
		return fmt.Errorf("the issuer answered %s", resp.Status)
	}
	return &oauth2.RetrieveError{Response: resp, ErrorCode: refusal.Code, ErrorDescription: refusal.Description}
}
