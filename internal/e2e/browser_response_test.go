//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"
)

// TestResponseModesInABrowser takes answers to a client with Chromium: by forms, which go by
// themselves or by their button, and in fragments, which no server sees.
func TestResponseModesInABrowser(t *testing.T) {
	t.Parallel()
	posted := make(chan url.Values, 1)
	client := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/callback" && r.Method == http.MethodPost && r.ParseForm() == nil {
			posted <- r.PostForm
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<!doctype html><title>back</title><link rel="icon" href="data:,"><p id="back">back</p>`)
	}))
	t.Cleanup(client.Close)
	callback := client.URL + "/callback"
	i := start(t, with("redirect_uris: [https://shop.example.com/callback]", "redirect_uris: ["+callback+"]\n    response_types: [code, code id_token]"))
	shop := app{id: "shop", redirect: callback}
	browser := chromium(t)
	logIn := func(b *tab, r request) {
		b.open(i.url + "/authorize?" + r.Encode())
		b.expect(i.url+"/login", "username", "password", "login")
		b.fill("username", ada)
		b.fill("password", adaPassword)
		b.click("login")
	}
	answer := func(b *tab) url.Values {
		select {
		case v := <-posted:
			return v
		case <-time.After(within):
			b.t.Fatalf("nothing was posted: %s", b.shown())
			return nil
		}
	}
	b := newBrowser(t, browser)
	r := shop.asking("openid", "response_mode", "form_post", "state", `"><b>&'`)
	logIn(b, r)
	if got := answer(b); !got.Has("code") || got.Get("state") != r.Get("state") || got.Get("iss") != i.url {
		t.Errorf("posted by the script: %v", got)
	}
	eventually(t, "the browser is back at the client", func() bool { return b.at() == callback })
	b.open(i.url + "/authorize?" + shop.asking("openid", "response_mode", "form_post.jwt").Encode())
	if got := answer(b); len(got) != 1 || payload(t, got.Get("response"))["code"] == nil {
		t.Errorf("posted with a session: %v", got)
	}
	eventually(t, "the browser is back at the client", func() bool { return b.at() == callback })
	b.open(i.url + "/authorize?" + shop.asking("openid", "response_type", "id_token code").Encode())
	back, err := url.Parse(b.at())
	if err != nil {
		t.Fatal(err)
	}
	fragment, err := url.ParseQuery(back.Fragment)
	if err != nil || !fragment.Has("code") || !fragment.Has("id_token") || back.RawQuery != "" {
		t.Errorf("in the fragment: %v %s", err, back)
	}

	plain := newBrowser(t, browser)
	plain.noScripts()
	logIn(plain, shop.asking("openid", "response_mode", "form_post"))
	plain.expect(i.url+"/login", "continue")
	plain.click("continue")
	if got := answer(plain); !got.Has("code") {
		t.Errorf("posted by the button: %v", got)
	}
	plain.expect(callback, "back")
}
