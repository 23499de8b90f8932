package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strconv"
	"strings"
)

// Schema tells which schema a database has, and what Open did to it.
type Schema struct {
	Version int         `json:"version"` // the newest migration that the database has
	Known   int         `json:"known"`   // the newest that this program knows
	Applied []Migration `json:"applied"` // by this program, now
}

// Migration is a step from one schema to the next: a file NNN_name.sql, numbered from
// 1 on. It goes forward only.
//
// A file whose first line is "-- serves: N" leaves a schema on which programs still
// work that know no migration after N; without the line, or for its own number, none
// but those that know it. So a release can be put in place node by node: the nodes of
// the release before go on, and start, on the new schema.
type Migration struct {
	Version int    `json:"version"`
	Name    string `json:"name"`
	Serves  int    `json:"serves"`

	text string
}

// Schema is the database's schema, as Open left it.
func (s *Store) Schema() Schema { return s.schema }

const servesLine = "-- serves:"

// readMigrations reads the files NNN_name.sql.
func readMigrations(files fs.FS) ([]Migration, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	all := make([]Migration, len(names))
	for i, name := range names {
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != i+1 {
			return nil, fmt.Errorf("%s: migrations are numbered one after the other", name)
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		m := Migration{Version: version, Name: strings.TrimSuffix(name, ".sql"), Serves: version, text: string(text)}
		first, _, _ := strings.Cut(m.text, "\n")
		if oldest, says := strings.CutPrefix(first, servesLine); says {
			m.Serves, err = strconv.Atoi(strings.TrimSpace(oldest))
			if err != nil || m.Serves < 1 || m.Serves > version {
				return nil, fmt.Errorf("%s: its first line does not name a version from 1 to its own, as in %q", name, servesLine+" 1")
			}
		}
		all[i] = m
	}
	return all, nil
}

// migrate applies the engine's migrations that the database lacks, each in a
// transaction of its own that begins with the row which records it. The row is the
// lock: of many nodes that start at once one applies a migration, and the others wait
// until its transaction has ended. A database that is ahead is refused unless its
// schema serves this program.
func (s *Store) migrate(ctx context.Context) error {
	if err := s.migrateTo(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

func (s *Store) migrateTo(ctx context.Context) error {
	known, err := readMigrations(s.engine.Migrations())
	if err != nil {
		return err
	}
	s.schema.Known = len(known)
	if err := s.lookAtSchema(ctx); err != nil {
		return err
	}
	for _, m := range known[min(s.schema.Version, len(known)):] {
		switch err := s.apply(ctx, m); {
		case errors.Is(err, errApplied):
		case err != nil:
			return fmt.Errorf("%s: %w", m.Name, err)
		default:
			s.schema.Applied = append(s.schema.Applied, m)
			s.log.Info("a migration was applied to the database", slog.String("migration", m.Name), slog.Int("serves", m.Serves))
		}
	}
	// Another node, of a newer release, may have gone further in the meantime.
	return s.lookAtSchema(ctx)
}

// lookAtSchema reads the database's schema version, and refuses a schema that does not
// serve this program.
func (s *Store) lookAtSchema(ctx context.Context) error {
	applied, err := s.migrations(ctx)
	if errors.Is(err, ErrUnavailable) {
		return err
	}
	if err != nil {
		// There is no such table yet. Where others make it at the same time all but one
		// are told of a conflict, and find it.
		cerr := s.unhurried(ctx, func(tx *Tx) error {
			_, err := tx.change(`CREATE TABLE IF NOT EXISTS migrations (version BIGINT PRIMARY KEY, serves BIGINT NOT NULL, applied_at BIGINT NOT NULL)`)
			return err
		})
		if applied, err = s.migrations(ctx); err != nil {
			return errors.Join(cerr, err)
		}
	}
	for i, m := range applied {
		if m.Version != i+1 {
			return fmt.Errorf("the database lacks migration %d and has later ones: it was not made by this program", i+1)
		}
		if m.Version > s.schema.Known && m.Serves > s.schema.Known {
			return fmt.Errorf("the database has schema version %d, which serves programs that know version %d; this one knows %d: run the newer release that made it", len(applied), m.Serves, s.schema.Known)
		}
	}
	s.schema.Version = len(applied)
	if s.schema.Version > s.schema.Known {
		s.log.Warn("the database has the schema of a newer release, which still serves this one", slog.Int("schema", s.schema.Version), slog.Int("known", s.schema.Known))
	}
	return nil
}

// migrations reads what was applied, the oldest first.
func (s *Store) migrations(ctx context.Context) ([]Migration, error) {
	return list(s.Read(ctx), func(row scanner) (m Migration, err error) {
		err = row.Scan(&m.Version, &m.Serves)
		return m, err
	}, `SELECT version, serves FROM migrations ORDER BY version`)
}

var errApplied = errors.New("another node has applied it")

// apply applies a migration, or returns errApplied.
func (s *Store) apply(ctx context.Context, m Migration) error {
	return s.unhurried(ctx, func(tx *Tx) error {
		_, err := tx.change(`INSERT INTO migrations (version, serves, applied_at) VALUES (?, ?, ?)`, m.Version, m.Serves, millis(tx.Now()))
		if errors.Is(err, ErrConflict) {
			return errApplied
		}
		if err != nil {
			return err
		}
		return tx.script(m.text)
	})
}

// script runs statements as they are: a question mark is none of ours.
func (tx *Tx) script(text string) (err error) {
	if r, ok := tx.run.(*sharedWriting); ok {
		if err = r.begin(); err == nil {
			_, err = r.tx.ExecContext(r.ctx, text)
		}
	} else {
		_, err = tx.run.exec(text, nil)
	}
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// unhurried runs body in a transaction that may take longer than any other: it changes
// tables that are large, or waits for a node which does.
func (s *Store) unhurried(ctx context.Context, body func(*Tx) error) error {
	if s.shared == nil {
		return s.Write(ctx, body)
	}
	for {
		err := s.shared.unhurried(ctx, body)
		if !s.engine.Retryable(err) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.log.Info("a migration waits for other transactions", slog.Any("error", err))
	}
}

func (w *shared) unhurried(ctx context.Context, body func(*Tx) error) error {
	t, err := w.s.read.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	tx := &Tx{Reader: Reader{run: &sharedWriting{w: w, ctx: ctx, tx: t}}, s: w.s, now: w.s.clock.Now()}
	err = w.contained(tx, func(tx *Tx) error {
		if e, ok := w.s.engine.(interface{ Unhurried() string }); ok {
			if err := tx.script(e.Unhurried()); err != nil {
				return err
			}
		}
		if err := body(tx); err != nil {
			return err
		}
		return finish(tx)
	})
	if err != nil {
		_ = t.Rollback() // the connection is closed where it fails
		return err
	}
	return t.Commit()
}
