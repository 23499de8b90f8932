package rules

// standards is the table of docs/standards.md.
var standards = []document{
	{"OAuth 2.0 (RFC 6749)", "https://www.rfc-editor.org/rfc/rfc6749", []feature{
		held("Authorization code grant (4.1)", "internal/server.TestCodeGivesTokens", "internal/server.TestCodeExpires", "internal/server.TestCodeReplay"),
		held("Client credentials grant (4.4)", "internal/server.TestClientCredentials"),
		held("Refresh tokens (6)", "internal/server.TestRotation", "internal/server.TestRefreshExpires", "internal/server.TestParallelRefreshes"),
		held("client_secret_basic, client_secret_post (2.3.1)", "internal/clientauth.TestBasic", "internal/server.TestTokenEndpointBadInput"),
		held("Redirect URIs compared byte for byte (3.1.2.3)", "internal/spec.TestMatchRedirect", "internal/e2e.TestRedirectURIs"),
		missing("Password grant (4.3)", "RFC 9700 2.4 forbids it."),
	}},
	{"Bearer tokens (RFC 6750)", "https://www.rfc-editor.org/rfc/rfc6750", []feature{
		held("Authorization header (2.1)", "internal/server.TestUserInfo"),
		missing("Query parameter (2.3)", "RFC 9700 4.3.2 forbids it."),
	}},
	{"Token revocation (RFC 7009)", "https://www.rfc-editor.org/rfc/rfc7009", []feature{
		held("Access and refresh tokens", "internal/server.TestRevokeAccessToken", "internal/server.TestRevokeGrant", "internal/server.TestRevokeBadInput"),
	}},
	{"PKCE (RFC 7636)", "https://www.rfc-editor.org/rfc/rfc7636", []feature{
		held("S256", "internal/redeem.TestProves", "internal/server.TestPKCEDowngrade"),
		missing("plain", "RFC 9700 2.1.1 asks for methods that don't show the verifier."),
	}},
	{"DPoP (RFC 9449)", "https://www.rfc-editor.org/rfc/rfc9449", []feature{
		held("Proofs (4)", "oauth/dpop.TestVectors", "oauth/dpop.TestCheck", "oauth/dpop.TestForm", "internal/server.TestDPoPProofs"),
		held("A proof is taken once (11.1)", "internal/server.TestDPoPOnce", "internal/server.TestDPoPOnceAcrossNodes", "verify.TestUsedProofs"),
		held("Access tokens of every grant type, and public clients' refresh tokens, bound to the key (5, 6)", "internal/server.TestDPoPTokens", "internal/server.TestDPoPRefresh"),
		held("At protected resources: userinfo, the feed, and APIs with verify (7)", "internal/server.TestDPoPUserInfo", "internal/server.TestDPoPFeed", "verify.TestDPoP"),
		held("Nonces (8, 9)", "internal/server.TestDPoPNonce", "internal/server.TestDPoPNonceRequired", "verify.TestRequireNonce"),
		held("Codes bound by dpop_jkt or by a push (10)", "internal/endpoints.TestCodesOfAKey", "internal/endpoints.TestPushedWithAnotherKey", "internal/server.TestDPoPCode"),
		missing("gRPC calls with verify/verifygrpc", "Proofs are for the method and address of HTTP requests; bound tokens are refused there."),
	}},
	{"Token introspection (RFC 7662, RFC 9701)", "https://www.rfc-editor.org/rfc/rfc7662", []feature{
		held("By resources and clients", "internal/server.TestIntrospection"),
		held("Signed answers (RFC 9701)", "internal/server.TestSignedIntrospection"),
	}},
}
