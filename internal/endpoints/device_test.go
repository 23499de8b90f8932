package endpoints_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/password"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

func startDevices(t *testing.T) *site {
	t.Helper()
	text := strings.Replace(testConfig, "users:", `  - id: tv
    name: Television
    auth_method: none
    grant_types: [device_code, refresh_token]
    scopes: [openid, email, offline_access, orders:read]
    resources: [https://api.example.com]
    first_party: true
  - id: radio
    name: Radio
    auth_method: client_secret_basic
    secret: env:SECRET
    grant_types: [device_code]
    scopes: [openid]
users:`, 1)
	return startConfig(t, "https://id.example.com", text, password.New(password.Params{Memory: 8, Iterations: 1, Parallelism: 1}, 2, 64))
}

// call posts a form as a program.
func (s *site) program(path, client string, pairs ...string) (int, map[string]any) {
	s.t.Helper()
	form := values(pairs...)
	if client == "tv" {
		form.Set("client_id", client)
	}
	r := httptest.NewRequest(http.MethodPost, s.issuer+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if client != "tv" {
		r.SetBasicAuth(client, secretText)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	var out map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		s.t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	return w.Code, out
}

// codes are those that a device gets.
func (s *site) codes(client string, pairs ...string) (device, user string) {
	s.t.Helper()
	status, out := s.program("/device_authorization", client, pairs...)
	device, _ = out["device_code"].(string)
	user, _ = out["user_code"].(string)
	if status != http.StatusOK || len(device) < 43 || len(user) != 9 {
		s.t.Fatalf("%d %v", status, out)
	}
	if out["verification_uri"] != s.issuer+"/device" || out["verification_uri_complete"] != s.issuer+"/device?user_code="+user || out["expires_in"] != 600.0 || out["interval"] != 5.0 {
		s.t.Errorf("%v", out)
	}
	return device, user
}

// poll asks for a device's tokens, which must be answered so; "": with tokens.
func (s *site) poll(client, device, want string) map[string]any {
	s.t.Helper()
	status, out := s.program("/token", client, "grant_type", deviceGrant, "device_code", device)
	if got, _ := out["error"].(string); got != want || (status == http.StatusOK) != (want == "") {
		s.t.Errorf("%d %v, want %q", status, out, want)
	}
	return out
}

// consentTo types a code and logs in, up to the consent page.
func (b *browser) consentTo(code string) answer {
	b.t.Helper()
	page := b.submit(b.get("/device").want(http.StatusOK), 0, "user_code", code)
	target := page.to("/")
	if strings.HasPrefix(target, "/login") {
		page = b.submit(b.get(target).want(http.StatusOK), 0, "username", "ada@example.com", "password", password1, "login", "1")
		target = page.to("/consent?flow=")
	}
	return b.get(target).want(http.StatusOK)
}

func TestDevice(t *testing.T) {
	t.Parallel()
	s := startDevices(t)
	device, user := s.codes("tv", "scope", "openid offline_access orders:read")
	s.poll("tv", device, "authorization_pending")
	s.poll("tv", device, "slow_down") // 10 s from now on
	s.clock.Advance(6 * time.Second)
	s.poll("tv", device, "slow_down") // 15 s
	s.clock.Advance(15 * time.Second)
	s.poll("tv", device, "authorization_pending")

	b := s.browser()
	link := b.get("/device?user_code=" + user).want(http.StatusOK)
	if action, fields := link.form(0); action != "/device" || fields.Get("user_code") != user {
		t.Errorf("%s %v", action, fields)
	}
	// First party or not, logged in or not: the page shows who asks, for what, and the code.
	page := b.consentTo(strings.ToLower(strings.ReplaceAll(user, "-", " ")))
	for _, shown := range []string{user, "Television", "Is this the code", "somebody sent you", "Confirm who you are", "orders:read", "ada@example.com"} {
		if !strings.Contains(page.body, shown) {
			t.Errorf("%q is not on the page: %s", shown, page.body)
		}
	}
	s.clock.Advance(15 * time.Second)
	s.poll("tv", device, "authorization_pending")
	done := b.submit(page, 0, "allow", "1").want(http.StatusOK)
	if !strings.Contains(done.body, "Your device is connected") {
		t.Error(done.body)
	}
	s.poll("radio", device, "invalid_grant")
	tokens := s.poll("tv", device, "")
	if tokens["id_token"] == nil || tokens["refresh_token"] == nil || tokens["scope"] != "openid offline_access orders:read" {
		t.Errorf("%v", tokens)
	}
	s.poll("tv", device, "invalid_grant")
	refresh, _ := tokens["refresh_token"].(string)
	if status, out := s.program("/token", "tv", "grant_type", "refresh_token", "refresh_token", refresh); status != http.StatusOK {
		t.Errorf("%d %v", status, out)
	}

	// Who allowed it once is asked again: another device may be somebody else's.
	_, user = s.codes("tv", "scope", "openid")
	if page := b.consentTo(user); !strings.Contains(page.body, user) {
		t.Error(page.body)
	}
	b.submit(b.get("/device"), 0, "user_code", user).to("/consent?flow=")
}

func TestDeviceRefused(t *testing.T) {
	t.Parallel()
	s := startDevices(t)
	for name, c := range map[string]struct {
		client, want string
		pairs        []string
	}{
		"another grant type":      {"shop", "unauthorized_client", nil},
		"a scope of somebody":     {"radio", "invalid_scope", []string{"scope", "email"}},
		"an unknown scope":        {"radio", "invalid_scope", []string{"scope", "nothing"}},
		"another API":             {"radio", "invalid_target", []string{"scope", "openid", "resource", "https://api.example.com"}},
		"a client that is not it": {"radio", "invalid_client", []string{"scope", "openid", "client_id", "shop"}},
	} {
		if status, out := s.program("/device_authorization", c.client, c.pairs...); status < 400 || out["error"] != c.want && out["error"] != "invalid_request" {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
	s.poll("radio", "nothing", "invalid_grant")
	s.poll("radio", "", "invalid_request")
	s.poll("shop", "nothing", "unauthorized_client")

	b := s.browser()
	device, user := s.codes("radio", "scope", "openid")
	page := b.submit(b.consentTo(user), 0, "deny", "1").want(http.StatusOK)
	if !strings.Contains(page.body, "was not connected") {
		t.Error(page.body)
	}
	s.poll("radio", device, "access_denied")

	device, user = s.codes("radio", "scope", "openid")
	open := b.consentTo(user)
	s.clock.Advance(10 * time.Minute)
	s.poll("radio", device, "expired_token")
	if page := b.submit(open, 0, "allow", "1"); page.status != http.StatusBadRequest || !strings.Contains(page.body, "code of the device is over") {
		t.Errorf("%d %s", page.status, page.body)
	}
	s.poll("radio", device, "expired_token")
	if page := b.post("/device", "user_code", user); page.status != http.StatusBadRequest || !strings.Contains(page.body, "No device waits") {
		t.Errorf("%d %s", page.status, page.body)
	}

	// Who allowed it and is switched off gives nothing; nor does what nobody came for.
	device, user = s.codes("radio", "scope", "openid")
	b.submit(b.consentTo(user), 0, "allow", "1").want(http.StatusOK)
	s.clock.Advance(10 * time.Minute)
	s.poll("radio", device, "expired_token")
}

// A flow belongs to the browser in which the code was typed (case 11), no other site can
// type one (42), and a link alone begins nothing.
func TestDeviceOtherBrowser(t *testing.T) {
	t.Parallel()
	s := startDevices(t)
	device, user := s.codes("radio", "scope", "openid")
	attacker, victim := s.browser(), s.browser()
	victim.consentTo(user)
	flow := attacker.submit(attacker.get("/device"), 0, "user_code", user).to("/login?flow=")
	if page := victim.get(flow); page.status != http.StatusBadRequest {
		t.Errorf("a flow goes on in another browser: %d %s", page.status, page.body)
	}
	id, _ := url.Parse(flow)
	if page := victim.post("/consent", "flow", id.Query().Get("flow"), "subject", "x", "allow", "1"); page.status != http.StatusBadRequest {
		t.Errorf("%d %s", page.status, page.body)
	}
	for _, header := range [][2]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example.com"}} {
		if page := victim.with(header[0], header[1]).post("/device", "user_code", user); page.status != http.StatusForbidden {
			t.Errorf("%v: %d %s", header, page.status, page.header)
		}
	}
	s.poll("radio", device, "authorization_pending")
}

// Guesses are limited where they come from, and nobody else is locked out (case 24).
func TestDeviceGuesses(t *testing.T) {
	t.Parallel()
	s := startDevices(t)
	_, user := s.codes("radio", "scope", "openid")
	b := s.browser()
	wrong := "BBBB-BBBB"
	for range 20 {
		b.post("/device", "user_code", wrong).want(http.StatusBadRequest)
	}
	for range 20 {
		b.post("/device", "user_code", "no code").want(http.StatusBadRequest) // is no guess
	}
	fresh := s.browser() // the same address
	for _, code := range []string{wrong, user} {
		if page := fresh.post("/device", "user_code", code).want(http.StatusTooManyRequests); page.header.Get("Retry-After") == "" || !strings.Contains(page.body, "Too many wrong codes") {
			t.Errorf("%v %s", page.header, page.body)
		}
	}
	if n := strings.Count(s.log.String(), "device.guesses_limited"); n != 1 {
		t.Errorf("the limit was recorded %d times", n)
	}
	other := s.browser()
	other.peer = "203.0.113.9:1"
	other.post("/device", "user_code", user).to("/login?flow=")
	s.clock.Advance(30 * time.Second)
	b.post("/device", "user_code", user).to("/login?flow=")
}

// Of parallel polls one gets the tokens (case 24).
func TestDeviceOnce(t *testing.T) {
	t.Parallel()
	s := startDevices(t)
	device, user := s.codes("tv", "scope", "openid offline_access")
	b := s.browser()
	b.submit(b.consentTo(user), 0, "allow", "1").want(http.StatusOK)
	var wg sync.WaitGroup
	var mu sync.Mutex
	answers := map[any]int{}
	var refresh string
	for range 100 {
		wg.Go(func() {
			_, out := s.program("/token", "tv", "grant_type", deviceGrant, "device_code", device)
			mu.Lock()
			defer mu.Unlock()
			answers[out["error"]]++
			if token, ok := out["refresh_token"].(string); ok {
				refresh = token
			}
		})
	}
	wg.Wait()
	if answers[nil] != 1 || answers["invalid_grant"] != 99 {
		t.Errorf("%v", answers)
	}
	if status, out := s.program("/token", "tv", "grant_type", "refresh_token", "refresh_token", refresh); status != http.StatusOK {
		t.Errorf("what the winner got is gone: %d %v", status, out)
	}
}

// The metadata names the endpoint where a client may use it, and not elsewhere.
func TestDeviceMetadata(t *testing.T) {
	t.Parallel()
	for s, want := range map[*site]bool{startDevices(t): true, start(t): false} {
		page := s.browser().get("/.well-known/openid-configuration")
		var doc struct {
			Endpoint string   `json:"device_authorization_endpoint"`
			Grants   []string `json:"grant_types_supported"`
		}
		if err := json.Unmarshal([]byte(page.body), &doc); err != nil {
			t.Fatal(err)
		}
		if (doc.Endpoint == s.issuer+"/device_authorization") != want || strings.Contains(strings.Join(doc.Grants, " "), deviceGrant) != want {
			t.Errorf("want %v: %+v", want, doc)
		}
	}
}
