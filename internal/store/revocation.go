package store

import (
	"errors"
	"time"

	"github.com/jeton-auth/jeton/internal/secret"
)

// Issuer is what belongs to the issuer as a whole.
type Issuer struct {
	Incarnation string        // changes only when the database is restored
	Head        int64         // number of the newest revocation
	Cutoff      int64         // tokens and grants with a lower rev are dead
	AliveAt     time.Time     // last sign of life
	Longest     time.Duration // longest access token lifetime in force at any time
}

// Issuer reads the issuer's row.
func (r Reader) Issuer() (Issuer, error) {
	return get(r, func(row scanner) (i Issuer, err error) {
		var alive, longest int64
		err = row.Scan(&i.Incarnation, &i.Head, &i.Cutoff, &alive, &longest)
		i.AliveAt, i.Longest = fromMillis(alive), time.Duration(longest)*time.Millisecond
		return i, err
	}, `SELECT incarnation, head, cutoff, alive_at, longest FROM issuer`)
}

// CreateIssuer adds the issuer's row where there is none yet. Access tokens live
// at least as long as longest, from the first day on.
func (tx *Tx) CreateIssuer(longest time.Duration) error {
	_, err := tx.change(`INSERT INTO issuer (id, incarnation, head, cutoff, alive_at, longest) VALUES (1, ?, 0, 0, ?, ?) ON CONFLICT (id) DO NOTHING`,
		secret.ID(), millis(tx.now), longest.Milliseconds())
	return err
}

// Alive notes a sign of life.
func (tx *Tx) Alive() error {
	return tx.one(`UPDATE issuer SET alive_at = ?`, millis(tx.now))
}

// outagesKept bounds how many outages are remembered.
const outagesKept = 16

// Resume notes that the issuer answers from now on. The time since the last sign of
// life was an outage, which is kept and remembered with the last ones before it.
func (tx *Tx) Resume() error {
	before, err := tx.Issuer()
	if err != nil {
		return err
	}
	if tx.now.After(before.AliveAt) {
		if _, err := tx.change(`INSERT INTO outages (since, until) VALUES (?, ?) ON CONFLICT (since) DO UPDATE SET until = excluded.until`, millis(before.AliveAt), millis(tx.now)); err != nil {
			return err
		}
	}
	if _, err := tx.change(`DELETE FROM outages WHERE since NOT IN (SELECT since FROM outages ORDER BY since DESC LIMIT ?)`, outagesKept); err != nil {
		return err
	}
	spans, err := list(tx.Reader, func(row scanner) (s span, err error) {
		var since, until int64
		err = row.Scan(&since, &until)
		return span{fromMillis(since), fromMillis(until)}, err
	}, `SELECT since, until FROM outages ORDER BY since`)
	if err != nil {
		return err
	}
	tx.AfterCommit(func() { tx.s.Outage.set(spans) })
	return tx.Alive()
}

// CutOffAll makes every grant and token with a rev under n dead.
func (tx *Tx) CutOffAll(n int64) error {
	return tx.one(`UPDATE issuer SET cutoff = CASE WHEN cutoff > ? THEN cutoff ELSE ? END`, n, n)
}

// Revocation is one entry of the revocation log.
type Revocation struct {
	N     int64
	Lane  int
	Kind  string
	Value string // hash of what it names, or the plain value
	Until time.Time
	At    time.Time
	Cause string
}

// AppendRevocations gives the entries the next numbers, writes them and moves the
// head. It is to be called last in a transaction: the head's row is the hottest.
func (tx *Tx) AppendRevocations(entries []Revocation) error {
	if len(entries) == 0 {
		return errors.New("store: no revocation to append")
	}
	head, err := get(tx.Reader, scanOne[int64], `UPDATE issuer SET head = head + ? RETURNING head`, len(entries))
	if err != nil {
		return err
	}
	for i := range entries {
		e := &entries[i]
		e.N, e.At = head-int64(len(entries)-1-i), tx.now
		_, err := tx.change(`INSERT INTO revocations (n, lane, kind, value, until, at, cause) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			e.N, e.Lane, e.Kind, e.Value, millis(e.Until), millis(e.At), e.Cause)
		if err != nil {
			return err
		}
	}
	return nil
}

// Revocations reads up to limit entries with a number over after, in order.
func (r Reader) Revocations(after int64, limit int) ([]Revocation, error) {
	return list(r, func(row scanner) (e Revocation, err error) {
		var until, at int64
		err = row.Scan(&e.N, &e.Lane, &e.Kind, &e.Value, &until, &at, &e.Cause)
		e.Until, e.At = fromMillis(until), fromMillis(at)
		return e, err
	}, `SELECT n, lane, kind, value, until, at, cause FROM revocations WHERE n > ? ORDER BY n LIMIT ?`, after, limit)
}

// PurgeRevocations removes up to limit entries that name nothing alive any more.
func (tx *Tx) PurgeRevocations(limit int) (int64, error) {
	return tx.change(`DELETE FROM revocations WHERE n IN (SELECT n FROM revocations WHERE until < ? LIMIT ?)`, millis(tx.now), limit)
}
