package verify

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/dpop"
)

// Require is middleware that lets a request through if it bears a valid token
// with every one of these scopes, and refuses it otherwise as RFC 6750 says.
// PrincipalFrom then tells who is calling. It panics if a scope is malformed.
func (v *Verifier) Require(scopes ...string) func(http.Handler) http.Handler {
	return v.RequireAll(Scopes(scopes...))
}

// RequireAll is Require for any requirements:
//
//	v.RequireAll(verify.Scopes("payments:write"), verify.ACR("urn:example:mfa"), verify.MaxAge(5*time.Minute))
//
// A token that is valid but whose person must authenticate again gets the
// challenge of RFC 9470. When the token can't be judged the answer is 503 with
// Retry-After, and the client's token is not blamed.
func (v *Verifier) RequireAll(needs ...Requirement) func(http.Handler) http.Handler {
	r := newRequirements(needs)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			scheme, token, err := presented(req.Header)
			if err != nil {
				v.refuse(w, req, &r, scheme, err)
				return
			}
			if token == "" {
				v.demand(w)
				return
			}
			if scheme == oauth.TokenTypeDPoP && v.nonces != nil {
				w.Header().Set(dpop.NonceHeader, v.ProofNonce())
			}
			p, err := v.verify(req.Context(), token, shown{scheme, req})
			switch {
			case err == nil:
				err = v.check(p, &r)
			case !isB64Token(token): // looked at only now: what was taken before is one
				err = errHeader
			}
			if err != nil {
				v.refuse(w, req, &r, scheme, err)
				return
			}
			next.ServeHTTP(w, req.WithContext(NewContext(req.Context(), p)))
		})
	}
}

// presented is the token of the Authorization header (RFC 6750 §2.1, RFC 9449 §7.1), the
// only place where one is looked for, and its scheme, Bearer or DPoP. The token is empty
// when the request tries no such thing, and may be no token at all.
func presented(h http.Header) (scheme, token string, err error) {
	values := h["Authorization"]
	if len(values) > 1 {
		return oauth.TokenTypeBearer, "", oauth.Refuse(oauth.InvalidRequest, "The request has more than one Authorization header.")
	}
	if len(values) == 0 {
		return oauth.TokenTypeBearer, "", nil
	}
	word, token, _ := strings.Cut(values[0], " ")
	switch {
	case strings.EqualFold(word, oauth.TokenTypeBearer):
		scheme = oauth.TokenTypeBearer
	case strings.EqualFold(word, oauth.TokenTypeDPoP):
		scheme = oauth.TokenTypeDPoP
	default:
		return oauth.TokenTypeBearer, "", nil
	}
	return scheme, strings.Trim(token, " "), nil
}

var errHeader = invalid("The Authorization header is not the word Bearer or DPoP and one token.")

// isB64Token tells whether s has only the characters of a token (b64token of RFC
// 6750 §2.1).
func isB64Token(s string) bool {
	s = strings.TrimRight(s, "=")
	if s == "" {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case strings.IndexByte("-._~+/", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// demand answers a request without a token: no error is named (RFC 6750 §3.1).
func (v *Verifier) demand(w http.ResponseWriter) {
	w.Header()["Www-Authenticate"] = []string{v.challenge, v.proofChallenge}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusUnauthorized)
}

// refuse answers with the error in the standard's terms. Of the two challenges the one of
// the scheme that was used comes first, with the error (RFC 9449 §7.1).
func (v *Verifier) refuse(w http.ResponseWriter, req *http.Request, r *requirements, scheme string, err error) {
	e := oauth.AsError(err)
	status := e.Code.Status()
	header := w.Header()
	switch e.Code {
	case oauth.InvalidDPoPProof, oauth.UseDPoPNonce:
		status = http.StatusUnauthorized // 400 is the token endpoint's
	}
	switch e.Code {
	case oauth.TemporarilyUnavailable:
		header.Set("Retry-After", strconv.Itoa(1+rand.N(5)))
		// Not if the caller just went away. Of a feed that is silent its follower tells.
		if req.Context().Err() == nil && !errors.Is(err, errStale) {
			v.log.WarnContext(req.Context(), "verify: a token could not be checked", "issuer", v.issuer, "error", e.Cause)
		}
	default:
		used, other := v.challenge, v.proofChallenge
		if scheme == oauth.TokenTypeDPoP {
			used, other = other, used
		}
		header["Www-Authenticate"] = []string{errorChallenge(used, e, r), other}
	}
	body, _ := json.Marshal(struct {
		Error       oauth.ErrorCode `json:"error"`
		Description string          `json:"error_description,omitempty"`
	}{e.Code, e.Description})
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

// errorChallenge is the WWW-Authenticate value for an error, with what the client
// needs to ask for a better token.
func errorChallenge(challenge string, e *oauth.Error, r *requirements) string {
	b := []byte(challenge)
	b = appendParam(b, "error", string(e.Code))
	b = appendParam(b, "error_description", e.Description)
	switch e.Code {
	case oauth.InsufficientScope:
		b = appendParam(b, "scope", oauth.JoinScope(r.scopes))
	case oauth.InsufficientUserAuth:
		if len(r.acrs) > 0 {
			b = appendParam(b, "acr_values", strings.Join(r.acrs, " "))
		}
		if r.aged {
			b = appendParam(b, "max_age", strconv.FormatInt(seconds(r.maxAge), 10))
		}
	}
	return string(b)
}

// appendParam appends an auth-param as a quoted-string. Quotes, backslashes and
// what is not printable ASCII have no place in one (RFC 6750 §3).
func appendParam(b []byte, name, value string) []byte {
	if b[len(b)-1] == '"' {
		b = append(b, ',')
	}
	b = append(append(append(b, ' '), name...), `="`...)
	for _, c := range value {
		switch {
		case c == '"' || c == '\\':
			c = '\''
		case c < ' ' || c > '~':
			c = '?'
		}
		b = append(b, byte(c))
	}
	return append(b, '"')
}
