// Package verify is what a protected API imports to judge access tokens. A
// Verifier learns an issuer's keys, keeps them fresh in the background and
// checks JWT access tokens locally as RFC 9068 §4 asks; opaque tokens, and any
// token on request, are put to the issuer's introspection endpoint (RFC 7662).
// Its middleware for net/http speaks the challenges of RFC 6750 and RFC 9470.
//
//	v, err := verify.New(ctx, "https://id.example.com", verify.Audience("https://api.example.com"),
//		verify.Feed(verify.APISecret("https://api.example.com", secret)))
//	mux.Handle("GET /orders", v.Require("orders:read")(orders))
//	p := verify.PrincipalFrom(r.Context())
//
// With Feed, which Jeton serves and docs/revocation-feed.md describes, a Verifier
// holds in memory what is revoked, hears of each revocation within milliseconds and
// always knows how old its knowledge is. Past the bound that MaxStale sets, it refuses,
// introspects or degrades, and never goes on in silence. Health tells how it is,
// Observe counts, and a Principal's Done ends long streams. It works with any other
// issuer without Feed: then a JWT is good until it expires, or with ConfirmEach until
// its issuer says otherwise.
//
// A token that was seen before costs a look-up and the checks that time can change: a
// few hundred nanoseconds.
//
// A token that is bound to a key, by a certificate (RFC 8705) or by DPoP (RFC 9449), is good
// in a request that shows the key: Require and VerifyRequest see to that, and CertificateHeader
// and PublicURL tell what a proxy hides. PublicURL, and RequireNonce if proofs must not be made
// in advance, are all that DPoP needs.
//
// What can't be decided is never decided in a token's favour, nor called
// invalid: it is ErrUnavailable, over HTTP a 503.
//
// Signed and DecodeClaims are the two halves of the check for who has keys at
// hand, as the issuer itself has.
package verify
