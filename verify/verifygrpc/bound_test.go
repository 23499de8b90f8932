package verifygrpc_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/dpop"
	"github.com/jeton-auth/jeton/verify"
)

// Case 35: a token that is bound to a key is good for no call, since none proves it.
func TestBoundTokensAreRefused(t *testing.T) {
	t.Parallel()
	i := startIssuer(t)
	client, _ := serve(t, i.verifier(verify.Audience(api)))
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p, err := dpop.NewProver(key, oauth.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPost, i.url+"/token", strings.NewReader("grant_type=client_credentials&scope=orders:read"))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("job", jobSecret)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := p.Sign(r, "", "", time.Now()); err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out struct {
		Token string `json:"access_token"`
		Type  string `json:"token_type"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || out.Type != "DPoP" {
		t.Fatalf("%d %+v %v", resp.StatusCode, out, err)
	}
	for scheme, want := range map[string]string{"Bearer": "invalid_token: ", "DPoP": "invalid_request: "} {
		_, err := client.UnaryCall(with(t, scheme+" "+out.Token), &grpc_testing.SimpleRequest{})
		wantStatus(t, scheme, err, codes.Unauthenticated, want)
	}
}
