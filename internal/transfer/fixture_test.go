package transfer

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/store/sqlite"
)

var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// quietLog drops what is logged.
var quietLog = slog.New(slog.NewTextHandler(io.Discard, nil))

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens an SQLite database until the test ends, or close is called.
func open(t testing.TB, path string) (st *store.Store, end func()) {
	t.Helper()
	e := &sqlite.Engine{}
	st, err := store.Open(t.Context(), e, path, clock.NewManual(begin), quietLog)
	must(t, err)
	ended := false
	end = func() {
		if !ended {
			ended = true
			must(t, st.Close())
			must(t, e.Close())
		}
	}
	t.Cleanup(end)
	return st, end
}

func empty(t testing.TB) *store.Store {
	t.Helper()
	st, _ := open(t, filepath.Join(t.TempDir(), "jeton.db"))
	return st
}

// seed fills every table but that of the issuer with n rows of random values, odd ones
// among them.
func seed(t testing.TB, st *store.Store, n int) {
	t.Helper()
	must(t, st.Write(t.Context(), func(tx *store.Tx) error { return tx.CreateIssuer(time.Hour) }))
	rnd := rand.New(rand.NewPCG(1, 2))
	tables := tablesOf(t, st)
	for _, tab := range tables[1:] {
		rows := make([]store.Row, n)
		for i := range rows {
			rows[i] = randomRow(rnd, tab, i)
		}
		must(t, st.Write(t.Context(), func(tx *store.Tx) error { return tx.PutRows(tab, rows) }))
	}
}

var odd = []string{"", "ä", "Z", "a", "É", " ", "\x7f", "日本", "'quoted' \"twice\"", "%_", "\t\n", "😀"}

func randomRow(rnd *rand.Rand, t store.Table, i int) store.Row {
	r := make(store.Row, len(t.Columns))
	for k, c := range t.Columns {
		switch c.Kind {
		case store.Integer:
			r[k] = int64(rnd.Uint64())
			if rnd.IntN(4) == 0 {
				r[k] = int64(rnd.IntN(3) - 1)
			}
		case store.Text:
			r[k] = odd[rnd.IntN(len(odd))] + strings.Repeat(odd[rnd.IntN(len(odd))], rnd.IntN(40))
		default:
			b := make([]byte, rnd.IntN(64))
			for j := range b {
				b[j] = byte(rnd.Uint32())
			}
			r[k] = b
		}
	}
	// What must be unique.
	for _, name := range append([]string{"login", "user_code"}, t.Key...) {
		k := t.Index(name)
		if k < 0 {
			continue
		}
		switch t.Columns[k].Kind {
		case store.Integer:
			r[k] = int64(i) * 7
		case store.Text:
			r[k] = fmt.Sprintf("%s%d", odd[i%len(odd)], i)
		default:
			r[k] = append([]byte{byte(i * 31)}, fmt.Sprint(i)...)
		}
	}
	return r
}

func tablesOf(t testing.TB, st *store.Store) []store.Table {
	t.Helper()
	tables, err := st.Read(t.Context()).Tables()
	must(t, err)
	return tables
}

// all are the tallies of a database.
func all(t testing.TB, st *store.Store) []Tally {
	t.Helper()
	sums, err := tallies(st.Read(t.Context()), tablesOf(t, st), nil)
	must(t, err)
	return sums
}

func holds(t testing.TB, st *store.Store) []store.Hold {
	t.Helper()
	all, err := st.Read(t.Context()).Holds()
	must(t, err)
	return all
}

// interrupted ends a context when a table has that many rows.
func interrupted(t testing.TB, table string, rows int64) (context.Context, Progress) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return ctx, func(name string, n int64) {
		if name == table && n >= rows {
			cancel()
		}
	}
}
