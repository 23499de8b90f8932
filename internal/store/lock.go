package store

import "errors"

// A lock keeps other nodes from changing a row until the transaction ends: what is read
// of it afterwards stays true. With a single writer nobody else changes anything.
//
// Whoever locks several rows does it in this order, so that no two wait for each other:
// users, sessions, grants, clients, changes, and the issuer's row last. The database
// would end such a wait, but only after a second.

// LockUser locks a user's row, if there is one.
func (tx *Tx) LockUser(subject string) error {
	return tx.lock(`UPDATE users SET cutoff = cutoff WHERE id = ?`, subject)
}

// LockSession locks a session's row, if there is one.
func (tx *Tx) LockSession(id []byte) error {
	if len(id) == 0 {
		return nil
	}
	return tx.lock(`UPDATE sessions SET rev = rev WHERE id = ?`, id)
}

// LockClient locks a client's row, if there is one.
func (tx *Tx) LockClient(id string) error {
	return tx.lock(`UPDATE clients SET cutoff = cutoff WHERE id = ?`, id)
}

func (tx *Tx) lock(query string, key any) error {
	if tx.s.shared == nil {
		return nil
	}
	_, err := tx.change(query, key)
	return err
}

// ErrLeaseLost says that another node may run the job now.
var ErrLeaseLost = errors.New("store: the lease is over, or another node has it")

// HoldLease fails a transaction unless holder has the lease, and keeps others from
// taking it until the transaction ends. So what a node goes on with after it stood
// still leaves no trace.
func (tx *Tx) HoldLease(name, holder string) error {
	err := tx.one(`UPDATE leases SET holder = holder WHERE name = ? AND holder = ? AND until > ?`, name, holder, millis(tx.now))
	if errors.Is(err, ErrNotFound) {
		return ErrLeaseLost
	}
	return err
}
