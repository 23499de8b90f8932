// Command server is jeton serve with two differences: passwords are hashed with
// costs so low that they do not count, as a measurement of everything else needs,
// and it can be profiled. It is no server for people: its hashes protect nobody.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jeton-auth/jeton/internal/config"
	"github.com/jeton-auth/jeton/internal/password"
	"github.com/jeton-auth/jeton/internal/server"
)

func main() {
	path := flag.String("c", "jeton.yaml", "the configuration file")
	profile := flag.String("pprof", "", "loopback address at which net/http/pprof answers")
	flag.Parse()
	if err := run(*path, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

func run(path, profile string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := config.Load(path, os.LookupEnv)
	if err != nil {
		return err
	}
	if profile != "" {
		ln, err := net.Listen("tcp", profile)
		if err != nil {
			return err
		}
		srv := &http.Server{ReadHeaderTimeout: 10 * time.Second} // the default mux: pprof is on it
		go func() { _ = srv.Serve(ln) }()
		defer srv.Close()
	}
	srv, err := server.Open(ctx, server.Options{
		Config: c, Log: slog.New(slog.NewJSONHandler(os.Stderr, nil)),
		Hasher: password.New(password.Params{Memory: 8, Iterations: 1, Parallelism: 1}, 16, 1024),
	})
	if err != nil {
		return err
	}
	return errors.Join(srv.Run(ctx, func(net.Addr) {}), srv.Close())
}
