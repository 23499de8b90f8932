package store

import "time"

// Attempt is the state of one limit: the theoretical arrival time of the generic
// cell rate algorithm.
func (r Reader) Attempt(key string) (tat time.Time, err error) {
	ms, err := get(r, scanOne[int64], `SELECT tat FROM attempts WHERE key = ?`, key)
	return fromMillis(ms), err
}

// LockAttempt is Attempt in a transaction that goes on to PutAttempt: nobody else
// changes the limit meanwhile.
func (tx *Tx) LockAttempt(key string) (tat time.Time, err error) {
	ms, err := get(tx.Reader, scanOne[int64], `INSERT INTO attempts (key, tat) VALUES (?, 0) ON CONFLICT (key) DO UPDATE SET tat = attempts.tat RETURNING tat`, key)
	return fromMillis(ms), err
}

// PutAttempt writes the state of a limit.
func (tx *Tx) PutAttempt(key string, tat time.Time) error {
	_, err := tx.change(`INSERT INTO attempts (key, tat) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET tat = excluded.tat`, key, millis(tat))
	return err
}

// PurgeAttempts removes up to limit limits that hold nothing against anybody.
func (tx *Tx) PurgeAttempts(limit int) (int64, error) {
	return tx.change(`DELETE FROM attempts WHERE key IN (SELECT key FROM attempts WHERE tat < ? LIMIT ?)`, millis(tx.now), limit)
}
