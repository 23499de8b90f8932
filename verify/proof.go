package verify

import (
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/dpop"
)

// PublicURL says under which address clients call the API, such as
// https://api.example.com/v1: what DPoP proofs are for is that address with the path of
// the request. Without this option it is what the request itself says, its Host, and https
// if its connection is TLS; so behind a proxy that ends TLS, or that changes Host or path,
// proofs are refused without it.
func PublicURL(base string) Option { return func(c *config) { c.public = base } }

// RequireNonce takes DPoP proofs alone that have a nonce of this API (RFC 9449 §9), made
// by a key of 32 random bytes that its nodes share. A proof that was made in advance is
// then worth nothing; clients ask twice at first. The middleware gives the nonces out; who
// calls VerifyRequest sends ProofNonce.
func RequireNonce(key []byte) Option {
	return func(c *config) { c.nonces, c.nonced = dpop.Nonces(key), true }
}

// ProofNonce is what an answer to a request with a DPoP proof should have in the header
// DPoP-Nonce; empty without RequireNonce.
func (v *Verifier) ProofNonce() string {
	if v.nonces == nil {
		return ""
	}
	return v.nonces.Make(v.proofTime())
}

func (v *Verifier) proofTime() time.Time { return time.Unix(v.unix(v.clock()), 0) }

// checkProofs checks the options.
func (c *config) checkProofs() error {
	if c.nonced && len(c.nonces) < 32 {
		return errors.New("verify: RequireNonce needs a key of 32 random bytes")
	}
	if c.public == "" {
		return nil
	}
	u, err := url.Parse(c.public)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.ContainsAny(c.public, "?#") {
		return fmt.Errorf("verify: PublicURL(%q): use the address that clients call, with scheme and host, and without query and fragment", c.public)
	}
	c.public = strings.TrimRight(c.public, "/")
	return nil
}

// address is that of a request, as its client sees it.
func (v *Verifier) address(r *http.Request) string {
	path := r.URL.EscapedPath()
	switch {
	case v.public != "":
		return v.public + path
	case r.TLS != nil:
		return "https://" + r.Host + path
	}
	return "http://" + r.Host + path
}

// proved takes the proof of a request by the key that its token is bound to (RFC 9449
// §7). A proof is never remembered as good: each request has its own, once.
func (v *Verifier) proved(jkt, token string, r *http.Request) error {
	sent, err := dpop.FromHeader(r.Header)
	if err != nil {
		return err
	}
	if sent == "" {
		return errNoProof
	}
	now := v.proofTime()
	p, err := dpop.Check(sent, dpop.Expect{Method: r.Method, URL: v.address(r), Now: now, Algs: v.algs, Token: token})
	switch {
	case err != nil:
		return err
	case p.JKT != jkt:
		return errOtherKey
	case v.nonces != nil && !v.nonces.Fresh(p.Nonce, now):
		return errNonce
	}
	fresh, err := v.proofs.use(p, v.clock().mono)
	if err != nil {
		return unavailable(err)
	}
	if !fresh {
		return errUsed
	}
	return nil
}

func badProof(text string) *oauth.Error { return oauth.Refuse(oauth.InvalidDPoPProof, "%s", text) }

var (
	errNoProof  = badProof("The token is bound to a DPoP key, and the request has no DPoP header with a proof of it.")
	errOtherKey = badProof("The DPoP proof is by another key than the one that the token is bound to.")
	errUsed     = badProof("The DPoP proof was used before: make one with a new jti for each request.")
	errNonce    = oauth.Refuse(oauth.UseDPoPNonce, "The DPoP proof needs the nonce of the DPoP-Nonce header of this answer.")
	errFull     = errors.New("too many DPoP proofs came in too short a time")
)

// usedProofs remembers which proofs this process took, by a hash, for as long as they would
// be taken again.
type usedProofs struct {
	seed   maphash.Seed
	shards [proofShards]usedShard
}

type usedShard struct {
	mu          sync.Mutex
	began       int64               // when the newer one did, in nanoseconds
	now, before map[uint64]struct{} // what came in the newest period, and in the one before
}

// A proof is taken from MaxAhead before its iat to MaxAge after, and forgotten after one
// to two periods. Memory is bounded: two periods of maxProofs take about 80 MiB.
const (
	proofPeriod = int64(dpop.MaxAge + dpop.MaxAhead + 2*time.Second)
	proofShards = 16
	maxProofs   = 2 << 20
)

func newUsedProofs() *usedProofs { return &usedProofs{seed: maphash.MakeSeed()} }

// use notes a proof; fresh is false if it was used before.
func (u *usedProofs) use(p dpop.Proof, mono int64) (fresh bool, err error) {
	var h maphash.Hash
	h.SetSeed(u.seed)
	_, _ = h.WriteString(p.JKT) // of one length always
	_, _ = h.WriteString(p.ID)
	return u.shards[h.Sum64()%proofShards].use(h.Sum64(), mono)
}

func (s *usedShard) use(h uint64, mono int64) (fresh bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch age := mono - s.began; {
	case s.now == nil || age >= 2*proofPeriod:
		s.now, s.before, s.began = map[uint64]struct{}{}, nil, mono
	case age >= proofPeriod:
		s.now, s.before, s.began = map[uint64]struct{}{}, s.now, mono
	}
	if _, used := s.now[h]; used {
		return false, nil
	}
	if _, used := s.before[h]; used {
		return false, nil
	}
	if len(s.now) >= maxProofs/proofShards {
		return false, errFull
	}
	s.now[h] = struct{}{}
	return true, nil
}
