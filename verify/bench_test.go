package verify

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// followed is a verifier that follows a feed of its own, with so many entries.
func followed(b *testing.B, entries int, opts ...Option) (*revocations, *Verifier) {
	is := newIssuer()
	l := newRevocations(is)
	v := is.verifier(b, append([]Option{Feed(APISecret(apiID, apiSecret), ViewLimit(1<<30)), Clock(time.Now)}, opts...)...)
	for i := range entries {
		fill(b, v, i)
	}
	return l, v
}

// fill puts an entry into the view itself.
func fill(b *testing.B, v *Verifier, i int) {
	if err := v.feed.view.Add(feed.Entry{N: int64(i), Kind: feed.Token, Value: feed.Value(feed.Token, fmt.Sprint("other.", i)), Until: 1 << 40}); err != nil {
		b.Fatal(err)
	}
}

// largeToken is a token of about 900 octets.
func largeToken(s signer, i int) string {
	now := time.Now()
	return s.token(map[string]any{
		"iat": now.Unix(), "auth_time": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"sid": strings.Repeat("s", 22), "jti": fmt.Sprintf("%022d.%s", i, strings.Repeat("r", 11)), "amr": []string{"pwd", "otp"},
		"roles": []string{"admin", "auditor"}, "groups": []string{"sales", "support"}, "tenant": map[string]any{"id": 7, "name": strings.Repeat("t", 140)},
	})
}

// BenchmarkSecondSight is a token that was seen before, against a view of a million
// entries to which a thousand are added each second. Of many tokens each sight is in
// cold memory.
func BenchmarkSecondSight(b *testing.B) {
	const entries = 1_000_000
	_, v := followed(b, entries)
	for _, tokens := range []int{1, 1000, 5000} {
		b.Run(fmt.Sprint("tokens=", tokens), func(b *testing.B) {
			all := make([]string, tokens)
			for i := range all {
				all[i] = largeToken(es256(), i)
				if _, err := v.Verify(b.Context(), all[i]); err != nil {
					b.Fatal(err)
				}
			}
			stop, stopped, added := make(chan struct{}), make(chan struct{}), entries
			go func() {
				defer close(stopped)
				tick := time.NewTicker(time.Millisecond)
				defer tick.Stop()
				for {
					select {
					case <-tick.C:
						fill(b, v, added)
						added++
					case <-stop:
						return
					}
				}
			}()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, err := v.Verify(b.Context(), all[i%tokens]); err != nil {
					b.Fatal(err)
				}
				i++
			}
			close(stop)
			<-stopped
		})
	}
}

// BenchmarkFirstSightES256 sets a token of about 900 octets, seen for the first
// time, beside the bare check of its signature.
func BenchmarkFirstSightES256(b *testing.B) {
	s := es256()
	token := largeToken(s, 1)
	signed := []byte(token[:strings.LastIndexByte(token, '.')])
	sum := sha256.Sum256(signed)
	der := must(ecdsa.SignASN1(rand.Reader, s.private.(*ecdsa.PrivateKey), sum[:]))
	pub := s.Public.(*ecdsa.PublicKey)
	_, v := followed(b, 1000)
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sum := sha256.Sum256(signed)
			if !ecdsa.VerifyASN1(pub, sum[:], der) {
				b.Fatal("the signature does not verify")
			}
		}
	})
	b.Run("verify", func(b *testing.B) {
		b.ReportAllocs()
		b.ReportMetric(float64(len(token)), "octets")
		for b.Loop() {
			if _, err := v.firstSight(b.Context(), token, shown{scheme: oauth.TokenTypeBearer}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("signed+claims", func(b *testing.B) {
		b.ReportAllocs()
		find := ring(s)
		for b.Loop() {
			payload, _, err := Signed(token, "at+jwt", find)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := DecodeClaims(payload); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkViewMemory is what a million entries take.
func BenchmarkViewMemory(b *testing.B) {
	const entries = 1_000_000
	var per float64
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		view := feed.NewView(1 << 30)
		for i := range entries {
			e := feed.Entry{N: int64(i), Kind: feed.Token, Value: feed.Value(feed.Token, fmt.Sprint("other.", i)), Until: int64(i)}
			if err := view.Add(e); err != nil {
				b.Fatal(err)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		per = float64(after.HeapAlloc-before.HeapAlloc) / entries
		runtime.KeepAlive(view)
	}
	b.ReportMetric(per, "octets/entry")
}

// BenchmarkMiddleware sets a handler behind Require, for tokens seen before, beside the
// handler alone, over the loopback.
func BenchmarkMiddleware(b *testing.B) {
	_, v := followed(b, 1000)
	token := largeToken(es256(), 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("hello\n")) })
	for name, h := range map[string]http.Handler{"bare": handler, "require": v.Require("orders:read")(handler)} {
		b.Run(name, func(b *testing.B) {
			server := httptest.NewServer(h)
			defer server.Close()
			b.ReportAllocs()
			for b.Loop() {
				req := must(http.NewRequest("GET", server.URL, nil))
				req.Header.Set("Authorization", "Bearer "+token)
				resp, err := server.Client().Do(req)
				if err != nil || resp.StatusCode != 200 {
					b.Fatal(resp, err)
				}
				resp.Body.Close()
			}
		})
	}
	// Without the network, which is most of the above.
	for name, h := range map[string]http.Handler{"bare, no network": handler, "require, no network": v.Require("orders:read")(handler)} {
		b.Run(name, func(b *testing.B) {
			req := httptest.NewRequest("GET", "/", nil)
			req.Header.Set("Authorization", "Bearer "+token)
			w := httptest.NewRecorder()
			b.ReportAllocs()
			for b.Loop() {
				w.Body.Reset()
				h.ServeHTTP(w, req)
			}
			if w.Code != 200 {
				b.Fatal(w.Code)
			}
		})
	}
}

func BenchmarkDecodeClaims(b *testing.B) {
	payload := []byte(claims(map[string]any{"roles": []string{"admin"}, "tenant": map[string]any{"id": 7}}))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeClaims(payload); err != nil {
			b.Fatal(err)
		}
	}
}
