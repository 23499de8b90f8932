package e2e

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/verify"
)

// keysOnce serves the key set until it is told not to.
type keysOnce struct {
	to   http.RoundTripper
	shut atomic.Bool
}

func (k *keysOnce) RoundTrip(r *http.Request) (*http.Response, error) {
	if k.shut.Load() && strings.HasSuffix(r.URL.Path, "/jwks") {
		return nil, errors.New("the key set can't be reached")
	}
	return k.to.RoundTrip(r)
}

// TestKeyCompromise has an API refuse all that a compromised key signed, and take what
// the next one signs, though it can't fetch the key set again: the command alone did it.
func TestKeyCompromise(t *testing.T) {
	t.Parallel()
	i := start(t)
	way := &keysOnce{to: i.web.Transport}
	v, err := verify.New(t.Context(), i.url, verify.Audience(orders), verify.HTTPClient(&http.Client{Transport: way}),
		verify.Feed(verify.APISecret(orders, apiSecret)))
	if err != nil {
		t.Fatal(err)
	}
	token := func() string {
		t.Helper()
		return i.post("/token", basic("robot", robotSecret), "grant_type", "client_credentials", "scope", "orders:read").want(200, "").access()
	}
	t.Cleanup(v.Close)
	old := token()
	if _, err := v.Verify(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	kid := header(t, old)["kid"].(string)
	way.shut.Store(true)

	out := i.run(t, "key", "compromise", "--json", "--reason", "laptop lost", "--", kid)
	var done struct {
		Revoked struct{ Kind, Name string }
		Active  struct{ ID string }
		Next    struct{ ID string }
	}
	if err := json.Unmarshal([]byte(out.body), &done); err != nil || done.Revoked.Kind != "key" || done.Revoked.Name != kid {
		t.Fatalf("%v: %s", err, out.body)
	}
	deadline := time.Now().Add(2 * time.Second)
	for {
		_, err := v.Verify(t.Context(), old)
		if e, ok := errors.AsType[*oauth.Error](err); ok && e.Code == oauth.InvalidToken {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a token of the compromised key is still answered with %v", err)
		}
		time.Sleep(time.Millisecond)
	}
	fresh := token()
	if got := header(t, fresh)["kid"]; got != done.Active.ID || got == kid {
		t.Errorf("the new token names key %s, the command said %s", got, done.Active.ID)
	}
	if _, err := v.Verify(t.Context(), fresh); err != nil {
		t.Errorf("a token of the next key, which the API held already: %v", err)
	}

	// The key set lacks the one, and has a next one again.
	var set struct{ Keys []struct{ Kid string } }
	if err := json.Unmarshal([]byte(i.get("/jwks").body), &set); err != nil {
		t.Fatal(err)
	}
	kids := map[string]bool{}
	for _, k := range set.Keys {
		kids[k.Kid] = true
	}
	if kids[kid] || !kids[done.Active.ID] || !kids[done.Next.ID] || done.Next.ID == done.Active.ID {
		t.Errorf("the key set holds %v after %s was compromised: %+v", kids, kid, done)
	}
}
