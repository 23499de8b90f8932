package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/jeton-auth/jeton/internal/adminapi"
	"github.com/jeton-auth/jeton/internal/config"
	"github.com/jeton-auth/jeton/internal/sealed"
	"github.com/jeton-auth/jeton/internal/server"
	"github.com/jeton-auth/jeton/internal/transfer"
)

type backupCommand struct {
	configFlag
	Out       string   `short:"o" name:"out" required:"" placeholder:"FILE" help:"The file to write. One that is there is replaced when the new one is whole."`
	Recipient []string `placeholder:"age1…" help:"Seal it for an age recipient, instead of with the key-encryption key; may be repeated."`
	JSON      bool     `name:"json" help:"Print JSON."`
}

// backedUp is what a backup holds.
type backedUp struct {
	transfer.Header
	File   string           `json:"file"`
	Tables []transfer.Tally `json:"tables"`
}

// Run writes a backup: what the running server tells over its socket, or what the
// database holds.
func (b *backupCommand) Run(ctx context.Context, std *streams) error {
	c, err := b.load(std)
	if err != nil {
		return err
	}
	key := sealed.Key{Secret: c.KeyEncryptionKey}
	if len(b.Recipient) > 0 {
		if key.Recipients, err = sealed.Recipients(b.Recipient); err != nil {
			return fmt.Errorf("--recipient: %w", err)
		}
	}
	source, err := openRecords(ctx, c)
	if err != nil {
		return err
	}
	defer source.Close()
	records, err := transfer.ReadRecords(source)
	if err != nil {
		return err
	}
	bar := newMeter(std.err)
	out := backedUp{Header: records.Header, File: b.Out}
	err = replaceFile(b.Out, func(f io.Writer) error {
		var w io.WriteCloser
		out.Tables, err = records.Pack(func(h transfer.Header) (io.Writer, error) {
			head, err := json.Marshal(h)
			if err != nil {
				return nil, err
			}
			w, err = sealed.NewWriter(f, head, key)
			return w, err
		}, bar.moved)
		if err != nil {
			return err
		}
		return w.Close()
	})
	bar.end()
	if err != nil {
		return err
	}
	return show(std, b.JSON, out, func(w io.Writer) { tellBackup(w, out.Header, out.Tables) })
}

func tellBackup(w io.Writer, h transfer.Header, tables []transfer.Tally) {
	rows := int64(0)
	for _, t := range tables {
		rows += t.Rows
	}
	fmt.Fprintf(w, "backup of %s at %s: %d rows, head %d of incarnation %s\n", h.Issuer, h.At.Format("2006-01-02T15:04:05Z07:00"), rows, h.Head, h.Incarnation)
}

// replaceFile writes a file that is there only when it is whole, and its owner's alone.
func replaceFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	if err := errors.Join(write(f), f.Sync()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), dir.Sync(), dir.Close())
}

// openRecords reads the records of the running server, or of a database that no server
// keeps for itself.
func openRecords(ctx context.Context, c *config.Config) (io.ReadCloser, error) {
	if socket, err := server.SocketPath(c); err == nil {
		r, err := recordsOver(ctx, socket)
		if !errors.Is(err, errNobody) {
			return r, err
		}
	}
	log := slog.New(slog.DiscardHandler)
	st, end, err := server.OpenStore(ctx, c.Store, false, log)
	if err != nil {
		return nil, explain(err)
	}
	r, w := io.Pipe()
	go func() {
		err := transfer.WriteRecords(ctx, st, c.Issuer, log, w)
		w.CloseWithError(errors.Join(err, end())) // nil is the end
	}()
	return r, nil
}

// recordsOver asks the server that listens on a socket.
func recordsOver(ctx context.Context, socket string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://jeton/backup", nil)
	if err != nil {
		return nil, err
	}
	hc := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err != nil {
			err = errors.Join(errNobody, err)
		}
		return c, err
	}}}
	resp, err := hc.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	var p adminapi.Problem
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && (json.Unmarshal(text, &p) != nil || p.Text == "") {
		p.Text = fmt.Sprintf("the server answered %d", resp.StatusCode)
	}
	return nil, errors.Join(err, errors.New(p.Text))
}
