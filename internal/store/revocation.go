package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// Issuer is what belongs to the issuer as a whole.
type Issuer struct {
	Incarnation string        // changes only when the database is restored
	Former      []string      // incarnations before it, the newest last
	Head        int64         // number of the newest revocation
	Hash        feed.Hash     // running hash of the revocations up to it
	Cutoff      int64         // tokens and grants with a lower rev are dead
	AliveAt     time.Time     // last sign of life
	Longest     time.Duration // longest access token lifetime in force at any time
}

// Issuer reads the issuer's row.
func (r Reader) Issuer() (Issuer, error) {
	return get(r, func(row scanner) (i Issuer, err error) {
		var alive, longest int64
		var former string
		var hash []byte
		if err = row.Scan(&i.Incarnation, &former, &i.Head, &hash, &i.Cutoff, &alive, &longest); err != nil {
			return i, err
		}
		i.AliveAt, i.Longest = fromMillis(alive), time.Duration(longest)*time.Millisecond
		if i.Hash, err = toHash(hash); err != nil {
			return i, err
		}
		return i, json.Unmarshal([]byte(former), &i.Former)
	}, `SELECT incarnation, former, head, hash, cutoff, alive_at, longest FROM issuer`)
}

// CreateIssuer adds the issuer's row where there is none yet. Access tokens live
// at least as long as longest, from the first day on.
func (tx *Tx) CreateIssuer(longest time.Duration) error {
	incarnation := secret.ID()
	hash := feed.Start(incarnation)
	_, err := tx.change(`INSERT INTO issuer (id, incarnation, former, head, hash, cutoff, alive_at, longest) VALUES (1, ?, '[]', 0, ?, 0, ?, ?) ON CONFLICT (id) DO NOTHING`,
		incarnation, hash[:], millis(tx.now), longest.Milliseconds())
	return err
}

func toHash(b []byte) (h feed.Hash, err error) {
	if len(b) != len(h) {
		return h, fmt.Errorf("a running hash has %d bytes, not %d", len(b), len(h))
	}
	return feed.Hash(b), nil
}

// Alive notes a sign of life. The time of the last one only rises: nodes' clocks differ a
// little.
func (tx *Tx) Alive() error {
	now := millis(tx.now)
	return tx.one(`UPDATE issuer SET alive_at = CASE WHEN alive_at > ? THEN alive_at ELSE ? END`, now, now)
}

// missed is how long signs of life may fail to come, one a second, before that was an
// outage: longer than the lease of a node that died while it gave one.
const missed = 15 * time.Second

// StillAlive is Alive of a server that runs. Where no node could write for a while it
// also notes that outage, which otherwise only the nodes remember that ran through it.
func (tx *Tx) StillAlive() error {
	before, err := tx.Issuer()
	if err == nil && tx.now.Sub(before.AliveAt) > missed {
		return tx.Resume()
	}
	if err != nil {
		return err
	}
	return tx.Alive()
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
	N      int64
	Lane   int
	Kind   feed.Kind
	Value  string    // as feed.Value writes it
	Until  time.Time // zero until it has its number: as long as it may name something alive
	At     time.Time
	Cause  string
	Before feed.Hash // the running hash before it
}

// Entry is the revocation as the feed tells it.
func (r Revocation) Entry() feed.Entry {
	e := feed.Entry{N: r.N, Kind: r.Kind, Value: r.Value, Until: (millis(r.Until) + 999) / 1000}
	if r.Kind.Cutoff() {
		e.At = r.At.Unix()
	}
	return e
}

// Revocations reads up to limit entries with a number over after, in order.
func (r Reader) Revocations(after int64, limit int) ([]Revocation, error) {
	return list(r, func(row scanner) (e Revocation, err error) {
		var until, at int64
		var kind string
		var before []byte
		if err = row.Scan(&e.N, &e.Lane, &kind, &e.Value, &until, &at, &e.Cause, &before); err != nil {
			return e, err
		}
		e.Kind, e.Until, e.At = feed.Kind(kind), fromMillis(until), fromMillis(at)
		e.Before, err = toHash(before)
		return e, err
	}, `SELECT n, lane, kind, value, until, at, cause, before FROM revocations WHERE n > ? ORDER BY n LIMIT ?`, after, limit)
}

// PurgeRevocations removes, from the oldest on, whole segments of entries that name
// nothing alive any more. It looks at limit entries.
func (tx *Tx) PurgeRevocations(limit int) (int64, error) {
	oldest, err := tx.Revocations(0, limit)
	if err != nil {
		return 0, err
	}
	var over int64 // all entries up to it are over, and a segment ends there
	for _, e := range oldest {
		if !e.Until.Before(tx.now) {
			break
		}
		if e.N%feed.SegmentSize == 0 {
			over = e.N
		}
	}
	if over == 0 {
		return 0, nil
	}
	return tx.change(`DELETE FROM revocations WHERE n <= ?`, over)
}
