package authorize

import (
	"slices"
	"strings"

	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// gives tells whether an answer of type t holds what the word names: code, id_token or
// token.
func gives(t oauth.ResponseType, word string) bool {
	return slices.Contains(strings.Fields(string(t)), word)
}

const (
	wordCode    = "code"
	wordIDToken = "id_token"
	wordToken   = "token"
)

// givesTokens tells whether an answer of type t holds tokens, which never stand in a query.
func givesTokens(t oauth.ResponseType) bool { return gives(t, wordIDToken) || gives(t, wordToken) }

// signed tells whether answers by mode m are JWTs (JARM §2.3).
func signed(m oauth.ResponseMode) bool { return strings.HasSuffix(string(m), suffixJWT) }

const suffixJWT = ".jwt"

// responseMode is how an answer goes: as it was asked for or, unasked, by the default of
// its type (OAuth 2.0 Multiple Response Type Encoding Practices §5, JARM §2.3.4); where the
// client has given up that one, by the first of its own. Tokens that were asked for in a
// query go by the fragment: the answer will be a refusal.
func responseMode(c *store.Client, t oauth.ResponseType, asked oauth.ResponseMode) (oauth.ResponseMode, *oauth.Error) {
	usual := oauth.ModeQuery
	if givesTokens(t) {
		usual = oauth.ModeFragment
	}
	if asked == "" {
		if asked = usual; !mayAnswer(c, usual, usual, usual) {
			fits := func(m oauth.ResponseMode) bool { return !misplaced(t, m) }
			asked = c.ResponseModes[max(0, slices.IndexFunc(c.ResponseModes, fits))]
		}
	}
	if !slices.Contains(spec.ResponseModes, asked) {
		return "", oauth.Refuse(oauth.InvalidRequest, "response_mode is not supported: leave it out, or write one of response_modes_supported")
	}
	mode := asked
	switch {
	case asked == oauth.ModeJWT:
		mode = usual + suffixJWT
	case misplaced(t, asked):
		return usual + mode[len(oauth.ModeQuery):], nil
	}
	if !mayAnswer(c, asked, mode, usual) {
		return "", oauth.Refuse(oauth.InvalidRequest, "response_mode is not one that this client registered in response_modes")
	}
	return mode, nil
}

// mayAnswer tells whether a client that registered response modes did register this one:
// by its own name, or as jwt, which stands for the default of the type.
func mayAnswer(c *store.Client, asked, mode, usual oauth.ResponseMode) bool {
	return len(c.ResponseModes) == 0 || slices.Contains(c.ResponseModes, asked) || slices.Contains(c.ResponseModes, mode) ||
		mode == usual+suffixJWT && slices.Contains(c.ResponseModes, oauth.ModeJWT)
}

// misplaced tells whether tokens are asked for in a query (OAuth 2.0 Multiple Response Type
// Encoding Practices §3.0, JARM §2.3.1).
func misplaced(t oauth.ResponseType, asked oauth.ResponseMode) bool {
	return givesTokens(t) && (asked == oauth.ModeQuery || asked == oauth.ModeQueryJWT)
}

// responseType takes the types that the client was given.
func (s *parsing) responseType() *oauth.Error {
	t := oauth.ParseResponseType(s.params.Get("response_type"))
	switch {
	case t == "":
		return oauth.Refuse(oauth.InvalidRequest, "response_type is missing: write for instance code")
	case !s.offered(t):
		return oauth.Refuse(oauth.UnsupportedResponseType, "response_type is not supported: write one of response_types_supported")
	case gives(t, wordCode) && !s.Client.MayUse(oauth.AuthorizationCode):
		return oauth.Refuse(oauth.UnauthorizedClient, "this client did not register the grant type authorization_code")
	case !s.Client.MayRespond(t):
		return oauth.Refuse(oauth.UnauthorizedClient, "this client did not register this response_type in response_types")
	case misplaced(t, oauth.ResponseMode(s.params.Get("response_mode"))):
		return oauth.Refuse(oauth.InvalidRequest, "response_mode puts tokens into a query, where they must not stand: write fragment or form_post")
	case gives(t, wordToken) && (s.Client.DPoPBound || s.Client.MTLSBound):
		return oauth.Refuse(oauth.UnauthorizedClient, "this client's tokens are bound to a key, which no authorization request shows: ask for a code")
	}
	s.Request.ResponseType, s.Request.ResponseMode = t, s.To.mode
	return nil
}

// offered tells whether any client may have answers of a type: what the metadata says.
func (s *parsing) offered(t oauth.ResponseType) bool {
	return t == oauth.ResponseCode || s.Client.MayRespond(t) ||
		slices.ContainsFunc(s.Directory.Clients(), func(c *store.Client) bool { return c.MayRespond(t) })
}

// answerTokens holds the rules about tokens in the answer: an ID token needs openid and
// nonce (OpenID Connect Core §3.2.2.1, §3.3.2.11), an access token one API that it is for.
func (s *parsing) answerTokens() *oauth.Error {
	t := s.Request.ResponseType
	if gives(t, wordIDToken) {
		switch {
		case !slices.Contains(s.Request.Scopes, oauth.ScopeOpenID):
			return oauth.Refuse(oauth.InvalidScope, "response_type asks for an ID token, which needs the scope openid")
		case s.Request.Nonce == "":
			return oauth.Refuse(oauth.InvalidRequest, "nonce is missing: an ID token in the answer needs one")
		}
	}
	if !gives(t, wordToken) {
		return nil
	}
	held := granted(&s.Request)
	_, refusal := s.Front.Lifetime(s.Client, &held)
	return refusal
}
