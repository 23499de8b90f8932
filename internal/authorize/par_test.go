package authorize

import (
	"bytes"
	"crypto/sha256"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

func (f *fixture) spec(client string) spec.Client {
	f.t.Helper()
	c, ok := f.Directory.Client(client)
	if !ok {
		f.t.Fatal("no client " + client)
	}
	return c.Client
}

func (f *fixture) push(client string, p web.Params) (string, error) {
	f.t.Helper()
	c, ok := f.Directory.Client(client)
	if !ok {
		f.t.Fatal("no client " + client)
	}
	return f.Push(f.t.Context(), PushRequest{Client: c, Params: p, Origin: audit.Origin{Address: "198.51.100.7"}})
}

// pushed is the request_uri of a request of a client.
func (f *fixture) pushedURI(client string, pairs ...string) string {
	f.t.Helper()
	uri, err := f.push(client, request(append([]string{"client_id", client}, pairs...)...))
	if err != nil {
		f.t.Fatal(err)
	}
	return uri
}

func byURI(client, uri string, pairs ...string) web.Params {
	v := url.Values{"client_id": {client}, "request_uri": {uri}}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return web.NewParams(v)
}

// Case 10: bound to its client, unguessable, and consumed at authorization, not at the
// first visit.
func TestPushed(t *testing.T) {
	t.Parallel()
	f := openSigning(t)
	uri := f.pushedURI("bank", "scope", "openid orders:read", "nonce", "n")
	name, ok := strings.CutPrefix(uri, oauth.RequestURIPrefix)
	if !ok || len(name) != 43 || uri == f.pushedURI("bank") {
		t.Fatalf("%q", uri)
	}
	sum := sha256.Sum256([]byte(name))
	kept, err := f.Store.Read(t.Context()).Pushed(sum[:])
	if err != nil || kept.Request.Client != "bank" || !kept.ExpiresAt.Equal(begin.Add(5*time.Minute)) {
		t.Fatalf("%v %+v", err, kept)
	}

	b := f.browser()
	visit := func(p web.Params) (Outcome, error) { return f.Begin(t.Context(), p, b.visitor()) }
	// What stands beside request_uri is ignored, but client_id.
	out, err := visit(byURI("bank", uri, "redirect_uri", "https://evil.example/", "scope", "nonsense", "state", "other", "prompt", "none", "response_type", "token"))
	f.wantDo(b.took(out, err), Login)
	// Loaded again before the login, in this browser or another one.
	again, err := visit(byURI("bank", uri))
	f.wantDo(b.took(again, err), Login)
	other := f.browser()
	theirs, err := f.Begin(t.Context(), byURI("bank", uri), other.visitor())
	f.wantDo(other.took(theirs, err), Login)

	// The login may take longer than a request_uri lives.
	f.clock.Advance(20 * time.Minute)
	g := f.code(b.login("ada", again.Pending))
	if g.Client != "bank" || g.Code.Nonce != "n" || g.Code.Challenge != challenge {
		t.Errorf("%+v", g)
	}
	// Answered once: neither a new visit nor another flow that began with it goes on.
	out, err = visit(byURI("bank", uri))
	f.wantError(b.took(out, err), oauth.InvalidRequestURI)
	p, err := f.Open(t.Context(), theirs.Pending.ID(), other.visitor())
	if err != nil {
		t.Fatal(err)
	}
	if _, err = p.LoggedIn(t.Context(), b.proof("bob")); code(err) != oauth.InvalidRequestURI {
		t.Errorf("a second answer: %v", err)
	}
	if f.grants() != 1 {
		t.Errorf("%d grants", f.grants())
	}
}

func TestPushedIsNotTaken(t *testing.T) {
	t.Parallel()
	f := openSigning(t)
	b := f.browser()
	uri := f.pushedURI("bank")
	for name, p := range map[string]web.Params{
		"another client":      byURI("signer", uri),
		"no client":           web.NewParams(url.Values{"request_uri": {uri}}),
		"unknown":             byURI("bank", uri[:len(uri)-1]+"_"),
		"no random part":      byURI("bank", oauth.RequestURIPrefix),
		"its key in the rows": byURI("bank", oauth.RequestURIPrefix+string(pushedKey(strings.TrimPrefix(uri, oauth.RequestURIPrefix)))),
		"another prefix":      byURI("nobody", uri),
	} {
		out, err := f.Begin(t.Context(), p, b.visitor())
		if code(err) == "" || out.Answer.Location() != "" {
			t.Errorf("%s: %v %s", name, err, out.Answer.Location())
		}
	}
	out, err := f.Begin(t.Context(), byURI("bank", uri, "request", f.object("bank")), b.visitor())
	f.wantError(b.took(out, err), oauth.InvalidRequest)
	f.clock.Advance(PushedLifetime - time.Millisecond)
	out, err = f.Begin(t.Context(), byURI("bank", uri), b.visitor())
	f.wantDo(b.took(out, err), Login)
	f.clock.Advance(time.Millisecond)
	out, err = f.Begin(t.Context(), byURI("bank", uri), b.visitor())
	f.wantError(b.took(out, err), oauth.InvalidRequestURI)
	// Long over, it is unknown.
	f.clock.Advance(Lifetime + time.Millisecond)
	f.write(func(tx *store.Tx) error {
		n, err := tx.PurgePushed(10)
		if n != 1 {
			t.Errorf("%d rows were over", n)
		}
		return err
	})
	if _, err = f.Begin(t.Context(), byURI("bank", uri), b.visitor()); code(err) != oauth.InvalidRequestURI {
		t.Errorf("long over: %v", err)
	}
}

// Of many browsers that answer one pushed request at the same time one gets a code.
func TestPushedOnce(t *testing.T) {
	t.Parallel()
	f := openSigning(t)
	uri := f.pushedURI("bank")
	b := f.browser()
	f.code(b.login("ada", b.begin().Pending))
	var codes, refused atomic.Int64
	var wg sync.WaitGroup
	v := b.visitor()
	for range 20 {
		wg.Go(func() {
			out, err := f.Begin(t.Context(), byURI("bank", uri), v)
			switch {
			case err == nil && strings.Contains(out.Answer.Location(), "code="):
				codes.Add(1)
			case code(err) == oauth.InvalidRequestURI, strings.Contains(out.Answer.Location(), "error=invalid_request_uri"):
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	if codes.Load() != 1 || refused.Load() != 19 {
		t.Errorf("%d codes and %d refusals", codes.Load(), refused.Load())
	}
}

// A refusal answers a request as a code does.
func TestPushedIsSpentByRefusals(t *testing.T) {
	t.Parallel()
	f := openSigning(t)
	b := f.browser()
	silent := f.pushedURI("bank", "prompt", "none")
	out, err := f.Begin(t.Context(), byURI("bank", silent), b.visitor())
	f.wantError(b.took(out, err), oauth.LoginRequired)
	out, err = f.Begin(t.Context(), byURI("bank", silent), b.visitor())
	f.wantError(b.took(out, err), oauth.InvalidRequestURI)

	denied := f.pushedURI("bank")
	out, err = f.Begin(t.Context(), byURI("bank", denied), b.visitor())
	f.wantDo(b.took(out, err), Login)
	out, err = b.open(out.Pending.ID()).Deny(t.Context())
	f.wantError(b.took(out, err), oauth.AccessDenied)
	out, err = f.Begin(t.Context(), byURI("bank", denied), b.visitor())
	f.wantError(b.took(out, err), oauth.InvalidRequestURI)
}

// A form that another site posts may carry a request_uri too.
func TestPushedThenPosted(t *testing.T) {
	t.Parallel()
	f := openSigning(t)
	uri := f.pushedURI("bank")
	out, err := f.Post(t.Context(), byURI("bank", uri), audit.Origin{})
	if err != nil || out.Pending == nil {
		t.Fatal(err)
	}
	b := f.browser()
	p, err := f.Claim(t.Context(), out.Pending.ID(), b.visitor())
	if err != nil {
		t.Fatal(err)
	}
	f.code(b.login("ada", p))
	out, err = f.Post(t.Context(), byURI("bank", uri), audit.Origin{})
	f.wantError(b.took(out, err), oauth.InvalidRequestURI)
}

// All checks of an authorization request are made at the push.
func TestPushRefuses(t *testing.T) {
	t.Parallel()
	f := openSigning(t)
	for name, tt := range map[string]struct {
		client string
		pairs  []string
		want   oauth.ErrorCode
	}{
		"good":                    {"bank", nil, ""},
		"no client_id in it":      {"bank", []string{"client_id", ""}, ""},
		"request_uri":             {"bank", []string{"request_uri", "urn:example:x"}, oauth.InvalidRequest},
		"a request_uri of ours":   {"bank", []string{"request_uri", oauth.RequestURIPrefix + "x"}, oauth.InvalidRequest},
		"redirect_uri":            {"bank", []string{"redirect_uri", callback + "/"}, oauth.InvalidRequest},
		"no redirect_uri":         {"bank", []string{"redirect_uri", ""}, oauth.InvalidRequest},
		"nor openid":              {"bank", []string{"redirect_uri", "", "scope", "orders:read"}, oauth.InvalidRequest},
		"no PKCE":                 {"bank", []string{"code_challenge", "", "code_challenge_method", ""}, oauth.InvalidRequest},
		"plain PKCE":              {"bank", []string{"code_challenge_method", "plain"}, oauth.InvalidRequest},
		"scope":                   {"bank", []string{"scope", "openid foreign:read"}, oauth.InvalidScope},
		"resource":                {"bank", []string{"resource", foreign}, oauth.InvalidTarget},
		"resource with fragment":  {"bank", []string{"resource", orders + "#x"}, oauth.InvalidTarget},
		"relative resource":       {"bank", []string{"resource", "orders"}, oauth.InvalidTarget},
		"response type":           {"bank", []string{"response_type", "code id_token"}, oauth.UnsupportedResponseType},
		"no response type":        {"bank", []string{"response_type", ""}, oauth.InvalidRequest},
		"registration":            {"bank", []string{"registration", "{}"}, oauth.RegistrationNotSupp},
		"details":                 {"bank", []string{"authorization_details", `[{"type":"x"}]`}, oauth.InvalidAuthzDetails},
		"an object without keys":  {"shop", []string{"request", "a.b.c"}, oauth.RequestNotSupported},
		"a client without a code": {"robot", nil, oauth.UnauthorizedClient},
		"a client that need not":  {"shop", nil, ""},
	} {
		p := request(append([]string{"client_id", tt.client}, tt.pairs...)...)
		if _, err := f.push(tt.client, p); (err == nil) != (tt.want == "") || code(err) != tt.want {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// A client that must push, or sign, is refused otherwise, and hears of it.
func TestHowRequestsMustCome(t *testing.T) {
	t.Parallel()
	f := openSigning(t)
	f.client("signs", f.spec("signer"), func(c *store.Client) { c.RequireSignedRequest = true })
	b := f.browser()
	f.wantError(b.begin("client_id", "bank"), oauth.InvalidRequest)
	f.wantError(b.begin("client_id", "signs"), oauth.InvalidRequest)
	out, err := f.Begin(t.Context(), outside("bank", f.object("bank")), b.visitor())
	f.wantError(b.took(out, err), oauth.InvalidRequest)
	out, err = f.Begin(t.Context(), outside("signs", f.object("signs")), b.visitor())
	f.wantDo(b.took(out, err), Login)
	if _, err = f.push("signs", request("client_id", "signs")); code(err) != oauth.InvalidRequest {
		t.Errorf("pushed unsigned: %v", err)
	}
	uri, err := f.push("strict", web.NewParams(url.Values{"request": {f.object("strict")}}))
	if err != nil {
		t.Fatal(err)
	}
	out, err = f.Begin(t.Context(), byURI("strict", uri), b.visitor())
	f.wantDo(b.took(out, err), Login)
	if r := out.Pending.Request; r.State != "inside" || !bytes.Equal(r.Pushed, pushedKey(strings.TrimPrefix(uri, oauth.RequestURIPrefix))) {
		t.Errorf("%+v", r)
	}
}

// What changed since the push is looked at again.
func TestClientChangedSincePush(t *testing.T) {
	t.Parallel()
	f := openSigning(t)
	uri := f.pushedURI("bank")
	f.client("bank", f.spec("bank"), func(c *store.Client) { c.RedirectURIs = []string{"https://shop.example.com/new"} })
	if _, err := f.Begin(t.Context(), byURI("bank", uri), f.browser().visitor()); code(err) != oauth.InvalidRequest {
		t.Errorf("its redirect URI is gone: %v", err)
	}
	f.client("bank", f.spec("bank"), func(c *store.Client) { c.RedirectURIs, c.RequireSignedRequest = []string{callback}, true })
	b := f.browser()
	out, err := f.Begin(t.Context(), byURI("bank", uri), b.visitor())
	f.wantError(b.took(out, err), oauth.InvalidRequest) // it was not signed
	f.write(func(tx *store.Tx) error { return f.Directory.DeleteClient(tx, "bank") })
	if _, err := f.Begin(t.Context(), byURI("bank", uri), f.browser().visitor()); code(err) != oauth.InvalidClient {
		t.Errorf("the client is gone: %v", err)
	}
}
