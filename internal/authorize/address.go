package authorize

import (
	"net/url"
	"strings"

	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// ReturnAddress is where a client gets its answer. One exists only after client,
// redirect URI and response mode were verified, and every answer to a client is
// made from one: without it there is no way to write an open redirect.
type ReturnAddress struct {
	uri, state, issuer string
	client             *store.Client
	mode               oauth.ResponseMode // how the answer goes: never empty or jwt
	device             bool               // the device asks for its answer: the person sees a page of ours
}

// returnAddress is the one place that makes a ReturnAddress. t is the response type that
// is asked for, whether the client may have it or not, and mode empty for its default.
func returnAddress(issuer string, client *store.Client, redirectURI string, t oauth.ResponseType, mode oauth.ResponseMode, state string) (*ReturnAddress, *oauth.Error) {
	switch {
	case client.Disabled:
		return nil, oauth.Refuse(oauth.UnauthorizedClient, "this client is switched off")
	case !spec.MatchRedirect(client.RedirectURIs, redirectURI):
		return nil, oauth.Refuse(oauth.InvalidRequest, "redirect_uri is not one that this client registered: it is compared as an exact string")
	}
	chosen, refusal := responseMode(client, t, mode)
	if refusal != nil {
		return nil, refusal
	}
	return &ReturnAddress{uri: redirectURI, state: state, issuer: issuer, client: client, mode: chosen}, nil
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

// Answer is a complete answer to a client; the zero Answer: there is none. Flows.Response
// gives it the form in which the browser carries it.
type Answer struct {
	to     *ReturnAddress
	params url.Values
	made   *store.Grant // tokens of it are yet to be added
}

// Location is the URI to redirect to; empty where the answer goes by a form, or is yet to
// be signed.
func (a Answer) Location() string {
	if a.to == nil || a.to.device || signed(a.to.mode) || a.to.mode == oauth.ModeFormPost {
		return ""
	}
	return a.to.location(a.params)
}

// refuse answers with an error (RFC 6749 §4.1.2.1).
func (a *ReturnAddress) refuse(e *oauth.Error) Answer {
	v := url.Values{"error": {string(e.Code)}}
	if e.Description != "" {
		v.Set("error_description", e.Safe())
	}
	return a.answer(v)
}

// answer adds what every response has: state (RFC 6749 §4.1.2) and iss (RFC 9207, JARM
// §2.1).
func (a *ReturnAddress) answer(v url.Values) Answer {
	v.Set("iss", a.issuer)
	if a.state != "" {
		v.Set("state", a.state)
	}
	return Answer{to: a, params: v}
}

// location is the registered URI as it is, byte for byte, with parameters behind it.
func (a *ReturnAddress) location(v url.Values) string {
	separator := "?"
	switch {
	case a.mode == oauth.ModeFragment || a.mode == oauth.ModeFragmentJWT:
		separator = "#"
	case strings.Contains(a.uri, "?"):
		separator = "&"
	}
	return a.uri + separator + v.Encode()
}
