package verifygrpc

import (
	"context"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/verify"
)

// Unary checks the token of each call, which it expects in the metadata
// authorization, after the word Bearer. A refusal has the code
//
//   - Unauthenticated without a token, or with one that is not valid, or whose person
//     must authenticate again (RFC 9470);
//   - PermissionDenied where a scope is missing, or the method is closed;
//   - Unavailable when the token can't be judged: the caller may send it again.
//
// Its message begins with the OAuth error code, which is also the reason of an
// ErrorInfo among the details.
func Unary(v *verify.Verifier, rules Rules) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		p, _, err := admit(ctx, v, rules(info.FullMethod))
		if err != nil {
			return nil, err
		}
		if p != nil {
			ctx = verify.NewContext(ctx, p)
		}
		return handler(ctx, req)
	}
}

// admit finds out who is calling; nil where everybody may.
func admit(ctx context.Context, v *verify.Verifier, r Rule) (*verify.Principal, string, error) {
	switch {
	case r.open:
		return nil, "", nil
	case !r.token:
		return nil, "", status.Error(codes.PermissionDenied, "no rule lets anybody call this method")
	}
	token, err := bearer(ctx)
	if err != nil {
		return nil, "", err
	}
	p, err := v.Verify(ctx, token)
	if err == nil {
		err = v.Check(p, r.needs...)
	}
	if err != nil {
		return nil, "", refusal(err)
	}
	return p, token, nil
}

// bearer is the token of a call.
func bearer(ctx context.Context) (string, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	values := md.Get("authorization")
	if len(values) == 0 {
		// No error is named where none was tried (RFC 6750 §3.1).
		return "", status.Error(codes.Unauthenticated, "this call needs an access token: send authorization: Bearer and the token")
	}
	if len(values) > 1 {
		return "", refusal(oauth.Refuse(oauth.InvalidRequest, "The call has more than one authorization."))
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.Trim(token, " ")
	if !strings.EqualFold(scheme, oauth.TokenTypeBearer) || token == "" {
		return "", refusal(oauth.Refuse(oauth.InvalidRequest, "The authorization is not the word Bearer and one token."))
	}
	return token, nil
}

// refusal is an error of OAuth in the terms of gRPC. Its cause stays here.
func refusal(err error) error {
	e := oauth.AsError(err)
	code := codes.Unauthenticated
	switch e.Code {
	case oauth.InsufficientScope:
		code = codes.PermissionDenied
	case oauth.TemporarilyUnavailable:
		code = codes.Unavailable
	case oauth.ServerError:
		code = codes.Internal
	}
	s := status.New(code, string(e.Code)+": "+e.Safe())
	if detailed, err := s.WithDetails(&errdetails.ErrorInfo{Reason: string(e.Code), Domain: "oauth"}); err == nil {
		s = detailed
	}
	return s.Err()
}
