// Package proof takes DPoP proofs at the issuer: each once, on whichever node, and with
// nonces that all nodes know without keeping them.
package proof

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"net/http"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/dpop"
)

// Roots are the random roots in the key ring.
type Roots interface{ Pepper() keys.Root }

// Proofs takes proofs.
type Proofs struct {
	Store *store.Store
	Audit *audit.Log
	Roots Roots
	// RequireNonce refuses proofs without a nonce of ours (RFC 9449 §8). Without it one is
	// optional; a wrong or old one is refused all the same.
	RequireNonce bool
}

// Request is a request, as far as a proof tells of it.
type Request struct {
	Header http.Header
	Method string
	URL    string // the address that was called, under the issuer's own name
	Algs   []oauth.Alg
	// Token is the access token that came along, and JKT the key that it is bound to; both
	// are empty where tokens are asked for.
	Token, JKT string
}

// Take checks the proof of a request and spends it; the zero Proof: there is none. A
// refusal is an *oauth.Error, with the code invalid_dpop_proof or use_dpop_nonce.
func (p *Proofs) Take(ctx context.Context, r Request) (dpop.Proof, error) {
	sent, err := dpop.FromHeader(r.Header)
	if err != nil || sent == "" {
		return dpop.Proof{}, err
	}
	now := p.Store.Now()
	made, err := dpop.Check(sent, dpop.Expect{Method: r.Method, URL: r.URL, Now: now, Algs: r.Algs, Token: r.Token})
	if err != nil {
		return dpop.Proof{}, err
	}
	switch {
	case r.JKT != "" && made.JKT != r.JKT:
		return dpop.Proof{}, oauth.Refuse(oauth.InvalidDPoPProof, "the DPoP proof is by another key than the one that the access token is bound to")
	case made.Nonce == "" && p.RequireNonce:
		return dpop.Proof{}, oauth.Refuse(oauth.UseDPoPNonce, "put the nonce of the DPoP-Nonce header of this answer into the DPoP proof")
	case made.Nonce != "" && !p.nonces().Fresh(made.Nonce, now):
		return dpop.Proof{}, oauth.Refuse(oauth.UseDPoPNonce, "the nonce in the DPoP proof is not one of this server, or too old: use the one of the DPoP-Nonce header of this answer")
	}
	return made, p.once(ctx, made)
}

// once spends a proof. It comes last: what fails for another reason, or for want of the
// database, leaves the proof as it was.
func (p *Proofs) once(ctx context.Context, made dpop.Proof) error {
	key, won := store.Replay("dpop", made.JKT, made.ID), false
	err := p.Audit.WriteRoutine(ctx, func(tx *store.Tx) (e audit.Event, err error) {
		if won, err = tx.UseOnce(key, made.Until()); won {
			e = audit.Event{Type: audit.ProofUsed}
		}
		return e, err
	})
	if err == nil && !won {
		return oauth.Refuse(oauth.InvalidDPoPProof, "the DPoP proof was used before: make one with a new jti for each request")
	}
	return err
}

// Nonce is the nonce to give out now.
func (p *Proofs) Nonce() string { return p.nonces().Make(p.Store.Now()) }

// nonces are under a key of their own, from a root that all nodes have. When the root
// changes, clients are given new nonces, as when one gets old.
func (p *Proofs) nonces() dpop.Nonces {
	m := hmac.New(sha256.New, p.Roots.Pepper().Secret)
	m.Write([]byte("jeton dpop nonce\x00"))
	return m.Sum(nil)
}
