package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/jeton-auth/jeton/internal/adminapi"
)

type clientCommands struct {
	List    clientList    `cmd:"" help:"List clients."`
	Create  clientCreate  `cmd:"" help:"Register a client. A confidential one gets a secret, shown once."`
	Show    clientShow    `cmd:"" help:"Show a client."`
	Secret  clientSecret  `cmd:"" help:"Give a client a new secret; the old one is dead at once."`
	Disable clientDisable `cmd:"" help:"Switch a client off, with every token it holds."`
	Enable  clientEnable  `cmd:"" help:"Switch a client on again. What it held before stays dead."`
	Delete  clientDelete  `cmd:"" help:"Delete a client and kill every token it holds."`
}

type clientNamed struct {
	instance
	ID string `arg:"" help:"Client id."`
}

func (c *clientNamed) act(ctx context.Context, std *streams, method, rest string) error {
	var out adminapi.Client
	if err := c.call(ctx, std, method, "/clients/"+url.PathEscape(c.ID)+rest, nil, &out); err != nil {
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
	return c.act(ctx, std, http.MethodGet, "")
}

type clientSecret struct{ clientNamed }

func (c *clientSecret) Run(ctx context.Context, std *streams) error {
	return c.act(ctx, std, http.MethodPost, "/secret")
}

type clientDisable struct{ clientNamed }

func (c *clientDisable) Run(ctx context.Context, std *streams) error {
	return c.act(ctx, std, http.MethodPost, "/disable")
}

type clientEnable struct{ clientNamed }

func (c *clientEnable) Run(ctx context.Context, std *streams) error {
	return c.act(ctx, std, http.MethodPost, "/enable")
}

type clientDelete struct{ clientNamed }

func (c *clientDelete) Run(ctx context.Context, std *streams) error {
	var gone struct{}
	if err := c.call(ctx, std, http.MethodDelete, "/clients/"+url.PathEscape(c.ID), nil, &gone); err != nil {
		return err
	}
	return c.show(std, gone, func(w io.Writer) { fmt.Fprintf(w, "deleted %s\n", c.ID) })
}
