package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// A grant that is not live rotates no more, whatever made it so.
func testOnlyLive(t *testing.T, f *fixture) {
	f.people()
	g := f.redeemed()
	spent := f.create(coded())
	if before := is[store.Grant](t)(f.read().Grant(g.ID)); !before.Live() {
		t.Fatal("the grant was not live to begin with")
	}
	for name, kill := range map[string]func(*store.Tx) error{
		"ended": func(tx *store.Tx) error {
			_, err := tx.EndGrant(g.ID, "test")
			_, serr := tx.EndGrant(spent.ID, "test")
			return errors.Join(err, serr)
		},
		"user cut off":    func(tx *store.Tx) error { return tx.CutOffUser(ada, 9) },
		"client cut off":  func(tx *store.Tx) error { return tx.CutOffClient(shop, 9) },
		"all cut off":     func(tx *store.Tx) error { return tx.CutOffAll(9) },
		"user deleted":    func(tx *store.Tx) error { return tx.DeleteUser(ada) },
		"client deleted":  func(tx *store.Tx) error { return tx.DeleteClient(shop) },
		"client disabled": func(tx *store.Tx) error { return tx.DisableClient(shop, true) },
		"user disabled": func(tx *store.Tx) error {
			return tx.UpdateUser(store.User{ID: ada, Email: "ada@example.com", Disabled: true})
		},
	} {
		f.refused(errUndone, func(tx *store.Tx) error {
			if err := kill(tx); err != nil {
				return err
			}
			after, err := tx.Grant(g.ID)
			if after.Live() {
				t.Errorf("%s: the grant is still live", name)
			}
			rotated, rerr := tx.Rotate(g.ID, 1, g.IdleAt, Begin)
			touched, terr := tx.Touch(g.ID, 1, g.IdleAt, Begin)
			redeemed, serr := tx.SpendCode(&spent, g.IdleAt, Begin)
			if rotated || touched || redeemed {
				t.Errorf("%s: rotated %t, touched %t, redeemed %t", name, rotated, touched, redeemed)
			}
			return errors.Join(err, rerr, terr, serr, errUndone)
		})
	}
}

// Growth: however often it is rotated, a grant is one row of one size.
func testRotationLeavesOneRow(t *testing.T, f *fixture) {
	f.people()
	g := f.redeemed()
	const rotations = 500
	for n := int64(1); n <= rotations; n++ {
		f.write(func(tx *store.Tx) error {
			won, err := tx.Rotate(g.ID, n, g.IdleAt, Begin)
			if err == nil && !won {
				err = fmt.Errorf("lost at %d", n)
			}
			return err
		})
	}
	rows := is[int64](t)(f.read().CountGrants())
	if now := is[store.Grant](t)(f.read().Grant(g.ID)); rows != 1 || now.Number != rotations+1 {
		t.Errorf("%d rows at number %d, want 1 row at %d", rows, now.Number, rotations+1)
	}
}

func testPurgeGrants(t *testing.T, f *fixture) {
	f.people()
	g := f.redeemed()
	dead := f.redeemed()
	f.write(func(tx *store.Tx) error { _, err := tx.EndGrant(dead.ID, "test"); return err })
	f.create(coded())
	purge := func(want int64, why string) {
		t.Helper()
		f.write(func(tx *store.Tx) error {
			_, err := tx.PurgeUnredeemed(100)
			next, perr := tx.PurgeGrants(store.GrantID{}, 100)
			if next != (store.GrantID{}) {
				t.Error("the walk did not reach the end")
			}
			return errors.Join(err, perr)
		})
		if rows := is[int64](t)(f.read().CountGrants()); rows != want {
			t.Fatalf("%d rows, want %d: %s", rows, want, why)
		}
	}
	purge(3, "nothing is over yet")
	f.clock.Advance(90 * time.Second) // the tokens of the dead one are over, the code's row is kept a minute
	purge(2, "the ended grant's last token is over")
	f.clock.Advance(time.Minute)
	purge(1, "the unused code's row is over")
	f.clock.Advance(11 * time.Hour)
	purge(0, "the last one was idle too long")
	none, err := f.read().Grant(g.ID)
	gone(t, "the grant", none, err)
}

// What is over goes in batches, and what is not stays.
func testPurgeInBatches(t *testing.T, f *fixture) {
	f.people()
	const over, batch = 25, 10
	f.write(func(tx *store.Tx) error {
		var all error
		for i := range over + 5 {
			at := Begin.Add(-time.Minute)
			if i >= over {
				at = Begin.Add(time.Minute)
			}
			g := coded()
			g.ID, g.Code = first(i), &store.CodeDetails{ExpiresAt: at.Add(-time.Minute)}
			s := store.Session{ID: []byte{byte(i)}, Subject: ada, IdleAt: at, AbsoluteAt: at}
			_, err := tx.UseOnce(store.Replay("a", "b", fmt.Sprint(i)), at)
			_, added := tx.CreateDevice(store.Device{Key: []byte{byte(i)}, UserCode: []byte{byte(i)}, KeptUntil: at})
			all = errors.Join(all, err, added, tx.CreatePushed(store.Pushed{Key: []byte{byte(i)}, KeptUntil: at}), tx.CreateFlow(store.Flow{ID: first(i), ExpiresAt: at}), tx.PutAttempt(fmt.Sprint(i), at), tx.CreateGrant(g), tx.CreateSession(s))
		}
		return all
	})
	for name, purge := range map[string]func(*store.Tx, int) (int64, error){
		"flows":      (*store.Tx).PurgeFlows,
		"attempts":   (*store.Tx).PurgeAttempts,
		"replays":    (*store.Tx).PurgeReplays,
		"pushed":     (*store.Tx).PurgePushed,
		"devices":    (*store.Tx).PurgeDevices,
		"unredeemed": (*store.Tx).PurgeUnredeemed,
		"sessions": func(tx *store.Tx, limit int) (n int64, err error) {
			ids, err := tx.SessionsOver(tx.Now(), limit)
			for _, id := range ids {
				err = errors.Join(err, tx.DeleteSession(id))
			}
			return int64(len(ids)), err
		},
	} {
		for _, want := range []int64{batch, batch, over - 2*batch, 0} {
			f.write(func(tx *store.Tx) error {
				n, err := purge(tx, batch)
				if n != want {
					t.Errorf("%s: %d were removed, want %d", name, n, want)
				}
				return err
			})
		}
	}
	// Grants are walked through by their ids, a few in each transaction.
	alive := coded()
	alive.ID = first(over + 5)
	f.create(alive)
	f.write(func(tx *store.Tx) error {
		_, err := tx.SpendCode(&alive, alive.IdleAt, Begin.Add(time.Hour))
		return err
	})
	f.write(func(tx *store.Tx) error { return tx.DeleteUser(ada) })
	var steps []store.GrantID
	for next := (store.GrantID{}); ; {
		f.write(func(tx *store.Tx) (err error) {
			next, err = tx.PurgeGrants(next, 2)
			return err
		})
		if next == (store.GrantID{}) {
			break
		}
		steps = append(steps, next)
	}
	equal(t, "where the walk stopped", steps, []store.GrantID{first(over + 1), first(over + 3), first(over + 5)})
	if g := is[store.Grant](t)(f.read().Grant(alive.ID)); g.EndedBy != "cut_off" || is[int64](t)(f.read().CountGrants()) != 1 {
		t.Errorf("without its user a grant whose tokens live was ended by %q, and is not the only one left", g.EndedBy)
	}
}

// Entries go by whole segments, from the oldest on, and none that names what is alive.
func testPurgeRevocations(t *testing.T, f *fixture) {
	append_ := func(n int, life time.Duration) {
		t.Helper()
		entries := make([]store.Revocation, n)
		for i := range entries {
			entries[i] = store.Revocation{Kind: feed.Grant, Value: fmt.Sprint(i), Until: Begin.Add(life)}
		}
		f.write(func(tx *store.Tx) error { return tx.AppendRevocations(entries) })
	}
	const segment = feed.SegmentSize
	append_(2*segment, time.Minute)
	append_(1, time.Hour)
	append_(segment, time.Minute)
	purge := func(limit int, want int64) {
		t.Helper()
		f.write(func(tx *store.Tx) error {
			n, err := tx.PurgeRevocations(limit)
			if n != want {
				t.Errorf("%d entries were removed, want %d", n, want)
			}
			return err
		})
	}
	purge(10*segment, 0)
	f.clock.Advance(2 * time.Minute)
	purge(segment-1, 0) // no segment ends within what it looks at
	purge(segment+1, segment)
	purge(10*segment, segment)
	purge(10*segment, 0) // the entry that lives keeps those behind it
	left := is[[]store.Revocation](t)(f.read().Revocations(0, 10*segment))
	if len(left) != segment+1 || left[0].N != 2*segment+1 {
		t.Errorf("%d entries are left", len(left))
	}
	f.clock.Advance(2 * time.Hour)
	purge(10*segment, segment)
	if head := is[store.Issuer](t)(f.read().Issuer()).Head; head != 3*segment+1 {
		t.Errorf("the head is %d after what is over was removed", head)
	}
}
