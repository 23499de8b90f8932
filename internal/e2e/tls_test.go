package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// TestTLS serves https by the configuration's certificate, and nothing else.
func TestTLS(t *testing.T) {
	t.Parallel()
	i := start(t, secure)
	p := i.ada()
	on := p.authorize(club.asking("openid"))
	if !on.has("login") {
		t.Fatalf("no login page: %d %s", on.status, on.body)
	}
	tokens := p.tokens(shop, "openid offline_access orders:read")
	for name, r := range map[string]reply{
		"page": on.reply, "metadata": i.get("/.well-known/openid-configuration"), "token": tokens, "nothing": i.get("/nothing"),
	} {
		if got := r.header.Get("Strict-Transport-Security"); !strings.HasPrefix(got, "max-age=31536000") {
			t.Errorf("%s: Strict-Transport-Security %q", name, got)
		}
	}
	for name, value := range i.get("/.well-known/openid-configuration").json() {
		if text, ok := value.(string); ok && strings.Contains(text, "://") && !strings.HasPrefix(text, i.url) {
			t.Errorf("the metadata names %s as %s", text, name)
		}
	}
	resp, err := i.web.Get(i.url + "/jwks")
	if err != nil {
		t.Fatal(err)
	}
	if read(t, resp); resp.ProtoMajor != 2 || resp.TLS.Version < tls.VersionTLS12 {
		t.Errorf("%s over TLS version %x", resp.Proto, resp.TLS.Version)
	}

	plain := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: i.web.CheckRedirect}
	if resp, err := plain.Get(strings.Replace(i.url, "https:", "http:", 1) + "/jwks"); err == nil {
		if r := read(t, resp); r.status != http.StatusBadRequest || strings.Contains(r.body, "keys") {
			t.Errorf("plain http is answered with %d %s", r.status, r.body)
		}
	}
	old := &tls.Config{RootCAs: i.roots(), ServerName: "localhost", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	if c, err := tls.Dial("tcp", i.addr, old); err == nil {
		c.Close()
		t.Error("TLS 1.1 is taken")
	}
}

func (i *issuer) roots() *x509.CertPool {
	return i.web.Transport.(*http.Transport).TLSClientConfig.RootCAs
}

// TestCookiesOverTLS holds cases 37 and 38.
func TestCookiesOverTLS(t *testing.T) {
	t.Parallel()
	i := start(t, secure)
	var seen []*http.Cookie
	p := i.ada()
	p.browser.Transport = spy{i.web.Transport, func(resp *http.Response) { seen = append(seen, resp.Cookies()...) }}
	p.allow(club.asking("openid"))
	if len(seen) < 2 {
		t.Fatalf("cookies %v", seen)
	}
	for _, c := range seen {
		if !strings.HasPrefix(c.Name, "__Host-jeton") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode || len(c.Value) < 43 {
			t.Errorf("cookie %s", c)
		}
	}
}

// spy shows every answer to a function.
type spy struct {
	http.RoundTripper
	look func(*http.Response)
}

func (s spy) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.RoundTripper.RoundTrip(r)
	if err == nil {
		s.look(resp)
	}
	return resp, err
}

// TestNewCertificate replaces the certificate's files. New connections get the new
// one; those that are open go on.
func TestNewCertificate(t *testing.T) {
	t.Parallel()
	i := start(t, secure)
	ca, cert, key := certificate(t)
	presented := func() []byte {
		c, err := tls.Dial("tcp", i.addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Raw
	}
	before := presented()
	i.get("/readyz").want(200, "")
	i.write("cert.pem", string(cert))
	i.write("key.pem", string(key))
	eventually(t, "the new certificate is presented", func() bool { return !bytes.Equal(presented(), before) })
	i.get("/readyz").want(200, "")
	i.roots().AppendCertsFromPEM(ca)
	i.web.CloseIdleConnections()
	i.get("/readyz").want(200, "")
}

// TestForwardedPeers holds case 53: who a request comes from is told by listed proxies
// alone.
func TestForwardedPeers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		trusted string
		forward []string
		want    string
	}{
		"a listed proxy":                {"127.0.0.0/8", []string{"203.0.113.9"}, "203.0.113.9"},
		"what the client put before it": {"127.0.0.0/8", []string{"6.6.6.6, 203.0.113.9"}, "203.0.113.9"},
		"a chain of listed ones":        {"127.0.0.0/8, 10.0.0.0/8", []string{"6.6.6.6", "203.0.113.9, 10.1.2.3"}, "203.0.113.9"},
		"nothing forwarded":             {"127.0.0.0/8", nil, "127.0.0.1"},
		"noise":                         {"127.0.0.0/8", []string{"unknown, 1.2.3.4.5"}, "127.0.0.1"},
		"a proxy that is not listed":    {"192.0.2.7", []string{"203.0.113.9"}, "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := start(t, with("issuer: ISSUER", "issuer: https://id.example.com\nbehind_proxy: {trusted: ["+c.trusted+"]}"))
			proxied := func(r *http.Request, _ url.Values) {
				r.SetBasicAuth("robot", robotSecret)
				for _, f := range c.forward {
					r.Header.Add("X-Forwarded-For", f)
				}
				r.Header.Set("X-Real-Ip", "6.6.6.6")
				r.Header.Set("Forwarded", "for=6.6.6.6")
			}
			access := i.post("/token", basic("robot", robotSecret), "grant_type", "client_credentials").want(200, "").access()
			i.post("/revoke", proxied, "token", access).want(200, "")
			if got := query[string](t, i.database(), "SELECT address FROM audit WHERE type = 'token.revoked'"); got != c.want {
				t.Errorf("the audit log names %s, want %s", got, c.want)
			}
			// Links and cookies are those of the issuer's address, whatever the proxy says.
			if got := i.get("/.well-known/openid-configuration", "X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "http").str("token_endpoint"); got != "https://id.example.com/token" {
				t.Errorf("token_endpoint %s", got)
			}
		})
	}
}

// TestRefusedStart holds that nothing half protected starts.
func TestRefusedStart(t *testing.T) {
	t.Parallel()
	i := start(t)
	for _, issuer := range []string{"http://id.example.com", "https://id.example.com", "http://192.0.2.1:8080"} {
		i.write("other.yaml", strings.NewReplacer("ISSUER", issuer, "LISTEN", "127.0.0.1:1").Replace(testConfig))
		out, err := i.command("serve", "-c", "other.yaml").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "other.yaml:1") {
			t.Errorf("%s without TLS and proxy: %v, %s", issuer, err, out)
		}
	}
	// Two servers never share a database, and the second one says why.
	i.write("other.yaml", strings.NewReplacer("ISSUER", i.url, "LISTEN", "127.0.0.1:0").Replace(testConfig))
	out, err := i.command("serve", "-c", "other.yaml").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "another jeton process") {
		t.Errorf("a second server: %v, %s", err, out)
	}
	// Another key-encryption key opens nothing.
	i.stop()
	i.write("kek2", i.run(t, "keygen").body)
	i.write("other.yaml", strings.NewReplacer("ISSUER", i.url, "LISTEN", i.addr, "file:kek", "file:kek2").Replace(testConfig))
	out, err = i.command("serve", "-c", "other.yaml").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "key_encryption_key") && !strings.Contains(string(out), "key-encryption key") {
		t.Errorf("another key-encryption key: %v, %s", err, out)
	}
	if c, err := net.Dial("tcp", i.addr); err == nil {
		c.Close()
		t.Error("it listens all the same")
	}
}

// TestCiphers has clients of TLS 1.2 get the suites that RFC 9325 §4.2 recommends and no
// other, and older clients nothing.
func TestCiphers(t *testing.T) {
	t.Parallel()
	i := start(t, secure)
	recommended := []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	}
	connect := func(c *tls.Config) error {
		c.RootCAs = i.roots()
		c.ServerName = "localhost"
		conn, err := tls.Dial("tcp", i.addr, c)
		if err == nil {
			conn.Close()
		}
		return err
	}
	tried, taken := 0, 0
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if !slices.Contains(s.SupportedVersions, tls.VersionTLS12) {
			continue
		}
		tried++
		err := connect(&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{s.ID}})
		if err == nil {
			taken++
		}
		if err == nil && !slices.Contains(recommended, s.ID) {
			t.Errorf("%s is spoken", s.Name)
		}
	}
	// A certificate has a key of one kind, and two suites go with it.
	if tried < 10 || taken != 2 {
		t.Errorf("of %d suites %d are spoken, want 2", tried, taken)
	}
	if err := connect(&tls.Config{MinVersion: tls.VersionTLS13}); err != nil {
		t.Errorf("TLS 1.3: %v", err)
	}
	if err := connect(&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
}
