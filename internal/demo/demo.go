// Package demo is what jeton dev shows: a protected API and a web app that logs
// people in. Both are written as anybody would write theirs: they know the issuer
// by its address and their own credentials alone, and use nothing of it but its
// public endpoints. The API imports the public verify package; the web app imports
// golang.org/x/oauth2 and go-oidc, which know no more of Jeton than of any other
// issuer. What they keep, they keep in memory.
package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/secret"
)

// Options say where the parts of the demo are and who they are. Clock and Log have
// defaults.
type Options struct {
	Issuer       string
	API          string // the API's address, which is its identifier too
	APISecret    secret.Text
	Web          string // the web app's address, without a slash at the end
	ClientID     string // of the web app
	ClientSecret secret.Text
	TVClientID   string // of the TV, a public client
	User         string // whose account the signed-out page names
	Clock        clock.Clock
	Log          *slog.Logger
}

// Demo is an API and a web app. New makes one; Serve serves it; Close ends it.
type Demo struct {
	api     *api
	web     *web
	log     *slog.Logger
	network *http.Transport
}

// outboundTimeout bounds every request to the issuer and the API.
const outboundTimeout = 10 * time.Second

// New asks the issuer for its metadata and keys, so it must be answering already.
func New(ctx context.Context, o Options) (*Demo, error) {
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	p, err := newPages()
	if err != nil {
		return nil, err
	}
	network := &http.Transport{MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute}
	client := &http.Client{
		Transport: network, Timeout: outboundTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	api, err := newAPI(ctx, o, p, client)
	if err != nil {
		return nil, fmt.Errorf("demo API: %w", err)
	}
	web, err := newWeb(ctx, o, p, client)
	if err != nil {
		api.verifier.Close()
		return nil, fmt.Errorf("demo web app: %w", err)
	}
	return &Demo{api: api, web: web, log: o.Log, network: network}, nil
}

// API serves the protected API.
func (d *Demo) API() http.Handler { return d.api.handler }

// Web serves the web app.
func (d *Demo) Web() http.Handler { return d.web.handler }

// Close ends the background work. Requests must have ended.
func (d *Demo) Close() {
	d.api.verifier.Close()
	d.network.CloseIdleConnections()
}

// Bounds of every connection.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = 60 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 32 << 10
	drainTimeout  = 5 * time.Second
)

// Serve serves both on their listeners until ctx ends, then lets requests finish.
func (d *Demo) Serve(ctx context.Context, api, web net.Listener) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	servers := []*http.Server{d.server(d.API()), d.server(d.Web())}
	var wg sync.WaitGroup
	for i, ln := range []net.Listener{api, web} {
		wg.Go(func() {
			if err := servers[i].Serve(ln); !errors.Is(err, http.ErrServerClosed) {
				fail(err)
			}
		})
	}
	<-ctx.Done()
	drain, stop := context.WithTimeout(context.Background(), drainTimeout)
	defer stop()
	var err error
	for _, s := range servers {
		err = errors.Join(err, s.Shutdown(drain))
	}
	wg.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	return err
}

func (d *Demo) server(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug),
	}
}
