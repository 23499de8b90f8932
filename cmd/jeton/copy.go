package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jeton-auth/jeton/internal/server"
	"github.com/jeton-auth/jeton/internal/transfer"
)

type copyCommand struct {
	From string `required:"" placeholder:"STORE" help:"The store to copy, as in the configuration: sqlite:PATH or postgres://…; env:NAME and file:PATH name what holds it."`
	To   string `required:"" placeholder:"STORE" help:"The store to fill. It must be empty, or hold an interrupted copy of the same issuer."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run copies an issuer from one store to another.
func (c *copyCommand) Run(ctx context.Context, std *streams) (err error) {
	from, err := storeName(c.From)
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	to, err := storeName(c.To)
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	if from == to {
		return errors.New("--from and --to name the same store")
	}
	log := slog.New(slog.NewTextHandler(std.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	source, endSource, err := server.OpenStore(ctx, from, false, log)
	if err != nil {
		return fmt.Errorf("--from: %w", explain(err))
	}
	defer func() { err = errors.Join(err, endSource()) }()
	target, endTarget, err := server.OpenStore(ctx, to, true, log)
	if err != nil {
		return fmt.Errorf("--to: %w", explain(err))
	}
	defer func() { err = errors.Join(err, endTarget()) }()

	bar := newMeter(std.err)
	out, err := transfer.Copy{From: source, To: target, Log: log, Progress: bar.moved}.Run(ctx)
	bar.end()
	switch {
	case ctx.Err() != nil:
		return errors.New("the copy was interrupted. Run the same command again: it goes on where it was")
	case err != nil:
		return err
	}
	return show(std, c.JSON, out, func(w io.Writer) {
		fmt.Fprintln(w, "TABLE\tROWS\tHASH")
		for _, t := range out.Tables {
			fmt.Fprintf(w, "%s\t%d\t%s\n", t.Table, t.Rows, t.Hash[:16])
		}
		fmt.Fprintln(w, "Both sides are equal. Start servers on the target alone: two databases that go on from here are two issuers with one name.")
	})
}

// storeName is a store as it stands in a configuration.
func storeName(text string) (string, error) {
	if name, ok := strings.CutPrefix(text, "env:"); ok {
		if text = os.Getenv(name); text == "" {
			return "", fmt.Errorf("the environment variable %s is not set or empty", name)
		}
	} else if path, ok := strings.CutPrefix(text, "file:"); ok {
		b, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		text = strings.TrimSpace(string(b))
	}
	path, embedded := strings.CutPrefix(text, "sqlite:")
	switch {
	case embedded && path == "":
		return "", errors.New("sqlite: needs the path of a file")
	case !embedded && !strings.HasPrefix(text, "postgres://") && !strings.HasPrefix(text, "postgresql://"):
		return "", errors.New("is no store: write sqlite:PATH or postgres://…")
	}
	return text, nil
}

// show prints v as JSON, or with table as aligned columns.
func show(std *streams, asJSON bool, v any, table func(w io.Writer)) error {
	if asJSON {
		e := json.NewEncoder(std.out)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	table(w)
	return w.Flush()
}

// meter tells on standard error how far rows have been moved, about once a second, and
// when a table is done.
type meter struct {
	out   io.Writer
	table string
	rows  int64
	since time.Time
	told  time.Time
}

func newMeter(out io.Writer) *meter { return &meter{out: out} }

func (m *meter) moved(table string, rows int64) {
	now := time.Now()
	if table != m.table {
		m.end()
		m.table, m.since, m.told = table, now, now
	}
	m.rows = rows
	if now.Sub(m.told) >= time.Second {
		m.told = now
		m.line()
	}
}

func (m *meter) line() {
	rate := ""
	if passed := time.Since(m.since).Seconds(); passed > 0.1 {
		rate = fmt.Sprintf(", %.0f a second", float64(m.rows)/passed)
	}
	fmt.Fprintf(m.out, "%s: %d rows%s\n", m.table, m.rows, rate)
}

// end tells of the last table.
func (m *meter) end() {
	if m.table != "" {
		m.line()
	}
	m.table = ""
}
