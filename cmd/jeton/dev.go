package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jeton-auth/jeton/internal/demo"
	"github.com/jeton-auth/jeton/internal/server"
	"github.com/jeton-auth/jeton/internal/store/sqlite"
)

// devPort is the issuer's port where nobody says another.
const devPort = 8080

type devCommand struct {
	Port   int    `default:"8080" help:"Port of the issuer; the demo API and the demo web app take the next two (${default})."`
	Data   string `default:".jeton" placeholder:"DIR" help:"Where everything is kept (${default})."`
	NoDemo bool   `name:"no-demo" help:"The issuer alone."`
}

// Run starts the issuer, then the demo, and ends them in the opposite order when the
// process is told to end.
func (d *devCommand) Run(ctx context.Context, std *streams) error {
	began := time.Now()
	// Ports come first: one in use is told before anything is made.
	listeners, err := d.listen(ctx)
	if err != nil {
		return err
	}
	defer func() {
		for _, ln := range listeners {
			ln.Close()
		}
	}()
	dir, err := openDevDir(d.Data, d.Port, !d.NoDemo)
	if err != nil {
		return err
	}
	c, err := dir.config()
	if err != nil {
		return err
	}
	log := newLog(std.err, c.Log)
	slog.SetDefault(log)
	srv, err := server.Open(ctx, server.Options{Config: c, Log: log})
	if errors.Is(err, sqlite.ErrInUse) {
		return fmt.Errorf("another jeton runs on %s: end it first, or give this one a directory of its own with --data", d.Data)
	}
	if err != nil && ctx.Err() != nil {
		return nil // told to end before all had begun
	}
	if err != nil {
		return err
	}
	if err := dir.note(); err != nil {
		return errors.Join(err, srv.Close())
	}

	issuing, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	err = srv.Run(issuing, func(net.Addr) {
		show := func() { dir.print(std.out, time.Since(began)) }
		wg.Go(func() { stop(d.demo(ctx, dir, log, listeners, show)) })
	})
	cancel()
	wg.Wait()
	if cause := context.Cause(issuing); !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		err = d.inUse(d.Port, "the issuer")
	}
	return errors.Join(err, srv.Close())
}

// demo runs what stands beside the issuer, until ctx ends.
func (d *devCommand) demo(ctx context.Context, dir *devDir, log *slog.Logger, listeners []net.Listener, ready func()) error {
	if d.NoDemo {
		ready()
		<-ctx.Done()
		return nil
	}
	apps, err := demo.New(ctx, demo.Options{
		Issuer: dir.issuer(), API: dir.api(), APISecret: dir.secret(apiSecret), Web: dir.web(),
		ClientID: demoWeb, ClientSecret: dir.secret(webSecret), TVClientID: demoTV, User: demoUser, Log: log,
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil // told to end before all had begun
		}
		return err
	}
	defer apps.Close()
	ready()
	return apps.Serve(ctx, listeners[0], listeners[1])
}

// listen takes the demo's ports.
func (d *devCommand) listen(ctx context.Context) (listeners []net.Listener, err error) {
	parts := []string{"the issuer", "the demo API", "the demo web app"}
	if d.NoDemo {
		parts = parts[:1]
	}
	if d.Port < 1 || d.Port+len(parts)-1 > 65535 {
		return nil, fmt.Errorf("--port %d: write a port from 1 to %d", d.Port, 65535-len(parts)+1)
	}
	for i, part := range parts {
		port := d.Port + i
		ln, err := listenLocal(ctx, port)
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			err = d.inUse(port, part)
		case err == nil && i == 0:
			err = ln.Close() // the server opens it itself
		case err == nil:
			listeners = append(listeners, ln)
		}
		if err != nil {
			for _, ln := range listeners {
				ln.Close()
			}
			return nil, err
		}
	}
	return listeners, nil
}

// listenLocal listens on 127.0.0.1. Somebody else on the port of ::1 is in the way
// too: localhost is both, and browsers try ::1 first.
func listenLocal(ctx context.Context, port int) (net.Listener, error) {
	var lc net.ListenConfig
	other, err := lc.Listen(ctx, "tcp6", net.JoinHostPort("::1", strconv.Itoa(port)))
	if err == nil {
		other.Close()
	} else if errors.Is(err, syscall.EADDRINUSE) {
		return nil, err
	}
	return lc.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}

func (d *devCommand) inUse(port int, part string) error {
	hint := "choose another with --port"
	if !d.NoDemo {
		hint += " (three in a row must be free)"
		if port != d.Port {
			hint += ", or leave the demo out with --no-demo"
		}
	}
	return fmt.Errorf("port %d, which %s needs, is in use: end what uses it, or %s", port, part, hint)
}

// absolute is path as another terminal can use it.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
