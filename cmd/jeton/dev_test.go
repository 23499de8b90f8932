package main

import (
	"bufio"
	"context"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// devRun is a jeton dev that runs inside the test.
type devRun struct {
	t     *testing.T
	data  string
	port  int
	text  string // what it printed
	errs  *strings.Builder
	stop  func()
	ended chan int
}

// startDev runs jeton dev until it is ready.
func startDev(t *testing.T, data string, port int, more ...string) *devRun {
	t.Helper()
	r, w := io.Pipe()
	d := &devRun{t: t, data: data, port: port, errs: new(strings.Builder), ended: make(chan int, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	d.stop = cancel
	args := append([]string{"dev", "--port", strconv.Itoa(port), "--data", data}, more...)
	go func() {
		d.ended <- run(ctx, args, streams{strings.NewReader(""), w, d.errs})
		w.Close()
	}()
	t.Cleanup(cancel)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		d.text += lines.Text() + "\n"
		if strings.HasPrefix(strings.TrimSpace(lines.Text()), "ready") {
			go io.Copy(io.Discard, r)
			return d
		}
	}
	t.Fatalf("jeton dev ended with %d: %s", <-d.ended, d.errs)
	return nil
}

// end tells it to end, and waits.
func (d *devRun) end() {
	d.t.Helper()
	d.stop()
	select {
	case code := <-d.ended:
		if code != 0 || d.errs.Len() > 0 {
			d.t.Errorf("jeton dev ended with %d and said: %s", code, d.errs)
		}
	case <-time.After(30 * time.Second):
		d.t.Fatal("jeton dev does not end")
	}
}

// command runs another command line.
func command(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e strings.Builder
	code = run(t.Context(), args, streams{strings.NewReader(""), &o, &e})
	return code, o.String(), e.String()
}

// threePorts are free at the moment; the first of them is given.
func threePorts(t *testing.T) int {
	t.Helper()
	for range 50 {
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := ln.Addr().(*net.TCPAddr).Port
		ln.Close()
		free := port+2 <= 65535
		for i := range 3 {
			ln, err := listenLocal(t.Context(), port+i)
			if free = free && err == nil; err == nil {
				ln.Close()
			}
		}
		if free {
			return port
		}
	}
	t.Fatal("no three ports in a row are free")
	return 0
}

// environment is what demo.env sets.
func environment(t *testing.T, data string) map[string]string {
	t.Helper()
	d := devDir{path: data}
	if err := d.read(); err != nil {
		t.Fatal(err)
	}
	return d.values
}

func TestDev(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	d := startDev(t, data, threePorts(t))
	env := environment(t, data)

	for name, mode := range map[string]os.FileMode{"": 0o700, "kek": 0o600, "demo.env": 0o600} {
		if info, err := os.Stat(filepath.Join(data, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	for _, text := range []string{
		fmt.Sprintf("http://localhost:%d", d.port), fmt.Sprintf("http://localhost:%d", d.port+1), fmt.Sprintf("http://localhost:%d", d.port+2),
		demoUser, env[envPassword], demoWeb, demoRobot, demoCLI, filepath.Join(data, "demo.env"),
	} {
		if text == "" || !strings.Contains(d.text, text) {
			t.Errorf("what is printed lacks %q", text)
		}
	}
	for _, name := range []string{robotSecret, webSecret, apiSecret} {
		if len(env[name]) < 43 || strings.Contains(d.text, env[name]) {
			t.Errorf("%s is short, or printed", name)
		}
	}
	for _, path := range []string{"/livez", "/readyz"} {
		if resp := d.fetch(t, "GET", fmt.Sprintf("http://localhost:%d%s", d.port, path), nil, nil); resp.status != 200 {
			t.Errorf("%s answers %d", path, resp.status)
		}
	}
	if t.Failed() {
		t.Fatal(d.text)
	}
	t.Run("tour", func(t *testing.T) { d.tour(t, env) })
	t.Run("browser", func(t *testing.T) { d.browse(t, env) })
	t.Run("commands", func(t *testing.T) {
		code, out, errs := command(t, "user", "create", "grace@example.com", "--data", data)
		if code != 0 || !strings.Contains(out, "grace@example.com") {
			t.Errorf("user create: %d, %s%s", code, out, errs)
		}
	})
	d.end()
	t.Run("commands after it ended", func(t *testing.T) {
		for _, args := range [][]string{{"user", "list"}, {"client", "list"}} {
			code, out, errs := command(t, append(args, "--data", data)...)
			want := map[string]string{"user": "grace@example.com", "client": demoWeb}[args[0]]
			if code != 0 || !strings.Contains(out, want) {
				t.Errorf("%v: %d, %s%s", args, code, out, errs)
			}
		}
	})
}

type answer struct {
	status int
	body   string
}

func (d *devRun) fetch(t *testing.T, method, url string, header http.Header, form url.Values) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	return send(t, http.DefaultClient, req)
}

func send(t *testing.T, c *http.Client, req *http.Request) answer {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, string(body)}
}

// tour makes the requests of the printed curl lines.
func (d *devRun) tour(t *testing.T, env map[string]string) {
	want := []struct {
		status int
		text   string
	}{
		{200, `"access_token":"`},
		{200, `"asked_by"`},
		{200, `{"active":true`},
		{200, ""},
		{200, `{"active":false}`},
		{401, "invalid_token"},
	}
	token := regexp.MustCompile(`"access_token":"([^"]*)"`)
	curls := regexp.MustCompile(`curl [^|;)\n]*`).FindAllString(strings.ReplaceAll(d.text, "\\\n", ""), -1)
	if len(curls) != len(want) {
		t.Fatalf("%d curl lines: %q", len(curls), curls)
	}
	for i, line := range curls {
		a := d.curl(t, env, line)
		if a.status != want[i].status || !strings.Contains(a.body, want[i].text) {
			t.Errorf("%s\nanswers %d: %s", line, a.status, a.body)
		}
		if m := token.FindStringSubmatch(a.body); m != nil {
			env["TOKEN"] = m[1]
		}
	}
}

// curl makes the request that a curl line would, after a shell has put in the
// variables.
func (d *devRun) curl(t *testing.T, env map[string]string, line string) answer {
	t.Helper()
	line = os.Expand(line, func(name string) string { return env[name] })
	header, form, address := http.Header{}, url.Values{}, ""
	words := regexp.MustCompile(`"[^"]*"|\S+`).FindAllString(line, -1)
	for i := 1; i < len(words); i++ {
		next := func() string { i++; return strings.Trim(words[i], `"`) }
		switch word := words[i]; word {
		case "-s", "-i":
		case "-u":
			id, password, _ := strings.Cut(next(), ":")
			r := http.Request{Header: header}
			r.SetBasicAuth(id, password)
		case "-H":
			name, value, _ := strings.Cut(next(), ": ")
			header.Set(name, value)
		case "-d":
			name, value, _ := strings.Cut(next(), "=")
			form.Set(name, value)
			header.Set("Content-Type", "application/x-www-form-urlencoded")
		default:
			if !strings.HasPrefix(word, "http://") {
				t.Fatalf("%s: what is %s?", line, word)
			}
			address = word
		}
	}
	method := "GET"
	if len(form) > 0 {
		method = "POST"
	}
	return d.fetch(t, method, address, header, form)
}

// browse goes through the demo web app as a browser without JavaScript.
func (d *devRun) browse(t *testing.T, env map[string]string) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &http.Client{Jar: jar}
	web := fmt.Sprintf("http://localhost:%d", d.port+2)
	at := web // of the page shown
	submit := func(action string, form url.Values, texts ...string) string {
		t.Helper()
		u, err := url.Parse(at)
		if err == nil {
			u, err = u.Parse(action)
		}
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), "POST", u.String(), strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		b.CheckRedirect = func(r *http.Request, _ []*http.Request) error { at = r.URL.String(); return nil }
		a := send(t, b, req)
		for _, text := range append(texts, "") {
			if a.status != 200 || !strings.Contains(a.body, text) {
				t.Fatalf("%s answers %d without %q: %s", action, a.status, text, a.body)
			}
		}
		return a.body
	}
	fill := func(body, button string, values url.Values) (string, url.Values) {
		t.Helper()
		form := regexp.MustCompile(`(?s)<form method="post" action="([^"]*)">(.*?)</form>`).FindStringSubmatch(body)
		if form == nil {
			t.Fatalf("no form: %s", body)
		}
		values.Set(button, "1")
		for _, hidden := range regexp.MustCompile(`type="hidden" name="([^"]*)" value="([^"]*)"`).FindAllStringSubmatch(form[2], -1) {
			values.Set(hidden[1], html.UnescapeString(hidden[2]))
		}
		return html.UnescapeString(form[1]), values
	}
	body := submit("/login", nil, `name="password"`)
	action, values := fill(body, "login", url.Values{"username": {demoUser}, "password": {env[envPassword]}})
	body = submit(action, values, `name="allow"`, "Demo web app", "Demo orders API")
	action, values = fill(body, "allow", url.Values{})
	submit(action, values, "Hello, Ada Lovelace", "You are logged in.", `id="number">1<`)
	submit("/call-api", nil, "200 OK", "Espresso machine")
	submit("/refresh", nil, "rose from 1 to 2")
	submit("/call-api", nil, "200 OK")
	submit("/revoke", nil, "The API refused the token", " later, at ", "401 Unauthorized")
	submit("/refresh", nil, "invalid_grant")
	submit("/login", nil, "You are logged in.", `id="number">1<`)
	submit("/logout", nil, "You are logged out here.")
	if !strings.HasPrefix(at, web) {
		t.Errorf("the logout ended at %s", at)
	}
	submit("/login", nil, `name="password"`)
}

// A later start keeps the secrets, and what it was told counts for other commands.
func TestDevAgain(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	first := startDev(t, data, threePorts(t))
	before := environment(t, data)
	first.end()

	second := startDev(t, data, threePorts(t), "--no-demo")
	after := environment(t, data)
	for _, name := range []string{envPassword, robotSecret, webSecret, apiSecret} {
		if before[name] != after[name] {
			t.Errorf("%s changed", name)
		}
	}
	if strings.Contains(second.text, "curl") || strings.Contains(second.text, demoRobot) || !strings.Contains(second.text, "jeton client create") {
		t.Error(second.text)
	}
	for i := range 3 {
		ln, err := listenLocal(t.Context(), second.port+i)
		if err == nil {
			ln.Close()
		}
		if (err == nil) != (i > 0) {
			t.Errorf("port %d: %v", i, err)
		}
	}

	code, _, errs := command(t, "dev", "--port", strconv.Itoa(threePorts(t)), "--data", data)
	if code != 1 || !strings.Contains(errs, "another jeton runs on "+data) {
		t.Errorf("a second one in the same directory: %d, %s", code, errs)
	}
	c, err := devConfig(data, devPort)
	if err != nil || c.Issuer != fmt.Sprintf("http://localhost:%d", second.port) || len(c.Clients) != 0 || len(c.Users) != 1 {
		t.Errorf("devConfig: %+v, %v", c, err)
	}
	second.end()
	if code, out, errs := command(t, "client", "list", "--data", data); code != 0 || strings.Contains(out, demoWeb) {
		t.Errorf("client list: %d, %s%s", code, out, errs)
	}
}

func TestDevPortInUse(t *testing.T) {
	t.Parallel()
	for i, want := range []string{
		"which the issuer needs, is in use: end what uses it, or choose another with --port (three in a row must be free)",
		"which the demo API needs, is in use: end what uses it, or choose another with --port (three in a row must be free), or leave the demo out with --no-demo",
		"which the demo web app needs, is in use",
	} {
		data := filepath.Join(t.TempDir(), "data")
		port := threePorts(t)
		ln, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port+i)))
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		code, out, errs := command(t, "dev", "--port", strconv.Itoa(port), "--data", data)
		if want = fmt.Sprintf("port %d, %s", port+i, want); code != 1 || out != "" || !strings.Contains(errs, want) {
			t.Errorf("%d, %s%s", code, out, errs)
		}
		if exists(data) {
			t.Error("something was made all the same")
		}
	}
}

func TestDevRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args    []string
		prepare func(t *testing.T, data string)
		want    string
	}{
		"port 0":     {args: []string{"--port", "0"}, want: "write a port from 1 to 65533"},
		"high port":  {args: []string{"--port", "65534"}, want: "write a port from 1 to 65533"},
		"too high":   {args: []string{"--port", "65536", "--no-demo"}, want: "write a port from 1 to 65535"},
		"a file":     {prepare: func(t *testing.T, data string) { put(t, data, "x") }, want: "not a directory"},
		"no key":     {prepare: func(t *testing.T, data string) { put(t, filepath.Join(data, "jeton.db"), "") }, want: "kek is missing"},
		"wrong key":  {prepare: func(t *testing.T, data string) { put(t, filepath.Join(data, "kek"), "x") }, want: "make one with: jeton keygen"},
		"weak words": {prepare: func(t *testing.T, data string) { put(t, filepath.Join(data, "demo.env"), webSecret+"=secret\n") }, want: "is weak"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := filepath.Join(t.TempDir(), "data")
			if c.prepare != nil {
				c.prepare(t, data)
			}
			args := c.args
			if args == nil {
				args = []string{"--port", strconv.Itoa(threePorts(t))}
			}
			code, out, errs := command(t, append([]string{"dev", "--data", data}, args...)...)
			if code != 1 || out != "" || !strings.Contains(errs, c.want) {
				t.Errorf("%d, %s%s", code, out, errs)
			}
		})
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCommandsNeedADevDirectory(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	code, _, errs := command(t, "user", "list", "--data", data)
	if code != 1 || !strings.Contains(errs, "start one with jeton dev --data "+data) || exists(data) {
		t.Errorf("%d, %s", code, errs)
	}
}

func TestNewPassword(t *testing.T) {
	t.Parallel()
	word := regexp.MustCompile(`^([b-z][aeio][b-z][aeio][b-z]-){3}[b-z][aeio][b-z][aeio][b-z]$`)
	seen := map[string]bool{}
	for range 100 {
		p := newPassword()
		if !word.MatchString(p) || seen[p] {
			t.Fatal(p)
		}
		seen[p] = true
	}
}

func TestQuoted(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"/home/ada/.jeton/demo.env": "/home/ada/.jeton/demo.env",
		"/a b/c":                    "'/a b/c'",
		"/it's":                     `'/it'\''s'`,
		"/a$b/c":                    "'/a$b/c'",
		"":                          "''",
	} {
		if got := quoted(s); got != want {
			t.Errorf("quoted(%q) = %s, not %s", s, got, want)
		}
	}
}
