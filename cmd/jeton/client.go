package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jeton-auth/jeton/internal/adminapi"
	"github.com/jeton-auth/jeton/internal/spec"
)

type clientCommands struct {
	List    clientList    `cmd:"" help:"List clients."`
	Create  clientCreate  `cmd:"" help:"Register a client. A confidential one gets a secret, shown once."`
	Show    clientShow    `cmd:"" help:"Show a client."`
	Secret  clientSecret  `cmd:"" help:"Give a client a new secret; the old one is dead at once, or after --overlap."`
	Disable clientDisable `cmd:"" help:"Switch a client off, with every token it holds."`
	Enable  clientEnable  `cmd:"" help:"Switch a client on again. What it held before stays dead."`
	Delete  clientDelete  `cmd:"" help:"Delete a client and kill every token it holds."`
}

type clientNamed struct {
	instance
	ID string `arg:"" help:"Client id."`
}

func (c *clientNamed) act(ctx context.Context, std *streams, method, rest string, body any) error {
	var out adminapi.Client
	if err := c.call(ctx, std, method, "/clients/"+url.PathEscape(c.ID)+rest, body, &out); err != nil {
		return err
	}
	return c.showClients(std, out, out)
}

func (in *instance) showClients(std *streams, v any, clients ...adminapi.Client) error {
	return in.show(std, v, func(w io.Writer) {
		fmt.Fprintln(w, "ID\tNAME\tAUTH METHOD\tGRANT TYPES\tSOURCE\tSTATE")
		for _, c := range clients {
			state := "active"
			if c.Disabled {
				state = "disabled"
			}
			switch {
			case c.OldSecret && c.OldSecretUntil.IsZero():
				state += ", two secrets"
			case c.OldSecret:
				state += ", two secrets until " + c.OldSecretUntil.UTC().Format(time.RFC3339)
			}
			types := make([]string, len(c.GrantTypes))
			for i, g := range c.GrantTypes {
				types[i] = string(g)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", c.ID, c.Name, c.AuthMethod, strings.Join(types, ","), c.Source, state)
			if c.Secret != "" {
				fmt.Fprintf(w, "\nsecret (shown once): %s\n", c.Secret)
			}
		}
	})
}

type clientList struct{ instance }

func (c *clientList) Run(ctx context.Context, std *streams) error {
	var all []adminapi.Client
	if err := c.call(ctx, std, http.MethodGet, "/clients", nil, &all); err != nil {
		return err
	}
	return c.showClients(std, all, all...)
}

type clientShow struct{ clientNamed }

func (c *clientShow) Run(ctx context.Context, std *streams) error {
	return c.act(ctx, std, http.MethodGet, "", nil)
}

type clientSecret struct {
	clientNamed
	Overlap spec.Duration `placeholder:"DURATION" xor:"old" help:"Take the old secret too for this long, as in 24h."`
	EndOld  bool          `xor:"old" help:"Make no secret; kill the old one, which an overlap still keeps, at once."`
}

func (c *clientSecret) Run(ctx context.Context, std *streams) error {
	if c.EndOld {
		return c.act(ctx, std, http.MethodDelete, "/secret/old", nil)
	}
	return c.act(ctx, std, http.MethodPost, "/secret", adminapi.NewSecret{Overlap: c.Overlap})
}

type clientDisable struct{ clientNamed }

func (c *clientDisable) Run(ctx context.Context, std *streams) error {
	return c.act(ctx, std, http.MethodPost, "/disable", nil)
}

type clientEnable struct{ clientNamed }

func (c *clientEnable) Run(ctx context.Context, std *streams) error {
	return c.act(ctx, std, http.MethodPost, "/enable", nil)
}

type clientDelete struct{ clientNamed }

func (c *clientDelete) Run(ctx context.Context, std *streams) error {
	var gone struct{}
	if err := c.call(ctx, std, http.MethodDelete, "/clients/"+url.PathEscape(c.ID), nil, &gone); err != nil {
		return err
	}
	return c.show(std, gone, func(w io.Writer) { fmt.Fprintf(w, "deleted %s\n", c.ID) })
}
