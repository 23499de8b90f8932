package dpop

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"time"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/jwks"
)

// Prover makes proofs by one key. It is safe for concurrent use if its signer is.
type Prover struct {
	key  crypto.Signer
	alg  oauth.Alg
	jkt  string
	head string // the encoded JOSE header
}

// NewProver makes a Prover of a key and the algorithm, one of Algs, that it signs by.
func NewProver(key crypto.Signer, alg oauth.Alg) (*Prover, error) {
	public, err := jwks.New("proof", alg, key.Public())
	if err != nil {
		return nil, err
	}
	// A jwk in a proof has no use and no kid.
	doc, err := json.Marshal(public)
	if err != nil {
		return nil, err
	}
	var jwk map[string]any
	if err := json.Unmarshal(doc, &jwk); err != nil {
		return nil, err
	}
	for _, name := range []string{"kid", "use", "alg"} {
		delete(jwk, name)
	}
	head, err := json.Marshal(map[string]any{"typ": oauth.TypDPoP, "alg": alg, "jwk": jwk})
	if err != nil {
		return nil, err
	}
	return &Prover{key: key, alg: alg, jkt: public.Thumbprint(), head: base64.RawURLEncoding.EncodeToString(head)}, nil
}

// JKT is the thumbprint of the key, which dpop_jkt of an authorization request and cnf of
// a token name (RFC 9449 §6.1 and §10).
func (p *Prover) JKT() string { return p.jkt }

// Claims are what a proof is for. Token and Nonce may be empty.
type Claims struct {
	Method string
	URL    string // query and fragment are left out
	Now    time.Time
	Token  string // the access token that the proof goes with
	Nonce  string // the newest that the server gave
}

// Proof makes a proof with a jti of its own.
func (p *Prover) Proof(c Claims) (string, error) {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // it never fails
	said := map[string]any{
		"jti": base64.RawURLEncoding.EncodeToString(id),
		"htm": c.Method, "htu": bare(c.URL), "iat": c.Now.Unix(),
	}
	if c.Token != "" {
		said["ath"] = TokenHash(c.Token)
	}
	if c.Nonce != "" {
		said["nonce"] = c.Nonce
	}
	body, err := json.Marshal(said)
	if err != nil {
		return "", err
	}
	signed := p.head + "." + base64.RawURLEncoding.EncodeToString(body)
	sig, err := p.sign([]byte(signed))
	if err != nil {
		return "", fmt.Errorf("dpop: %w", err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}

// Sign adds a proof to a request and, unless token is empty, the token itself, under the
// scheme DPoP (RFC 9449 §7.1).
func (p *Prover) Sign(r *http.Request, token, nonce string, now time.Time) error {
	proof, err := p.Proof(Claims{Method: r.Method, URL: r.URL.String(), Now: now, Token: token, Nonce: nonce})
	if err != nil {
		return err
	}
	r.Header.Set(Header, proof)
	if token != "" {
		r.Header.Set("Authorization", oauth.TokenTypeDPoP+" "+token)
	}
	return nil
}

// sign makes a JWS signature: of ECDSA r ‖ s at full length (RFC 7518 §3.4).
func (p *Prover) sign(signed []byte) ([]byte, error) {
	sum := sha256.Sum256(signed)
	switch p.alg {
	case oauth.ES256:
		return p.ecdsa(sum[:], crypto.SHA256, 32)
	case oauth.ES384:
		sum := sha512.Sum384(signed)
		return p.ecdsa(sum[:], crypto.SHA384, 48)
	case oauth.EdDSA:
		return p.key.Sign(rand.Reader, signed, &ed25519.Options{})
	case oauth.PS256:
		return p.key.Sign(rand.Reader, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
	}
	return p.key.Sign(rand.Reader, sum[:], crypto.SHA256)
}

func (p *Prover) ecdsa(sum []byte, hash crypto.Hash, size int) ([]byte, error) {
	der, err := p.key.Sign(rand.Reader, sum, hash)
	if err != nil {
		return nil, err
	}
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		return nil, err
	}
	raw := make([]byte, 2*size)
	sig.R.FillBytes(raw[:size])
	sig.S.FillBytes(raw[size:])
	return raw, nil
}
