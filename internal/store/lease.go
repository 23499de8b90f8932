package store

import "time"

// TakeLease makes holder the one who runs the job of that name until a time, if
// the lease is free, expired or the holder's own. The database's clock decides.
func (tx *Tx) TakeLease(name, holder string, until time.Time) (taken bool, err error) {
	n, err := tx.change(`INSERT INTO leases (name, holder, until, ran_at) VALUES (?, ?, ?, 0)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
		WHERE leases.until <= ? OR leases.holder = excluded.holder`, name, holder, millis(until), millis(tx.now))
	return n == 1, err
}

// LeaseRan notes that the job of that name ran now, if holder still has the lease.
func (tx *Tx) LeaseRan(name, holder string) error {
	return tx.one(`UPDATE leases SET ran_at = ? WHERE name = ? AND holder = ? AND until > ?`, millis(tx.now), name, holder, millis(tx.now))
}

// LeaseRanAt is when the job of that name last ran; zero: never.
func (r Reader) LeaseRanAt(name string) (time.Time, error) {
	ms, err := get(r, scanOne[int64], `SELECT ran_at FROM leases WHERE name = ?`, name)
	return fromMillis(ms), err
}
