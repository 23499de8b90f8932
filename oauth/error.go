package oauth

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// ErrorCode is the value of the error parameter, exactly as it goes over the wire.
type ErrorCode string

const (
	InvalidRequest          ErrorCode = "invalid_request"                  // RFC 6749 §5.2
	InvalidClient           ErrorCode = "invalid_client"                   // RFC 6749 §5.2
	InvalidGrant            ErrorCode = "invalid_grant"                    // RFC 6749 §5.2
	UnauthorizedClient      ErrorCode = "unauthorized_client"              // RFC 6749 §5.2
	UnsupportedGrantType    ErrorCode = "unsupported_grant_type"           // RFC 6749 §5.2
	InvalidScope            ErrorCode = "invalid_scope"                    // RFC 6749 §5.2
	AccessDenied            ErrorCode = "access_denied"                    // RFC 6749 §4.1.2.1
	UnsupportedResponseType ErrorCode = "unsupported_response_type"        // RFC 6749 §4.1.2.1
	ServerError             ErrorCode = "server_error"                     // RFC 6749 §4.1.2.1
	TemporarilyUnavailable  ErrorCode = "temporarily_unavailable"          // RFC 6749 §4.1.2.1
	InvalidTarget           ErrorCode = "invalid_target"                   // RFC 8707 §2
	UnsupportedTokenType    ErrorCode = "unsupported_token_type"           // RFC 7009 §2.2.1
	InvalidToken            ErrorCode = "invalid_token"                    // RFC 6750 §3.1
	InsufficientScope       ErrorCode = "insufficient_scope"               // RFC 6750 §3.1
	InsufficientUserAuth    ErrorCode = "insufficient_user_authentication" // RFC 9470 §3
	LoginRequired           ErrorCode = "login_required"                   // OpenID Connect Core §3.1.2.6
	ConsentRequired         ErrorCode = "consent_required"                 // OpenID Connect Core §3.1.2.6
	InteractionRequired     ErrorCode = "interaction_required"             // OpenID Connect Core §3.1.2.6
	AccountSelection        ErrorCode = "account_selection_required"
	RequestNotSupported     ErrorCode = "request_not_supported"             // OpenID Connect Core §3.1.2.6
	RequestURINotSupported  ErrorCode = "request_uri_not_supported"         // OpenID Connect Core §3.1.2.6
	RegistrationNotSupp     ErrorCode = "registration_not_supported"        // OpenID Connect Core §3.1.2.6
	InvalidRequestObject    ErrorCode = "invalid_request_object"            // OpenID Connect Core §3.1.2.6
	InvalidRequestURI       ErrorCode = "invalid_request_uri"               // OpenID Connect Core §3.1.2.6
	InvalidAuthzDetails     ErrorCode = "invalid_authorization_details"     // RFC 9396 §5
	InvalidDPoPProof        ErrorCode = "invalid_dpop_proof"                // RFC 9449 §5
	UseDPoPNonce            ErrorCode = "use_dpop_nonce"                    // RFC 9449 §8
	AuthorizationPending    ErrorCode = "authorization_pending"             // RFC 8628 §3.5
	SlowDown                ErrorCode = "slow_down"                         // RFC 8628 §3.5
	ExpiredToken            ErrorCode = "expired_token"                     // RFC 8628 §3.5
	UnmetAuthentication     ErrorCode = "unmet_authentication_requirements" // OpenID Connect Unmet AR §3
)

// status is the one table from code to HTTP status for answers that go straight
// to the caller. A code that is not in it answers 400.
var status = map[ErrorCode]int{
	InvalidClient:          http.StatusUnauthorized,
	InvalidToken:           http.StatusUnauthorized,
	InsufficientScope:      http.StatusForbidden,
	InsufficientUserAuth:   http.StatusUnauthorized,
	ServerError:            http.StatusInternalServerError,
	TemporarilyUnavailable: http.StatusServiceUnavailable,
}

// Status is the HTTP status that carries the code in a direct answer.
func (c ErrorCode) Status() int {
	if s, ok := status[c]; ok {
		return s
	}
	return http.StatusBadRequest
}

// Error is a refusal in the standard's own terms. Description tells the caller's
// developer what to change; it goes over the wire and never holds a cause of
// ours, a secret or a token. The cause, if any, is for the log alone.
type Error struct {
	Code        ErrorCode
	Description string
	Cause       error
}

// Refuse makes an Error with a formatted description.
func Refuse(code ErrorCode, format string, args ...any) *Error {
	return &Error{Code: code, Description: fmt.Sprintf(format, args...)}
}

// Safe is the description with the characters alone that RFC 6749 §5.2 and RFC 6750 §3
// allow in one.
func (e *Error) Safe() string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"', r == '\\':
			return '\''
		case r < 0x20 || r > 0x7e:
			return '?'
		}
		return r
	}, e.Description)
}

func (e *Error) Error() string {
	s := string(e.Code)
	if e.Description != "" {
		s += ": " + e.Description
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Cause }

// AsError translates any error into the standard's terms: an *Error stays what
// it is, everything else is server_error with the cause kept for the log.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: ServerError, Description: "The server could not complete the request. Try again; if it persists, give the operator the request id.", Cause: err}
}
