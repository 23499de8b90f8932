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
