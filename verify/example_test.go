package verify_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/jeton-auth/jeton/verify"
)

func Example() {
	v, err := verify.New(context.Background(), "https://id.example.com", verify.Audience("https://api.example.com"))
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()

	orders := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := verify.PrincipalFrom(r.Context())
		fmt.Fprintf(w, "the orders of %s, asked for by %s\n", p.Subject, p.ClientID)
	})
	mux := http.NewServeMux()
	mux.Handle("GET /orders", v.Require("orders:read")(orders))
	log.Fatal(http.ListenAndServe("127.0.0.1:8081", mux))
}

// An API that follows the issuer's revocation feed: a revoked token is refused within
// milliseconds. When the feed is silent for more than five seconds, the API asks the
// issuer about each token instead.
func ExampleFeed() {
	v, err := verify.New(context.Background(), "https://id.example.com",
		verify.Audience("https://api.example.com"),
		verify.Feed(verify.APISecret("https://api.example.com", "the API's introspection secret")),
		verify.MaxStale(5*time.Second, verify.Introspect))
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()

	http.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		if h := v.Health(); !h.Fresh {
			http.Error(w, fmt.Sprintf("what is revoked was last known %v ago: %v", h.Staleness, h.Err), http.StatusServiceUnavailable)
		}
	})
}

// A stream of events ends when its token is revoked.
func ExamplePrincipal_Done() {
	events := make(chan string)
	_ = func(w http.ResponseWriter, r *http.Request) {
		p := verify.PrincipalFrom(r.Context())
		for {
			select {
			case <-p.Done():
				return
			case <-r.Context().Done():
				return
			case e := <-events:
				fmt.Fprintf(w, "data: %s\n\n", e)
			}
		}
	}
}

// What happens is counted.
func ExampleObserve() {
	var revoked, stale atomic.Int64
	v, err := verify.New(context.Background(), "https://id.example.com", verify.Audience("https://api.example.com"),
		verify.Feed(verify.APISecret("https://api.example.com", "secret")),
		verify.Observe(verify.Hooks{
			Token: func(o verify.TokenOutcome) {
				if o == verify.TokenRevoked {
					revoked.Add(1)
				}
			},
			Feed: func(e verify.FeedEvent) {
				if e == verify.FeedStale {
					stale.Add(1)
				}
			},
		}))
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
}

// An API that takes opaque tokens too, and asks the issuer about every token.
func ExampleIntrospection() {
	v, err := verify.New(context.Background(), "https://id.example.com",
		verify.Audience("https://api.example.com"),
		verify.Introspection("https://api.example.com", "the API's introspection secret", verify.ConfirmEach()))
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
}

// Some acts need a fresh or stronger login; the challenge tells the client how
// to ask for it.
func ExampleVerifier_RequireAll() {
	v, err := verify.New(context.Background(), "https://id.example.com", verify.Audience("https://api.example.com"))
	if err != nil {
		log.Fatal(err)
	}
	pay := http.NotFoundHandler()
	http.Handle("POST /payments", v.RequireAll(
		verify.Scopes("payments:write"),
		verify.ACR("urn:example:mfa"),
		verify.MaxAge(5*time.Minute),
	)(pay))
}

// A handler is tested without any token.
func ExampleNewContext() {
	handler := func(ctx context.Context) { fmt.Println("hello", verify.PrincipalFrom(ctx).Subject) }

	handler(verify.NewContext(context.Background(), &verify.Principal{Claims: verify.Claims{Subject: "ada"}}))
	// Output: hello ada
}
