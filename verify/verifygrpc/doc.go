// Package verifygrpc lets those calls to a gRPC server through that bear a valid
// access token. A verify.Verifier judges it, and rules say what a method needs.
//
//	rules := verifygrpc.Methods{
//		"/shop.Orders/List":             verifygrpc.Token(verify.Scopes("orders:read")),
//		"/shop.Orders/*":                verifygrpc.Token(verify.Scopes("orders:write")),
//		"/grpc.health.v1.Health/Check":  verifygrpc.Open(),
//	}
//	grpc.NewServer(
//		grpc.ChainUnaryInterceptor(verifygrpc.Unary(v, rules.Rule)),
//		grpc.ChainStreamInterceptor(verifygrpc.Stream(v, rules.Rule)))
//
// Handlers find out who is calling by verify.PrincipalFrom. A stream ends when its
// token is no longer good.
//
// A token that is bound to a key, by a certificate or by DPoP, is refused: DPoP proofs are for
// requests of HTTP, whose method and address a call does not have.
//
// It is a package of its own, so that who has no gRPC need not have its modules.
package verifygrpc
