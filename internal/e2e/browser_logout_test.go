//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// TestFrontchannelLogoutInABrowser logs out with Chromium: it loads the client's frame, and
// then goes on to the client, by the page's script or by its link.
func TestFrontchannelLogoutInABrowser(t *testing.T) {
	t.Parallel()
	framed := make(chan url.Values, 4)
	client := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/out" {
			framed <- r.URL.Query()
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<!doctype html><title>back</title><link rel="icon" href="data:,"><p id="back">back</p>`)
	}))
	t.Cleanup(client.Close)
	callback := client.URL + "/callback"
	i := start(t, with(
		"redirect_uris: [https://shop.example.com/callback]", "redirect_uris: ["+callback+"]\n    frontchannel_logout_uri: "+client.URL+"/out",
		"post_logout_redirect_uris: [https://shop.example.com/]", "post_logout_redirect_uris: ["+client.URL+"/bye]"))
	shop := app{id: "shop", redirect: callback, as: basic("shop", shopSecret)}
	browser := chromium(t)
	for _, scripts := range []bool{true, false} {
		b := newBrowser(t, browser)
		if !scripts {
			b.noScripts()
		}
		r := shop.asking("openid")
		b.open(i.url + "/authorize?" + r.Encode())
		b.expect(i.url+"/login", "username", "password", "login")
		b.fill("username", ada)
		b.fill("password", adaPassword)
		b.click("login")
		b.expect(callback, "back")
		back, err := url.Parse(b.at())
		if err != nil {
			t.Fatal(err)
		}
		hint := i.redeem(r, back.Query().Get("code")).want(http.StatusOK, "").str("id_token")
		b.open(i.url + "/logout?" + values("id_token_hint", hint, "post_logout_redirect_uri", client.URL+"/bye").Encode())
		if got := <-framed; got.Get("iss") != i.url || got.Get("sid") != payload(t, hint)["sid"] {
			t.Errorf("the frame is asked for with %v", got)
		}
		if !scripts {
			b.expect(i.url+"/logout", "continue")
			b.click("continue")
		}
		eventually(t, "the browser is back at the client", func() bool { return b.at() == client.URL+"/bye" })
	}
}
