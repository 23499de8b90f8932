package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/oauth"
)

// dial opens a connection that ends with the test.
func (i *issuer) dial() net.Conn {
	i.t.Helper()
	c, err := (&net.Dialer{}).DialContext(i.t.Context(), "tcp", i.addr)
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { c.Close() })
	return c
}

// drip writes a byte each quarter second until the connection is cut, and tells how
// long that took and how the server answered, if it did.
func drip(ctx context.Context, c net.Conn, limit time.Duration) (took time.Duration, answer string) {
	began := time.Now()
	done := make(chan string, 1)
	_ = c.SetReadDeadline(began.Add(limit))
	go func() {
		line, _ := bufio.NewReader(c).ReadString('\n')
		done <- line
	}()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case answer = <-done:
			return time.Since(began), answer
		case <-ctx.Done():
			return time.Since(began), ""
		case <-tick.C:
			_, _ = c.Write([]byte("x")) // the reader notices the end
		}
	}
}

// TestSlowClients holds case 64: nobody holds the server by being slow. Meanwhile the
// others are answered.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	i := start(t)
	const headerBound, bodyBound, slack = 10 * time.Second, 30 * time.Second, 5 * time.Second
	var group sync.WaitGroup
	defer group.Wait()
	for _, c := range []struct {
		name, begin string
		bound       time.Duration
	}{
		{"nothing but a header that never ends", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", headerBound},
		{"a request line that never ends", "GET /", headerBound},
		{"a body that never ends", "POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 60000\r\n\r\ngrant_type=", bodyBound},
		{"a chunk that never ends", "POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\nff00\r\ngrant_type=", bodyBound},
		{"a body that nobody reads", "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n", bodyBound},
		{"a login that never ends", "POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 60000\r\n\r\nusername=", bodyBound},
	} {
		group.Go(func() {
			conn := i.dial()
			if _, err := io.WriteString(conn, c.begin); err != nil {
				t.Error(err)
				return
			}
			took, answer := drip(t.Context(), conn, c.bound+slack)
			if took >= c.bound+slack {
				t.Errorf("%s: the connection was open for %s", c.name, took)
			}
			if strings.Contains(answer, " 5") || strings.Contains(answer, " 200") {
				t.Errorf("%s: the answer is %s", c.name, answer)
			}
		})
	}
	for range 500 {
		if _, err := io.WriteString(i.dial(), "POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 60000\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		i.post("/token", basic("robot", robotSecret), "grant_type", "client_credentials").want(200, "")
	}
}

// TestLargeRequests holds cases 29 and 64: what is too large is refused, soon and
// without a failure of ours.
func TestLargeRequests(t *testing.T) {
	t.Parallel()
	i := start(t)
	const mega = 1 << 20
	huge := strings.Repeat("x", mega)
	send := func(method, path string, header http.Header, body io.Reader) (reply, bool) {
		t.Helper()
		req, err := http.NewRequest(method, i.url+path, body)
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range header {
			req.Header[name] = v
		}
		resp, err := i.web.Do(req)
		if err != nil {
			return reply{}, false // cut while we were still sending
		}
		return read(t, resp), true
	}
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}

	for _, header := range []http.Header{{"X-Large": {huge}}, {"Cookie": {"jeton=" + huge}}, {"Authorization": {"Bearer " + huge}}} {
		if r, ok := send("GET", "/userinfo", header, nil); ok && r.status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a header of a megabyte is answered with %d", r.status)
		}
	}
	if r, ok := send("GET", "/authorize?state="+huge, nil, nil); ok && r.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("an address of a megabyte is answered with %d", r.status)
	}
	many := make(http.Header)
	for k := range 2000 {
		many.Set(fmt.Sprintf("X-Many-%d", k), "a value of some length")
	}
	if r, ok := send("GET", "/jwks", many, nil); ok && r.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("two thousand headers are answered with %d", r.status)
	}
	for _, path := range []string{"/token", "/revoke", "/introspect", "/userinfo", "/authorize", "/login", "/consent", "/logout"} {
		for name, body := range map[string]func() io.Reader{
			"of a megabyte":        func() io.Reader { return strings.NewReader("token=" + huge) },
			"without end":          func() io.Reader { return io.LimitReader(endless{}, 64*mega) },
			"of ten thousand":      func() io.Reader { return strings.NewReader(strings.Repeat("a=1&", 10_000)) },
			"of the same, longer":  func() io.Reader { return strings.NewReader(strings.Repeat("resource=x&", 2000)) },
			"with bad escapes":     func() io.Reader { return strings.NewReader("a=%zz&b=%") },
			"that is no form":      func() io.Reader { return strings.NewReader(strings.Repeat("\x00\xff", 1000)) },
			"with semicolons":      func() io.Reader { return strings.NewReader("a=1;b=2") },
			"with one long name":   func() io.Reader { return strings.NewReader(strings.Repeat("n", 60_000) + "=1") },
			"that ends too early":  func() io.Reader { return &short{} },
			"with nothing at all":  func() io.Reader { return strings.NewReader("") },
			"with a NUL character": func() io.Reader { return strings.NewReader("token=a%00b") },
		} {
			if r, ok := send("POST", path, form, body()); ok && (r.status < 300 || r.status >= 500) && !(path == "/logout" && r.status == 200) {
				t.Errorf("POST %s with a body %s is answered with %d %.200s", path, name, r.status, r.body)
			}
		}
	}
	i.get("/readyz").want(200, "")
}

// endless is a body that never ends.
type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for k := range b {
		b[k] = 'x'
	}
	return len(b), nil
}

// short is a body that breaks off.
type short struct{ read bool }

func (s *short) Read(b []byte) (int, error) {
	if s.read {
		return 0, errors.New("the test broke off")
	}
	s.read = true
	return copy(b, "token=abc"), nil
}

// TestMonstrousTokens holds case 29 and its kin for whatever takes a token.
func TestMonstrousTokens(t *testing.T) {
	t.Parallel()
	i := start(t)
	p := i.ada()
	nested := strings.Repeat("[", 15_000) + strings.Repeat("]", 15_000)
	for name, token := range map[string]string{
		"ten thousand dots":  strings.Repeat(".", 10_000),
		"sixty thousand":     strings.Repeat("a", 60_000),
		"a nested header":    raw(nested) + ".e30.e30",
		"nested claims":      raw(`{"alg":"ES256","typ":"at+jwt"}`) + "." + raw(nested) + ".e30",
		"a nested object":    raw(strings.Repeat(`{"a":`, 8000)+"1"+strings.Repeat("}", 8000)) + ".e30.e30",
		"a JWE":              raw(`{"alg":"dir","enc":"A256GCM","zip":"DEF"}`) + ".." + raw("iv") + "." + strings.Repeat("A", 20_000) + "." + raw("tag"),
		"alg none":           raw(`{"alg":"none","typ":"at+jwt"}`) + "." + raw(`{"iss":"`+i.url+`","aud":"`+orders+`","exp":9999999999}`) + ".",
		"alg HS256":          raw(`{"alg":"HS256","typ":"at+jwt"}`) + "." + raw(`{"iss":"`+i.url+`"}`) + "." + raw("signature"),
		"a kid as a path":    raw(`{"alg":"ES256","kid":"../../../../dev/zero","typ":"at+jwt"}`) + ".e30." + raw(strings.Repeat("s", 64)),
		"a kid as SQL":       raw(`{"alg":"ES256","kid":"' OR 1=1 --","typ":"at+jwt"}`) + ".e30." + raw(strings.Repeat("s", 64)),
		"an opaque one":      "jta_" + strings.Repeat("A", 5000),
		"a refresh token":    "jtr_" + strings.Repeat("A", 72),
		"a code":             "jtc_" + strings.Repeat("_", 72),
		"duplicate keys":     raw(`{"alg":"none","alg":"ES256"}`) + ".e30.e30",
		"padding and spaces": "e30=.e30=. e30=",
		"line ends":          "a\r\nb",
	} {
		began := time.Now()
		i.post("/revoke", shop.as, "token", token).want(200, "")
		if i.introspect(token) || i.post("/introspect", shop.as, "token", token).json()["active"] == true {
			t.Errorf("%s is active", name)
		}
		i.post("/userinfo", nobody, "access_token", token).want(401, oauth.InvalidToken)
		i.rotate(shop, token).want(400, oauth.InvalidGrant)
		i.post("/token", shop.as, "grant_type", "authorization_code", "code", token, "redirect_uri", shop.redirect).want(400, oauth.InvalidGrant)
		hint := values("id_token_hint", token[:min(len(token), 20_000)]).Encode()
		for _, path := range []string{"/logout?", "/authorize?" + shop.asking("openid").Encode() + "&"} {
			if on := p.get(i.url + path + hint); on.status >= 500 || on.has("login") {
				t.Errorf("%s as a hint is answered with %d %.200s", name, on.status, on.body)
			}
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
}
