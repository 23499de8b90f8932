package rules

var openidStandards = []document{
	{"OpenID Connect Core 1.0", "https://openid.net/specs/openid-connect-core-1_0.html", []feature{
		held("The basic certification plan's modules; openid-client goes through it", "internal/e2e.TestPlanBasic", "internal/e2e.TestForeignNode"),
		held("ID tokens (2), code flow (3.1)", "internal/tokens.TestIDToken", "internal/server.TestCodeGivesTokens"),
		held("Implicit flow (3.2), hybrid flow (3.3), for clients explicitly given them", "internal/endpoints.TestResponseTypes", "internal/endpoints.TestResponseTypesRefused", "internal/endpoints.TestImplicitGrantEnds"),
		held("prompt, max_age, id_token_hint, login_hint, ui_locales (3.1.2.1)", "internal/authorize.TestPrompts", "internal/authorize.TestNext", "internal/endpoints.TestReauthenticate"),
		held("Scopes and standard claims (5.1, 5.4)", "internal/server.TestUserInfo", "internal/server.TestDiscovery"),
		held("The claims parameter (5.5)", "internal/authorize.TestParse", "internal/server.TestDiscovery"),
		held("Userinfo (5.3)", "internal/server.TestUserInfo"),
		held("Signed userinfo (5.3.2)", "internal/endpoints.TestSignedUserInfo", "internal/server.TestDiscovery"),
		missing("Encrypted ID tokens and userinfo (5.3.2, 10.2)", noEncrypted),
		held("Request objects (6)", "internal/authorize.TestRequestObject", "internal/authorize.TestRequestObjectByReference"),
		held("Pairwise subjects (8), by sector", "internal/subject.TestNames", "internal/endpoints.TestPairwise", "internal/spec.TestSubjectsAndLogouts"),
		held("Client authentication (9): private_key_jwt", "internal/clientauth.TestAssertionClaims", "internal/clientauth.TestAssertionForms"),
		held("Refreshed ID tokens (12.2)", "internal/server.TestRotation"),
		missing("Aggregated and distributed claims (5.6.2)", noAsked),
		missing("Self-issued providers (7)", "It is another role, of wallets."),
	}},
	{"OpenID Connect Discovery 1.0", "https://openid.net/specs/openid-connect-discovery-1_0.html", []feature{
		held("Provider metadata (3, 4)", "internal/server.TestMetadata", "internal/server.TestDiscovery"),
		missing("WebFinger (2)", "Issuers are known to clients; nobody looks one up by an e-mail address."),
	}},
	{"OpenID Connect Dynamic Client Registration 1.0", "https://openid.net/specs/openid-connect-registration-1_0.html", []feature{
		missing("Registration by clients", notYet),
	}},
	{"Multiple response types, form post", "https://openid.net/specs/oauth-v2-multiple-response-types-1_0.html", []feature{
		held("openid-client goes through hybrid and implicit", "internal/e2e.TestForeignHybrid", "internal/e2e.TestForeignImplicit"),
		held("Response types of several words; query and fragment", "internal/endpoints.TestResponseTypes", "internal/endpoints.TestResponseModes", "internal/spec.TestRequestsAndResponses"),
		held("[form_post](https://openid.net/specs/oauth-v2-form-post-response-mode-1_0.html)", "internal/endpoints.TestResponseModes", "internal/pages.TestPostPolicy", "internal/server.TestDiscovery"),
		missing("response_type=none, response_type=token", noAsked),
	}},
	{"JARM: responses in a JWT", "https://openid.net/specs/oauth-v2-jarm.html", []feature{
		held("openid-client goes through it", "internal/e2e.TestForeignJARM"),
		held("jwt, query.jwt, fragment.jwt, form_post.jwt, signed", "internal/endpoints.TestResponseModes", "internal/server.TestDiscovery"),
		missing("Encrypted responses", noEncrypted),
	}},
	{"RP-Initiated Logout 1.0", "https://openid.net/specs/openid-connect-rpinitiated-1_0.html", []feature{
		held("end_session_endpoint", "internal/endpoints.TestLogoutWithHint", "internal/endpoints.TestLogoutAsks", "internal/endpoints.TestLogoutRefuses", "internal/logout.TestParse"),
	}},
	{"Back-Channel Logout 1.0", "https://openid.net/specs/openid-connect-backchannel-1_0.html", []feature{
		held("Logout tokens (2.4), told by whichever way a session ends", "internal/e2e.TestPlanLogoutChannels", "internal/server.TestBackchannelLogout", "internal/server.TestEveryEndIsTold", "internal/server.TestLogoutOfMovedSession", "internal/server.TestDiscovery"),
		held("Retries with back-off, across restarts (2.7, 2.8)", "internal/e2e.TestLogoutToldLater", "internal/server.TestLogoutIsToldAgain", "internal/server.TestSlowClientDelaysNobody", "internal/server.TestTwoNodesTellOnce"),
	}},
	{"Front-Channel Logout 1.0", "https://openid.net/specs/openid-connect-frontchannel-1_0.html", []feature{
		held("Frames in the browser, with iss and sid (2)", "internal/e2e.TestPlanLogoutChannels", "internal/e2e.TestFrontchannelLogoutInABrowser", "internal/server.TestDiscovery"),
	}},
	{"Session Management 1.0", "https://openid.net/specs/openid-connect-session-1_0.html", []feature{
		missing("check_session_iframe", "Browsers no longer give a frame of another site its cookies; back-channel logout does the work."),
	}},
	{"CIBA 1.0", "https://openid.net/specs/openid-client-initiated-backchannel-authentication-core-1_0.html", []feature{
		missing("Authentication on another device that the client asks for", "It needs a channel to people's devices, which is not there."),
	}},
	{"FAPI 2.0 Security Profile", "https://openid.net/specs/fapi-security-profile-2_0-final.html", []feature{
		held("The certification plans' modules, with private_key_jwt and with mTLS", "internal/e2e.TestPlanFAPI2", "internal/e2e.TestPlanFAPI2MTLS"),
		held("Profile fapi2: sets, locks and names the clause", "internal/spec.TestProfileSetsWhatIsAbsent", "internal/spec.TestProfileRefusesContradictions", "internal/config.TestBad"),
		held("TLS (5.2.1)", "internal/e2e.TestCiphers"),
		held("Confidential clients, by key or certificate (5.3.2.1 items 3 and 6)", "internal/spec.TestProfileRefusesContradictions", "internal/server.TestDiscovery"),
		held("Bound access tokens (5.3.2.1 items 4, 5)", "internal/server.TestDPoPTokens", "internal/server.TestCertificateBoundTokens"),
		held("The issuer alone as an assertion's audience (5.3.2.1 item 8)", "internal/clientauth.TestAssertionClaims"),
		held("Refresh tokens that don't rotate (5.3.2.1 item 9)", "internal/spec.TestProfileRefusesContradictions", "internal/redeem.TestJudge"),
		held("Codes live 60 s (5.3.2.1 item 11), bound to a DPoP key (item 12)", "internal/server.TestCodeExpires", "internal/server.TestDPoPCode"),
		held("iat and nbf a little ahead (5.3.2.1 item 13)", "internal/clientauth.TestAssertionClaims", "oauth/dpop.TestCheck", "internal/authorize.TestStrictRequestObjects"),
		held("PAR, PKCE and code alone (5.3.2.2 items 1 to 6)", "internal/server.TestDiscovery", "internal/authorize.TestHowRequestsMustCome"),
		held("ES256, EdDSA and PS256 alone (5.4.1)", "internal/spec.TestProfileLists", "internal/server.TestDiscovery"),
	}},
	{"FAPI 2.0 Message Signing", "https://openid.net/specs/fapi-message-signing-2_0-final.html", []feature{
		held("The certification plan's modules; openid-client goes through it", "internal/e2e.TestPlanFAPI2MessageSigning", "internal/e2e.TestForeignMessageSigning"),
		held("Profile fapi2-message-signing: sets, locks and names the clause", "internal/spec.TestProfileSetsWhatIsAbsent", "internal/spec.TestProfileRefusesContradictions"),
		held("Signed requests (5.3.1)", "internal/authorize.TestStrictRequestObjects", "internal/server.TestDiscovery"),
		held("Signed responses (5.4.1)", "internal/endpoints.TestResponseModes", "internal/server.TestDiscovery"),
		held("Signed introspection answers (5.5.1)", "internal/server.TestSignedIntrospection", "internal/server.TestDiscovery"),
		missing("HTTP message signatures (5.6)", "The specification leaves how keys are found to others, and the certification does not ask for it."),
	}},
}
