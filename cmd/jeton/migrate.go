package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/jeton-auth/jeton/internal/server"
	"github.com/jeton-auth/jeton/internal/store"
)

type migrateCommand struct {
	configFlag
	JSON bool `name:"json" help:"Print JSON."`
}

// Run brings the database's schema up to this program's, as serve does when it starts.
func (m *migrateCommand) Run(ctx context.Context, std *streams) error {
	c, err := m.load(std)
	if err != nil {
		return err
	}
	st, end, err := server.OpenStore(ctx, c.Store, true, slog.New(slog.DiscardHandler))
	if err != nil {
		return explain(err)
	}
	schema := st.Schema()
	if err := end(); err != nil {
		return err
	}
	if m.JSON {
		if schema.Applied == nil {
			schema.Applied = []store.Migration{}
		}
		e := json.NewEncoder(std.out)
		e.SetIndent("", "  ")
		return e.Encode(schema)
	}
	for _, a := range schema.Applied {
		fmt.Fprintf(std.out, "applied %s; programs that know version %d or later work on\n", a.Name, a.Serves)
	}
	switch {
	case schema.Version > schema.Known:
		_, err = fmt.Fprintf(std.out, "the database has schema version %d, a newer release's; it serves this program, which knows %d\n", schema.Version, schema.Known)
	case len(schema.Applied) == 0:
		_, err = fmt.Fprintf(std.out, "the database has schema version %d already\n", schema.Version)
	default:
		_, err = fmt.Fprintf(std.out, "the database has schema version %d now\n", schema.Version)
	}
	return err
}
