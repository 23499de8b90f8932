package store

// Change names what nodes hold in memory and other nodes may change.
type Change string

const (
	ChangedDirectory Change = "directory" // clients and resources
	ChangedKeys      Change = "keys"
)

// NoteChange tells the other nodes that they must read something again.
func (tx *Tx) NoteChange(what Change) error {
	if tx.s.shared == nil {
		return nil
	}
	tx.AfterCommit(func() { tx.s.noted.Add(1) })
	_, err := tx.change(`INSERT INTO changes (name, n) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET n = changes.n + 1`, string(what))
	return err
}

// Noted rises when memory has followed a change of this node. Of two changes at the same
// time the earlier one may come last there, so memory must be read again afterwards.
func (s *Store) Noted() uint64 { return s.noted.Load() }

// LockChange keeps other nodes from changing the same until the transaction ends.
func (tx *Tx) LockChange(what Change) error {
	if tx.s.shared == nil {
		return nil
	}
	_, err := tx.change(`INSERT INTO changes (name, n) VALUES (?, 0) ON CONFLICT (name) DO UPDATE SET n = changes.n`, string(what))
	return err
}

// Pulse is what a node looks at, many times a second, to see what others did.
type Pulse struct {
	Incarnation string
	Head        int64
	Changes     int64 // rises with every change
}

// Pulse reads it all in one row.
func (r Reader) Pulse() (Pulse, error) {
	return get(r, func(row scanner) (p Pulse, err error) {
		err = row.Scan(&p.Incarnation, &p.Head, &p.Changes)
		return p, err
	}, `SELECT incarnation, head, (SELECT CAST(coalesce(sum(n), 0) AS BIGINT) FROM changes) FROM issuer`)
}
