package rules

// standards is the table of docs/standards.md: the specifications that the tables of
// standards_oauth_test.go and standards_openid_test.go are made of.
var standards = append(oauthStandards, openidStandards...)

// Reasons that several rows share.
const (
	notYet      = "Not yet: it comes with a later release."
	noAsked     = "No client has asked for it."
	forbidden   = "RFC 9700 forbids it."
	noEncrypted = "Nothing is encrypted beyond TLS: responses go to confidential clients or hold nothing secret."
)
