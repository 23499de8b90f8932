package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/server"
	"github.com/jeton-auth/jeton/internal/store"
)

// The first migrate applies all, the next nothing, and each says so. A database that
// a server has open is its own.
func TestMigrate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config, database := filepath.Join(dir, "jeton.yaml"), "sqlite:"+filepath.Join(dir, "jeton.db")
	text := fmt.Sprintf("issuer: http://localhost:8080\nstore: %s\nkey_encryption_key: file:%s\n", database, filepath.Join(dir, "kek"))
	for path, text := range map[string]string{config: text, filepath.Join(dir, "kek"): keys.NewKEK() + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, out, errs := command(t, "migrate", "-c", config)
	if code != 0 || errs != "" || !strings.HasPrefix(out, "applied 001_begin;") || !strings.Contains(out, "\nthe database has schema version ") || !strings.HasSuffix(out, " now\n") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	code, out, errs = command(t, "migrate", "-c", config)
	if code != 0 || errs != "" || !strings.HasPrefix(out, "the database has schema version ") || !strings.HasSuffix(out, " already\n") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	code, out, errs = command(t, "migrate", "-c", config, "--json")
	var schema store.Schema
	if err := json.Unmarshal([]byte(out), &schema); err != nil || code != 0 || schema.Version < 1 || schema.Known != schema.Version || schema.Applied == nil || len(schema.Applied) != 0 {
		t.Errorf("exit %d: %s%s: %v", code, out, errs, err)
	}

	_, end, err := server.OpenStore(t.Context(), database, false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	code, out, errs = command(t, "migrate", "-c", config)
	if err := end(); err != nil {
		t.Error(err)
	}
	if code != 1 || out != "" || !strings.Contains(errs, "has this database open") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if code, _, errs = command(t, "migrate", "-c", filepath.Join(dir, "none.yaml")); code != 1 || errs == "" {
		t.Errorf("without a configuration: exit %d: %s", code, errs)
	}
}
