//go:build e2e

package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/manage"
	"github.com/jeton-auth/jeton/internal/session"
	"github.com/jeton-auth/jeton/internal/store"
)

// Two nodes tell a client of the same logouts: of each once, whoever ended the session.
func TestTwoNodesTellOnce(t *testing.T) {
	t.Parallel()
	const sessions = 40
	told := make(chan string, 3*sessions)
	site := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { told <- r.PostFormValue("logout_token") }))
	t.Cleanup(site.Close)
	a, b, _ := nodesOf(t, strings.Replace(testConfig, "    id_token_alg: ES256\n",
		"    id_token_alg: ES256\n    backchannel_logout_uri: "+site.URL+"/out\n", 1)+"outbound: {allow: [127.0.0.0/8]}\n")
	ended := map[any]bool{}
	var ids [][]byte
	for range sessions {
		_, id := a.browserSession()
		ids = append(ids, id)
		ended[session.SID(id)] = true
		err := a.audit.Write(t.Context(), func(tx *store.Tx) (audit.Event, error) {
			return audit.Event{Type: audit.LoginSucceeded}, tx.Participate(id, "shop-web", a.ada().ID)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, node := range []*issuer{a, b} {
		wg.Go(func() { node.told.Run(ctx) })
	}
	for k, id := range ids {
		node := []*issuer{a, b}[k%2]
		if _, err := node.manager.Revoke(t.Context(), operator, manage.Target{Session: session.SID(id)}, ""); err != nil {
			t.Fatal(err)
		}
	}
	jtis := map[any]bool{}
	for range sessions {
		select {
		case token := <-told:
			got := payload(t, token)
			if !ended[got["sid"]] || jtis[got["jti"]] {
				t.Fatalf("told twice, or of no session: %v", got)
			}
			delete(ended, got["sid"])
			jtis[got["jti"]] = true
		case <-time.After(30 * time.Second):
			t.Fatalf("%d sessions' ends are not told", len(ended))
		}
	}
	for left := -1; left != 0; time.Sleep(20 * time.Millisecond) {
		all, err := a.store.Read(t.Context()).PendingLogouts(sessions)
		if err != nil {
			t.Fatal(err)
		}
		left = len(all)
	}
	if n := len(told); n != 0 {
		t.Errorf("%d logouts are told twice", n)
	}
}
