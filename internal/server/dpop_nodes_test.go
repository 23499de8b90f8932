//go:build e2e

package server

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jeton-auth/jeton/oauth/dpop"
)

// Case 35: a proof is taken once across nodes, which take each other's nonces.
func TestDPoPOnceAcrossNodes(t *testing.T) {
	t.Parallel()
	a, b, _ := twoNodes(t)
	p := prover(t)
	made := func(nonce string) string {
		text, err := p.Proof(dpop.Claims{Method: "POST", URL: ownURL + "/token", Now: a.store.Now(), Nonce: nonce})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	ask := func(i *issuer, proof string) reply {
		return i.post("/token", showing(robot, proof), "grant_type", "client_credentials")
	}
	first := made("")
	nonce := ask(a, first).want(t, 200, "").header.Get(dpop.NonceHeader)
	ask(b, first).want(t, 400, "invalid_dpop_proof")
	ask(b, made(nonce)).want(t, 200, "")
	for range 20 {
		proof := made("")
		var taken atomic.Int64
		var group sync.WaitGroup
		for _, i := range []*issuer{a, b, a, b} {
			group.Go(func() {
				if ask(i, proof).status == 200 {
					taken.Add(1)
				}
			})
		}
		group.Wait()
		if taken.Load() != 1 {
			t.Fatalf("%d requests with one proof were answered", taken.Load())
		}
	}
}
