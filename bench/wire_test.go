package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func serve(t *testing.T, h http.HandlerFunc) (addr string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func connect(t *testing.T, addr string) *conn {
	t.Helper()
	c, err := dial(addr, time.Now().Add(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.close() })
	return c
}

func TestConn(t *testing.T) {
	t.Parallel()
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/form":
			_, _ = w.Write([]byte(r.PostFormValue("a") + r.Header.Get("X-A")))
		case "/chunked":
			for range 3 {
				_, _ = w.Write([]byte(strings.Repeat("x", 3000)))
				w.(http.Flusher).Flush()
			}
		case "/away":
			http.SetCookie(w, &http.Cookie{Name: "c", Value: "1"})
			http.Redirect(w, r, "/there", http.StatusSeeOther)
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		case "/closed":
			w.Header().Set("Connection", "close")
		}
	})
	c := connect(t, addr)
	for range 2 { // the connection is good for more than one of each
		if body, err := c.ok(post(addr, "/form", "X-A: =b\r\n", url.Values{"a": {"&ä"}})); err != nil || string(body) != "&ä=b" {
			t.Errorf("form: %q, %v", body, err)
		}
		if body, err := c.ok(get(addr, "/chunked", "")); err != nil || string(body) != strings.Repeat("x", 9000) {
			t.Errorf("chunked: %d bytes, %v", len(body), err)
		}
		if a, err := c.do(get(addr, "/away", "")); err != nil || a.status != 303 || a.location != "/there" || len(a.cookies) != 1 {
			t.Errorf("redirect: %+v, %v", a, err)
		}
		if a, err := c.do(get(addr, "/none", "")); err != nil || a.status != 204 || len(a.body) != 0 {
			t.Errorf("no content: %+v, %v", a, err)
		}
	}
	if _, err := c.ok(get(addr, "/away", "")); err == nil {
		t.Error("303 is taken for 200")
	}
	if _, err := c.do(get(addr, "/closed", "")); err == nil {
		t.Error("a connection that is not kept goes unnoticed")
	}
}

func TestLoop(t *testing.T) {
	t.Parallel()
	addr := serve(t, func(http.ResponseWriter, *http.Request) {})
	request := same(get(addr, "/", ""))
	if rate, err := until(t.Context(), addr, times(4, request), 50*time.Millisecond); err != nil || rate <= 0 {
		t.Errorf("rate = %v, %v", rate, err)
	}
	n := 0
	counted := func(c *conn) error { n++; return request(c) }
	if err := count(t.Context(), addr, []op{counted}, 25); err != nil || n != 25 {
		t.Errorf("%d operations instead of 25, %v", n, err)
	}
	broken := errors.New("broken")
	if _, err := until(t.Context(), addr, []op{request, func(*conn) error { return broken }}, time.Minute); !errors.Is(err, broken) {
		t.Errorf("error = %v, want that of the operation", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := until(ctx, addr, []op{request}, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want that of the context", err)
	}
}

func TestFirstForm(t *testing.T) {
	t.Parallel()
	action, values, err := firstForm(`<h1>Log in</h1><form method="post" action="/login?a=1&amp;b=2">
<input type="hidden" name="flow" value="x&#34;y"><input type="text" name="username" id="u" value="" required>
<input type="password" name="password"><button type="submit" name="login" value="1">Go</button><button name="other" value="2">No</button></form>
<form action="/cancel"><input name="cancel" value="1"></form>`)
	if err != nil || action != "/login?a=1&b=2" {
		t.Fatalf("action %q, %v", action, err)
	}
	want := url.Values{"flow": {`x"y`}, "username": {""}, "password": {""}, "login": {"1"}}
	if values.Encode() != want.Encode() {
		t.Errorf("values = %v, want %v", values, want)
	}
	if _, _, err := firstForm("<p>no form</p>"); err == nil {
		t.Error("a form was found where there is none")
	}
}
