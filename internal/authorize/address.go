package authorize

import (
	"net/url"
	"strings"

	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// ReturnAddress is where a client gets its answer. One exists only after client,
// redirect URI and response mode were verified, and every redirect to a client is
// made from one: without it there is no way to write an open redirect.
type ReturnAddress struct {
	uri, state, issuer string
}

// responseModeQuery is the only response mode (OAuth 2.0 Multiple Response Type
// Encoding Practices §2.1).
const responseModeQuery = "query"

// returnAddress is the one place that makes a ReturnAddress.
func returnAddress(issuer string, client *store.Client, redirectURI, responseMode, state string) (*ReturnAddress, *oauth.Error) {
	switch {
	case client.Disabled:
		return nil, oauth.Refuse(oauth.UnauthorizedClient, "this client is switched off")
	case !spec.MatchRedirect(client.RedirectURIs, redirectURI):
		return nil, oauth.Refuse(oauth.InvalidRequest, "redirect_uri is not one that this client registered: it is compared as an exact string")
	case responseMode != "" && responseMode != responseModeQuery:
		return nil, oauth.Refuse(oauth.InvalidRequest, "response_mode is not supported: leave it out, or write query")
	}
	return &ReturnAddress{uri: redirectURI, state: state, issuer: issuer}, nil
}

// Origin is the source expression that lets a page's form-action follow the
// redirect there.
func (a *ReturnAddress) Origin() string { return spec.RedirectOrigin(a.uri) }

// Host is where the browser goes, for people to read.
func (a *ReturnAddress) Host() string {
	u, err := url.Parse(a.uri)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Host
}

// Answer is a complete redirect to a client; empty: there is none.
type Answer struct{ location string }

// Location is the URI to redirect to.
func (a Answer) Location() string { return a.location }

// code answers with an authorization code (RFC 6749 §4.1.2).
func (a *ReturnAddress) code(code string) Answer { return a.answer(url.Values{"code": {code}}) }

// refuse answers with an error (RFC 6749 §4.1.2.1).
func (a *ReturnAddress) refuse(e *oauth.Error) Answer {
	v := url.Values{"error": {string(e.Code)}}
	if e.Description != "" {
		v.Set("error_description", e.Safe())
	}
	return a.answer(v)
}

// answer adds what every response has: state (RFC 6749 §4.1.2) and iss (RFC 9207).
// The registered URI stays as it is, byte for byte.
func (a *ReturnAddress) answer(v url.Values) Answer {
	v.Set("iss", a.issuer)
	if a.state != "" {
		v.Set("state", a.state)
	}
	separator := "?"
	if strings.Contains(a.uri, "?") {
		separator = "&"
	}
	return Answer{a.uri + separator + v.Encode()}
}
