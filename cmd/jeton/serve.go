package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"

	"github.com/jeton-auth/jeton/internal/config"
	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/server"
	"github.com/jeton-auth/jeton/internal/store/sqlite"
)

type configFlag struct {
	Config string `short:"c" name:"config" default:"jeton.yaml" env:"JETON_CONFIG" placeholder:"FILE" help:"The configuration file (${default})."`
}

// load reads the configuration and prints every problem that it has.
func (f configFlag) load(std *streams) (*config.Config, error) {
	c, err := config.Load(f.Config, os.LookupEnv)
	var found config.Problems
	if errors.As(err, &found) {
		fmt.Fprintln(std.err, found)
		return nil, &exitError{1}
	}
	return c, err
}

type serveCommand struct{ configFlag }

// Run serves until the process is told to end.
func (s *serveCommand) Run(ctx context.Context, std *streams) error {
	c, err := s.load(std)
	if err != nil {
		return err
	}
	log := newLog(std.err, c.Log)
	slog.SetDefault(log)
	srv, err := server.Open(ctx, server.Options{
		Config: c, Log: log,
		Reload: func() (*config.Config, error) { return config.Load(s.Config, os.LookupEnv) },
	})
	if err != nil {
		return explain(err)
	}
	err = srv.Run(ctx, func(addr net.Addr) {
		log.Info("ready", slog.String("issuer", c.Issuer), slog.String("listen", addr.String()), slog.String("version", buildVersion()))
	})
	return errors.Join(err, srv.Close())
}

// explain adds what to do to the failures that people meet at a start.
func explain(err error) error {
	if errors.Is(err, sqlite.ErrInUse) {
		return fmt.Errorf("%w; end it first, or point store elsewhere", err)
	}
	return err
}

func newLog(w io.Writer, c config.Log) *slog.Logger {
	var level slog.Level
	// The configuration has been checked; an empty level stays info.
	_ = level.UnmarshalText([]byte(c.Level))
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "text" {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

type checkCommand struct{ configFlag }

// Run validates the configuration.
func (c *checkCommand) Run(std *streams) error {
	cfg, err := c.load(std)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "%s is good: issuer %s, %d clients, %d resources, %d users\n", c.Config, cfg.Issuer, len(cfg.Clients), len(cfg.Resources), len(cfg.Users))
	return err
}

type keygenCommand struct {
	Secret bool `help:"Make a client or introspection secret instead."`
}

// Run prints a new key or secret.
func (k *keygenCommand) Run(std *streams) error {
	made := keys.NewKEK()
	if k.Secret {
		made = secret.Random().Reveal()
	}
	_, err := fmt.Fprintln(std.out, made)
	return err
}

func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && version == "dev" && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return version
}
