package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/store"
)

// testFrontGrants makes grants whose tokens went out with the authorization response: the
// row stays for as long as they live, whatever becomes of the code.
func testFrontGrants(t *testing.T, f *fixture) {
	f.people()
	implicit := coded()
	implicit.Code, implicit.IdleAt, implicit.TokensUntil = nil, Begin, Begin.Add(5*time.Minute)
	f.create(implicit)
	got := is[store.Grant](t)(f.read().Grant(implicit.ID))
	if got.Code != nil || got.Number != 1 || !got.TokensUntil.Equal(implicit.TokensUntil) || !got.Live() {
		t.Errorf("a grant without a code: %+v", got)
	}
	unused := coded()
	unused.TokensUntil = Begin.Add(10 * time.Minute)
	f.create(unused)
	used := coded()
	used.TokensUntil = Begin.Add(time.Hour)
	f.create(used)
	f.write(func(tx *store.Tx) error {
		spent := implicit
		spent.Code = used.Code
		again, err := tx.SpendCode(&spent, Begin, Begin)
		won, werr := tx.SpendCode(&used, Begin.Add(time.Second), Begin.Add(time.Minute))
		if again || !won {
			t.Errorf("no code was spent: %t; the code was: %t", again, won)
		}
		return errors.Join(err, werr)
	})
	if got := is[store.Grant](t)(f.read().Grant(used.ID)); !got.TokensUntil.Equal(used.TokensUntil) {
		t.Errorf("the token beside the code is known until %v, want %v", got.TokensUntil, used.TokensUntil)
	}
	for _, step := range []struct {
		after time.Duration
		rows  int64
	}{{4 * time.Minute, 3}, {2 * time.Minute, 2}, {5 * time.Minute, 1}, {time.Hour, 0}} {
		f.clock.Advance(step.after)
		f.write(func(tx *store.Tx) error {
			_, err := tx.PurgeUnredeemed(100)
			_, perr := tx.PurgeGrants(store.GrantID{}, 100)
			return errors.Join(err, perr)
		})
		if rows := is[int64](t)(f.read().CountGrants()); rows != step.rows {
			t.Errorf("%d rows at %v, want %d", rows, f.clock.Now().Sub(Begin), step.rows)
		}
	}
}

// testFrontGrantsApart counts grants without a code, and those whose code was spent, each
// for themselves; a code that is not spent counts with neither.
func testFrontGrantsApart(t *testing.T, f *fixture) {
	f.people()
	var spent, fronted []store.GrantID
	for i := range 3 {
		used, implicit := coded(), coded()
		implicit.Code, implicit.IdleAt = nil, Begin
		if i > 0 {
			implicit.TokensUntil = Begin.Add(time.Hour)
		}
		f.create(used)
		f.create(implicit)
		f.create(coded())
		f.write(func(tx *store.Tx) error { _, err := tx.SpendCode(&used, used.IdleAt, used.IdleAt); return err })
		spent, fronted = append(spent, used.ID), append(fronted, implicit.ID)
		f.clock.Advance(time.Second)
	}
	one := coded()
	for _, step := range []struct {
		end  func(tx *store.Tx, keep int) ([]store.Ended, error)
		ends []store.GrantID
	}{
		{func(tx *store.Tx, keep int) ([]store.Ended, error) {
			return tx.EndOldestWithoutCode(one.Subject, one.Client, keep, "many")
		}, fronted},
		{func(tx *store.Tx, keep int) ([]store.Ended, error) {
			return tx.EndIdlest(one.Subject, one.Client, keep, "many")
		}, spent},
	} {
		for keep := 3; keep > 0; keep-- {
			f.write(func(tx *store.Tx) error {
				ended, err := step.end(tx, keep)
				if keep == 3 && len(ended) > 0 || keep < 3 && (len(ended) != 1 || ended[0].ID != step.ends[2-keep]) {
					t.Errorf("with %d left ended %v", keep, ended)
				}
				return err
			})
		}
	}
}
