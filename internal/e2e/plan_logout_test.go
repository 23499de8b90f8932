package e2e

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const channelsConfig = `
  - id: backed
    auth_method: client_secret_basic
    secret: env:SHOP_SECRET
    redirect_uris: [https://rp.example.com/callback]
    post_logout_redirect_uris: [https://rp.example.com/post_logout]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, offline_access]
    require_pkce: false
    backchannel_logout_uri: RECEIVER/flaky
  - id: framed
    auth_method: client_secret_post
    secret: env:CLUB_SECRET
    redirect_uris: [https://rp2.example.com/callback]
    post_logout_redirect_uris: [https://rp2.example.com/post_logout]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, offline_access]
    require_pkce: false
    id_token_alg: ES256
    backchannel_logout_uri: RECEIVER/good
    frontchannel_logout_uri: https://rp2.example.com/out?x=y
`

// receiver takes logout tokens, as clients do. At /flaky it fails the first time.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	failed bool
	tokens map[string][]string
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{tokens: map[string][]string{}}
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if req.URL.Path == "/flaky" && !r.failed {
			r.failed = true
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		r.tokens[req.URL.Path] = append(r.tokens[req.URL.Path], req.PostFormValue("logout_token"))
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) got(path string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tokens[path]
}

// TestPlanLogoutChannels is the plans of back-channel and front-channel logout.
func TestPlanLogoutChannels(t *testing.T) {
	t.Parallel()
	rp := newReceiver(t)
	i := start(t, secure, func(i *issuer, config *string) {
		i.write("rp.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rp.Certificate().Raw})))
		text := strings.ReplaceAll(channelsConfig, "RECEIVER", rp.URL)
		*config = "outbound: {allow: [127.0.0.0/8], ca: file:rp.pem}\n" + strings.Replace(*config, "\nusers:", text+"users:", 1)
	})
	backed := app{"backed", "https://rp.example.com/callback", basic("backed", shopSecret)}
	framed := app{"framed", "https://rp2.example.com/callback", inForm("framed", clubSecret)}
	m := i.get("/.well-known/openid-configuration").want(http.StatusOK, "").json()
	for _, name := range []string{"backchannel_logout_supported", "backchannel_logout_session_supported", "frontchannel_logout_supported", "frontchannel_logout_session_supported"} {
		if m[name] != true {
			t.Errorf("the metadata says %s: %v", name, m[name])
		}
	}
	p := i.ada()
	first := payload(t, p.redeemPlain(backed.plain("openid offline_access", "prompt", "consent")).str("id_token"))
	// The client knows the session by its name also after its person confirmed who they are.
	again := p.redeemPlain(framed.plain("openid", "prompt", "login"))
	second := payload(t, again.str("id_token"))

	on := p.get(i.url + "/logout?" + values("id_token_hint", again.str("id_token"), "post_logout_redirect_uri", "https://rp2.example.com/post_logout", "state", "s").Encode())
	sid, _ := second["sid"].(string)
	frame := `<iframe src="https://rp2.example.com/out?x=y&amp;iss=` + strings.NewReplacer(":", "%3A", "/", "%2F").Replace(i.url) + `&amp;sid=` + sid + `"`
	if on.status != http.StatusOK || !strings.Contains(on.body, frame) || !strings.Contains(on.body, `href="https://rp2.example.com/post_logout?state=s"`) {
		t.Errorf("the page %d at %s: %s", on.status, on.at, on.body)
	}
	if got := on.header.Get("Content-Security-Policy"); !strings.Contains(got, "frame-src https://rp2.example.com;") {
		t.Errorf("the policy is %s", got)
	}
	for path, want := range map[string]struct {
		client string
		id     map[string]any
	}{"/flaky": {"backed", first}, "/good": {"framed", second}} {
		eventually(t, "a logout token at "+path, func() bool { return len(rp.got(path)) == 1 })
		token := rp.got(path)[0]
		got, head := payload(t, token), header(t, token)
		exp, _ := got["exp"].(float64)
		iat, _ := got["iat"].(float64)
		events, _ := json.Marshal(got["events"])
		if head["typ"] != "logout+jwt" || got["iss"] != i.url || got["aud"] != want.client || got["sub"] != want.id["sub"] || got["sid"] != want.id["sid"] ||
			got["jti"] == nil || got["nonce"] != nil || exp-iat != 120 || string(events) != `{"http://schemas.openid.net/event/backchannel-logout":{}}` {
			t.Errorf("%s got %v %v", want.client, head, got)
		}
	}
	eventually(t, "nothing is left to be told", func() bool {
		out, err := i.command("logout", "list", "-c", "jeton.yaml", "--json").Output()
		return err == nil && strings.TrimSpace(string(out)) == "[]"
	})
}

// TestLogoutToldLater has a client that does not answer, a session that ends otherwise, and
// a server that is started again in between.
func TestLogoutToldLater(t *testing.T) {
	t.Parallel()
	rp := newReceiver(t)
	address := rp.URL
	rp.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, address+"/good", http.StatusTemporaryRedirect)
	})
	i := start(t, secure, func(i *issuer, config *string) {
		i.write("rp.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rp.Certificate().Raw})))
		text := strings.ReplaceAll(channelsConfig, "RECEIVER", rp.URL)
		*config = "outbound: {allow: [127.0.0.0/8], ca: file:rp.pem}\n" + strings.Replace(*config, "\nusers:", text+"users:", 1)
	})
	backed := app{"backed", "https://rp.example.com/callback", basic("backed", shopSecret)}
	sub := payload(t, i.ada().redeemPlain(backed.plain("openid")).str("id_token"))["sub"]
	if out, err := i.command("user", "disable", "-c", "jeton.yaml", "ada@example.com").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	pending := func() (all []struct {
		Client, Error string
		Attempts      int
	},
	) {
		out, err := i.command("logout", "list", "-c", "jeton.yaml", "--json").Output()
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	// A redirect is not followed.
	eventually(t, "an attempt failed", func() bool {
		all := pending()
		return len(all) == 1 && all[0].Client == "backed" && all[0].Attempts > 0 && strings.Contains(all[0].Error, "307")
	})
	i.stop()
	var told []string
	var mu sync.Mutex
	rp.Server.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, r.PostFormValue("logout_token"))
	})
	began := time.Now()
	i.begin()
	eventually(t, "the client is told", func() bool { mu.Lock(); defer mu.Unlock(); return len(told) == 1 })
	if got := payload(t, told[0]); got["sub"] != sub || got["iat"].(float64) < float64(began.Unix()) {
		t.Errorf("the client is told %v", got)
	}
	eventually(t, "nothing is left to be told", func() bool { return len(pending()) == 0 })
}
