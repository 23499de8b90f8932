package storetest

import (
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/store"
)

// A pushed request is used by one of many, and stays to be read.
func testPushed(t *testing.T, f *fixture) {
	p := store.Pushed{
		Key: []byte("key"), Request: store.AuthorizationRequest{Client: shop, State: "s", RedirectURI: "https://shop.example.com/"},
		ExpiresAt: Begin.Add(time.Minute), KeptUntil: Begin.Add(time.Hour),
	}
	f.write(func(tx *store.Tx) error { return tx.CreatePushed(p) })
	equal(t, "as it was pushed", is[store.Pushed](t)(f.read().Pushed(p.Key)), p)
	won := f.race(parallel, func(tx *store.Tx, _ int) (bool, error) { return tx.UsePushed(p.Key) })
	equal(t, "uses", won, 1)
	p.Used = true
	f.clock.Advance(2 * time.Minute)
	equal(t, "once used", is[store.Pushed](t)(f.read().Pushed(p.Key)), p)
	f.write(func(tx *store.Tx) error {
		won, err := tx.UsePushed([]byte("other"))
		if won {
			t.Error("a request that nobody pushed was used")
		}
		return err
	})
	none, err := f.read().Pushed([]byte("other"))
	gone(t, "a request that nobody pushed", none, err)
}
