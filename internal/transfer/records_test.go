package transfer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth/feed"
)

const issuer = "https://id.example.com"

func recorded(t testing.TB, st *store.Store) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, WriteRecords(t.Context(), st, issuer, quietLog, &b))
	return b.Bytes()
}

func check(b []byte) ([]Tally, error) {
	r, err := ReadRecords(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return r.Check(nil)
}

// What a backup holds is what the database did, on whichever engine.
func testRecords(t *testing.T, st *store.Store) {
	seed(t, st, 1200)
	want := all(t, st)
	b := recorded(t, st)
	got, err := check(b)
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the records are not the database (-database +records):\n%s", diff)
	}
	var packed bytes.Buffer
	r, err := ReadRecords(bytes.NewReader(b))
	must(t, err)
	_, err = r.Pack(func(h Header) (io.Writer, error) {
		if h.Issuer != issuer || h.Head != 0 || h.Incarnation == "" || h.At.IsZero() {
			t.Errorf("the header is %+v", h)
		}
		return &packed, nil
	}, nil)
	must(t, err)
	if !bytes.Equal(packed.Bytes(), b) {
		t.Error("packing changed the records")
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	testRecords(t, empty(t))
	if err := WriteRecords(t.Context(), empty(t), issuer, quietLog, io.Discard); err == nil {
		t.Error("a backup of nothing was written")
	}
}

// Records of which one is gone, doubled, or at another place are not taken.
func TestRecordsNotWhole(t *testing.T) {
	t.Parallel()
	st := empty(t)
	seed(t, st, 3)
	b := recorded(t, st)
	var parts [][]byte
	for rest := b; len(rest) > 0; {
		n := 5 + int(binary.BigEndian.Uint32(rest[1:]))
		parts, rest = append(parts, rest[:n:n]), rest[n:]
	}
	if len(parts) < 40 {
		t.Fatalf("only %d records", len(parts))
	}
	fails := func(what string, i int, parts ...[]byte) {
		t.Helper()
		if _, err := check(bytes.Join(parts, nil)); err == nil {
			t.Errorf("record %d (%c) %s: not noticed", i, b[0], what)
		}
	}
	for i := range parts {
		var rest [][]byte
		rest = append(append(rest, parts[:i]...), parts[i+1:]...)
		if parts[i][0] != recTable || parts[i+1][0] != recTally { // an empty table alone
			fails("gone", i, rest...)
		}
		fails("cut", i, parts[:i]...)
		fails("doubled", i, append(append(append([][]byte{}, parts[:i+1]...), parts[i]), parts[i+1:]...)...)
	}
}

// A backup is the database at one moment, whatever is written meanwhile.
func testOneMoment(t *testing.T, st *store.Store) {
	must(t, st.Write(t.Context(), func(tx *store.Tx) error { return tx.CreateIssuer(time.Hour) }))
	revoke := func(ctx context.Context) error {
		return st.Write(ctx, func(tx *store.Tx) error {
			return tx.AppendRevocations([]store.Revocation{{Kind: feed.Key, Value: "k"}, {Kind: feed.Key, Value: "l"}})
		})
	}
	for range 600 {
		must(t, revoke(t.Context()))
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for revoke(ctx) == nil {
		}
	})
	defer wg.Wait()
	defer stop()
	for range 5 {
		r, err := ReadRecords(bytes.NewReader(recorded(t, st)))
		must(t, err)
		var head, rows int64
		_, err = r.each(taker{row: func(tab store.Table, row store.Row) error {
			switch tab.Name {
			case "issuer":
				head = row[tab.Index("head")].(int64)
			case "revocations":
				rows++
			}
			return nil
		}})
		must(t, err)
		if head != rows || head != r.Header.Head || head < 1200 {
			t.Errorf("the backup has the head %d, %d revocations, and says %d", head, rows, r.Header.Head)
		}
	}
}

func TestOneMoment(t *testing.T) {
	t.Parallel()
	testOneMoment(t, empty(t))
}

// A restore on any engine: what is not under way comes back, in a new incarnation with
// the keys that are revoked, and nothing happens to what is there without --force.
func testRestore(t *testing.T, from, to *store.Store, c *clock.Manual) {
	seed(t, from, 1200)
	must(t, from.Write(t.Context(), func(tx *store.Tx) error {
		for range 2 {
			if _, err := tx.Empty(tablesOf(t, from)[6], batch); err != nil {
				return err
			}
		}
		return tx.AppendRevocations([]store.Revocation{
			{Kind: feed.Key, Value: "dead", Until: c.Now().Add(-time.Hour)},
			{Kind: feed.Token, Value: feed.Value(feed.Token, "x"), Until: c.Now().Add(time.Hour)},
			{Kind: feed.Key, Value: "forged", Until: c.Now().Add(time.Hour)},
		})
	}))
	was, err := from.Read(t.Context()).Issuer()
	must(t, err)
	b := recorded(t, from)
	restore := Restore{
		To: to, Log: quietLog, Issuer: issuer,
		Open: func() (*Records, error) { return ReadRecords(bytes.NewReader(b)) },
	}
	out, err := restore.Run(t.Context())
	must(t, err)
	now, err := to.Read(t.Context()).Issuer()
	must(t, err)
	if now.Incarnation == was.Incarnation || !cmp.Equal(now.Former, []string{was.Incarnation}) || now.Cutoff != now.Head || now.Cutoff != out.Cutoff || now.Head <= was.Head+Jump {
		t.Errorf("the issuer is %+v, was %+v, restored %+v", now, was, out)
	}
	rows, err := to.Read(t.Context()).Revocations(0, 100)
	must(t, err)
	at := feed.Start(now.Incarnation)
	for _, r := range rows {
		if r.Before != at {
			t.Errorf("entry %d does not follow", r.N)
		}
		at = at.Next(r.Entry())
	}
	if len(rows) != 2 || rows[0].N%feed.SegmentSize != 1 || rows[0].Value != "forged" || rows[1].Kind != feed.All || at != now.Hash {
		t.Errorf("the new log has %+v, and ends at %v, not %v", rows, at, now.Hash)
	}
	counted := map[string]int64{}
	for _, s := range all(t, to) {
		counted[s.Table] = s.Rows
	}
	if counted["users"] != 1200 || counted["grants"] != 1200 || counted["flows"] != 0 || counted["leases"] != 0 {
		t.Errorf("restored %v", counted)
	}
	_, err = restore.Run(t.Context())
	wantRefused(t, err, "not empty")
	restore.Issuer = "https://other.example.com"
	restore.Force = true
	_, err = restore.Run(t.Context())
	wantRefused(t, err, "the backup is of the issuer")
	restore.Issuer = issuer
	again, err := restore.Run(t.Context())
	must(t, err)
	if !cmp.Equal(again.Former, []string{was.Incarnation, now.Incarnation}) || len(holds(t, to)) > 0 {
		t.Errorf("restored once more it comes after %v", again.Former)
	}
	if _, err := (Recover{Store: to, Log: quietLog}).Run(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRestore(t *testing.T) {
	t.Parallel()
	testRestore(t, empty(t), empty(t), clock.NewManual(begin))
}

// What did not end is not backed up, and not recovered.
func TestNotWhole(t *testing.T) {
	t.Parallel()
	st := empty(t)
	seed(t, st, 1)
	must(t, st.Write(t.Context(), func(tx *store.Tx) error { return tx.PutHold(store.HoldCopy, "{}") }))
	var held *Held
	if err := WriteRecords(t.Context(), st, issuer, quietLog, io.Discard); !errors.As(err, &held) {
		t.Errorf("a backup of half a copy: %v", err)
	}
	if _, err := (Recover{Store: st, Log: quietLog}).Run(t.Context()); !errors.As(err, &held) {
		t.Errorf("a recovery of half a copy: %v", err)
	}
}
