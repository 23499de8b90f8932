package verifygrpc

import (
	"context"
	"errors"

	"google.golang.org/grpc"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/verify"
)

// errOver is why the context of a handler ends with its token.
var errOver = errors.New("verifygrpc: the token of this stream is no longer good")

// Stream is Unary for streams. When the token is no longer good (Principal.Done) the
// context of the stream ends, what the handler sends or waits for fails, and the
// caller gets the refusal that the token would get now. A handler that neither sends,
// nor receives, nor looks at the context goes on until it returns. A message whose
// sending failed must not be changed.
func Stream(v *verify.Verifier, rules Rules) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		p, token, err := admit(ss.Context(), v, rules(info.FullMethod))
		if err != nil {
			return err
		}
		if p == nil {
			return handler(srv, ss)
		}
		over := p.Done()
		ctx, cancel := context.WithCancelCause(verify.NewContext(ss.Context(), p))
		defer cancel(nil)
		go func() {
			select {
			case <-over:
				cancel(errOver)
			case <-ctx.Done():
			}
		}()
		s := &stream{ss, ctx, over}
		err = handler(srv, s)
		if !s.ended() {
			return err
		}
		if _, err := v.Verify(ss.Context(), token); err != nil {
			return refusal(err)
		}
		return refusal(oauth.Refuse(oauth.InvalidToken, "The token can no longer be relied on here. Begin again."))
	}
}

// stream is a stream that ends with its token. What the transport keeps waiting then
// is left to end with the handler.
type stream struct {
	grpc.ServerStream
	ctx  context.Context
	over <-chan struct{}
}

// Context has the principal, and ends with the token.
func (s *stream) Context() context.Context { return s.ctx }

func (s *stream) SendMsg(m any) error { return s.do(s.ServerStream.SendMsg, m) }

func (s *stream) RecvMsg(m any) error { return s.do(s.ServerStream.RecvMsg, m) }

func (s *stream) ended() bool {
	select {
	case <-s.over:
		return true
	default:
		return false
	}
}

func (s *stream) do(act func(any) error, m any) error {
	if s.ended() {
		return errOver
	}
	done := make(chan error, 1)
	go func() { done <- act(m) }()
	select {
	case err := <-done:
		if s.ended() {
			return errOver
		}
		return err
	case <-s.over:
		return errOver
	}
}
