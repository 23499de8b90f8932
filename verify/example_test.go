package verify_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
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

// An API that wants revocation to count at once, and takes opaque tokens too.
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
