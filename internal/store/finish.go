package store

import (
	"errors"
	"strings"
	"time"
)

// entryKept is how long a revocation outlives the longest access token: more than any
// verifier's leeway and any request's age.
const entryKept = 10 * time.Minute

// EntryUntil is how long a revocation that is written at a time is kept.
func (i *Issuer) EntryUntil(at time.Time) time.Time { return at.Add(i.Longest + entryKept) }

// AppendRevocations adds entries to the revocation log. They get their numbers, times and
// hashes, and where Until is zero that too, when the body has ended: the head's row is
// the hottest, and is locked last. Until the commit nothing of them can be read.
func (tx *Tx) AppendRevocations(entries []Revocation) error {
	if len(entries) == 0 {
		return errors.New("store: no revocation to append")
	}
	for i := range entries {
		e := &entries[i]
		if err := good([]any{string(e.Kind), e.Value, e.Cause}); err != nil {
			return err
		}
		tx.appended = append(tx.appended, e)
	}
	return nil
}

// LastAppended is the last entry that was appended in this transaction, if any. It is
// whole once it has its number.
func (tx *Tx) LastAppended() *Revocation {
	if len(tx.appended) == 0 {
		return nil
	}
	return tx.appended[len(tx.appended)-1]
}

// OnceNumbered has f run in the transaction when the entries have their numbers.
func (tx *Tx) OnceNumbered(f func() error) { tx.numbered = append(tx.numbered, f) }

// finish does what is left of bodies that ended well in one transaction, with one change
// of the head for all of them.
func finish(bodies ...*Tx) error {
	first := bodies[0]
	var events [][]any
	var entries []*Revocation
	for _, tx := range bodies {
		events = append(events, tx.events...)
		entries = append(entries, tx.appended...)
	}
	if err := first.insert(`audit (id, at, type, subject, client, grant_, actor, address, request, data)`, events); err != nil {
		return err
	}
	if err := first.number(entries); err != nil {
		return err
	}
	for _, tx := range bodies {
		for _, f := range tx.numbered {
			if err := f(); err != nil {
				return err
			}
		}
	}
	return nil
}

// number gives entries the next numbers, writes them and moves the head.
func (tx *Tx) number(entries []*Revocation) error {
	if len(entries) == 0 {
		return nil
	}
	was, err := get(tx.Reader, func(row scanner) (i Issuer, err error) {
		var longest int64
		var hash []byte
		if err = row.Scan(&i.Head, &hash, &longest); err != nil {
			return i, err
		}
		i.Longest = time.Duration(longest) * time.Millisecond
		i.Hash, err = toHash(hash)
		return i, err
	}, `UPDATE issuer SET head = head + ? RETURNING head, hash, longest`, len(entries))
	if err != nil {
		return err
	}
	n, hash := was.Head-int64(len(entries)), was.Hash
	rows := make([][]any, len(entries))
	for k, e := range entries {
		n++
		before := hash
		e.N, e.At, e.Before = n, tx.now, before
		if e.Until.IsZero() {
			e.Until = was.EntryUntil(tx.now)
		}
		rows[k] = []any{e.N, e.Lane, string(e.Kind), e.Value, millis(e.Until), millis(e.At), e.Cause, before[:]}
		hash = hash.Next(e.Entry())
	}
	if err := tx.insert(`revocations (n, lane, kind, value, until, at, cause, before)`, rows); err != nil {
		return err
	}
	return tx.one(`UPDATE issuer SET hash = ?`, hash[:])
}

// rowsAtOnce bounds how many rows a statement inserts, and so how many statements there
// are to be prepared.
const rowsAtOnce = 64

// insert adds rows to a table: its name with the columns.
func (tx *Tx) insert(into string, rows [][]any) error {
	for len(rows) > 0 {
		some := rows[:min(rowsAtOnce, len(rows))]
		rows = rows[len(some):]
		row := "(?" + strings.Repeat(", ?", len(some[0])-1) + ")"
		args := make([]any, 0, len(some)*len(some[0]))
		for _, r := range some {
			args = append(args, r...)
		}
		if _, err := tx.change("INSERT INTO "+into+" VALUES "+row+strings.Repeat(", "+row, len(some)-1), args...); err != nil {
			return err
		}
	}
	return nil
}
