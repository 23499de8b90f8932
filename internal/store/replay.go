package store

import (
	"crypto/sha256"
	"time"
)

// Replay names something that may be used once: the jti of an assertion or of a proof,
// with what tells apart those who make them.
func Replay(kind, maker, id string) []byte {
	h := sha256.New()
	for _, part := range []string{kind, maker, id} {
		sum := sha256.Sum256([]byte(part))
		h.Write(sum[:])
	}
	return h.Sum(nil)
}

// UseOnce notes that something was used, until a time after which it is refused for
// its age. won is false where it was used before.
func (tx *Tx) UseOnce(replay []byte, until time.Time) (won bool, err error) {
	n, err := tx.change(`INSERT INTO replays (key, until) VALUES (?, ?) ON CONFLICT (key) DO NOTHING`, replay, millis(until))
	return n == 1, err
}

// replayMargin is more than nodes' times can be apart, and than the database's clock goes
// back at a failover.
const replayMargin = 30 * time.Second

// PurgeReplays removes up to limit of those that are refused for their age by now, on
// every node.
func (tx *Tx) PurgeReplays(limit int) (int64, error) {
	return tx.change(`DELETE FROM replays WHERE key IN (SELECT key FROM replays WHERE until < ? LIMIT ?)`, millis(tx.now.Add(-replayMargin)), limit)
}
