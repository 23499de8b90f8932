package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// Of a hundred who want what only one can have, one gets it.
func testOneWins(t *testing.T, f *fixture) {
	f.people()
	code := f.create(coded())
	g := f.redeemed()
	ended := f.redeemed()
	w := store.Flow{ID: first(1), ExpiresAt: Begin.Add(time.Hour)}
	claimed := store.Flow{ID: first(2), ExpiresAt: Begin.Add(time.Hour)}
	session := store.Session{ID: []byte("s"), Subject: ada, IdleAt: Begin.Add(time.Hour), AbsoluteAt: Begin.Add(time.Hour)}
	f.write(func(tx *store.Tx) error {
		return errors.Join(tx.CreateFlow(w), tx.CreateFlow(claimed), tx.CreateSession(session))
	})
	found := func(err error) (bool, error) { // who finds nothing has lost
		if errors.Is(err, store.ErrNotFound) {
			return false, nil
		}
		return err == nil, err
	}
	for name, spend := range map[string]func(tx *store.Tx, i int) (bool, error){
		"spend a code":   func(tx *store.Tx, _ int) (bool, error) { return tx.SpendCode(&code, g.IdleAt, Begin) },
		"rotate":         func(tx *store.Tx, _ int) (bool, error) { return tx.Rotate(g.ID, 1, g.IdleAt, Begin) },
		"end a grant":    func(tx *store.Tx, _ int) (bool, error) { _, err := tx.EndGrant(ended.ID, "test"); return found(err) },
		"consume a flow": func(tx *store.Tx, _ int) (bool, error) { return found(tx.ConsumeFlow(w.ID)) },
		"claim a flow":   func(tx *store.Tx, i int) (bool, error) { return tx.ClaimFlow(claimed.ID, []byte{byte(i)}, w.ExpiresAt) },
		"take a lease": func(tx *store.Tx, i int) (bool, error) {
			return tx.TakeLease("job", fmt.Sprint(i), Begin.Add(time.Hour))
		},
		"delete a session": func(tx *store.Tx, _ int) (bool, error) { return found(tx.DeleteSession(session.ID)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if n := f.race(parallel, spend); n != 1 {
				t.Errorf("%d of %d won, want 1", n, parallel)
			}
		})
	}
}

// Of a hundred who make the same record one does, and the others are told.
func testLost(t *testing.T, f *fixture) {
	f.people()
	g := coded()
	for name, create := range map[string]func(*store.Tx) error{
		"a user": func(tx *store.Tx) error {
			return tx.CreateUser(store.User{ID: store.NewSubject(), Email: "bob@example.com"})
		},
		"a grant": func(tx *store.Tx) error { return tx.CreateGrant(g) },
		"a flow":  func(tx *store.Tx) error { return tx.CreateFlow(store.Flow{ID: first(1)}) },
		"a key":   func(tx *store.Tx) error { return tx.CreateKey(store.Key{ID: "k", Sealed: []byte{1}}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var made, told atomic.Int64
			var wg sync.WaitGroup
			for range parallel {
				wg.Go(func() {
					switch err := f.s.Write(context.Background(), create); {
					case err == nil:
						made.Add(1)
					case errors.Is(err, store.ErrConflict):
						told.Add(1)
					default:
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if made.Load() != 1 || told.Load() != parallel-1 {
				t.Errorf("%d made it, and %d were told that it exists", made.Load(), told.Load())
			}
		})
	}
}

// Entries that are appended at once have numbers without gaps, in the order in which
// they were committed, and one chain. A reader never sees a number before a lower one.
func testRevocationsInOrder(t *testing.T, f *fixture) {
	stop := make(chan struct{})
	var following sync.WaitGroup
	for range 2 {
		following.Go(func() {
			for next := int64(0); ; {
				log, err := f.s.Read(context.Background()).Revocations(next, 1000)
				if err != nil {
					t.Error(err)
				}
				for _, e := range log {
					if next++; e.N != next {
						t.Errorf("a reader that had seen all up to %d saw %d", next-1, e.N)
						return
					}
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	n := f.race(parallel, func(tx *store.Tx, i int) (bool, error) {
		entries := make([]store.Revocation, 1+i%3)
		for k := range entries {
			entries[k] = store.Revocation{Kind: feed.Grant, Value: fmt.Sprint(i), Until: Begin.Add(time.Hour), Cause: "race"}
		}
		err := tx.AppendRevocations(entries)
		if err == nil && i%10 == 9 {
			err = tx.AppendRevocations(entries) // again in the same transaction
		}
		return true, err
	})
	close(stop)
	following.Wait()
	if n != parallel {
		t.Errorf("%d of %d transactions appended", n, parallel)
	}
	want := int64(0)
	for i := range parallel {
		entries := int64(1 + i%3)
		if i%10 == 9 {
			entries *= 2
		}
		want += entries
	}
	checkChain(t, f, want)
}

// killers are what makes a grant dead beside its own row.
var killers = map[string]func(*store.Tx, int64) error{
	"user":   func(tx *store.Tx, n int64) error { return tx.CutOffUser(ada, n) },
	"client": func(tx *store.Tx, n int64) error { return tx.CutOffClient(shop, n) },
	"all":    func(tx *store.Tx, n int64) error { return tx.CutOffAll(n) },
}

// A grant rotates until it is cut off, and never after: no rotation that began when the
// cutoff was committed succeeds.
func testCutoffAgainstRotate(t *testing.T, f *fixture) {
	f.people()
	for name, cut := range killers {
		g := coded()
		rev := is[store.Issuer](t)(f.read().Issuer()).Head
		g.Rev = rev
		f.create(g)
		f.write(func(tx *store.Tx) error { _, err := tx.SpendCode(&g, g.IdleAt, Begin); return err })
		f.against(name, g, func(tx *store.Tx) error {
			return errors.Join(cut(tx, rev+1), tx.AppendRevocations([]store.Revocation{{Kind: feed.All, Until: Begin.Add(time.Hour)}}))
		})
	}
}

// The same of a grant that ends.
func testEndAgainstRotate(t *testing.T, f *fixture) {
	f.people()
	for range 3 {
		g := f.redeemed()
		f.against("end", g, func(tx *store.Tx) error {
			ended, err := tx.EndGrant(g.ID, "race")
			if err == nil && ended.TokensUntil.Before(Begin.Add(time.Minute)) {
				err = fmt.Errorf("what was issued lives no longer than %v", ended.TokensUntil)
			}
			return err
		})
	}
}

// against has several goroutines rotate a grant while it is killed. What is known when a
// rotation begins counts: one that begins after the kill was answered must lose.
func (f *fixture) against(name string, g store.Grant, kill func(*store.Tx) error) {
	f.Helper()
	var killed atomic.Bool
	var rotations, late atomic.Int64
	enough := make(chan struct{})
	var once sync.Once
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10_000 {
				after := killed.Load()
				now, err := f.s.Read(context.Background()).Grant(g.ID)
				if err != nil {
					f.Error(err)
					return
				}
				won := false
				err = f.s.Write(context.Background(), func(tx *store.Tx) (err error) {
					won, err = tx.Rotate(g.ID, now.Number, g.IdleAt, Begin.Add(time.Minute))
					return err
				})
				if err != nil {
					f.Errorf("%s: %v", name, err)
					return
				}
				if won && rotations.Add(1) == 20 {
					once.Do(func() { close(enough) })
				}
				if after {
					if won {
						late.Add(1)
					}
					return
				}
			}
		})
	}
	<-enough
	err := f.s.Write(context.Background(), kill)
	killed.Store(true)
	wg.Wait()
	if err != nil {
		f.Errorf("%s: %v", name, err)
	}
	after, err := f.read().Grant(g.ID)
	f.must(err)
	if late.Load() != 0 || after.Live() || after.Number != 1+rotations.Load() {
		f.Errorf("%s: %d rotations began after it and succeeded; the grant is live: %t; it stands at %d after %d rotations", name, late.Load(), after.Live(), after.Number, rotations.Load())
	}
}

// However many ask at once, no more than was said stay live, or fewer by those who asked
// at once.
func testEndIdlestTogether(t *testing.T, f *fixture) {
	f.people()
	const grants, keep = 12, 5
	for range grants {
		f.redeemed()
		f.clock.Advance(time.Millisecond)
	}
	var ended atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			var n int
			err := f.s.Write(context.Background(), func(tx *store.Tx) error {
				all, err := tx.EndIdlest(ada, shop, keep, "many")
				n = len(all)
				return err
			})
			if err != nil {
				t.Error(err)
			}
			ended.Add(int64(n))
		})
	}
	wg.Wait()
	// Each grant ends once, whoever ends it.
	if n := ended.Load(); n != grants-keep {
		t.Errorf("%d grants ended, want %d", n, grants-keep)
	}
	f.write(func(tx *store.Tx) error {
		more, err := tx.EndIdlest(ada, shop, keep, "many")
		if len(more) != 0 {
			t.Errorf("%d more than %d grants had stayed", len(more), keep)
		}
		return err
	})
}

// A limit that is read, reckoned with and written by many at once loses nothing.
func testCountedTogether(t *testing.T, f *fixture) {
	n := f.race(parallel, func(tx *store.Tx, _ int) (bool, error) {
		tat, err := tx.LockAttempt("limit")
		if err != nil {
			return false, err
		}
		return true, tx.PutAttempt("limit", time.UnixMilli(max(tat.UnixMilli(), 0)+1))
	})
	if tat := is[time.Time](t)(f.read().Attempt("limit")); tat.UnixMilli() != parallel || n != parallel {
		t.Errorf("%d counted, and the limit stands at %d", n, tat.UnixMilli())
	}
}
