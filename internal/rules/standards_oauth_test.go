package rules

var oauthStandards = []document{
	{"OAuth 2.0 (RFC 6749)", "https://www.rfc-editor.org/rfc/rfc6749", []feature{
		held("Authorization code grant (4.1)", "internal/server.TestCodeGivesTokens", "internal/server.TestCodeExpires", "internal/server.TestParallelRedemptions"),
		held("A code that is used twice ends what it gave (4.1.2)", "internal/server.TestCodeReplay", "internal/server.TestCodeReplayAfterRotation", "internal/e2e.TestCodeRace"),
		held("Client credentials grant (4.4)", "internal/server.TestClientCredentials"),
		held("Refresh tokens (6)", "internal/server.TestRotation", "internal/server.TestRefreshExpires", "internal/server.TestRefreshLooksAgain", "internal/server.TestNarrowing"),
		held("client_secret_basic and client_secret_post (2.3.1)", "internal/clientauth.TestBasic", "internal/server.TestTokenEndpointBadInput", "internal/server.TestDiscovery"),
		held("Two secrets overlap while one is replaced", "internal/server.TestSecretsOverlap", "internal/server.TestDeclaredSecretsOverlap"),
		held("Redirect URIs compared byte for byte (3.1.2.3)", "internal/spec.TestMatchRedirect", "internal/e2e.TestRedirectURIs"),
		held("Errors (4.1.2.1, 5.2)", "internal/e2e.TestErrorsGoBack", "internal/endpoints.TestErrorPages", "internal/server.TestTokenEndpointBadInput"),
		missing("Implicit grant (4.2): response_type=token alone", forbidden+" OpenID Connect's types that hold an ID token are below."),
		missing("Password grant (4.3)", forbidden),
	}},
	{"Best practice (RFC 9700), OAuth 2.1 (draft-ietf-oauth-v2-1)", "https://www.rfc-editor.org/rfc/rfc9700", []feature{
		held("Profile oauth21: sets, locks and names the clause", "internal/spec.TestProfileSetsWhatIsAbsent", "internal/spec.TestProfileRefusesContradictions", "internal/config.TestBad"),
		held("PKCE downgrade is refused (RFC 9700 2.1.1)", "internal/server.TestPKCEDowngrade"),
		held("Refresh tokens of public clients rotate or are bound (RFC 9700 2.2.2)", "internal/server.TestPublicReplayAfterGrace", "internal/server.TestPublicClientsRefreshTokenIsBound", "internal/server.TestDPoPRefresh"),
		held("No open redirector (RFC 9700 4.11)", "internal/endpoints.TestErrorPages", "internal/e2e.TestRedirectURIs"),
		held("303 after a form, never 307 (RFC 9700 4.12)", "internal/endpoints.TestLoginAndSSO"),
	}},
	{"Native apps (RFC 8252)", "https://www.rfc-editor.org/rfc/rfc8252", []feature{
		held("Loopback redirect URIs with any port (7.3), private-use schemes (7.1)", "internal/spec.TestMatchRedirect", "internal/spec.TestRedirectURIs"),
	}},
	{"Bearer tokens (RFC 6750)", "https://www.rfc-editor.org/rfc/rfc6750", []feature{
		held("Authorization header (2.1), form (2.2), challenges (3)", "internal/server.TestUserInfo", "internal/server.TestDiscovery", "verify.TestRequire"),
		missing("Query parameter (2.3)", forbidden),
	}},
	{"Token revocation (RFC 7009)", "https://www.rfc-editor.org/rfc/rfc7009", []feature{
		held("Access and refresh tokens", "internal/server.TestRevokeAccessToken", "internal/server.TestRevokeGrant", "internal/server.TestRevokeBadInput"),
	}},
	{"Token introspection (RFC 7662), signed answers (RFC 9701)", "https://www.rfc-editor.org/rfc/rfc7662", []feature{
		held("By resources and clients", "internal/server.TestIntrospection", "verify.TestIntrospectOpaque"),
		held("Signed answers (RFC 9701 5)", "internal/server.TestSignedIntrospection"),
		missing("Encrypted answers (RFC 9701 5)", noEncrypted),
	}},
	{"JWT client authentication (RFC 7523)", "https://www.rfc-editor.org/rfc/rfc7523", []feature{
		held("private_key_jwt (2.2, 3; OpenID Connect Core 9), with jwks or jwks_uri", "internal/clientauth.TestAssertionClaims", "internal/clientauth.TestAssertionForms",
			"internal/clientauth.TestAssertionParameters", "internal/clientkeys.TestDeclaredKeys", "internal/clientkeys.TestPublishedKeys"),
		held("Algorithms by profile (FAPI 2.0 Security Profile 5.4.1)", "internal/clientauth.TestAssertionAlgorithms"),
		held("An assertion is taken once (3, item 7)", "internal/clientauth.TestAssertionIsUsedOnce", "internal/clientauth.TestAssertionIsNotBurnt", "internal/server.TestAssertionsOverHTTP"),
		held("Keys are fetched within bounds, and never from a private address", "internal/fetch.TestHostileServers", "internal/fetch.TestNameThatChanges", "internal/fetch.TestRedirectsAreNotFollowed", "internal/clientkeys.TestHostileSites"),
		missing("client_secret_jwt", "It needs the secret itself, of which only the hash is kept."),
		missing("The authorization grant (2.1)", "Nobody else's assertions are trusted here yet."),
	}},
	{"PKCE (RFC 7636)", "https://www.rfc-editor.org/rfc/rfc7636", []feature{
		held("S256", "internal/redeem.TestProves", "internal/server.TestPKCEDowngrade"),
		missing("plain", "It shows the verifier to whoever reads the request (RFC 9700 2.1.1)."),
	}},
	{"JSON Web Keys and signatures (RFC 7515, 7517, 7518, 8037), best practice (RFC 8725)", "https://www.rfc-editor.org/rfc/rfc8725", []feature{
		held("RS256, PS256, ES256, ES384, EdDSA with Ed25519", "oauth/jwks.TestVerifiesWhatGoJoseSigns", "oauth/jwks.TestRFCExamplesVerify", "internal/keys.TestSign", "internal/server.TestDiscovery"),
		held("An algorithm by key; none, HS*, unknown crit and embedded keys refused (RFC 8725 3)", "verify.TestAlgorithmIsTheKeys", "verify.TestVerifyRefusesAttacks", "verify.TestSignedRefuses"),
		held("Keys off the curve, weak RSA and private members refused", "oauth/jwks.TestParseRefuses", "oauth/jwks.TestNewRefuses"),
		held("Rotation: the next key is published before it signs", "internal/keys.TestLife", "internal/keys.TestPolicyIsChecked", "internal/keys.TestRotate"),
		held("A compromised key leaves in one command, and the next one, which verifiers hold, signs", "internal/e2e.TestKeyCompromise", "internal/server.TestRevokeKey", "verify.TestRemovedKey"),
		missing("Encryption (RFC 7516)", noEncrypted),
	}},
	{"Token exchange (RFC 8693)", "https://www.rfc-editor.org/rfc/rfc8693", []feature{
		missing("Exchange of access tokens", notYet),
	}},
	{"Device authorization (RFC 8628)", "https://www.rfc-editor.org/rfc/rfc8628", []feature{
		held("openid-client goes through it", "internal/e2e.TestForeignDevice"),
		held("/device_authorization, the page for the code, consent that shows client and code, polling", "internal/endpoints.TestDevice", "internal/endpoints.TestDeviceRefused", "internal/endpoints.TestDeviceOnce"),
		held("User codes: 20^8, ten minutes, guesses limited by address; a flow stays in its browser", "internal/endpoints.TestDeviceGuesses", "internal/endpoints.TestDeviceOtherBrowser", "internal/authorize.TestNewUserCode"),
		held("verification_uri_complete (3.3.1), which only fills the code in; a device that shows it as a QR code and polls as it is told", "internal/e2e.TestBrowser", "internal/demo.TestTV", "internal/demo.TestTVSlowsDown", "internal/demo.TestTVIsRefused", "internal/demo.TestDrawQR"),
	}},
	{"Dynamic registration (RFC 7591, RFC 7592)", "https://www.rfc-editor.org/rfc/rfc7591", []feature{
		missing("Registration and management by clients", notYet+" Clients are declared in the configuration or made by command, in the same terms."),
	}},
	{"Authorization server metadata (RFC 8414)", "https://www.rfc-editor.org/rfc/rfc8414", []feature{
		held("The document, and each feature that it names, called under each profile", "internal/server.TestMetadata", "internal/server.TestDiscovery", "internal/endpoints.TestIssuerUnderAPath"),
		missing("Signed metadata (2.1)", noAsked),
	}},
	{"Resource indicators (RFC 8707)", "https://www.rfc-editor.org/rfc/rfc8707", []feature{
		held("Several resources in a grant, narrowed at /token", "internal/authorize.TestResources", "internal/server.TestNarrowing"),
	}},
	{"Mutual TLS (RFC 8705)", "https://www.rfc-editor.org/rfc/rfc8705", []feature{
		held("openid-client goes through it; the certification plan's modules", "internal/e2e.TestForeignMTLS", "internal/e2e.TestPlanFAPI2MTLS"),
		held("tls_client_auth by tls_client_auth_subject_dn (2.1)", "internal/server.TestTLSClientAuth", "internal/dn.TestNames"),
		missing("tls_client_auth by a subject alternative name (2.1.2)", "The subject is what authorities that certify clients agree on; nobody has asked for another name."),
		held("self_signed_tls_client_auth (2.2)", "internal/server.TestSelfSignedTLSClientAuth"),
		held("Access tokens bound to a certificate, at the issuer and in verify (3)", "internal/server.TestCertificateBoundTokens", "internal/server.TestAPIChecksTheCertificate", "verify.TestCertificateBoundTokens"),
		held("Public clients' refresh tokens bound to a certificate (4)", "internal/server.TestPublicClientsRefreshTokenIsBound"),
		held("Endpoint aliases in the metadata (5)", "internal/server.TestMetadataOfCertificates", "internal/server.TestDiscovery"),
		held("Certificates from a proxy's header (6.5, RFC 9440)", "internal/server.TestCertificateFromAProxy", "oauth/mtls.TestParseHeader", "oauth/mtls.TestCertificates"),
		missing("gRPC calls with verify/verifygrpc", "Bound tokens are refused there: the connection is not looked at yet."),
	}},
	{"JWT access tokens (RFC 9068)", "https://www.rfc-editor.org/rfc/rfc9068", []feature{
		held("Claims and typ, and their checks", "internal/tokens.TestBothFormatsSayTheSame", "verify.TestVerifyClaims"),
	}},
	{"Signed requests (RFC 9101)", "https://www.rfc-editor.org/rfc/rfc9101", []feature{
		held("openid-client goes through it", "internal/e2e.TestForeignJAR"),
		held("By value (4)", "internal/authorize.TestRequestObject", "internal/authorize.TestBadRequestObjects", "internal/endpoints.TestSignedRequests"),
		held("By reference (5.2)", "internal/authorize.TestRequestObjectByReference"),
		held("require_signed_request (10.5)", "internal/authorize.TestHowRequestsMustCome", "internal/authorize.TestStrictRequestObjects"),
		missing("Unsigned and encrypted request objects (6.1, 4)", "The one proves nothing; "+noEncrypted),
	}},
	{"Pushed requests (RFC 9126)", "https://www.rfc-editor.org/rfc/rfc9126", []feature{
		held("openid-client and oauth4webapi go through it", "internal/e2e.TestForeignPAR", "internal/e2e.TestForeignWebAPI"),
		held("/par, used once, at authorization", "internal/authorize.TestPushed", "internal/authorize.TestPushedOnce", "internal/authorize.TestPushedIsSpentByRefusals", "internal/server.TestWhoMayPush"),
		held("require_par (6)", "internal/authorize.TestHowRequestsMustCome", "internal/server.TestDiscovery"),
	}},
	{"Issuer in the response (RFC 9207)", "https://www.rfc-editor.org/rfc/rfc9207", []feature{
		held("iss in every response, errors included", "internal/authorize.TestAnswers", "internal/server.TestDiscovery"),
	}},
	{"Rich authorization requests (RFC 9396)", "https://www.rfc-editor.org/rfc/rfc9396", []feature{
		held("authorization_details: asked, shown, granted, narrowed", "internal/authorize.TestDetails", "internal/authorize.TestDetailsAreAskedForEachTime", "internal/endpoints.TestPushedWithDetails", "internal/tokens.TestDetailsFor"),
	}},
	{"DPoP (RFC 9449)", "https://www.rfc-editor.org/rfc/rfc9449", []feature{
		held("openid-client and oauth4webapi go through it", "internal/e2e.TestForeignDPoP", "internal/e2e.TestForeignWebAPI"),
		held("Proofs (4)", "oauth/dpop.TestVectors", "oauth/dpop.TestCheck", "oauth/dpop.TestForm", "internal/server.TestDPoPProofs"),
		held("A proof is taken once (11.1)", "internal/server.TestDPoPOnce", "internal/server.TestDPoPOnceAcrossNodes", "verify.TestUsedProofs"),
		held("Access tokens of every grant type, and public clients' refresh tokens, bound to the key (5, 6)", "internal/server.TestDPoPTokens", "internal/server.TestDPoPRefresh"),
		held("At protected resources: userinfo, the feed, and APIs with verify (7)", "internal/server.TestDPoPUserInfo", "internal/server.TestDPoPFeed", "verify.TestDPoP"),
		held("Nonces (8, 9)", "internal/server.TestDPoPNonce", "internal/server.TestDPoPNonceRequired", "verify.TestRequireNonce"),
		held("Codes bound by dpop_jkt or by a push (10)", "internal/endpoints.TestCodesOfAKey", "internal/endpoints.TestPushedWithAnotherKey", "internal/server.TestDPoPCode"),
		missing("gRPC calls with verify/verifygrpc", "Proofs are for the method and address of HTTP requests; bound tokens are refused there."),
	}},
	{"Step-up (RFC 9470)", "https://www.rfc-editor.org/rfc/rfc9470", []feature{
		held("acr_values, max_age and the API's challenge (3, 4)", "internal/endpoints.TestStepUp", "internal/authorize.TestNext"),
	}},
	{"The revocation feed", "revocation-feed.md", []feature{
		held("Jeton's own: APIs hear of a revocation as it happens", "internal/server.TestFeedStream", "verify.TestFeed", "internal/e2e.TestFeedReader"),
	}},
}
