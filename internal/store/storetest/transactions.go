package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/store"
)

// A body that fails or panics is rolled back alone, whoever writes at the same time.
func testFailedBodyAlone(t *testing.T, f *fixture) {
	failure := errors.New("no")
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			err := f.s.Write(context.Background(), func(tx *store.Tx) error {
				if err := tx.CreateUser(store.User{ID: fmt.Sprint(i), Email: fmt.Sprintf("u%d@example.com", i)}); err != nil {
					return err
				}
				switch i % 4 {
				case 1:
					return failure
				case 2:
					panic("no")
				}
				return nil
			})
			if (i%4 == 1) != errors.Is(err, failure) || (i%4 == 2) != (err != nil && !errors.Is(err, failure)) {
				t.Errorf("body %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if users := is[[]store.User](t)(f.read().Users("", 1000)); len(users) != 100 {
		t.Errorf("%d users are there, want the 100 whose bodies succeeded", len(users))
	}
}

// Memory changes after the commit, in order and before Write returns, once however often
// the body ran, and not for what was rolled back.
func testAfterCommit(t *testing.T, f *fixture) {
	var seen []int
	note := func(tx *store.Tx, n int) {
		tx.AfterCommit(func() {
			if _, err := f.s.Read(context.Background()).User("u_1"); err != nil {
				t.Errorf("memory changed before what it follows was there: %v", err)
			}
			seen = append(seen, n)
		})
	}
	f.write(func(tx *store.Tx) error {
		note(tx, 1)
		err := tx.CreateUser(store.User{ID: "u_1", Email: "1@example.com"})
		note(tx, 2)
		note(tx, 3)
		if len(seen) != 0 {
			t.Error("memory changed before the commit")
		}
		return err
	})
	equal(t, "what memory saw", seen, []int{1, 2, 3})
	f.refused(errUndone, func(tx *store.Tx) error { note(tx, 4); return errUndone })
	if err := f.s.Write(t.Context(), func(tx *store.Tx) error { note(tx, 5); panic("no") }); err == nil {
		t.Error("a body that panicked succeeded")
	}
	equal(t, "what memory saw after what was rolled back", seen, []int{1, 2, 3})

	var mu sync.Mutex
	var after []int
	n := f.race(parallel, func(tx *store.Tx, i int) (bool, error) {
		tx.AfterCommit(func() {
			mu.Lock()
			defer mu.Unlock()
			after = append(after, i)
		})
		tat, err := tx.LockAttempt("hot")
		if err == nil {
			err = tx.PutAttempt("hot", tat.Add(time.Millisecond))
		}
		return true, err
	})
	slices.Sort(after)
	if n != parallel || len(after) != parallel || len(slices.Compact(after)) != parallel {
		t.Errorf("%d bodies were committed, and memory changed %d times", n, len(after))
	}
}

// A body that found nothing may go on. One that met a conflict is to end: on some engines
// its transaction is over. Where it goes on, all of it is kept or nothing, and Write
// says which.
func testConflict(t *testing.T, f *fixture) {
	f.people()
	f.write(func(tx *store.Tx) error {
		if err := tx.DeleteUser("u_none"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("there is no such user, and the body was told %v", err)
		}
		return tx.CreateUser(store.User{ID: "u_2", Email: "2@example.com"})
	})
	err := f.s.Write(t.Context(), func(tx *store.Tx) error {
		before := tx.CreateUser(store.User{ID: "u_3", Email: "3@example.com"})
		if err := tx.CreateUser(store.User{ID: "u_4", Email: "ADA@example.com"}); !errors.Is(err, store.ErrConflict) {
			t.Errorf("the login is taken, and the body was told %v", err)
		}
		return before
	})
	users := is[[]store.User](t)(f.read().Users("", 9))
	if kept := len(users) == 3; kept != (err == nil) {
		t.Errorf("the body that went on was answered with %v, and %d users are there", err, len(users))
	}
}

// A transaction reads what it wrote; others do not, until it is committed.
func testOwnWrites(t *testing.T, f *fixture) {
	f.write(func(tx *store.Tx) error {
		if !tx.Now().Equal(Begin) {
			t.Errorf("the transaction's time is %v", tx.Now())
		}
		if err := tx.CreateUser(store.User{ID: "u_1", Email: "1@example.com"}); err != nil {
			return err
		}
		if _, err := tx.User("u_1"); err != nil {
			t.Errorf("a transaction does not see its own user: %v", err)
		}
		none, err := f.s.Read(context.Background()).User("u_1")
		gone(t, "a user that is not committed", none, err)
		return nil
	})
	if _, err := f.read().User("u_1"); err != nil {
		t.Errorf("the user is not there after the commit: %v", err)
	}
}

// Two transactions that each look and then write as if they were alone: a body whose
// decision no longer holds runs again, or its conditional write says so.
func testIsolated(t *testing.T, f *fixture) {
	f.people()
	g := f.redeemed()
	// Each adds one to what it read; a lost race is seen and tried again.
	const each = 5
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for done := 0; done < each; {
				won := false
				err := f.s.Write(context.Background(), func(tx *store.Tx) error {
					now, err := tx.Grant(g.ID)
					if err != nil {
						return err
					}
					won, err = tx.Rotate(g.ID, now.Number, now.IdleAt, Begin)
					return err
				})
				if err != nil {
					t.Error(err)
					return
				}
				if won {
					done++
				}
			}
		})
	}
	wg.Wait()
	if now := is[store.Grant](t)(f.read().Grant(g.ID)); now.Number != 1+10*each {
		t.Errorf("the grant stands at %d after %d rotations", now.Number, 10*each)
	}
}

// A context that has ended stops a body before it begins.
func testEndedContext(t *testing.T, f *fixture) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.s.Write(ctx, func(*store.Tx) error { t.Error("ran"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Write = %v", err)
	}
	if _, err := f.s.Read(ctx).User(ada); !errors.Is(err, context.Canceled) {
		t.Errorf("a reading was answered with %v", err)
	}
	// Once it runs, a body is finished whatever its caller does.
	ctx, cancel = context.WithCancel(t.Context())
	err := f.s.Write(ctx, func(tx *store.Tx) error {
		cancel()
		return tx.CreateUser(store.User{ID: ada, Email: "ada@example.com"})
	})
	if _, rerr := f.read().User(ada); err != nil || rerr != nil {
		t.Errorf("a body whose caller went away: %v, %v", err, rerr)
	}
}
