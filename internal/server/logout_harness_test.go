package server

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/oauth"
)

// apps are clients with servers of their own, which hear of logouts.
type apps struct {
	*probe
	text  string
	url   string // of the apps' servers; a client's path is its id
	heard chan heard
	stop  func() // the telling
}

// heard is what came to an app.
type heard struct{ client, token string }

// startApps starts an issuer with the clients shop, bank (whose names for people are
// pairwise) and more, and their servers under an authority of their own. Answers say how
// clients' servers answer; others answer 200.
func startApps(t *testing.T, answers map[string]http.HandlerFunc, more ...string) *apps {
	t.Helper()
	a := &apps{
		probe: &probe{
			issuer: &issuer{t: t, dir: t.TempDir(), kek: keys.NewKEK(), clock: clock.NewManual(testTime)},
			t:      t, clients: map[string]party{},
		},
		heard: make(chan heard, 100), stop: func() {},
	}
	site := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client := strings.TrimPrefix(r.URL.Path, "/")
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.Header.Get("Cookie") != "" {
			t.Errorf("%s hears %s %v", client, r.Method, r.Header)
		}
		a.heard <- heard{client, r.PostFormValue("logout_token")}
		if answer := answers[client]; answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(site.Close)
	a.url = site.URL
	if err := os.WriteFile(filepath.Join(a.dir, "ca.pem"), certPEM(site.Certificate()), 0o600); err != nil {
		t.Fatal(err)
	}
	a.text = strings.Replace(discoveryConfig, "[127.0.0.0/8]}", "[127.0.0.0/8], ca: file:ca.pem}", 1) +
		"  - {email: bob@example.com, name: Bob, password: env:ADA}\nclients:\n" +
		a.client("shop", "    id_token_alg: ES256\n    frontchannel_logout_uri: https://shop.example.com/out?tenant=1\n") +
		a.client("bank", "    subject_type: pairwise\n")
	for _, id := range more {
		a.text += a.client(id, "")
	}
	a.open(a.text)
	t.Cleanup(func() {
		a.stop()
		if err := a.Server.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, c := range a.manager.Directory.Clients() {
		a.clients[c.ID] = party{c.Client, shopSecret, ""}
	}
	return a
}

func (a *apps) client(id, more string) string {
	return fmt.Sprintf(`  - id: %[1]s
    auth_method: client_secret_basic
    secret: env:SHOP
    redirect_uris: [https://%[1]s.example.com/callback]
    post_logout_redirect_uris: [https://%[1]s.example.com/bye]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, offline_access, orders:read]
    first_party: true
    backchannel_logout_uri: %[2]s/%[1]s
`, id, a.url) + more
}

// tell has clients be told until stop.
func (a *apps) tell() {
	ctx, cancel := context.WithCancel(a.probe.t.Context())
	done := make(chan struct{})
	told := a.told
	go func() {
		defer close(done)
		told.Run(ctx)
	}()
	a.stop = func() {
		cancel()
		<-done
	}
}

// restart is a new process on the same store.
func (a *apps) restart() {
	a.probe.t.Helper()
	a.stop()
	if err := a.Server.Close(); err != nil {
		a.probe.t.Fatal(err)
	}
	a.open(a.text)
	a.tell()
}

// next is what some app hears next.
func (a *apps) next() heard {
	a.probe.t.Helper()
	select {
	case h := <-a.heard:
		return h
	case <-time.After(20 * time.Second):
		a.probe.t.Fatalf("no client is told; %s", a.log.String())
		return heard{}
	}
}

// quiet fails if an app heard something more.
func (a *apps) quiet() {
	a.probe.t.Helper()
	select {
	case h := <-a.heard:
		a.probe.t.Errorf("%s is told of a logout", h.client)
	default:
	}
}

// signIn has a person log in at a client in a browser, and gives what the client is issued.
func (a *apps) signIn(s *visitor, client string, pairs ...string) reply {
	a.probe.t.Helper()
	got, _ := a.askIn(s, a.clients[client], pairs...)
	return a.spend(a.clients[client], got.Get("code")).want(a.probe.t, http.StatusOK, "")
}

// logoutWith asks for a logout with an ID token.
func logoutWith(idToken, to string) string {
	return "/logout?" + url.Values{"id_token_hint": {idToken}, "post_logout_redirect_uri": {to}, "state": {"s"}}.Encode()
}

// readLogout checks a logout token by the rules of OpenID Connect Back-Channel Logout §2.6,
// as the client would that was issued an ID token.
func (a *apps) readLogout(h heard, client, idToken string, alg oauth.Alg) (jti string) {
	t := a.probe.t
	t.Helper()
	if h.client != client {
		t.Fatalf("%s is told, not %s", h.client, client)
	}
	signed, claims := a.verified(h.token)
	head, err := base64.RawURLEncoding.DecodeString(strings.SplitN(h.token, ".", 2)[0])
	var header map[string]any
	if err != nil || json.Unmarshal(head, &header) != nil || header["typ"] != "logout+jwt" || signed != alg {
		t.Errorf("the header is %s, signed by %s", head, signed)
	}
	id := payload(t, idToken)
	now := float64(a.clock.Now().Unix())
	for name, want := range map[string]any{"iss": discoveryIssuer, "aud": client, "sub": id["sub"], "sid": id["sid"], "iat": now, "exp": now + 120} {
		if claims[name] != want || want == nil {
			t.Errorf("%s of the logout token is %v, want %v", name, claims[name], want)
		}
	}
	events, _ := claims["events"].(map[string]any)
	if event, ok := events["http://schemas.openid.net/event/backchannel-logout"].(map[string]any); !ok || len(event) != 0 || len(events) != 1 {
		t.Errorf("events are %v", claims["events"])
	}
	if _, ok := claims["nonce"]; ok {
		t.Error("the logout token has a nonce")
	}
	if jti, _ = claims["jti"].(string); len(jti) < 16 {
		t.Errorf("jti is %q", jti)
	}
	return jti
}
