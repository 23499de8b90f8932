package server

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// leave logs somebody in at the client that hears of logouts, and out. It returns the ID
// token and the page that is shown.
func (p *probe) leave() (id map[string]any, bye reply) {
	c := p.clients[thirdParty]
	s := p.browser()
	got, _ := p.askIn(s, c)
	hint := p.spend(c, got.Get("code")).want(p.t, http.StatusOK, "").str(p.t, "id_token")
	bye, _ = s.page("/logout?" + url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {c.PostLogoutRedirectURIs[0]}}.Encode())
	return payload(p.t, hint), bye
}

// checkBackchannel has the client be told.
func (p *probe) checkBackchannel(any) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.told.Run(ctx)
	}()
	defer func() {
		cancel()
		<-ended
	}()
	id, _ := p.leave()
	for {
		select {
		case token := <-p.logouts:
			got := payload(p.t, token)
			if got["sid"] != id["sid"] {
				continue // another check's
			}
			if got["aud"] != thirdParty || got["sub"] != id["sub"] || got["iss"] != discoveryIssuer {
				p.t.Errorf("the client is told %v, the ID token says %v", got, id)
			}
			return
		case <-time.After(30 * time.Second):
			p.t.Error("the client is told nothing")
			return
		}
	}
}

// checkFrontchannel looks for the client's frame.
func (p *probe) checkFrontchannel(any) {
	id, bye := p.leave()
	sid, _ := id["sid"].(string)
	want := p.clients[thirdParty].FrontchannelLogoutURI + "?" + url.Values{"iss": {discoveryIssuer}, "sid": {sid}}.Encode()
	if bye.status != http.StatusOK || !strings.Contains(string(bye.body), `<iframe src="`+strings.ReplaceAll(want, "&", "&amp;")+`"`) {
		p.t.Errorf("no frame leads to %s: %d %s", want, bye.status, bye.body)
	}
}
