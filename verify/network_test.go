package verify

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/oauth/feed"
)

// Over a real network, with a real server: a stream and what comes over it, a cut and
// what comes after it, and a server that answers with a redirect.
func TestFeedOverTheNetwork(t *testing.T) {
	t.Parallel()
	is := newIssuer()
	log := newRevocations(is)
	server := httptest.NewServer(is)
	t.Cleanup(server.Close)
	t.Cleanup(log.drop)
	is.url = server.URL
	fresh := make(chan FeedEvent, 100)
	v, err := New(t.Context(), server.URL, Audience(apiID), Logger(quiet), Feed(APISecret(apiID, apiSecret)),
		Observe(Hooks{Feed: func(e FeedEvent) { fresh <- e }}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	token := func(jti string) string {
		now := time.Now()
		return es256().token(map[string]any{"iss": server.URL, "jti": jti, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "rev": log.head()})
	}
	revoked := func(jti string) {
		t.Helper()
		tok := token(jti)
		p, err := v.Verify(t.Context(), tok)
		if err != nil {
			t.Fatal(err)
		}
		log.revoke(feed.Token, jti)
		select {
		case <-p.Done():
		case <-time.After(10 * time.Second):
			t.Fatal("it does not arrive")
		}
		if _, err := v.Verify(t.Context(), tok); !refused(err, "revoked") {
			t.Error(err)
		}
	}
	revoked("a.1")
	log.drop()
	revoked("a.2")
	if n := log.served().snapshots; n != 1 {
		t.Errorf("%d snapshots", n)
	}
	for e := range fresh {
		if e == FeedCut {
			break
		}
	}
	is.set(func() {
		is.override["/revocations"] = func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := New(ctx, server.URL, Audience(apiID), Logger(quiet), Feed(APISecret(apiID, apiSecret))); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a redirect: %v", err)
	}
	if is.count("/elsewhere") != 0 {
		t.Error("the credentials followed a redirect")
	}
}
