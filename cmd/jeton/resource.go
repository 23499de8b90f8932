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
	"github.com/jeton-auth/jeton/oauth"
)

type resourceCommands struct {
	List   resourceList   `cmd:"" help:"List resources."`
	Create resourceCreate `cmd:"" help:"Register a protected API."`
	Delete resourceDelete `cmd:"" help:"Delete a protected API: no token for it is made any more."`
}

func (in *instance) showResources(std *streams, v any, all ...adminapi.Resource) error {
	return in.show(std, v, func(w io.Writer) {
		fmt.Fprintln(w, "ID\tNAME\tSCOPES\tTOKENS\tLIFETIME\tSOURCE")
		for _, r := range all {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.Name, strings.Join(r.Scopes, ","), r.AccessToken.Format, r.AccessToken.Lifetime, r.Source)
			if r.IntrospectionSecret != "" {
				fmt.Fprintf(w, "\nintrospection secret (shown once): %s\n", r.IntrospectionSecret)
			}
		}
	})
}

type resourceList struct{ instance }

func (c *resourceList) Run(ctx context.Context, std *streams) error {
	var all []adminapi.Resource
	if err := c.call(ctx, std, http.MethodGet, "/resources", nil, &all); err != nil {
		return err
	}
	return c.showResources(std, all, all...)
}

type resourceCreate struct {
	instance
	ID            string        `arg:"" help:"Identifier: an absolute URI (RFC 8707)."`
	Name          string        `help:"What people are shown."`
	Scope         []string      `help:"A scope of this API; may be repeated."`
	Format        spec.Format   `default:"jwt" help:"jwt or opaque (${default})."`
	Lifetime      time.Duration `default:"5m" help:"Of an access token (${default})."`
	Alg           oauth.Alg     `default:"ES256" help:"Signature algorithm (${default})."`
	Introspection bool          `help:"Make a secret with which the API may introspect."`
}

func (c *resourceCreate) Run(ctx context.Context, std *streams) error {
	n := adminapi.NewResource{Resource: spec.Resource{
		ID: c.ID, Name: c.Name, Scopes: c.Scope,
		AccessToken: spec.AccessToken{Format: c.Format, Lifetime: spec.Duration(c.Lifetime), Alg: c.Alg},
	}, Introspects: c.Introspection}
	var out adminapi.Resource
	if err := c.call(ctx, std, http.MethodPost, "/resources", n, &out); err != nil {
		return err
	}
	return c.showResources(std, out, out)
}

type resourceDelete struct {
	instance
	ID string `arg:"" help:"Identifier."`
}

func (c *resourceDelete) Run(ctx context.Context, std *streams) error {
	var gone struct{}
	if err := c.call(ctx, std, http.MethodDelete, "/resources/"+url.PathEscape(c.ID), nil, &gone); err != nil {
		return err
	}
	return c.show(std, gone, func(w io.Writer) { fmt.Fprintf(w, "deleted %s\n", c.ID) })
}
