package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/store"
)

// Copy copies an issuer from one database to another. The source is left as it is.
type Copy struct {
	From, To *store.Store
	Log      *slog.Logger
	Progress Progress
}

// Copied is what a copy did.
type Copied struct {
	Incarnation string  `json:"incarnation"`
	Head        int64   `json:"head"`
	Resumed     bool    `json:"resumed"` // it went on where an earlier one was interrupted
	Tables      []Tally `json:"tables"`
}

// place is how far a copy has come: the state of the source, and the last row that is
// there. It stands in the target's hold, written with the rows.
type place struct {
	Source source `json:"source"`
	Table  string `json:"table,omitempty"` // empty: nothing yet, or nothing that counts
	After  []byte `json:"after,omitempty"` // its last row's key; empty: the table is to be begun
}

// source is a source in a state. It changes when a server runs on it.
type source struct {
	Incarnation string `json:"incarnation"`
	Head        int64  `json:"head"`
	Alive       int64  `json:"alive"`
}

func sourceOf(i store.Issuer) source {
	return source{i.Incarnation, i.Head, i.AliveAt.UnixMilli()}
}

// Refused says why something was not begun.
type Refused struct{ Text string }

func (e *Refused) Error() string { return e.Text }

func refuse(format string, args ...any) error { return &Refused{fmt.Sprintf(format, args...)} }

// Run copies, or goes on with a copy that was interrupted, and compares both sides at
// the end. Until all is there and equal the target has a hold. No server may run on
// either side: one that wrote to the source meanwhile is noticed.
func (c Copy) Run(ctx context.Context) (Copied, error) {
	from, err := c.From.Read(ctx).Issuer()
	if errors.Is(err, store.ErrNotFound) {
		return Copied{}, refuse("there is no issuer in the source")
	}
	if err != nil {
		return Copied{}, err
	}
	if holds, err := c.From.Read(ctx).Holds(); err != nil || len(holds) > 0 {
		return Copied{}, errors.Join(err, holdError(holds))
	}
	for side, st := range map[string]*store.Store{"source": c.From, "target": c.To} {
		if err := Quiet(ctx, st); err != nil {
			return Copied{}, fmt.Errorf("%s: %w", side, err)
		}
	}
	tables, err := c.tables(ctx)
	if err != nil {
		return Copied{}, err
	}
	w := newWriter(c.To, c.Log)
	at, err := c.begin(ctx, w, tables, sourceOf(from))
	if err != nil {
		return Copied{}, err
	}
	out := Copied{Incarnation: from.Incarnation, Head: from.Head, Resumed: at.Table != ""}
	start := max(0, slices.IndexFunc(tables, func(t store.Table) bool { return t.Name == at.Table }))
	for _, t := range tables[start:] {
		if at.Table != t.Name {
			at.Table, at.After = t.Name, nil
		}
		if err := c.table(ctx, w, t, &at); err != nil {
			return out, err
		}
	}
	if out.Tables, err = c.compare(ctx, w, tables, at.Source); err != nil {
		return out, err
	}
	return out, w.audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		return audit.Event{Type: audit.Copied, Origin: operator()}, tx.DropHold(store.HoldCopy)
	})
}

// tables are those of both sides, which must have the same.
func (c Copy) tables(ctx context.Context) ([]store.Table, error) {
	from, err := c.From.Read(ctx).Tables()
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	to, err := c.To.Read(ctx).Tables()
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	if !reflect.DeepEqual(from, to) {
		return nil, refuse("source and target don't have the same columns: one of them was changed by a newer release; copy with that one")
	}
	return from, nil
}

// begin finds where to go on, and makes the target ready.
func (c Copy) begin(ctx context.Context, w *writer, tables []store.Table, from source) (at place, err error) {
	holds, err := c.To.Read(ctx).Holds()
	if err != nil {
		return at, err
	}
	switch {
	case len(holds) == 1 && holds[0].Name == store.HoldCopy:
		if err := json.Unmarshal([]byte(holds[0].Detail), &at); err != nil {
			return at, fmt.Errorf("target: %w", err)
		}
		if at.Source.Incarnation != from.Incarnation {
			return at, refuse("the target holds a part of another issuer, whose copy was interrupted: empty it, or give another one")
		}
		if at.Table != "" && at.Source == from {
			return at, nil
		}
		// The source went on since, or what came over was not equal: all of it again.
	case len(holds) > 0:
		return at, holdError(holds)
	default:
		if err := c.mustBeVacant(ctx, tables, from.Incarnation); err != nil {
			return at, err
		}
	}
	at = place{Source: from}
	return at, errors.Join(w.note(ctx, at), w.clear(ctx, tables))
}

func (c Copy) mustBeVacant(ctx context.Context, tables []store.Table, incarnation string) error {
	empty, err := vacant(c.To.Read(ctx), tables)
	if err != nil || empty {
		return err
	}
	switch there, err := c.To.Read(ctx).Issuer(); {
	case err != nil:
		return errors.Join(refuse("the target is not empty"), err)
	case there.Incarnation == incarnation:
		return refuse("the target holds this issuer already, whole: if it is out of date, empty it first")
	}
	return refuse("the target holds another issuer's data: nothing was copied")
}

// note writes down where the copy stands.
func (w *writer) note(ctx context.Context, at place) error {
	return w.write(ctx, func(tx *store.Tx) error { return putPlace(tx, at) })
}

func putPlace(tx *store.Tx, at place) error {
	detail, err := json.Marshal(at)
	if err != nil {
		return err
	}
	return tx.PutHold(store.HoldCopy, string(detail))
}

// table copies the rows of a table after a place, which moves with them.
func (c Copy) table(ctx context.Context, w *writer, t store.Table, at *place) error {
	key := keyColumns(t)
	var after store.Row
	if len(at.After) > 0 {
		var err error
		if after, err = parseRow(at.After, key); err != nil {
			return fmt.Errorf("target: %w", err)
		}
	}
	moved := int64(0)
	return each(c.From.Read(ctx), t, after, func(rows []store.Row) error {
		at.After = appendRow(nil, key, t.KeyOf(rows[len(rows)-1]))
		err := w.write(ctx, func(tx *store.Tx) error {
			return errors.Join(tx.PutRows(t, rows), putPlace(tx, *at))
		})
		if err != nil {
			return fmt.Errorf("target: table %s: %w", t.Name, err)
		}
		moved += int64(len(rows))
		c.Progress.tell(t.Name, moved)
		return nil
	})
}

func keyColumns(t store.Table) []store.Column {
	key := make([]store.Column, len(t.Key))
	for i, name := range t.Key {
		key[i] = t.Columns[t.Index(name)]
	}
	return key
}

// compare counts and hashes both sides. Where they differ the next copy begins anew.
func (c Copy) compare(ctx context.Context, w *writer, tables []store.Table, copied source) ([]Tally, error) {
	var from, to []Tally
	err := c.From.Snapshot(ctx, func(r store.Reader) error {
		i, err := r.Issuer()
		if err == nil && sourceOf(i) != copied {
			err = refuse("a server began to run on the source: what it wrote is not in the copy. End it, and copy again")
		}
		if err == nil {
			from, err = tallies(r, tables, nil)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	err = c.To.Snapshot(ctx, func(r store.Reader) (err error) {
		to, err = tallies(r, tables, nil)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	var differ []string
	for i := range from {
		if from[i] != to[i] {
			differ = append(differ, fmt.Sprintf("%s (%d rows of %d)", from[i].Table, to[i].Rows, from[i].Rows))
		}
	}
	if len(differ) > 0 {
		return to, errors.Join(refuse("the target does not hold what the source does, in %s: the next copy begins anew", strings.Join(differ, ", ")), w.note(ctx, place{Source: copied}))
	}
	return to, nil
}

// holdError says what a database waits for.
func holdError(holds []store.Hold) error {
	var all []error
	for _, h := range holds {
		all = append(all, &Held{h})
	}
	return errors.Join(all...)
}

// Held says that a database has a hold.
type Held struct{ store.Hold }

func (e *Held) Error() string {
	since := e.At.UTC().Format(time.RFC3339)
	switch e.Name {
	case store.HoldCopy:
		return fmt.Sprintf("this database is not whole: a copy into it began at %s and has not ended. Run the same jeton copy again: it goes on where it was", since)
	case store.HoldRestore:
		return fmt.Sprintf("this database is not whole: a restore into it began at %s and has not ended. Run the same jeton restore again", since)
	}
	return fmt.Sprintf("since %s it is known that this database went back in time: %s. What was revoked since might be valid again. Run jeton recover, which ends every grant and cuts off every token, or restore a backup", since, e.Detail)
}
