package e2e

import (
	"database/sql"
	"fmt"
	"net/url"
	"testing"
)

// database is the issuer's, opened for reading alone, beside a running server too.
func (i *issuer) database() *sql.DB {
	i.t.Helper()
	q := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)"}}
	db, err := sql.Open("sqlite", "file:"+i.path("jeton.db")+"?"+q.Encode())
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { db.Close() })
	return db
}

// query gives the one value that a query finds.
func query[T any](t testing.TB, db *sql.DB, text string, args ...any) (v T) {
	t.Helper()
	if err := db.QueryRow(text, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// grantNumber is the number in a grant's row; live is false where the grant ended.
func grantNumber(t testing.TB, db *sql.DB, id string) (number int64, live bool) {
	t.Helper()
	var ended int64
	if err := db.QueryRow("SELECT number, ended_at FROM grants WHERE id = ?", []byte(id)).Scan(&number, &ended); err != nil {
		t.Fatalf("grant %x: %v", id, err)
	}
	return number, ended == 0
}

// rows counts the rows of every table.
func rows(t testing.TB, db *sql.DB) map[string]int64 {
	t.Helper()
	found, err := db.Query("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	var tables []string
	for found.Next() {
		var name string
		if err := found.Scan(&name); err != nil {
			t.Fatal(err)
		}
		tables = append(tables, name)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int64{}
	for _, name := range tables {
		counts[name] = query[int64](t, db, fmt.Sprintf("SELECT count(*) FROM %q", name))
	}
	return counts
}

// size is that of the database file in bytes, as its header says.
func size(t testing.TB, db *sql.DB) int64 {
	t.Helper()
	return query[int64](t, db, "PRAGMA page_count") * query[int64](t, db, "PRAGMA page_size")
}
