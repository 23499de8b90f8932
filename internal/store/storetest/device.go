package storetest

import (
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/store"
)

// A device's request is found by either code, tells early polls, and is answered by one of
// many.
func testDevices(t *testing.T, f *fixture) {
	made := func(key, user string) store.Device {
		return store.Device{
			Key: []byte(key), UserCode: []byte(user), Request: store.AuthorizationRequest{Client: shop, Scopes: []string{"openid"}},
			Every: 5 * time.Second, ExpiresAt: Begin.Add(time.Minute), KeptUntil: Begin.Add(time.Hour),
		}
	}
	add := func(d store.Device, want bool) {
		t.Helper()
		f.write(func(tx *store.Tx) error {
			added, err := tx.CreateDevice(d)
			equal(t, "added", added, want)
			return err
		})
	}
	d := made("key", "code")
	add(d, true)
	add(made("other", "code"), false)
	add(made("denied", "no"), true)
	equal(t, "by its device code", is[store.Device](t)(f.read().Device(d.Key)), d)
	equal(t, "by its user code", is[store.Device](t)(f.read().DeviceToAnswer(d.UserCode, Begin)), d)

	poll := func(wait time.Duration, waits, early bool) {
		t.Helper()
		f.clock.Advance(wait)
		f.write(func(tx *store.Tx) error {
			w, e, err := tx.PollDevice(d.Key, 5*time.Second)
			equal(t, "waits, early", [2]bool{w, e}, [2]bool{waits, early})
			return err
		})
	}
	poll(0, true, false)
	poll(4*time.Second, true, true)
	poll(9*time.Second, true, true)
	poll(15*time.Second, true, false)
	equal(t, "its interval", is[store.Device](t)(f.read().Device(d.Key)).Every, 15*time.Second)

	id := store.GrantID(first(7))
	until := Begin.Add(2 * time.Minute)
	won := f.race(parallel, func(tx *store.Tx, i int) (bool, error) {
		if i%2 == 1 {
			return tx.DenyDevice([]byte("denied"))
		}
		return tx.ApproveDevice(d.Key, id, until)
	})
	equal(t, "answers to two", won, 2)
	poll(0, false, false)
	got := is[store.Device](t)(f.read().Device(d.Key))
	equal(t, "approved", []any{got.State, got.Grant, got.ExpiresAt}, []any{store.DeviceApproved, id, until})
	equal(t, "denied", is[store.Device](t)(f.read().Device([]byte("denied"))).State, store.DeviceDenied)
	none, err := f.read().DeviceToAnswer(d.UserCode, f.clock.Now())
	gone(t, "one that was answered", none, err)

	late := made("late", "late")
	add(late, true)
	f.clock.Advance(time.Minute)
	none, err = f.read().DeviceToAnswer(late.UserCode, f.clock.Now())
	gone(t, "one that expired", none, err)
	f.write(func(tx *store.Tx) error {
		won, err := tx.ApproveDevice(late.Key, id, until)
		equal(t, "an expired one is approved", won, false)
		return err
	})
}
