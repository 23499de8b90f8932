package verify

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/dpop"
	"github.com/jeton-auth/jeton/oauth/mtls"
)

const orders = "https://api.example.com/orders"

func prover(t testing.TB) *dpop.Prover {
	t.Helper()
	return must(dpop.NewProver(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), oauth.ES256))
}

// proof makes one for a request of the orders, changed.
func proof(t testing.TB, p *dpop.Prover, token string, change func(*dpop.Claims)) string {
	t.Helper()
	c := dpop.Claims{Method: http.MethodGet, URL: orders, Now: start, Token: token}
	if change != nil {
		change(&c)
	}
	return must(p.Proof(c))
}

// request asks for the orders over TLS.
func request(scheme, token string, proofs ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, orders+"?page=2", nil)
	r.Header.Set("Authorization", scheme+" "+token)
	if len(proofs) > 0 {
		r.Header[http.CanonicalHeaderKey(dpop.Header)] = proofs
	}
	return r
}

func jkt(p *dpop.Prover) map[string]any {
	return map[string]any{"cnf": map[string]any{"jkt": p.JKT()}}
}

// Case 35: a token that is bound to a DPoP key is good with a proof for the request, once,
// at the first sight and at each one after.
func TestDPoP(t *testing.T) {
	t.Parallel()
	s, p, thief := es256(), prover(t), prover(t)
	v := newIssuer(s).verifier(t)
	token, free := s.token(jkt(p)), s.token(nil)
	unknown := s.token(map[string]any{"cnf": map[string]any{"kid": "x"}})
	good := func() string { return proof(t, p, token, nil) }
	used := good()
	for _, scheme := range []string{"DPoP", "dpop", "DPOP"} {
		sent := used
		if scheme != "DPoP" {
			sent = good()
		}
		if w := callWith(v.Require("orders:read"), request(scheme, token, sent)); w.Code != 200 || w.Body.String() != "hello ada" || w.Header().Get(dpop.NonceHeader) != "" {
			t.Errorf("%s: %d %s", scheme, w.Code, w.Body)
		}
	}
	for name, c := range map[string]struct {
		r    *http.Request
		want oauth.ErrorCode
	}{
		"as a bearer token":             {request("Bearer", token), oauth.InvalidToken},
		"as a bearer token, with proof": {request("Bearer", token, good()), oauth.InvalidToken},
		"without proof":                 {request("DPoP", token), oauth.InvalidDPoPProof},
		"an empty proof":                {request("DPoP", token, ""), oauth.InvalidDPoPProof},
		"two proofs":                    {request("DPoP", token, good(), good()), oauth.InvalidDPoPProof},
		"a used proof":                  {request("DPoP", token, used), oauth.InvalidDPoPProof},
		"another key":                   {request("DPoP", token, proof(t, thief, token, nil)), oauth.InvalidDPoPProof},
		"another token's":               {request("DPoP", token, proof(t, p, free, nil)), oauth.InvalidDPoPProof},
		"no ath":                        {request("DPoP", token, proof(t, p, "", nil)), oauth.InvalidDPoPProof},
		"another method":                {request("DPoP", token, proof(t, p, token, func(c *dpop.Claims) { c.Method = "POST" })), oauth.InvalidDPoPProof},
		"another path":                  {request("DPoP", token, proof(t, p, token, func(c *dpop.Claims) { c.URL += "/1" })), oauth.InvalidDPoPProof},
		"another host":                  {request("DPoP", token, proof(t, p, token, func(c *dpop.Claims) { c.URL = "https://evil.example.com/orders" })), oauth.InvalidDPoPProof},
		"without TLS":                   {request("DPoP", token, proof(t, p, token, func(c *dpop.Claims) { c.URL = "http://api.example.com/orders" })), oauth.InvalidDPoPProof},
		"61 s ago":                      {request("DPoP", token, proof(t, p, token, func(c *dpop.Claims) { c.Now = start.Add(-61 * time.Second) })), oauth.InvalidDPoPProof},
		"61 s ahead":                    {request("DPoP", token, proof(t, p, token, func(c *dpop.Claims) { c.Now = start.Add(61 * time.Second) })), oauth.InvalidDPoPProof},
		"a token that is not bound":     {request("DPoP", free, proof(t, p, free, nil)), oauth.InvalidToken},
		"bound in an unknown way":       {request("DPoP", unknown, proof(t, p, unknown, nil)), oauth.InvalidToken},
		"no token":                      {request("DPoP", "nonsense", good()), oauth.InvalidToken},
	} {
		_, err := v.VerifyRequest(c.r)
		var e *oauth.Error
		if !errors.As(err, &e) || e.Code != c.want {
			t.Errorf("%s: %v", name, err)
		}
		w := callWith(v.Require(), c.r)
		said := w.Header().Values("WWW-Authenticate")
		scheme, _, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
		if w.Code != 401 || len(said) != 2 || !strings.HasPrefix(said[0], scheme+` realm="https://api.example.com"`) || !strings.Contains(said[0], `error="`+string(c.want)+`"`) || strings.Contains(said[1], "error") {
			t.Errorf("%s: %d %q", name, w.Code, said)
		}
		if !strings.Contains(strings.Join(said, " "), `algs="ES256 ES384 EdDSA PS256 RS256"`) {
			t.Errorf("%s: %q", name, said)
		}
	}
	if _, err := v.Verify(t.Context(), token); !errors.Is(err, errBound) {
		t.Errorf("without a request: %v", err)
	}
	// Of requests at the same time with one proof one is taken.
	fresh := good()
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := v.VerifyRequest(request("DPoP", token, fresh)); err == nil {
				taken.Add(1)
			}
		})
	}
	if wg.Wait(); taken.Load() != 1 {
		t.Errorf("%d were taken", taken.Load())
	}
}

// A token may be bound to both kinds of key.
func TestDPoPAndCertificate(t *testing.T) {
	t.Parallel()
	s, p, mine := es256(), prover(t), certificate(t, "mine")
	v := newIssuer(s).verifier(t)
	token := s.token(map[string]any{"cnf": map[string]any{"jkt": p.JKT(), "x5t#S256": mtls.Thumbprint(mine)}})
	r := request("DPoP", token, proof(t, p, token, nil))
	if _, err := v.VerifyRequest(r); !errors.Is(err, errNoCertificate) {
		t.Error(err)
	}
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{mine}}
	if _, err := v.VerifyRequest(r); err != nil {
		t.Error(err)
	}
}

// What a proxy hides is told by an option; what is accepted by another.
func TestPublicURL(t *testing.T) {
	t.Parallel()
	s, p := es256(), prover(t)
	token := s.token(jkt(p))
	at := func(address string) string { return proof(t, p, token, func(c *dpop.Claims) { c.URL = address }) }
	behind := func(proof string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "http://10.0.0.7:8080/orders/%7e1?x=1", nil)
		r.Header.Set("Authorization", "DPoP "+token)
		r.Header.Set(dpop.Header, proof)
		return r
	}
	for _, c := range []struct {
		base, proof string
		good        bool
	}{
		{"https://api.example.com", "https://api.example.com/orders/~1", true},
		{"https://api.example.com/", "https://API.example.com:443/orders/~1", true},
		{"https://api.example.com/v1", "https://api.example.com/v1/orders/~1", true},
		{"https://api.example.com/v1", "https://api.example.com/orders/~1", false},
		{"https://api.example.com", "http://10.0.0.7:8080/orders/~1", false},
		{"", "http://10.0.0.7:8080/orders/~1", true},
		{"", "https://api.example.com/orders/~1", false},
	} {
		v := newIssuer(s).verifier(t, PublicURL(c.base))
		if _, err := v.VerifyRequest(behind(at(c.proof))); (err == nil) != c.good {
			t.Errorf("%s at %s: %v", c.proof, c.base, err)
		}
	}
	for _, bad := range []string{"api.example.com", "ftp://api.example.com", "https://", "https://a@api.example.com", "https://api.example.com/?x", "https://api.example.com/#x"} {
		if _, err := newIssuer(s).try(PublicURL(bad)); err == nil || !strings.Contains(err.Error(), "PublicURL") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestProofAlgorithms(t *testing.T) {
	t.Parallel()
	s := es256()
	weak := must(dpop.NewProver(must(rsa.GenerateKey(rand.Reader, 2048)), oauth.RS256))
	token := s.token(jkt(weak))
	for _, c := range []struct {
		opts []Option
		good bool
	}{{nil, true}, {[]Option{Algorithms(oauth.ES256, oauth.PS256, oauth.EdDSA)}, false}} {
		v := newIssuer(s).verifier(t, c.opts...)
		if _, err := v.VerifyRequest(request("DPoP", token, proof(t, weak, token, nil))); (err == nil) != c.good {
			t.Error(err)
		}
	}
}

// RFC 9449 §9: with RequireNonce a proof has a nonce of the API, of whichever node.
func TestRequireNonce(t *testing.T) {
	t.Parallel()
	s, p := es256(), prover(t)
	token, key := s.token(jkt(p)), []byte(strings.Repeat("k", 32))
	one, two := newIssuer(s).verifier(t, RequireNonce(key)), newIssuer(s).verifier(t, RequireNonce(key))
	other := newIssuer(s).verifier(t, RequireNonce([]byte(strings.Repeat("o", 32))))
	try := func(v *Verifier, nonce string) *httptest.ResponseRecorder {
		return callWith(v.Require(), request("DPoP", token, proof(t, p, token, func(c *dpop.Claims) { c.Nonce = nonce })))
	}
	w := try(one, "")
	nonce := w.Header().Get(dpop.NonceHeader)
	if w.Code != 401 || nonce == "" || nonce != one.ProofNonce() || !strings.Contains(w.Header().Get("WWW-Authenticate"), `error="use_dpop_nonce"`) {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	for _, v := range []*Verifier{one, two} {
		if w := try(v, nonce); w.Code != 200 || w.Header().Get(dpop.NonceHeader) == "" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
	}
	if w := try(other, nonce); w.Code != 401 {
		t.Errorf("another API took the nonce: %d", w.Code)
	}
	if w := callWith(one.Require(), request("Bearer", s.token(nil))); w.Code != 200 || w.Header().Get(dpop.NonceHeader) != "" {
		t.Errorf("bearer: %d %v", w.Code, w.Header())
	}
	if v := newIssuer(s).verifier(t); v.ProofNonce() != "" {
		t.Error("a nonce without RequireNonce")
	}
	if _, err := newIssuer(s).try(RequireNonce(nil)); err == nil {
		t.Error("an empty key was taken")
	}
}

// An opaque token's binding comes with the answer to its introspection.
func TestDPoPOpaqueTokens(t *testing.T) {
	t.Parallel()
	is, p := newIssuer(es256()), prover(t)
	is.introspect = activeAs(map[string]any{"token_type": "DPoP", "cnf": map[string]any{"jkt": p.JKT()}})
	v := is.verifier(t, Introspection(apiID, apiSecret))
	if _, err := v.VerifyRequest(request("Bearer", opaqueToken)); !errors.Is(err, errBound) {
		t.Error(err)
	}
	if _, err := v.VerifyRequest(request("DPoP", opaqueToken)); !errors.Is(err, errNoProof) {
		t.Error(err)
	}
	sent := proof(t, p, opaqueToken, nil)
	if _, err := v.VerifyRequest(request("DPoP", opaqueToken, sent)); err != nil {
		t.Error(err)
	}
	if _, err := v.VerifyRequest(request("DPoP", opaqueToken, sent)); !errors.Is(err, errUsed) {
		t.Error(err)
	}
}

// Used proofs are forgotten when nobody would take them any more, and never before that.
func TestUsedProofs(t *testing.T) {
	t.Parallel()
	u := newUsedProofs()
	use := func(id string, at time.Duration) bool {
		fresh, err := u.use(dpop.Proof{JKT: "key", ID: id}, int64(at))
		if err != nil {
			t.Fatal(err)
		}
		return fresh
	}
	const window = dpop.MaxAge + dpop.MaxAhead
	for k := range 200 {
		id, at := fmt.Sprint(k), time.Duration(k)*time.Second
		if !use(id, at) || use(id, at) || use(id, at+window) {
			t.Fatalf("the proof of second %d", k)
		}
	}
	kept := func() (n int) {
		for i := range u.shards {
			n += len(u.shards[i].now) + len(u.shards[i].before)
		}
		return n
	}
	for k := range 400 {
		use(fmt.Sprint("later ", k), 2*time.Hour)
	}
	if n := kept(); n > 600 {
		t.Errorf("%d are remembered", n)
	}
	if fresh, err := u.use(dpop.Proof{JKT: "other", ID: "later 1"}, int64(2*time.Hour)); !fresh || err != nil {
		t.Error("another key's jti counts too")
	}
	// What can't be remembered is not taken.
	var s usedShard
	for h := range uint64(maxProofs / proofShards) {
		if fresh, err := s.use(h, 1); !fresh || err != nil {
			t.Fatal(h, err)
		}
	}
	if fresh, err := s.use(1<<40, 1); fresh || !errors.Is(err, errFull) {
		t.Error(fresh, err)
	}
	if fresh, err := s.use(7, 1); fresh || err != nil {
		t.Error("a used proof is not told when memory is full")
	}
	if fresh, err := s.use(1<<40, 1+proofPeriod); !fresh || err != nil {
		t.Error(err)
	}
}

// BenchmarkDPoP is a token that was seen before, each time with a proof of its own.
func BenchmarkDPoP(b *testing.B) {
	s, p := es256(), prover(b)
	v := newIssuer(s).verifier(b)
	token := s.token(jkt(p))
	requests := make([]*http.Request, 20_000)
	for i := range requests {
		requests[i] = request("DPoP", token, proof(b, p, token, nil))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i == len(requests) {
			i, v.proofs = 0, newUsedProofs()
		}
		if _, err := v.VerifyRequest(requests[i]); err != nil {
			b.Fatal(err)
		}
	}
}
