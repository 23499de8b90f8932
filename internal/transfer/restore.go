package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// Restore fills a database from a backup. What it becomes is a new incarnation, in which
// every grant, session and access token of before is dead; with journals some grants
// live on.
type Restore struct {
	To     *store.Store
	Log    *slog.Logger
	Issuer string // whose backup it must be
	// Open gives the backup's records from their beginning. It is called twice: nothing
	// is touched before all of them were read once.
	Open     func() (*Records, error)
	Journals []io.Reader // of revocations since the backup; nil: none are kept
	Mark     *Mark       // the high-water mark, if there is one
	Force    bool        // replace what is there
	Progress Progress
}

// Restored is what Restore did.
type Restored struct {
	Backup Header `json:"backup"`
	Renewed
	Replayed int     `json:"replayed"`     // lines of journals
	Kept     int64   `json:"grants_kept"`  // live grants that go on
	Ended    int64   `json:"grants_ended"` // with journals, live grants that ended; without, all did
	Tables   []Tally `json:"tables"`       // of the backup
}

// left out are tables of what was under way.
var leftOut = []string{"devices", "flows", "leases", "pushed_requests", "replays", "revocations"}

// Run restores. Until it is done the database has a hold; one that was interrupted is
// to be run again.
func (r Restore) Run(ctx context.Context) (out Restored, err error) {
	first, err := r.inspect()
	if err != nil {
		return out, err
	}
	out.Backup, out.Tables = first.header, first.tables
	var p *replay
	if r.Journals != nil {
		if p, err = readJournals(r.Journals, first.issuer, first.header.At, r.Mark); err != nil {
			return out, err
		}
		out.Replayed = p.lines
	}
	tables, err := r.To.Read(ctx).Tables()
	if err != nil {
		return out, err
	}
	w := newWriter(r.To, r.Log)
	l, err := r.begin(ctx, w, tables, first.issuer)
	if err != nil {
		return out, err
	}
	if err := r.fill(ctx, w, tables, p); err != nil {
		return out, err
	}
	if p != nil {
		out.Kept, out.Ended = p.kept, p.over
	}
	return out, w.audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		e := audit.Event{Type: audit.Restored, Origin: operator()}
		keys := revokedKeys(first.keys, tx.Now())
		if p != nil {
			for kid, until := range p.keys {
				keys = append(keys, store.Revocation{Kind: feed.Key, Value: kid, Until: until, Cause: "replayed"})
			}
		}
		if out.Renewed, err = renew(tx, l, keys, p == nil); err != nil {
			return e, err
		}
		e.Data = map[string]string{"incarnation": out.Incarnation, "backup": stamp(out.Backup.At), "replayed": fmt.Sprint(out.Replayed)}
		return e, errors.Join(tx.DropHold(store.HoldRestore), tx.DropHold(store.HoldRecover), tx.Alive())
	})
}

// inspected is what the first reading of a backup finds.
type inspected struct {
	header Header
	issuer store.Issuer
	keys   []store.Revocation
	tables []Tally
}

// inspect reads the whole backup, and touches nothing.
func (r Restore) inspect() (found inspected, err error) {
	records, err := r.Open()
	if err != nil {
		return found, err
	}
	found.header = records.Header
	if found.header.Issuer != r.Issuer {
		return found, refuse("the backup is of the issuer %s, and the configuration's is %s", found.header.Issuer, r.Issuer)
	}
	found.tables, err = records.each(taker{row: func(t store.Table, row store.Row) error {
		switch t.Name {
		case "issuer":
			found.issuer = store.Issuer{Incarnation: row[t.Index("incarnation")].(string), Head: row[t.Index("head")].(int64)}
			return json.Unmarshal([]byte(row[t.Index("former")].(string)), &found.issuer.Former)
		case "revocations":
			found.keys = append(found.keys, revokedKeys([]store.Revocation{{
				Kind: feed.Kind(row[t.Index("kind")].(string)), Value: row[t.Index("value")].(string),
				Cause: row[t.Index("cause")].(string), Until: time.UnixMilli(row[t.Index("until")].(int64)),
			}}, time.Time{})...)
		}
		return nil
	}})
	if err == nil && (found.issuer.Incarnation == "" || found.issuer.Incarnation != found.header.Incarnation) {
		err = ErrRecords
	}
	return found, err
}

// begin makes the database empty, and gives what the new incarnation comes after: also
// what was there before, since readers may have followed that.
func (r Restore) begin(ctx context.Context, w *writer, tables []store.Table, backup store.Issuer) (l lineage, err error) {
	l.add(backup)
	if r.Mark != nil {
		l.add(r.Mark.issuer())
	}
	holds, err := r.To.Read(ctx).Holds()
	if err != nil {
		return l, err
	}
	if err := Quiet(ctx, r.To); err != nil {
		return l, err
	}
	interrupted := slices.IndexFunc(holds, func(h store.Hold) bool { return h.Name == store.HoldRestore })
	if interrupted >= 0 {
		var before lineage
		if err := json.Unmarshal([]byte(holds[interrupted].Detail), &before); err != nil {
			return l, err
		}
		l.add(store.Issuer{Former: before.Former, Head: before.Head})
	} else {
		empty, err := vacant(r.To.Read(ctx), tables)
		if err != nil {
			return l, err
		}
		if !empty && !r.Force {
			return l, refuse("the database is not empty: a restore would replace all that it holds. Move it away, or give --force")
		}
		there, err := r.To.Read(ctx).Issuer()
		if err == nil {
			l.add(there)
		} else if !errors.Is(err, store.ErrNotFound) {
			return l, err
		}
	}
	detail, err := json.Marshal(l)
	if err != nil {
		return l, err
	}
	err = w.write(ctx, func(tx *store.Tx) error {
		return errors.Join(tx.DropHold(store.HoldCopy), tx.PutHold(store.HoldRestore, string(detail)))
	})
	if err != nil {
		return l, err
	}
	return l, w.clear(ctx, tables)
}

// fill reads the backup again, into the database.
func (r Restore) fill(ctx context.Context, w *writer, tables []store.Table, p *replay) error {
	records, err := r.Open()
	if err != nil {
		return err
	}
	now := r.To.Now()
	var into store.Table
	var rows []store.Row
	flush := func() error {
		if len(rows) == 0 {
			return nil
		}
		err := w.write(ctx, func(tx *store.Tx) error { return tx.PutRows(into, rows) })
		rows = rows[:0]
		if err != nil {
			return fmt.Errorf("table %s: %w", into.Name, err)
		}
		return nil
	}
	_, err = records.each(taker{
		table: func(t store.Table) error {
			into = t
			return known(tables, t)
		},
		row: func(t store.Table, row store.Row) error {
			if slices.Contains(leftOut, t.Name) {
				return nil
			}
			if p != nil {
				if stays, err := p.row(t, row, now); err != nil || !stays {
					return err
				}
			}
			if rows = append(rows, row); len(rows) == batch {
				return flush()
			}
			return nil
		},
		done:     func(Tally) error { return flush() },
		progress: r.Progress,
	})
	return err
}

// known refuses a table of a backup that the database has not, or not like this. Columns
// that are younger than the backup get their defaults.
func known(tables []store.Table, t store.Table) error {
	i := slices.IndexFunc(tables, func(h store.Table) bool { return h.Name == t.Name })
	if i < 0 {
		return refuse("the backup has a table %q, which this release does not know: restore it with the release that wrote it, or a newer one", t.Name)
	}
	for _, c := range t.Columns {
		if !slices.Contains(tables[i].Columns, c) {
			return refuse("the backup has a column %s.%s, which this release does not know: restore it with the release that wrote it, or a newer one", t.Name, c.Name)
		}
	}
	return nil
}
