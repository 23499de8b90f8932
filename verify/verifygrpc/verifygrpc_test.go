package verifygrpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/jeton-auth/jeton/internal/config"
	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/server"
	"github.com/jeton-auth/jeton/verify"
	"github.com/jeton-auth/jeton/verify/verifygrpc"
)

const (
	api       = "https://api.example.com"
	vault     = "https://vault.example.com"
	apiSecret = "YXBpLXNlY3JldC1vZi10aGUtdGVzdHMtMDAwMDAwMDQ"
	jobSecret = "am9iLXNlY3JldC1vZi10aGUtdGVzdHMtMDAwMDAwMDU"
)

const configText = `
issuer: %s
store: sqlite:jeton.db
key_encryption_key: env:KEK
resources:
  - {id: https://api.example.com, scopes: [orders:read, orders:write], introspection_secret: env:API}
  - {id: https://vault.example.com, scopes: [vault:open], access_token: {format: opaque}, introspection_secret: env:API}
clients:
  - {id: job, auth_method: client_secret_basic, secret: env:JOB, grant_types: [client_credentials], scopes: [orders:read, orders:write, vault:open]}
`

// issuer is a real one, which serves on this machine.
type issuer struct {
	t    *testing.T
	url  string
	stop func()
}

func startIssuer(t *testing.T) *issuer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{t: t, url: "http://" + ln.Addr().String()}
	env := map[string]string{"KEK": keys.NewKEK(), "API": apiSecret, "JOB": jobSecret}
	c, err := config.Parse("jeton.yaml", fmt.Appendf(nil, configText, i.url), t.TempDir(), func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err := errors.Join(err, ln.Close()); err != nil {
		t.Fatal(err)
	}
	srv, err := server.Open(t.Context(), server.Options{Config: c, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- srv.Run(ctx, func(net.Addr) { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	stopped := false
	i.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			if err := errors.Join(<-ended, srv.Close()); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(i.stop)
	return i
}

// post sends a form as the client.
func (i *issuer) post(path string, form url.Values) map[string]any {
	i.t.Helper()
	r, err := http.NewRequest(http.MethodPost, i.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		i.t.Fatal(err)
	}
	r.SetBasicAuth("job", jobSecret)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		i.t.Fatal(err)
	}
	defer resp.Body.Close()
	var m map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&m); resp.StatusCode != 200 || err != nil && path == "/token" {
		i.t.Fatalf("%s: %d %v %v", path, resp.StatusCode, m, err)
	}
	return m
}

func (i *issuer) token(scope string) string {
	i.t.Helper()
	return i.post("/token", url.Values{"grant_type": {"client_credentials"}, "scope": {scope}})["access_token"].(string)
}

func (i *issuer) revoke(token string) { i.post("/revoke", url.Values{"token": {token}}) }

func (i *issuer) verifier(opts ...verify.Option) *verify.Verifier {
	i.t.Helper()
	v, err := verify.New(i.t.Context(), i.url, opts...)
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(v.Close)
	return v
}

// service answers who calls, and streams until it fails.
type service struct {
	grpc_testing.UnimplementedTestServiceServer
	ended chan error // why a stream's handler returned
	full  chan struct{}
}

func caller(ctx context.Context) string {
	if p := verify.PrincipalFrom(ctx); p != nil {
		return p.Subject
	}
	return "nobody"
}

func (s *service) UnaryCall(ctx context.Context, _ *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	return &grpc_testing.SimpleResponse{Username: caller(ctx)}, nil
}

func (s *service) EmptyCall(ctx context.Context, _ *grpc_testing.Empty) (*grpc_testing.Empty, error) {
	if verify.PrincipalFrom(ctx) != nil {
		return nil, status.Error(codes.Internal, "an open method has a principal")
	}
	return &grpc_testing.Empty{}, nil
}

// FullDuplexCall answers each message with who sent it.
func (s *service) FullDuplexCall(stream grpc_testing.TestService_FullDuplexCallServer) error {
	err := func() error {
		for {
			if _, err := stream.Recv(); err != nil {
				return err
			}
			if err := stream.Send(&grpc_testing.StreamingOutputCallResponse{Payload: &grpc_testing.Payload{Body: []byte(caller(stream.Context()))}}); err != nil {
				return err
			}
		}
	}()
	s.ended <- err
	return err
}

// StreamingOutputCall sends more than a caller who reads nothing takes. A handler that
// swallows the error does not turn the end into a success.
func (s *service) StreamingOutputCall(_ *grpc_testing.StreamingOutputCallRequest, stream grpc_testing.TestService_StreamingOutputCallServer) error {
	big := make([]byte, 1<<20)
	for {
		if err := stream.Send(&grpc_testing.StreamingOutputCallResponse{Payload: &grpc_testing.Payload{Body: big}}); err != nil {
			s.ended <- err
			return nil
		}
		select {
		case s.full <- struct{}{}:
		default:
		}
	}
}

// StreamingInputCall waits for its context alone.
func (s *service) StreamingInputCall(stream grpc_testing.TestService_StreamingInputCallServer) error {
	<-stream.Context().Done()
	s.ended <- context.Cause(stream.Context())
	return stream.Context().Err()
}

var rules = verifygrpc.Methods{
	"/grpc.testing.TestService/*":                  verifygrpc.Token(verify.Scopes("orders:read")),
	"/grpc.testing.TestService/EmptyCall":          verifygrpc.Open(),
	"/grpc.testing.TestService/CacheableUnaryCall": verifygrpc.Token(verify.ACR("urn:example:mfa")),
	"/grpc.testing.TestService/UnimplementedCall":  {},
}

// serve serves the service over a connection in memory.
func serve(t *testing.T, v *verify.Verifier) (grpc_testing.TestServiceClient, *service) {
	t.Helper()
	ln := bufconn.Listen(1 << 16)
	s := grpc.NewServer(grpc.ChainUnaryInterceptor(verifygrpc.Unary(v, rules.Rule)), grpc.ChainStreamInterceptor(verifygrpc.Stream(v, rules.Rule)))
	svc := &service{ended: make(chan error, 1), full: make(chan struct{}, 1)}
	grpc_testing.RegisterTestServiceServer(s, svc)
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	conn, err := grpc.NewClient("passthrough:///bufconn", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return ln.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := conn.Close()
		s.Stop()
		if err := errors.Join(err, <-served); err != nil {
			t.Error(err)
		}
	})
	return grpc_testing.NewTestServiceClient(conn), svc
}

// with is the context of a call with these values of authorization. It ends before a
// test that hangs would.
func with(t *testing.T, values ...string) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	for _, v := range values {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", v)
	}
	return ctx
}

func wantStatus(t *testing.T, name string, err error, code codes.Code, says string) {
	t.Helper()
	s := status.Convert(err)
	if s.Code() != code || !strings.HasPrefix(s.Message(), says) {
		t.Errorf("%s: %v %q, want %v %q…", name, s.Code(), s.Message(), code, says)
	}
	if reason, _, named := strings.Cut(says, ":"); named && code != codes.OK {
		if d := s.Details(); len(d) != 1 || d[0].(*errdetails.ErrorInfo).Reason != reason {
			t.Errorf("%s: details %v", name, d)
		}
	}
}

func TestUnary(t *testing.T) {
	t.Parallel()
	i := startIssuer(t)
	client, _ := serve(t, i.verifier(verify.Audience(api), verify.Feed(verify.APISecret(api, apiSecret))))
	good := i.token("orders:read")
	out, err := client.UnaryCall(with(t, "bearer "+good), &grpc_testing.SimpleRequest{})
	if err != nil || out.Username != "job" {
		t.Fatalf("%v, %v", out, err)
	}
	for name, c := range map[string]struct {
		send []string
		code codes.Code
		says string
	}{
		"nothing":        {nil, codes.Unauthenticated, "this call needs"},
		"two":            {[]string{"Bearer " + good, "Bearer " + good}, codes.Unauthenticated, "invalid_request: "},
		"another scheme": {[]string{"Basic am9iOg=="}, codes.Unauthenticated, "invalid_request: "},
		"no token":       {[]string{"Bearer "}, codes.Unauthenticated, "invalid_request: "},
		"nonsense":       {[]string{"Bearer nonsense"}, codes.Unauthenticated, "invalid_token: "},
		"another API's":  {[]string{"Bearer " + i.token("vault:open")}, codes.Unauthenticated, "invalid_token: "},
		"tampered":       {[]string{"Bearer " + good[:len(good)-8] + "AAAAAAAA"}, codes.Unauthenticated, "invalid_token: "},
		"without scope":  {[]string{"Bearer " + i.token("orders:write")}, codes.PermissionDenied, "insufficient_scope: The token lacks a scope; this needs: orders:read."},
	} {
		_, err := client.UnaryCall(with(t, c.send...), &grpc_testing.SimpleRequest{})
		wantStatus(t, name, err, c.code, c.says)
	}
	_, err = client.CacheableUnaryCall(with(t, "Bearer "+good), &grpc_testing.SimpleRequest{})
	wantStatus(t, "acr", err, codes.Unauthenticated, "insufficient_user_authentication: ")
	_, err = client.UnimplementedCall(with(t, "Bearer "+good), &grpc_testing.Empty{})
	wantStatus(t, "a closed method", err, codes.PermissionDenied, "no rule")
	for _, send := range [][]string{nil, {"Bearer nonsense"}, {"Bearer " + good}} {
		if _, err := client.EmptyCall(with(t, send...), &grpc_testing.Empty{}); err != nil {
			t.Errorf("an open method: %v", err)
		}
	}
}

// A token that can't be judged is not blamed.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	i := startIssuer(t)
	client, _ := serve(t, i.verifier(verify.Audience(vault), verify.Introspection(vault, apiSecret)))
	first, second := i.token("vault:open"), i.token("vault:open")
	_, err := client.UnaryCall(with(t, "Bearer "+first), &grpc_testing.SimpleRequest{})
	wantStatus(t, "opaque", err, codes.PermissionDenied, "insufficient_scope: ") // it was read
	i.stop()
	_, err = client.UnaryCall(with(t, "Bearer "+second), &grpc_testing.SimpleRequest{})
	wantStatus(t, "opaque, and no issuer", err, codes.Unavailable, "temporarily_unavailable: ")
	if strings.Contains(err.Error(), "refused") || strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("the cause leaks: %v", err)
	}
}

// A stream ends when its token is revoked, whatever its handler waits for, and others
// go on.
func TestStreamEnds(t *testing.T) {
	t.Parallel()
	i := startIssuer(t)
	v := i.verifier(verify.Audience(api), verify.Feed(verify.APISecret(api, apiSecret)))
	over := func(name string, svc *service, err error) {
		t.Helper()
		wantStatus(t, name, err, codes.Unauthenticated, "invalid_token: ")
		if err := <-svc.ended; err == nil || !strings.Contains(err.Error(), "no longer good") {
			t.Errorf("%s: the handler ended by %v", name, err)
		}
	}
	t.Run("waiting to receive", func(t *testing.T) {
		client, svc := serve(t, v)
		token := i.token("orders:read")
		stream, err := client.FullDuplexCall(with(t, "Bearer "+token))
		if err != nil {
			t.Fatal(err)
		}
		otherClient, _ := serve(t, v)
		other, err := otherClient.FullDuplexCall(with(t, "Bearer "+i.token("orders:read")))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []grpc_testing.TestService_FullDuplexCallClient{stream, other, stream} {
			if err := s.Send(&grpc_testing.StreamingOutputCallRequest{}); err != nil {
				t.Fatal(err)
			}
			if out, err := s.Recv(); err != nil || string(out.Payload.Body) != "job" {
				t.Fatalf("%v, %v", out, err)
			}
		}
		i.revoke(token)
		_, err = stream.Recv()
		over("receiving", svc, err)
		if err := other.Send(&grpc_testing.StreamingOutputCallRequest{}); err != nil {
			t.Fatal(err)
		}
		if _, err := other.Recv(); err != nil {
			t.Errorf("another token's stream ended: %v", err)
		}
		// The token is refused from the start now.
		stream, err = client.FullDuplexCall(with(t, "Bearer "+token))
		if err == nil {
			_, err = stream.Recv()
		}
		wantStatus(t, "a new stream", err, codes.Unauthenticated, "invalid_token: ")
	})
	t.Run("waiting to send", func(t *testing.T) {
		client, svc := serve(t, v)
		token := i.token("orders:read")
		stream, err := client.StreamingOutputCall(with(t, "Bearer "+token), &grpc_testing.StreamingOutputCallRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		i.revoke(token)
		// The handler ends though the caller reads nothing more; what was under way
		// still arrives.
		ended := <-svc.ended
		svc.ended <- ended
		for err == nil {
			_, err = stream.Recv()
		}
		over("sending", svc, err)
	})
	t.Run("waiting for the context", func(t *testing.T) {
		client, svc := serve(t, v)
		token := i.token("orders:read")
		stream, err := client.StreamingInputCall(with(t, "Bearer "+token))
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&grpc_testing.StreamingInputCallRequest{}); err != nil {
			t.Fatal(err)
		}
		i.revoke(token)
		_, err = stream.CloseAndRecv()
		over("waiting", svc, err)
	})
}

// Streams are refused as calls are, and end as they always did.
func TestStreamRefusesAndEnds(t *testing.T) {
	t.Parallel()
	i := startIssuer(t)
	client, svc := serve(t, i.verifier(verify.Audience(api), verify.Feed(verify.APISecret(api, apiSecret))))
	for name, c := range map[string]struct {
		send []string
		code codes.Code
		says string
	}{
		"nothing":       {nil, codes.Unauthenticated, "this call needs"},
		"nonsense":      {[]string{"Bearer nonsense"}, codes.Unauthenticated, "invalid_token: "},
		"without scope": {[]string{"Bearer " + i.token("orders:write")}, codes.PermissionDenied, "insufficient_scope: "},
	} {
		stream, err := client.FullDuplexCall(with(t, c.send...))
		if err == nil {
			_, err = stream.Recv()
		}
		wantStatus(t, name, err, c.code, c.says)
	}
	ctx, cancel := context.WithCancel(with(t, "Bearer "+i.token("orders:read")))
	stream, err := client.FullDuplexCall(ctx)
	if err == nil {
		err = stream.Send(&grpc_testing.StreamingOutputCallRequest{})
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-svc.ended; status.Code(err) != codes.Canceled {
		t.Errorf("a caller who goes away: %v", err)
	}
}

func TestMethods(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]string{
		"/grpc.testing.TestService/EmptyCall":       "open",
		"/grpc.testing.TestService/UnaryCall":       "service",
		"/grpc.testing.TestService":                 "closed",
		"/grpc.testing.TestServiceTwo/UnaryCall":    "closed",
		"/other.grpc.testing.TestService/UnaryCall": "closed",
		"":  "closed",
		"/": "closed",
	} {
		m := verifygrpc.Methods{"/grpc.testing.TestService/*": verifygrpc.Token(), "/grpc.testing.TestService/EmptyCall": verifygrpc.Open()}
		v := verifygrpc.Unary(nil, m.Rule)
		_, err := v(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: method}, func(context.Context, any) (any, error) { return nil, nil })
		if got := map[codes.Code]string{codes.OK: "open", codes.Unauthenticated: "service", codes.PermissionDenied: "closed"}[status.Code(err)]; got != want {
			t.Errorf("%q is %s, want %s", method, got, want)
		}
	}
}
