// Package verify is what a protected API imports to judge access tokens. A
// Verifier learns an issuer's keys, keeps them fresh in the background and
// checks JWT access tokens locally as RFC 9068 §4 asks; opaque tokens, and any
// token on request, are put to the issuer's introspection endpoint (RFC 7662).
// Its middleware for net/http speaks the challenges of RFC 6750 and RFC 9470.
//
//	v, err := verify.New(ctx, "https://id.example.com", verify.Audience("https://api.example.com"))
//	mux.Handle("GET /orders", v.Require("orders:read")(orders))
//	p := verify.PrincipalFrom(r.Context())
//
// What can't be decided is never decided in a token's favour, nor called
// invalid: it is ErrUnavailable, over HTTP a 503.
//
// Signed and DecodeClaims are the two halves of the check for who has keys at
// hand, as the issuer itself has.
package verify
