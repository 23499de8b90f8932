package storetest

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// A rotation of a grant that was read before is won if it still stands so and its
// subject has not changed, by one of all who try, in a statement alone as well.
func testRecalled(t *testing.T, f *fixture) {
	f.people()
	g := f.redeemed()
	recalled := is[store.Grant](t)(f.read().Grant(g.ID))
	rotate := func(tx *store.Tx) (bool, error) { return tx.RotateRecalled(&recalled, g.IdleAt, Begin.Add(time.Hour)) }
	var wins atomic.Int64
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() {
			won := false
			err := f.s.WriteOne(context.Background(), func(tx *store.Tx) (err error) {
				won, err = rotate(tx)
				return err
			})
			if err != nil {
				t.Error(err)
			}
			if won {
				wins.Add(1)
			}
		})
	}
	wg.Wait()
	now := is[store.Grant](t)(f.read().Grant(g.ID))
	if wins.Load() != 1 || now.Number != 2 || !now.TokensUntil.Equal(Begin.Add(time.Hour)) {
		t.Errorf("%d of %d rotated; the grant stands at %d", wins.Load(), parallel, now.Number)
	}
	for name, change := range map[string]func(*store.Tx) error{
		"the user changed": func(tx *store.Tx) error {
			return tx.UpdateUser(store.User{ID: ada, Email: "ada@example.com", Name: "A."})
		},
		"the user is disabled": func(tx *store.Tx) error { return tx.UpdateUser(store.User{ID: ada, Email: "e", Disabled: true}) },
		"the user is gone":     func(tx *store.Tx) error { return tx.DeleteUser(ada) },
		"it ended":             func(tx *store.Tx) error { _, err := tx.EndGrant(g.ID, "test"); return err },
		"another rotated it":   func(tx *store.Tx) error { _, err := tx.Rotate(g.ID, 2, g.IdleAt, Begin); return err },
	} {
		f.clock.Advance(time.Second)
		recalled = now
		f.refused(errUndone, func(tx *store.Tx) error {
			if err := change(tx); err != nil {
				return err
			}
			won, err := rotate(tx)
			if won {
				t.Errorf("%s, and the grant was rotated as it was remembered", name)
			}
			return errors.Join(err, errUndone)
		})
	}
	// A body alone may fail as any other, and change nothing.
	if err := f.s.WriteOne(t.Context(), func(*store.Tx) error { return errUndone }); !errors.Is(err, errUndone) {
		t.Errorf("a failed body alone was answered with %v", err)
	}
	seen := false
	f.must(f.s.WriteOne(t.Context(), func(tx *store.Tx) error {
		tx.AfterCommit(func() { seen = true })
		return tx.PutAttempt("alone", Begin)
	}))
	if at := is[time.Time](t)(f.read().Attempt("alone")); !seen || !at.Equal(Begin) {
		t.Errorf("a statement alone left %v, and memory followed: %t", at, seen)
	}
}

// Who locks a row may read it, reckon and write: nobody changes it meanwhile.
func testLocks(t *testing.T, f *fixture) {
	f.people()
	session := store.Session{ID: []byte("s"), Subject: ada, IdleAt: Begin.Add(time.Hour), AbsoluteAt: Begin.Add(time.Hour)}
	f.write(func(tx *store.Tx) error { return tx.CreateSession(session) })
	n := f.race(parallel/2, func(tx *store.Tx, _ int) (bool, error) {
		if err := errors.Join(tx.LockUser(ada), tx.LockSession(session.ID), tx.LockClient(shop)); err != nil {
			return false, err
		}
		u, err := tx.User(ada)
		if err != nil {
			return false, err
		}
		count, _ := strconv.Atoi(u.Name) // it begins with nothing
		u.Name = strconv.Itoa(count + 1)
		c, err := tx.Client(shop)
		if err != nil {
			return false, err
		}
		c.Name = u.Name
		return true, errors.Join(tx.UpdateUser(u), tx.PutClient(c))
	})
	u, c := is[store.User](t)(f.read().User(ada)), is[store.Client](t)(f.read().Client(shop))
	if want := strconv.Itoa(parallel / 2); u.Name != want || c.Name != want || n != parallel/2 {
		t.Errorf("%d counted, and the user stands at %s, the client at %s", n, u.Name, c.Name)
	}
	// What is not there is locked by nobody.
	f.write(func(tx *store.Tx) error {
		return errors.Join(tx.LockUser("u_none"), tx.LockSession(nil), tx.LockSession([]byte("none")), tx.LockClient("none"))
	})
}

// Of a job's steps none is kept that was taken without the lease.
func testHeldLease(t *testing.T, f *fixture) {
	equal(t, "a lease that nobody has", is[time.Time](t)(f.read().LeaseUntil("job")), time.Time{})
	step := func(holder string) func(*store.Tx) error {
		return func(tx *store.Tx) error {
			return errors.Join(tx.PutAttempt(holder, Begin), tx.HoldLease("job", holder))
		}
	}
	until := Begin.Add(time.Minute)
	f.refused(store.ErrLeaseLost, step("a"))
	f.write(func(tx *store.Tx) error { _, err := tx.TakeLease("job", "a", until); return err })
	equal(t, "the lease", is[time.Time](t)(f.read().LeaseUntil("job")), until)
	f.write(step("a"))
	f.refused(store.ErrLeaseLost, step("b"))
	f.clock.Advance(time.Minute)
	f.refused(store.ErrLeaseLost, step("a"))
	none, err := f.read().Attempt("b")
	gone(t, "a step without the lease", none, err)
	// The holder's steps and the taking of the lease exclude each other: whoever took it may
	// rely on no step of another's after that.
	f.write(func(tx *store.Tx) error { _, err := tx.TakeLease("race", "a", tx.Now().Add(time.Hour)); return err })
	var taken atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				after := taken.Load()
				err := f.s.Write(context.Background(), func(tx *store.Tx) error { return tx.HoldLease("race", "a") })
				if after && err == nil {
					t.Error("a step was kept that began after another had taken the lease")
				}
				if errors.Is(err, store.ErrLeaseLost) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	f.clock.Advance(time.Hour)
	f.write(func(tx *store.Tx) error {
		won, err := tx.TakeLease("race", "b", tx.Now().Add(time.Hour))
		if !won {
			t.Error("a lease that is over was not taken")
		}
		return err
	})
	taken.Store(true)
	wg.Wait()
}

// A sign of life that comes late tells of an outage, and one in time of none.
func testStillAlive(t *testing.T, f *fixture) {
	for _, pause := range []time.Duration{time.Second, 4 * time.Second, 30 * time.Second, time.Second} {
		f.clock.Advance(pause)
		f.write((*store.Tx).StillAlive)
	}
	if got := f.s.Outage.Served(Begin, f.clock.Now()); got != 6*time.Second {
		t.Errorf("of 36 seconds %s were served, want 6s", got)
	}
	if alive := is[store.Issuer](t)(f.read().Issuer()).AliveAt; !alive.Equal(f.clock.Now()) {
		t.Errorf("the last sign of life is of %v", alive)
	}
}

func testHolds(t *testing.T, f *fixture) {
	none, err := f.read().Hold(store.HoldCopy)
	gone(t, "a hold that nobody made", none, err)
	f.write(func(tx *store.Tx) error { return tx.PutHold(store.HoldCopy, "first") })
	f.clock.Advance(time.Second)
	f.write(func(tx *store.Tx) error {
		return errors.Join(tx.PutHold(store.HoldCopy, "second"), tx.PutHold(store.HoldRecover, ""))
	})
	stands := store.Hold{Name: store.HoldCopy, Detail: "second", At: Begin}
	equal(t, "the hold", is[store.Hold](t)(f.read().Hold(store.HoldCopy)), stands)
	equal(t, "the holds", is[[]store.Hold](t)(f.read().Holds()), []store.Hold{stands, {Name: store.HoldRecover, At: f.clock.Now()}})
	f.write(func(tx *store.Tx) error { return errors.Join(tx.DropHold(store.HoldCopy), tx.DropHold(store.HoldCopy)) })
	none, err = f.read().Hold(store.HoldCopy)
	gone(t, "the hold that was dropped", none, err)
}

// A new incarnation has a log of its own.
func testRenew(t *testing.T, f *fixture) {
	f.write(func(tx *store.Tx) error {
		return tx.AppendRevocations([]store.Revocation{{Kind: feed.All, Until: Begin}, {Kind: feed.All, Until: Begin}})
	})
	want := is[store.Issuer](t)(f.read().Issuer())
	want.Former = []string{want.Incarnation}
	want.Incarnation, want.Head, want.Cutoff, want.Hash = "new", 1000, 1001, feed.Start("new")
	f.write(func(tx *store.Tx) error { return tx.Renew(want) })
	equal(t, "the issuer", is[store.Issuer](t)(f.read().Issuer()), want)
	entries := []store.Revocation{{Kind: feed.Grant, Value: "v", Until: Begin}}
	f.write(func(tx *store.Tx) error { return tx.AppendRevocations(entries) })
	log := is[[]store.Revocation](t)(f.read().Revocations(0, 9))
	equal(t, "the log", log, entries)
	if log[0].N != 1001 || log[0].Before != feed.Start("new") {
		t.Errorf("the first entry has the number %d and the hash %s before it", log[0].N, log[0].Before)
	}
}

// A database's tables are read as they were at one moment, removed, and put back as they
// were: what is read of them afterwards is the same.
func testWhole(t *testing.T, f *fixture) {
	f.people()
	g := f.redeemed()
	f.clock.Advance(time.Second) // until it resumes nobody was answered
	f.write(func(tx *store.Tx) error {
		return errors.Join(
			tx.PutResource(store.Resource{Source: store.SourceAPI}), tx.PutConsent(store.Consent{Subject: ada, Client: shop}),
			tx.CreateSession(store.Session{ID: []byte{0}, Subject: ada}), tx.CreateFlow(store.Flow{ID: first(1)}), tx.CreateKey(store.Key{ID: "k", Sealed: blobs[0]}),
			tx.PutAttempt("a", Begin), tx.AppendAudit(store.AuditEvent{ID: "e"}), tx.Resume(), tx.NoteChange(store.ChangedKeys),
			tx.AppendRevocations([]store.Revocation{{Kind: feed.All, Until: Begin}}))
	})
	for i := range 200 {
		f.write(func(tx *store.Tx) error { return tx.PutAttempt(strconv.Itoa(i), Begin) })
	}
	f.write(func(tx *store.Tx) error {
		_, err := tx.TakeLease("job", "a", Begin)
		_, used := tx.UseOnce(store.Replay("proof", shop, "1"), Begin)
		_, added := tx.CreateDevice(store.Device{Key: blobs[0], UserCode: blobs[0]})
		return errors.Join(err, used, added, tx.CreatePushed(store.Pushed{Key: blobs[0]}),
			tx.Participate([]byte("session"), shop, ada), tx.QueueLogout(store.PendingLogout{Client: shop, Subject: ada, Known: []byte("session")}))
	})
	before := is[store.Grant](t)(f.read().Grant(g.ID))
	issuer := is[store.Issuer](t)(f.read().Issuer())

	var tables []store.Table
	rows := map[string][]store.Row{}
	read := func(r store.Reader) (all map[string][]store.Row) {
		all = map[string][]store.Row{}
		for _, tab := range tables {
			for after := store.Row(nil); ; {
				page := is[[]store.Row](t)(r.Rows(tab, after, 7))
				if len(page) == 0 {
					break
				}
				all[tab.Name] = append(all[tab.Name], page...)
				after = tab.KeyOf(page[len(page)-1])
			}
		}
		return all
	}
	f.must(f.s.Snapshot(t.Context(), func(r store.Reader) (err error) {
		if tables, err = r.Tables(); err != nil {
			return err
		}
		rows = read(r)
		f.write(func(tx *store.Tx) error { return errors.Join(tx.DeleteUser(ada), tx.PutAttempt("later", Begin)) })
		equal(t, "a snapshot, after others wrote", read(r), rows)
		return nil
	}))
	if len(tables) < 15 || len(rows["attempts"]) != 201 {
		t.Fatalf("%d tables were read, with %d limits", len(tables), len(rows["attempts"]))
	}
	for _, tab := range tables {
		if len(rows[tab.Name]) == 0 && (f.s.Shared() || tab.Name != "changes") {
			t.Errorf("the test put nothing into %s, and so shows nothing of it", tab.Name)
		}
		for n := int64(1); n > 0; {
			f.write(func(tx *store.Tx) (err error) {
				n, err = tx.Empty(tab, 100)
				return err
			})
		}
		f.write(func(tx *store.Tx) error { return tx.PutRows(tab, rows[tab.Name]) })
	}
	equal(t, "the tables, put back", read(f.read()), rows)
	equal(t, "a grant, put back", is[store.Grant](t)(f.read().Grant(g.ID)), before)
	equal(t, "the issuer, put back", is[store.Issuer](t)(f.read().Issuer()), issuer)
	if err := f.s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}
