package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/feed"
)

func testGrants(t *testing.T, f *fixture) {
	f.people()
	f.write(func(tx *store.Tx) error {
		return tx.UpdateUser(store.User{ID: ada, Email: "ada@example.com", EmailVerified: true, Name: "Ada", Claims: map[string]any{"locale": "fr"}, Roles: []string{"r"}, Groups: []string{"g"}})
	})
	g := coded()
	g.Session, g.Rev = []byte("session"), 3
	g.Code.Challenge, g.Code.RedirectURISent = "c", true
	g.Details = store.GrantDetails{
		Scopes: []string{"openid", "email"}, Resources: []store.GrantedResource{{ID: "https://api.example", Scopes: []string{"read"}}}, ResourceAsked: true,
		Claims:   store.ClaimsRequest{UserInfo: map[string]*store.ClaimRequest{"email": {Essential: true, Value: "x"}}},
		AuthTime: Begin, ACR: "2", AMR: []string{"pwd"}, SID: "sid",
	}
	f.create(g)
	f.refused(store.ErrConflict, func(tx *store.Tx) error { return tx.CreateGrant(g) })
	want := g
	want.CreatedAt, want.RotatedAt = Begin, Begin
	want.User = store.User{ID: ada, Email: "ada@example.com", EmailVerified: true, Name: "Ada", Claims: map[string]any{"locale": "fr"}, Roles: []string{"r"}, Groups: []string{"g"}, UpdatedAt: Begin.Add(time.Millisecond)}
	equal(t, "a new grant", is[store.Grant](t)(f.read().Grant(g.ID)), want)

	// Nothing but the code's own step moves a grant from number 0.
	f.write(func(tx *store.Tx) error {
		rotated, err := tx.Rotate(g.ID, 0, g.IdleAt, Begin)
		touched, terr := tx.Touch(g.ID, 0, g.IdleAt, Begin)
		if rotated || touched {
			t.Errorf("before its code was spent a grant was rotated: %t, touched: %t", rotated, touched)
		}
		return errors.Join(err, terr)
	})
	f.clock.Advance(time.Second)
	idle, until := Begin.Add(20*time.Hour), Begin.Add(time.Hour)
	g.Details.Confirmation = oauth.Confirmation{X5TS256: "c"} // whose key it is shows with the code
	want.Details.Confirmation = g.Details.Confirmation
	f.write(func(tx *store.Tx) error {
		if won, err := tx.SpendCode(&g, idle, until); won || err != nil {
			t.Errorf("the code was spent for a person who has changed since its grant was read: %t, %v", won, err)
		}
		g.User.UpdatedAt = want.User.UpdatedAt
		won, err := tx.SpendCode(&g, idle, until)
		again, aerr := tx.SpendCode(&g, idle, until)
		if !won || again {
			t.Errorf("the code was spent: %t, and again: %t", won, again)
		}
		return errors.Join(err, aerr)
	})
	code := *g.Code
	code.Nonce = "" // only the first use needs it
	want.Code, want.Number, want.RotatedAt, want.IdleAt, want.TokensUntil = &code, 1, Begin.Add(time.Second), idle, until
	equal(t, "the grant after its code", is[store.Grant](t)(f.read().Grant(g.ID)), want)

	// While the code is young a rotation keeps what a second use is judged by; tokens_until
	// never sinks.
	rotate := func(n int64, until time.Time) {
		t.Helper()
		f.clock.Advance(time.Second)
		f.write(func(tx *store.Tx) error {
			won, err := tx.Rotate(g.ID, n, idle, until)
			other, oerr := tx.Rotate(g.ID, n, idle, until)
			if !won || other {
				t.Errorf("number %d was rotated: %t, and again: %t", n, won, other)
			}
			return errors.Join(err, oerr)
		})
	}
	rotate(1, Begin)
	want.Number, want.RotatedAt = 2, f.clock.Now()
	equal(t, "the grant after a rotation", is[store.Grant](t)(f.read().Grant(g.ID)), want)
	f.clock.Advance(time.Minute)
	rotate(2, until.Add(time.Hour))
	want.Code, want.Number, want.RotatedAt, want.TokensUntil = nil, 3, f.clock.Now(), until.Add(time.Hour)
	equal(t, "the grant of an old code", is[store.Grant](t)(f.read().Grant(g.ID)), want)
	f.write(func(tx *store.Tx) error {
		won, err := tx.Touch(g.ID, 3, idle.Add(time.Hour), Begin)
		if !won {
			t.Error("the grant was not touched")
		}
		return err
	})
	want.IdleAt = idle.Add(time.Hour)
	equal(t, "the grant after a touch", is[store.Grant](t)(f.read().Grant(g.ID)), want)

	f.write(func(tx *store.Tx) error {
		ended, err := tx.EndGrant(g.ID, "why")
		equal(t, "what ended", ended, store.Ended{ID: g.ID, Client: shop, Subject: ada, TokensUntil: want.TokensUntil})
		_, again := tx.EndGrant(g.ID, "again")
		gone(t, "the end of what has ended", ended, again)
		return err
	})
	want.EndedAt, want.EndedBy = f.clock.Now(), "why"
	equal(t, "the ended grant", is[store.Grant](t)(f.read().Grant(g.ID)), want)
	f.write(func(tx *store.Tx) error { return errors.Join(tx.DeleteUser(ada), tx.CutOffClient(shop, 6)) })
	orphan := is[store.Grant](t)(f.read().Grant(g.ID))
	equal(t, "the user of a grant without one", orphan.User, store.User{ID: ada})
	if !orphan.Dead || orphan.Cutoff != 6 {
		t.Errorf("a grant without its user is dead: %t, with the cutoff %d", orphan.Dead, orphan.Cutoff)
	}
	none, err := f.read().Grant(first(9))
	gone(t, "a grant that never was", none, err)

	testEnds(t, f)
}

// testEnds ends grants by their session and by their number.
func testEnds(t *testing.T, f *fixture) {
	born := f.clock.Now()
	f.write(func(tx *store.Tx) error { return tx.CreateUser(store.User{ID: "u_bob", Email: "bob@example.com"}) })
	var made []store.GrantID
	for i := range 6 {
		g := coded()
		g.Subject, g.Rev, g.Session = "u_bob", 9, []byte{byte(i / 4)}
		g.User.UpdatedAt = born
		f.create(g)
		if i < 5 { // the last one's code is not spent
			f.write(func(tx *store.Tx) error { _, err := tx.SpendCode(&g, g.IdleAt, g.IdleAt); return err })
		}
		made = append(made, g.ID)
		f.clock.Advance(time.Second)
	}
	end := func(what string, want []store.GrantID, body func(*store.Tx) ([]store.Ended, error)) {
		t.Helper()
		f.write(func(tx *store.Tx) error {
			ended, err := body(tx)
			var ids []store.GrantID
			for _, e := range ended {
				ids = append(ids, e.ID)
			}
			slices.SortFunc(ids, func(a, b store.GrantID) int { return slices.Index(made, a) - slices.Index(made, b) })
			equal(t, what, ids, want)
			return err
		})
	}
	end("with a place left", nil, func(tx *store.Tx) ([]store.Ended, error) { return tx.EndIdlest("u_bob", shop, 5, "many") })
	f.write(func(tx *store.Tx) error { _, err := tx.Rotate(made[0], 1, Begin.Add(time.Hour), Begin); return err })
	end("the idlest two, which the first is no more", made[1:3], func(tx *store.Tx) ([]store.Ended, error) { return tx.EndIdlest("u_bob", shop, 3, "many") })
	end("of no session", nil, func(tx *store.Tx) ([]store.Ended, error) { return tx.EndGrantsOfSession(nil, "logout") })
	end("of the first session", []store.GrantID{made[0], made[3]}, func(tx *store.Tx) ([]store.Ended, error) { return tx.EndGrantsOfSession([]byte{0}, "logout") })
	end("of the second session, with an unused code", made[4:], func(tx *store.Tx) ([]store.Ended, error) { return tx.EndGrantsOfSession([]byte{1}, "logout") })
}

func testKeys(t *testing.T, f *fixture) {
	k := store.Key{ID: "k1", Number: 7, Purpose: "sign", Alg: "ES256", State: "next", Public: []byte{1, 0, 2}, Sealed: secret.Bytes(64), ActiveAt: Begin.Add(time.Hour)}
	root := store.Key{ID: "k0", Number: 8, Purpose: "pepper", State: "active", Sealed: []byte{0}}
	f.write(func(tx *store.Tx) error { return tx.CreateKey(k) })
	f.clock.Advance(time.Second)
	f.write(func(tx *store.Tx) error { return tx.CreateKey(root) })
	f.refused(store.ErrConflict, func(tx *store.Tx) error { return tx.CreateKey(k) })
	k.CreatedAt, root.CreatedAt = Begin, Begin.Add(time.Second)
	equal(t, "the keys, the oldest first", is[[]store.Key](t)(f.read().Keys()), []store.Key{k, root})
	k.State, k.ActiveAt, k.RetiredAt = "retired", Begin, Begin.Add(time.Hour)
	f.write(func(tx *store.Tx) error {
		return errors.Join(tx.MoveKey(k.ID, k.State, k.ActiveAt, k.RetiredAt), tx.DeleteKey(root.ID))
	})
	equal(t, "the keys", is[[]store.Key](t)(f.read().Keys()), []store.Key{k})
	f.refused(store.ErrNotFound, func(tx *store.Tx) error { return tx.DeleteKey(root.ID) })
	f.refused(store.ErrNotFound, func(tx *store.Tx) error { return tx.MoveKey(root.ID, "next", Begin, Begin) })
}

func testAttempts(t *testing.T, f *fixture) {
	none, err := f.read().Attempt("a")
	gone(t, "a limit that nobody met", none, err)
	for _, at := range []time.Time{Begin, Begin.Add(time.Hour)} {
		f.write(func(tx *store.Tx) error { return tx.PutAttempt("a", at) })
		f.write(func(tx *store.Tx) error {
			locked, err := tx.LockAttempt("a")
			equal(t, "the limit, locked", locked, at)
			return err
		})
		equal(t, "the limit", is[time.Time](t)(f.read().Attempt("a")), at)
	}
	f.write(func(tx *store.Tx) error {
		fresh, err := tx.LockAttempt("b")
		equal(t, "a new limit, locked", fresh, time.Time{})
		return err
	})
}

func testLeases(t *testing.T, f *fixture) {
	take := func(holder string, want bool) {
		t.Helper()
		f.write(func(tx *store.Tx) error {
			taken, err := tx.TakeLease("job", holder, tx.Now().Add(time.Minute))
			if taken != want {
				t.Errorf("%s took the lease: %t", holder, taken)
			}
			return err
		})
	}
	none, err := f.read().LeaseRanAt("job")
	gone(t, "a job that nobody ran", none, err)
	take("a", true)
	take("b", false)
	f.clock.Advance(30 * time.Second)
	take("a", true) // its own again, for longer
	f.clock.Advance(59 * time.Second)
	take("b", false)
	f.refused(store.ErrNotFound, func(tx *store.Tx) error { return tx.LeaseRan("job", "b") })
	f.write(func(tx *store.Tx) error { return tx.LeaseRan("job", "a") })
	ran := f.clock.Now()
	f.clock.Advance(time.Second)
	f.refused(store.ErrNotFound, func(tx *store.Tx) error { return tx.LeaseRan("job", "a") }) // it is over
	take("b", true)
	take("a", false)
	equal(t, "when the job ran", is[time.Time](t)(f.read().LeaseRanAt("job")), ran)
}

func testAudit(t *testing.T, f *fixture) {
	e := store.AuditEvent{ID: "e2", Type: "login", Subject: ada, Client: shop, Grant: "g", Actor: "root", Address: "192.0.2.1", Request: "r", Data: `{"a":1}`}
	f.write(func(tx *store.Tx) error {
		return errors.Join(tx.AppendAudit(e), tx.AppendAudit(store.AuditEvent{ID: "e1"}))
	})
	f.clock.Advance(time.Second)
	f.write(func(tx *store.Tx) error { return tx.AppendAudit(store.AuditEvent{ID: "e0"}) })
	e.At = Begin
	all := []store.AuditEvent{{ID: "e1", At: Begin}, e, {ID: "e0", At: f.clock.Now()}}
	equal(t, "the events", is[[]store.AuditEvent](t)(f.read().AuditEvents(Begin, 9)), all)
	equal(t, "the first events", is[[]store.AuditEvent](t)(f.read().AuditEvents(time.Time{}, 2)), all[:2])
	equal(t, "the later events", is[[]store.AuditEvent](t)(f.read().AuditEvents(f.clock.Now(), 9)), all[2:])
}

// Time in which nobody answered is not counted as served; the oldest of it is forgotten.
func testOutages(t *testing.T, f *fixture) {
	for range 20 {
		f.write((*store.Tx).Alive)
		f.clock.Advance(10 * time.Second)
		f.write((*store.Tx).Resume)
		f.clock.Advance(20 * time.Second)
	}
	ago := func(s time.Duration) time.Time { return f.clock.Now().Add(-s * time.Second) }
	for _, x := range []struct{ from, to, want time.Duration }{
		{20, 0, 20}, {30, 20, 0}, {60, 0, 40}, {480, 0, 320}, {600, 480, 120}, {0, 20, 0},
	} {
		if got := f.s.Outage.Served(ago(x.from), ago(x.to)); got != x.want*time.Second {
			t.Errorf("from %d to %d seconds ago %s were served, want %ds", x.from, x.to, got, x.want)
		}
	}
}

func testRevocations(t *testing.T, f *fixture) {
	if err := f.s.Write(t.Context(), func(tx *store.Tx) error { return tx.AppendRevocations(nil) }); err == nil {
		t.Error("nothing was appended, and nobody objected")
	}
	one := []store.Revocation{{Lane: 1, Kind: feed.Grant, Value: "v1", Until: Begin.Add(1500 * time.Millisecond), Cause: "test"}}
	two := []store.Revocation{{Kind: feed.Subject, Value: ada, Until: Begin.Add(time.Hour)}, {Kind: feed.All, Until: Begin.Add(time.Minute)}}
	f.write(func(tx *store.Tx) error {
		if last := tx.LastAppended(); last != nil {
			t.Errorf("nothing was appended yet but %v", last)
		}
		return tx.AppendRevocations(one)
	})
	f.clock.Advance(time.Second)
	f.write(func(tx *store.Tx) error { return tx.AppendRevocations(two) })
	all := is[[]store.Revocation](t)(f.read().Revocations(0, 9))
	equal(t, "the log", all, slices.Concat(one, two)) // numbers, times and hashes were filled in
	if all[0].At != all[0].At.Round(0) || !all[0].At.Equal(Begin) || !all[2].At.Equal(Begin.Add(time.Second)) {
		t.Errorf("the entries were made at %v and %v", all[0].At, all[2].At)
	}
	checkChain(t, f, 3)
	equal(t, "the log after the first", is[[]store.Revocation](t)(f.read().Revocations(1, 1)), all[1:2])
	f.refused(errUndone, func(tx *store.Tx) error {
		return errors.Join(tx.AppendRevocations([]store.Revocation{{Kind: feed.All, Until: Begin}}), errUndone)
	})
	checkChain(t, f, 3)
}

// checkChain checks that the log has n entries with the numbers 1 to n, each with the
// running hash before it, and that the head is the last one's.
func checkChain(t *testing.T, f *fixture, n int64) {
	t.Helper()
	issuer := is[store.Issuer](t)(f.read().Issuer())
	h := feed.Start(issuer.Incarnation)
	log := is[[]store.Revocation](t)(f.read().Revocations(0, int(n)+1))
	for i, e := range log {
		if e.N != int64(i+1) || e.Before != h {
			t.Fatalf("entry %d of the log has the number %d and the hash %s before it, want %s", i+1, e.N, e.Before, h)
		}
		h = h.Next(e.Entry())
	}
	if issuer.Head != n || int64(len(log)) != n || issuer.Hash != h {
		t.Errorf("the head is %d with %s; the log has %d entries and comes to %s; there are to be %d", issuer.Head, issuer.Hash, len(log), h, n)
	}
}

// What nodes look at changes with every revocation, and on a shared database with
// every change that they must follow.
func testPulse(t *testing.T, f *fixture) {
	before := is[store.Pulse](t)(f.read().Pulse())
	f.write(func(tx *store.Tx) error {
		return errors.Join(tx.LockChange(store.ChangedKeys), tx.AppendRevocations([]store.Revocation{{Kind: feed.All, Until: Begin}}))
	})
	after := is[store.Pulse](t)(f.read().Pulse())
	equal(t, "the pulse after a revocation", after, store.Pulse{Incarnation: before.Incarnation, Head: 1, Changes: before.Changes})
	f.write(func(tx *store.Tx) error {
		return errors.Join(tx.NoteChange(store.ChangedDirectory), tx.NoteChange(store.ChangedKeys))
	})
	if noted := is[store.Pulse](t)(f.read().Pulse()); f.s.Shared() && noted.Changes != after.Changes+2 {
		t.Errorf("two changes were noted, and the pulse went from %d to %d", after.Changes, noted.Changes)
	}
}

// What may be used once is used by one of many, on whichever node.
func testReplays(t *testing.T, f *fixture) {
	until := Begin.Add(time.Minute)
	for _, id := range []string{"1", "2"} {
		won := f.race(parallel, func(tx *store.Tx, _ int) (bool, error) { return tx.UseOnce(store.Replay("proof", shop, id), until) })
		equal(t, "uses of "+id, won, 1)
	}
	f.write(func(tx *store.Tx) error {
		won, err := tx.UseOnce(store.Replay("assertion", shop, "1"), until)
		if !won {
			t.Error("another kind with the same jti was refused")
		}
		return err
	})
	// By the clock of another node the time is not over yet.
	for _, c := range []struct {
		after time.Duration
		gone  int64
	}{{time.Minute + 2*time.Second, 0}, {time.Minute, 3}} {
		f.clock.Advance(c.after)
		f.write(func(tx *store.Tx) error {
			n, err := tx.PurgeReplays(10)
			equal(t, "what is forgotten", n, c.gone)
			return err
		})
	}
}

// testLogouts has clients take part in sessions and be told of their ends.
func testLogouts(t *testing.T, f *fixture) {
	f.people()
	one, two := []byte("one"), []byte("two")
	f.write(func(tx *store.Tx) error {
		return errors.Join(tx.Participate(one, shop, ada), tx.Participate(one, shop, ada), tx.MoveSession(one, two), tx.Participate(two, shop, ada), tx.Participate([]byte("else"), shop, ada))
	})
	equal(t, "who took part", is[[]store.Participation](t)(f.read().Participations(two)), []store.Participation{
		{Session: two, Client: shop, Known: one, Subject: ada}, {Session: two, Client: shop, Known: two, Subject: ada},
	})
	// However often a person confirms who they are, what is to be told is bounded.
	var last []byte
	f.write(func(tx *store.Tx) (err error) {
		last = two
		for n := range 2 * store.MaxKnown {
			next := []byte{byte(n), 'n'}
			err = errors.Join(err, tx.MoveSession(last, next), tx.Participate(next, shop, ada), tx.Participate(next, shop+"-too", ada))
			last = next
		}
		return err
	})
	known := map[string]int{}
	for _, p := range is[[]store.Participation](t)(f.read().Participations(last)) {
		known[p.Client]++
		if string(p.Known) == string(last) {
			known["the newest"]++
		}
	}
	equal(t, "by how many names a session is known", known, map[string]int{shop: store.MaxKnown, shop + "-too": store.MaxKnown, "the newest": 2})
	f.write(func(tx *store.Tx) error { return errors.Join(tx.EndParticipations(last), tx.EndParticipations(two)) })
	equal(t, "who takes part in what is over", len(is[[]store.Participation](t)(f.read().Participations(two))), 0)

	l := store.PendingLogout{ID: first(1), Client: shop, Subject: ada, Known: one}
	f.write(func(tx *store.Tx) error { return tx.QueueLogout(l) })
	l.CreatedAt, l.DueAt = Begin, Begin
	due := func(want ...store.PendingLogout) {
		t.Helper()
		all := is[[]store.PendingLogout](t)(f.read().LogoutsDueTo(shop, f.clock.Now(), 9))
		equal(t, "what is due", all, want)
		equal(t, "clients with something due", len(is[[]string](t)(f.read().ClientsWithLogoutsDue(f.clock.Now()))), len(want))
	}
	due(l)
	won := f.race(parallel, func(tx *store.Tx, _ int) (bool, error) { return tx.ClaimLogout(l, Begin.Add(time.Minute)) })
	equal(t, "claims of one attempt", won, 1)
	due()
	f.write(func(tx *store.Tx) error { return tx.LogoutFailed(l.ID, "no answer", Begin.Add(time.Second)) })
	f.clock.Advance(time.Second)
	l.Attempts, l.Error, l.DueAt = 1, "no answer", f.clock.Now()
	due(l)
	f.write(func(tx *store.Tx) error { return tx.LogoutFailed(l.ID, "never", time.Time{}) })
	due()
	l.Error, l.DueAt, l.FailedAt = "never", time.Time{}, f.clock.Now()
	equal(t, "what is not delivered", is[[]store.PendingLogout](t)(f.read().PendingLogouts(9)), []store.PendingLogout{l})
	f.clock.Advance(8 * 24 * time.Hour)
	f.write(func(tx *store.Tx) error {
		n, err := tx.PurgeLogouts(9)
		equal(t, "logouts that failed long ago", n, 1)
		return err
	})
	f.write(func(tx *store.Tx) error { return errors.Join(tx.QueueLogout(l), tx.LogoutDelivered(l.ID)) })
	due()
}
