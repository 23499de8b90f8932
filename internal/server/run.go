package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jeton-auth/jeton/internal/config"
	"github.com/jeton-auth/jeton/internal/jobs"
	"github.com/jeton-auth/jeton/internal/web"
)

// Bounds of every connection: nobody holds the server by being slow.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = 60 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 32 << 10
	drainTimeout  = 15 * time.Second
)

// Run serves until ctx ends, then lets requests finish. ready is called once the
// server answers.
func (s *Server) Run(ctx context.Context, ready func(addr net.Addr)) error {
	c := s.opts.Config
	// Before anything answers: a SIGHUP that nobody waits for would end the process.
	hup := make(chan os.Signal, 1)
	if s.opts.Reload != nil {
		signal.Notify(hup, syscall.SIGHUP)
		defer signal.Stop(hup)
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	public := httpServer(s.public, s.log)
	if c.TLS != nil {
		if err := s.useCertificate(c); err != nil {
			return errors.Join(err, ln.Close())
		}
		public.TLSConfig = s.tlsConfig(c)
		ln = tls.NewListener(ln, public.TLSConfig)
	}
	path, err := SocketPath(c)
	var socket net.Listener
	if err == nil {
		socket, err = listenSocket(path)
	}
	if err != nil && !errors.Is(err, errLongPath) && !errors.Is(err, errShared) {
		return errors.Join(err, ln.Close())
	}
	commands := httpServer(s.admin, s.log)

	if err := s.serveFromNow(ctx); err != nil {
		return errors.Join(err, ln.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	failed := make(chan error, 2)
	serve := func(srv *http.Server, ln net.Listener) {
		wg.Go(func() {
			if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
				cancel()
			}
		})
	}
	wg.Go(func() { s.followNodes(ctx) })
	wg.Go(func() { s.feed.Run(ctx) })
	serve(public, ln)
	if socket != nil {
		serve(commands, socket)
	} else if path != "" {
		s.log.Warn("commands can't reach this server while it runs: the path of its store is too long for a unix socket", slog.String("path", path))
	}
	wg.Go(func() { jobs.Run(ctx, s.log, s.audit, holder(), s.jobs()) })
	if s.opts.Reload != nil {
		wg.Go(func() { s.follow(ctx, hup) })
	}
	wg.Go(func() { s.told.Run(ctx) })
	wg.Go(func() { s.tuneMemory(ctx) })
	wg.Go(func() { s.keepHighWater(ctx) })
	wg.Go(func() { s.forget(ctx) })
	ready(ln.Addr())
	<-ctx.Done()

	drain, stop := context.WithTimeout(context.Background(), drainTimeout)
	defer stop()
	err = errors.Join(public.Shutdown(drain), commands.Shutdown(drain))
	if socket != nil {
		err = errors.Join(err, os.Remove(path))
	}
	wg.Wait()
	select {
	case e := <-failed:
		err = errors.Join(err, e)
	default:
	}
	return err
}

// useCertificate serves new connections with the configuration's certificate.
func (s *Server) useCertificate(c *config.Config) error {
	cert, err := tls.X509KeyPair(c.TLS.Cert, c.TLS.Key)
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	s.certificate.Store(&cert)
	return nil
}

func httpServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// maxSocketPath is what a unix socket's path may have on every system.
const maxSocketPath = 103

var errLongPath = errors.New("the path is too long for a unix socket")

// listenSocket opens the commands' socket for its owner alone: it is made in a
// directory that nobody else enters, and moved when its mode is right. What lies there
// from a server that was killed is replaced; a live one holds the database's lock, so
// that this place is not reached.
func listenSocket(path string) (net.Listener, error) {
	if len(path) > maxSocketPath-len("/.jeton0123456789/s") {
		return nil, errLongPath
	}
	private, err := os.MkdirTemp(filepath.Dir(path), ".jeton")
	if err != nil {
		return nil, fmt.Errorf("commands: %w", err)
	}
	defer os.RemoveAll(private)
	made := filepath.Join(private, "s")
	ln, err := net.Listen("unix", made)
	if err != nil {
		return nil, fmt.Errorf("commands: %w", err)
	}
	if err := errors.Join(os.Chmod(made, 0o600), os.Rename(made, path)); err != nil {
		return nil, errors.Join(fmt.Errorf("commands: %w", err), ln.Close())
	}
	return ln, nil
}

func trusted(c *config.Config) []netip.Prefix {
	if c.BehindProxy == nil {
		return nil
	}
	return c.BehindProxy.Trusted
}

// outer is what every request passes: an id, the log, and a floor under panics.
func (s *Server) outer(next http.Handler) http.Handler {
	https := len(s.opts.Config.Issuer) > 5 && s.opts.Config.Issuer[:6] == "https:"
	h := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.contain(w, r)
		if https {
			w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		}
		// The mux would lead to the clean path by 307, and a password be posted again.
		if r.URL.Path != "/" && strings.TrimSuffix(path.Clean(r.URL.Path), "/") != strings.TrimSuffix(r.URL.Path, "/") {
			http.Error(w, "there is nothing at this path", http.StatusNotFound)
			return
		}
		next.ServeHTTP(w, r)
	}))
	if s.opts.Config.Log.Requests {
		h = s.logged(h)
	}
	return web.WithRequestID(h)
}

// contain answers a request whose handler panicked. net/http would cut the
// connection and name no request.
func (s *Server) contain(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	s.log.Error("a request panicked", slog.Any("panic", p), slog.String("path", r.URL.Path), slog.String("request", web.RequestID(w)))
	http.Error(w, `{"error":"server_error"}`, http.StatusInternalServerError)
}

// logged writes a line for each request: never its query, which may hold a code.
func (s *Server) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(rec, r)
		s.log.LogAttrs(r.Context(), slog.LevelInfo, "request",
			slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Int("status", rec.status),
			slog.Duration("took", time.Since(began)), slog.String("request", web.RequestID(w)))
	})
}

type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
