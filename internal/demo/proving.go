package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"strings"
	"sync"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/dpop"
)

// proving is a transport that proves the app's key with each request (RFC 9449). An
// issuer that knows DPoP binds the tokens to it; nobody else can use them then. The key
// lives as long as the process, and so do the sessions.
type proving struct {
	base   http.RoundTripper
	prover *dpop.Prover
	clock  clock.Clock
	nonces sync.Map // the newest of each server, by its host
}

func newProving(base http.RoundTripper, c clock.Clock) (*proving, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	prover, err := dpop.NewProver(key, oauth.ES256)
	if err != nil {
		return nil, err
	}
	return &proving{base: base, prover: prover, clock: c}, nil
}

// RoundTrip sends a request with a proof, and once more if the server wants a nonce of its
// own in it.
func (p *proving) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, nonce, err := p.send(r)
	if err != nil || nonce == "" || resp.StatusCode != http.StatusBadRequest && resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	again := r.Clone(r.Context())
	if r.Body != nil {
		if r.GetBody == nil {
			return resp, nil
		}
		if again.Body, err = r.GetBody(); err != nil {
			return resp, nil
		}
	}
	resp.Body.Close()
	resp, _, err = p.send(again)
	return resp, err
}

// send is one attempt. It gives the nonce that came back, if it is a new one.
func (p *proving) send(r *http.Request) (resp *http.Response, nonce string, err error) {
	had, _ := p.nonces.Load(r.URL.Host)
	sent, _ := had.(string)
	r = r.Clone(r.Context())
	token := ""
	if scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, oauth.TokenTypeDPoP) {
		token = value
	}
	if err := p.prover.Sign(r, token, sent, p.clock.Now()); err != nil {
		return nil, "", err
	}
	if resp, err = p.base.RoundTrip(r); err != nil {
		return nil, "", err
	}
	if nonce = resp.Header.Get(dpop.NonceHeader); nonce == "" || nonce == sent {
		return resp, "", nil
	}
	p.nonces.Store(r.URL.Host, nonce)
	return resp, nonce, nil
}
