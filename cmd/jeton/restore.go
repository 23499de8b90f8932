package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/jeton-auth/jeton/internal/config"
	"github.com/jeton-auth/jeton/internal/sealed"
	"github.com/jeton-auth/jeton/internal/server"
	"github.com/jeton-auth/jeton/internal/transfer"
)

type restoreCommand struct {
	configFlag
	In       string   `arg:"" placeholder:"FILE" help:"The backup."`
	Identity string   `placeholder:"FILE" help:"The age key file, for a backup that was sealed for age recipients."`
	Replay   []string `placeholder:"FILE" help:"A revocation journal that was kept since the backup; may be repeated. Grants that it can vouch for live on."`
	Force    bool     `help:"Replace what the store holds."`
	Check    bool     `help:"Only read the backup to its end, and say what it holds."`
	JSON     bool     `name:"json" help:"Print JSON."`
}

// Run restores a backup.
func (r *restoreCommand) Run(ctx context.Context, std *streams) (err error) {
	c, err := r.load(std)
	if err != nil {
		return err
	}
	key := sealed.Key{Secret: c.KeyEncryptionKey}
	if r.Identity != "" {
		f, err := os.Open(r.Identity)
		if err != nil {
			return fmt.Errorf("--identity: %w", err)
		}
		key.Identities, err = sealed.Identities(f)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("--identity: %w", err)
		}
	}
	in, err := os.Open(r.In)
	if err != nil {
		return err
	}
	defer in.Close()
	open := func() (*transfer.Records, error) {
		if _, err := in.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		file, err := sealed.NewReader(in)
		if err != nil {
			return nil, err
		}
		body, err := file.Open(key)
		if err != nil {
			return nil, err
		}
		return transfer.ReadRecords(body)
	}
	bar := newMeter(std.err)
	if r.Check {
		records, err := open()
		if err != nil {
			return err
		}
		tables, err := records.Check(bar.moved)
		bar.end()
		if err != nil {
			return err
		}
		out := backedUp{records.Header, r.In, tables}
		return show(std, r.JSON, out, func(w io.Writer) { tellBackup(w, out.Header, tables) })
	}
	journals, end, err := openAll(r.Replay)
	if err != nil {
		return fmt.Errorf("--replay: %w", err)
	}
	defer end()
	mark, err := readMark(c)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(std.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	st, endStore, err := server.OpenStore(ctx, c.Store, true, log)
	if err != nil {
		return explain(err)
	}
	defer func() { err = errors.Join(err, endStore()) }()
	out, err := transfer.Restore{
		To: st, Log: log, Issuer: c.Issuer, Open: open, Journals: journals, Mark: mark, Force: r.Force, Progress: bar.moved,
	}.Run(ctx)
	bar.end()
	if err != nil {
		return err
	}
	return show(std, r.JSON, out, func(w io.Writer) {
		tellBackup(w, out.Backup, out.Tables)
		if journals == nil {
			fmt.Fprintln(w, "Every grant and session of it is ended: people log in again, and clients get new tokens.")
		} else {
			fmt.Fprintf(w, "%d lines of journals were replayed: %d grants live on, %d that nobody can vouch for ended, and every session.\n", out.Replayed, out.Kept, out.Ended)
		}
		tellRenewed(w, out.Renewed)
	})
}

// openAll opens files; none give nil.
func openAll(paths []string) (all []io.Reader, end func(), err error) {
	var files []*os.File
	end = func() {
		for _, f := range files {
			f.Close()
		}
	}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			end()
			return nil, nil, err
		}
		files, all = append(files, f), append(all, f)
	}
	return all, end, nil
}

func readMark(c *config.Config) (*transfer.Mark, error) {
	if c.HighWater == "" {
		return nil, nil
	}
	return transfer.ReadMark(c.HighWater)
}

func tellRenewed(w io.Writer, r transfer.Renewed) {
	fmt.Fprintf(w, "The store is now incarnation %s; access tokens with a rev under %d are cut off.\n", r.Incarnation, r.Cutoff)
}

type recoverCommand struct {
	configFlag
	JSON bool `name:"json" help:"Print JSON."`
}

// Run makes a store fit to be served again.
func (r *recoverCommand) Run(ctx context.Context, std *streams) (err error) {
	c, err := r.load(std)
	if err != nil {
		return err
	}
	mark, err := readMark(c)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(std.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	st, end, err := server.OpenStore(ctx, c.Store, false, log)
	if err != nil {
		return explain(err)
	}
	defer func() { err = errors.Join(err, end()) }()
	out, err := transfer.Recover{Store: st, Log: log, Mark: mark}.Run(ctx)
	if err != nil {
		return err
	}
	return show(std, r.JSON, out, func(w io.Writer) {
		if out.Because == "" {
			fmt.Fprintln(w, "Nothing said that the store went back in time; it was taken to be so.")
		} else {
			fmt.Fprintln(w, "Because "+out.Because+":")
		}
		fmt.Fprintln(w, "Every grant and session is ended: people log in again, and clients get new tokens.")
		tellRenewed(w, out.Renewed)
	})
}
