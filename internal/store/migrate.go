package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// migrate applies the engine's migrations that the database lacks, each in a
// transaction of its own with the row that records it. A database that knows a
// later migration than this program is refused: it belongs to a newer release.
func (s *Store) migrate(ctx context.Context) error {
	files, err := fs.Glob(s.engine.Migrations(), "*.sql")
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	slices.Sort(files)
	err = s.Write(ctx, func(tx *Tx) error {
		_, err := tx.change(`CREATE TABLE IF NOT EXISTS migrations (version BIGINT PRIMARY KEY, applied_at BIGINT NOT NULL)`)
		return err
	})
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	applied, err := list(s.Read(ctx), scanOne[int], `SELECT version FROM migrations ORDER BY version`)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	newest := 0
	for _, name := range files {
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != newest+1 {
			return fmt.Errorf("migrate: %s: migrations are numbered one after the other", name)
		}
		newest = version
		if slices.Contains(applied, version) {
			continue
		}
		text, err := fs.ReadFile(s.engine.Migrations(), name)
		if err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
		err = s.Write(ctx, func(tx *Tx) error {
			if _, err := tx.change(`INSERT INTO migrations (version, applied_at) VALUES (?, ?)`, version, millis(tx.Now())); err != nil {
				return err
			}
			_, err := tx.change(string(text))
			return err
		})
		if err != nil && !errors.Is(err, ErrConflict) {
			return fmt.Errorf("migrate: %s: %w", name, err)
		}
	}
	if n := len(applied); n > 0 && applied[n-1] > newest {
		return fmt.Errorf("migrate: the database has schema version %d, this program knows %d: run the newer release that made it", applied[n-1], newest)
	}
	return nil
}
