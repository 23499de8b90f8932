package rules

// standards is the table of docs/standards.md.
var standards = []document{
	{"OAuth 2.0 (RFC 6749)", "https://www.rfc-editor.org/rfc/rfc6749", []feature{
		held("Authorization code grant (4.1)", "internal/server.TestCodeGivesTokens", "internal/server.TestCodeExpires", "internal/server.TestCodeReplay"),
		held("Client credentials grant (4.4)", "internal/server.TestClientCredentials"),
		held("Refresh tokens (6)", "internal/server.TestRotation", "internal/server.TestRefreshExpires", "internal/server.TestParallelRefreshes"),
		held("client_secret_basic, client_secret_post (2.3.1)", "internal/clientauth.TestBasic", "internal/server.TestTokenEndpointBadInput"),
		held("Two secrets overlap while one is replaced", "internal/server.TestSecretsOverlap", "internal/server.TestDeclaredSecretsOverlap"),
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
	{"JWT client authentication (RFC 7523)", "https://www.rfc-editor.org/rfc/rfc7523", []feature{
		held("private_key_jwt (2.2, 3; OpenID Connect Core 9), with jwks or jwks_uri", "internal/clientauth.TestAssertionClaims", "internal/clientauth.TestAssertionForms",
			"internal/clientauth.TestAssertionParameters", "internal/clientkeys.TestDeclaredKeys", "internal/clientkeys.TestPublishedKeys"),
		held("Algorithms by profile (FAPI 2.0 Security Profile 5.4.1)", "internal/clientauth.TestAssertionAlgorithms"),
		held("An assertion is taken once (3, item 7)", "internal/clientauth.TestAssertionIsUsedOnce", "internal/clientauth.TestAssertionIsNotBurnt", "internal/server.TestAssertionsOverHTTP"),
		missing("client_secret_jwt", "It needs the secret itself, of which only the hash is kept."),
		missing("The authorization grant (2.1)", "Nobody else's assertions are trusted here yet."),
	}},
	{"Mutual TLS (RFC 8705)", "https://www.rfc-editor.org/rfc/rfc8705", []feature{
		held("tls_client_auth by tls_client_auth_subject_dn (2.1)", "internal/server.TestTLSClientAuth", "internal/dn.TestNames"),
		missing("tls_client_auth by a subject alternative name (2.1.2)", "The subject is what authorities that certify clients agree on; nobody has asked for another name."),
		held("self_signed_tls_client_auth (2.2)", "internal/server.TestSelfSignedTLSClientAuth"),
		held("Access tokens bound to a certificate, at the issuer and in verify (3)", "internal/server.TestCertificateBoundTokens", "internal/server.TestAPIChecksTheCertificate", "verify.TestCertificateBoundTokens"),
		held("Public clients' refresh tokens bound to a certificate (4)", "internal/server.TestPublicClientsRefreshTokenIsBound"),
		held("Endpoint aliases in the metadata (5)", "internal/server.TestMetadataOfCertificates"),
		held("Certificates from a proxy's header (6.5, RFC 9440)", "internal/server.TestCertificateFromAProxy", "oauth/mtls.TestParseHeader", "oauth/mtls.TestCertificates"),
		missing("gRPC calls with verify/verifygrpc", "Bound tokens are refused there: the connection is not looked at yet."),
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
