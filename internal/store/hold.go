package store

import (
	"errors"
	"time"
)

// HoldName says why no server may start on a database.
type HoldName string

// The holds there are, each ended by the command of its name.
const (
	HoldRecover HoldName = "recover" // the database went back in time
	HoldCopy    HoldName = "copy"    // a copy into it has not ended
	HoldRestore HoldName = "restore" // a backup is being restored into it
)

// Hold keeps every server from starting on a database until an operator has acted.
type Hold struct {
	Name   HoldName
	Detail string // a sentence for the operator, or what a command goes on from
	At     time.Time
}

// Holds reads all of them.
func (r Reader) Holds() ([]Hold, error) {
	return list(r, func(row scanner) (h Hold, err error) {
		var name string
		var at int64
		err = row.Scan(&name, &h.Detail, &at)
		h.Name, h.At = HoldName(name), fromMillis(at)
		return h, err
	}, `SELECT name, detail, at FROM holds ORDER BY at, name`)
}

// Hold reads one; ErrNotFound: it does not stand.
func (r Reader) Hold(name HoldName) (Hold, error) {
	return get(r, func(row scanner) (Hold, error) {
		h := Hold{Name: name}
		var at int64
		err := row.Scan(&h.Detail, &at)
		h.At = fromMillis(at)
		return h, err
	}, `SELECT detail, at FROM holds WHERE name = ?`, string(name))
}

// PutHold has a hold stand, since now unless it stood already.
func (tx *Tx) PutHold(name HoldName, detail string) error {
	_, err := tx.change(`INSERT INTO holds (name, detail, at) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET detail = excluded.detail`,
		string(name), detail, millis(tx.now))
	return err
}

// DropHold ends a hold, if it stands.
func (tx *Tx) DropHold(name HoldName) error {
	err := tx.one(`DELETE FROM holds WHERE name = ?`, string(name))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// Renew begins a new incarnation: the revocation log goes on from base, with none of
// the entries before it, and its running hash begins anew.
func (tx *Tx) Renew(i Issuer) error {
	former, err := encode(i.Former, false)
	if err != nil {
		return err
	}
	if _, err := tx.change(`DELETE FROM revocations`); err != nil {
		return err
	}
	return tx.one(`UPDATE issuer SET incarnation = ?, former = ?, head = ?, hash = ?, cutoff = ?`, i.Incarnation, former, i.Head, i.Hash[:], i.Cutoff)
}

// LeaseUntil is until when somebody holds the lease of a job; zero: nobody does.
func (r Reader) LeaseUntil(name string) (time.Time, error) {
	ms, err := get(r, scanOne[int64], `SELECT until FROM leases WHERE name = ?`, name)
	if errors.Is(err, ErrNotFound) {
		return time.Time{}, nil
	}
	return fromMillis(ms), err
}
