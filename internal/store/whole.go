package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// What follows moves tables as they are from one database to another, whatever its
// engine. Everything else in this package knows what a row means; this does not.

// ColumnKind is the type of a column's values, by the letter that stands for it where
// rows are written.
type ColumnKind byte

// The kinds: an int64, a string, a []byte.
const (
	Integer ColumnKind = 'i'
	Text    ColumnKind = 't'
	Bytes   ColumnKind = 'b'
)

// Column is a column of a table.
type Column struct {
	Name string
	Kind ColumnKind
}

// Table is a table as a whole, with its columns in the order of their names.
type Table struct {
	Name    string
	Columns []Column
	Key     []string // the columns of its primary key
}

// Row is the values of a row, in the order of its table's columns.
type Row []any

// whole lists the tables that make up an issuer, and their primary keys: all but those
// of migrations and holds, which belong to the database. Who clients are stands before
// what they were granted.
var whole = []Table{
	{Name: "issuer", Key: []string{"id"}},
	{Name: "outages", Key: []string{"since"}},
	{Name: "keys", Key: []string{"id"}},
	{Name: "clients", Key: []string{"id"}},
	{Name: "resources", Key: []string{"id"}},
	{Name: "users", Key: []string{"id"}},
	{Name: "revocations", Key: []string{"n"}},
	{Name: "sessions", Key: []string{"id"}},
	{Name: "flows", Key: []string{"id"}},
	{Name: "pushed_requests", Key: []string{"key"}},
	{Name: "devices", Key: []string{"key"}},
	{Name: "grants", Key: []string{"id"}},
	{Name: "consents", Key: []string{"subject", "client"}},
	{Name: "audit", Key: []string{"at", "id"}},
	{Name: "leases", Key: []string{"name"}},
	{Name: "attempts", Key: []string{"key"}},
	{Name: "changes", Key: []string{"name"}},
	{Name: "replays", Key: []string{"key"}},
	{Name: "participations", Key: []string{"session", "client", "known"}},
	{Name: "logouts", Key: []string{"id"}},
}

// Index is the place of a column in the table's rows; -1: there is none.
func (t Table) Index(column string) int {
	return slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == column })
}

// KeyOf is the key of a row.
func (t Table) KeyOf(r Row) Row {
	key := make(Row, len(t.Key))
	for i, name := range t.Key {
		key[i] = r[t.Index(name)]
	}
	return key
}

// Tables describes the tables that make up an issuer, as the database has them.
func (r Reader) Tables() ([]Table, error) {
	all := make([]Table, len(whole))
	for i, t := range whole {
		columns, err := r.columns(t.Name)
		if err != nil {
			return nil, fmt.Errorf("store: table %s: %w", t.Name, err)
		}
		all[i] = Table{t.Name, columns, t.Key}
	}
	return all, nil
}

func (r Reader) columns(table string) ([]Column, error) {
	rows, err := r.run.query("SELECT * FROM "+table+" WHERE 1 = 0", nil)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	columns := make([]Column, len(types))
	for i, t := range types {
		columns[i].Name = t.Name()
		switch name := t.DatabaseTypeName(); name {
		case "INTEGER", "BIGINT", "INT8":
			columns[i].Kind = Integer
		case "TEXT":
			columns[i].Kind = Text
		case "BLOB", "BYTEA":
			columns[i].Kind = Bytes
		default:
			return nil, fmt.Errorf("column %s has the type %q, which can't be moved", t.Name(), name)
		}
	}
	slices.SortFunc(columns, func(a, b Column) int { return strings.Compare(a.Name, b.Name) })
	return columns, rows.Err()
}

// Rows reads up to limit rows of a table in the order of its key, which is the
// database's own: those after a key, or with none the first.
func (r Reader) Rows(t Table, after Row, limit int) ([]Row, error) {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = quoted(c.Name)
	}
	key := make([]string, len(t.Key))
	for i, name := range t.Key {
		key[i] = quoted(name)
	}
	keys := strings.Join(key, ", ")
	query := "SELECT " + strings.Join(names, ", ") + " FROM " + t.Name
	if len(after) > 0 {
		query += " WHERE (" + keys + ") > (" + marks(len(key)) + ")"
	}
	query += " ORDER BY " + keys + " LIMIT ?"
	return list(r, t.scan, query, append(slices.Clone([]any(after)), limit)...)
}

func (t Table) scan(row scanner) (Row, error) {
	values := make(Row, len(t.Columns))
	into := make([]any, len(t.Columns))
	for i, c := range t.Columns {
		switch c.Kind {
		case Integer:
			into[i] = new(int64)
		case Text:
			into[i] = new(string)
		default:
			into[i] = new([]byte)
		}
	}
	if err := row.Scan(into...); err != nil {
		return nil, err
	}
	for i := range into {
		switch v := into[i].(type) {
		case *int64:
			values[i] = *v
		case *string:
			values[i] = *v
		case *[]byte:
			values[i] = notNil(*v)
		}
	}
	return values, nil
}

func quoted(name string) string { return `"` + name + `"` }

func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// together is how many rows one statement inserts.
const together = 64

// PutRows adds rows as they are.
func (tx *Tx) PutRows(t Table, rows []Row) error {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = quoted(c.Name)
	}
	into := "INSERT INTO " + t.Name + " (" + strings.Join(names, ", ") + ") VALUES "
	values := "(" + marks(len(names)) + ")"
	for len(rows) > 0 {
		n := 1
		if len(rows) >= together {
			n = together
		}
		args := make([]any, 0, n*len(names))
		for _, r := range rows[:n] {
			args = append(args, r...)
		}
		if _, err := tx.change(into+values+strings.Repeat(", "+values, n-1), args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// Empty removes up to limit rows of a table, and tells how many it removed.
func (tx *Tx) Empty(t Table, limit int) (int64, error) {
	rows, err := tx.Rows(t, nil, limit)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	key := make([]string, len(t.Key))
	for i, name := range t.Key {
		key[i] = quoted(name)
	}
	last := t.KeyOf(rows[len(rows)-1])
	return tx.change("DELETE FROM "+t.Name+" WHERE ("+strings.Join(key, ", ")+") <= ("+marks(len(key))+")", last...)
}

// Snapshot runs body on the database as it is at one moment, whatever is written
// meanwhile. It is to be over soon: as long as it runs the database keeps what it
// would otherwise tidy away.
func (s *Store) Snapshot(ctx context.Context, body func(Reader) error) error {
	conn, err := s.read.Conn(ctx)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer conn.Close()
	o := &sql.TxOptions{ReadOnly: true}
	if s.shared != nil {
		o.Isolation = sql.LevelRepeatableRead
	}
	tx, err := conn.BeginTx(ctx, o)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer tx.Rollback()
	if s.shared != nil {
		// Whoever takes the rows may be slow.
		if _, err := tx.ExecContext(ctx, "SET LOCAL idle_in_transaction_session_timeout = 0"); err != nil {
			return fmt.Errorf("store: %w", err)
		}
	}
	return body(Reader{run: snapshot{s, ctx, tx}})
}

// snapshot runs queries in one transaction.
type snapshot struct {
	s   *Store
	ctx context.Context
	tx  *sql.Tx
}

func (r snapshot) query(query string, args []any) (*sql.Rows, error) {
	if r.s.shared != nil {
		query = r.s.shared.rebind(query)
	}
	return r.tx.QueryContext(r.ctx, query, args...)
}

func (snapshot) exec(string, []any) (sql.Result, error) {
	return nil, errors.New("store: a Reader changes nothing")
}
