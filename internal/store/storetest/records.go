package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/feed"
)

func testIssuer(t *testing.T, f *fixture) {
	before := is[store.Issuer](t)(f.read().Issuer())
	want := store.Issuer{Incarnation: before.Incarnation, Hash: feed.Start(before.Incarnation), AliveAt: Begin, Longest: time.Hour}
	equal(t, "a new issuer", before, want)
	if before.Incarnation == "" {
		t.Error("the issuer has no incarnation")
	}
	f.clock.Advance(time.Minute)
	// There is one issuer: a second one is not made.
	f.write(func(tx *store.Tx) error {
		return errors.Join(tx.CreateIssuer(9*time.Hour), tx.Alive(), tx.CutOffAll(7), tx.CutOffAll(3))
	})
	want.AliveAt, want.Cutoff = Begin.Add(time.Minute), 7 // a cutoff never sinks
	equal(t, "the issuer", is[store.Issuer](t)(f.read().Issuer()), want)
}

func testUsers(t *testing.T, f *fixture) {
	u := store.User{
		ID: "u_1", Email: "Ada@Example.com", EmailVerified: true, Name: "Ada", Password: "$argon2id$", Disabled: true,
		Claims: map[string]any{"locale": "fr", "address": map[string]any{"country": "GB"}}, Roles: []string{"admin", "dev"}, Groups: []string{"/a"},
	}
	f.write(func(tx *store.Tx) error { return tx.CreateUser(u) })
	u.CreatedAt, u.UpdatedAt = Begin, Begin
	equal(t, "a new user", is[store.User](t)(f.read().User(u.ID)), u)
	equal(t, "the user by another spelling", is[store.User](t)(f.read().UserByLogin("  aDA@example.COM ")), u)
	f.refused(store.ErrConflict, func(tx *store.Tx) error { return tx.CreateUser(store.User{ID: "u_2", Email: "ADA@example.com"}) })
	f.refused(store.ErrConflict, func(tx *store.Tx) error { return tx.CreateUser(store.User{ID: u.ID, Email: "b@example.com"}) })

	f.clock.Advance(time.Minute)
	u = store.User{ID: u.ID, Email: "new@example.com"}
	f.write(func(tx *store.Tx) error {
		return errors.Join(tx.UpdateUser(u), tx.CutOffUser(u.ID, 5), tx.CutOffUser(u.ID, 4))
	})
	u.CreatedAt, u.UpdatedAt, u.Cutoff = Begin, Begin.Add(time.Minute), 5
	equal(t, "the user after the change", is[store.User](t)(f.read().User(u.ID)), u)
	none, err := f.read().UserByLogin("ada@example.com")
	gone(t, "the user by the old login", none, err)

	other := store.User{ID: "u_0", Email: "o@example.com", CreatedAt: f.clock.Now(), UpdatedAt: f.clock.Now()}
	f.write(func(tx *store.Tx) error { return tx.CreateUser(other) })
	f.refused(store.ErrConflict, func(tx *store.Tx) error { return tx.UpdateUser(store.User{ID: "u_0", Email: "new@example.com"}) })
	f.refused(store.ErrNotFound, func(tx *store.Tx) error { return tx.UpdateUser(store.User{ID: "u_3", Email: "c@example.com"}) })
	f.refused(store.ErrNotFound, func(tx *store.Tx) error { return tx.CutOffUser("u_3", 1) })
	equal(t, "the users", is[[]store.User](t)(f.read().Users("", 9)), []store.User{other, u})
	equal(t, "the first user", is[[]store.User](t)(f.read().Users("", 1)), []store.User{other})
	equal(t, "the users after the first", is[[]store.User](t)(f.read().Users("u_0", 9)), []store.User{u})
	f.write(func(tx *store.Tx) error { return tx.DeleteUser(u.ID) })
	f.refused(store.ErrNotFound, func(tx *store.Tx) error { return tx.DeleteUser(u.ID) })
	none, err = f.read().User(u.ID)
	gone(t, "the deleted user", none, err)
}

func testClients(t *testing.T, f *fixture) {
	renew := func(tx *store.Tx, generation int64, want bool) error {
		won, err := tx.RenewClient(shop, generation)
		if won != want {
			t.Errorf("generation %d of the client was renewed: %t", generation, won)
		}
		return err
	}
	c := store.Client{
		Client: spec.Client{ID: shop, Name: "The shop", AuthMethod: oauth.ClientSecretBasic, RedirectURIs: []string{"https://shop.example/cb"}},
		Source: store.SourceConfig, SecretHash: secret.Bytes(32), OldSecretHash: secret.Bytes(32), OldSecretUntil: Begin.Add(time.Hour),
	}
	f.write(func(tx *store.Tx) error { return tx.PutClient(c) })
	c.CreatedAt, c.UpdatedAt = Begin, Begin
	equal(t, "a new client", is[store.Client](t)(f.read().Client(shop)), c)
	f.clock.Advance(time.Minute)
	f.write(func(tx *store.Tx) error {
		return errors.Join(tx.DisableClient(shop, true), tx.CutOffClient(shop, 5), tx.CutOffClient(shop, 4), renew(tx, 0, true), renew(tx, 0, false),
			tx.PutClient(store.Client{Client: spec.Client{ID: shop, AuthMethod: oauth.NoAuth}, Source: store.SourceAPI}))
	})
	want := store.Client{
		Client: spec.Client{ID: shop, AuthMethod: oauth.NoAuth}, Source: store.SourceAPI,
		Disabled: true, Cutoff: 5, Generation: 1, CreatedAt: Begin, UpdatedAt: Begin.Add(time.Minute),
	}
	equal(t, "the client, declared again", is[store.Client](t)(f.read().Client(shop)), want)
	f.write(func(tx *store.Tx) error {
		return errors.Join(tx.DisableClient(shop, false), tx.PutClient(client("app")))
	})
	all := is[[]store.Client](t)(f.read().Clients())
	if len(all) != 2 || all[0].ID != "app" || all[1].ID != shop || all[1].Disabled {
		t.Errorf("the clients are %+v", all)
	}
	f.write(func(tx *store.Tx) error { return tx.DeleteClient(shop) })
	for name, body := range map[string]func(*store.Tx) error{
		"delete":  func(tx *store.Tx) error { return tx.DeleteClient(shop) },
		"disable": func(tx *store.Tx) error { return tx.DisableClient(shop, true) },
		"cut off": func(tx *store.Tx) error { return tx.CutOffClient(shop, 1) },
	} {
		t.Log(name)
		f.refused(store.ErrNotFound, body)
	}
	none, err := f.read().Client(shop)
	gone(t, "the deleted client", none, err)
	// A new client of that id begins where the log stands: nothing of the old one's is its own.
	f.write(func(tx *store.Tx) error {
		return tx.AppendRevocations([]store.Revocation{{Kind: feed.Client, Value: shop, Until: Begin}})
	})
	f.write(func(tx *store.Tx) error { return tx.PutClient(client(shop)) })
	if again := is[store.Client](t)(f.read().Client(shop)); again.Cutoff != 1 || again.Generation != 1 {
		t.Errorf("a new client has the cutoff %d and the generation %d, want the head's 1", again.Cutoff, again.Generation)
	}
}

func testResources(t *testing.T, f *fixture) {
	r := store.Resource{
		Resource:   spec.Resource{ID: "https://api.example", Name: "API", Scopes: []string{"read"}, AccessToken: spec.AccessToken{Format: spec.FormatJWT, Lifetime: spec.Duration(2 * time.Hour)}},
		SecretHash: secret.Bytes(32), Source: store.SourceConfig,
	}
	f.write(func(tx *store.Tx) error { return tx.PutResource(r) })
	r.CreatedAt, r.UpdatedAt = Begin, Begin
	equal(t, "a new resource", is[store.Resource](t)(f.read().Resource(r.ID)), r)
	f.clock.Advance(time.Minute)
	again := store.Resource{Resource: spec.Resource{ID: r.ID, AccessToken: spec.AccessToken{Lifetime: spec.Duration(time.Minute)}}, Source: store.SourceAPI}
	f.write(func(tx *store.Tx) error { return tx.PutResource(again) })
	again.CreatedAt, again.UpdatedAt = Begin, Begin.Add(time.Minute)
	equal(t, "the resource, declared again", is[store.Resource](t)(f.read().Resource(r.ID)), again)
	equal(t, "the resources", is[[]store.Resource](t)(f.read().Resources()), []store.Resource{again})
	if longest := is[store.Issuer](t)(f.read().Issuer()).Longest; longest != 2*time.Hour {
		t.Errorf("the longest lifetime is %s; there are tokens of two hours", longest)
	}
	f.write(func(tx *store.Tx) error { return tx.DeleteResource(r.ID) })
	f.refused(store.ErrNotFound, func(tx *store.Tx) error { return tx.DeleteResource(r.ID) })
	none, err := f.read().Resource(r.ID)
	gone(t, "the deleted resource", none, err)
}

func testSessions(t *testing.T, f *fixture) {
	f.people()
	s := store.Session{
		ID: secret.Bytes(32), Subject: ada, AMR: []string{"pwd", "otp"}, ACR: "2", AuthTime: Begin.Add(-time.Second),
		IdleAt: Begin.Add(time.Hour), AbsoluteAt: Begin.Add(2 * time.Hour), UserAgent: "Browser/1", Address: "192.0.2.1",
	}
	f.write(func(tx *store.Tx) error { return tx.CreateSession(s) })
	f.refused(store.ErrConflict, func(tx *store.Tx) error { return tx.CreateSession(s) })
	s.SeenAt = Begin
	equal(t, "a new session", is[store.Session](t)(f.read().Session(s.ID, Begin)), s)
	f.clock.Advance(time.Minute)
	s.SeenAt, s.IdleAt = f.clock.Now(), Begin.Add(90*time.Minute)
	f.write(func(tx *store.Tx) error { return tx.TouchSession(s.ID, s.IdleAt) })
	equal(t, "the session after its use", is[store.Session](t)(f.read().Session(s.ID, f.clock.Now())), s)
	if over := is[[][]byte](t)(f.read().SessionsOver(f.clock.Now(), 9)); len(over) != 0 {
		t.Errorf("%d sessions are over", len(over))
	}
	none, err := f.read().Session(s.ID, s.IdleAt)
	gone(t, "the idle session", none, err)
	equal(t, "the sessions that are over", is[[][]byte](t)(f.read().SessionsOver(s.IdleAt, 9)), [][]byte{s.ID})

	for name, end := range map[string]func(*store.Tx) error{
		"user disabled": func(tx *store.Tx) error {
			return tx.UpdateUser(store.User{ID: ada, Email: "ada@example.com", Disabled: true})
		},
		"user cut off": func(tx *store.Tx) error { return tx.CutOffUser(ada, 9) },
		"all cut off":  func(tx *store.Tx) error { return tx.CutOffAll(9) },
		"all cut off, deleted": func(tx *store.Tx) error {
			none, err := tx.DeleteSessionsCutOff(9)
			cut := tx.CutOffAll(9)
			ids, derr := tx.DeleteSessionsCutOff(9)
			equal(t, "the sessions that were cut off", [][][]byte{none, ids}, [][][]byte{nil, {s.ID}})
			return errors.Join(err, cut, derr)
		},
		"user deleted": func(tx *store.Tx) error { return tx.DeleteUser(ada) },
		"moved":        func(tx *store.Tx) error { return tx.MoveSession(s.ID, []byte("new")) },
		"deleted":      func(tx *store.Tx) error { return tx.DeleteSession(s.ID) },
		"all deleted": func(tx *store.Tx) error {
			ids, err := tx.DeleteSessionsOf(ada)
			equal(t, "the sessions that were deleted", ids, [][]byte{s.ID})
			return err
		},
	} {
		f.refused(errUndone, func(tx *store.Tx) error {
			if err := end(tx); err != nil {
				return err
			}
			ended, err := tx.Session(s.ID, tx.Now())
			gone(t, "the session ("+name+")", ended, err)
			return errUndone
		})
	}
	// The grants of a session move with it; those of no session stay.
	inside, outside := coded(), coded()
	inside.Session = s.ID
	f.create(inside)
	f.create(outside)
	f.write(func(tx *store.Tx) error {
		return errors.Join(tx.MoveSession(s.ID, []byte("new")), tx.MoveSession(nil, []byte("no")))
	})
	equal(t, "the grant's session", is[store.Grant](t)(f.read().Grant(inside.ID)).Session, []byte("new"))
	equal(t, "the session of a grant without one", is[store.Grant](t)(f.read().Grant(outside.ID)).Session, []byte{})
	f.refused(store.ErrNotFound, func(tx *store.Tx) error { return tx.DeleteSession(s.ID) })
}

// errUndone has a transaction rolled back.
var errUndone = errors.New("undone on purpose")

func testFlows(t *testing.T, f *fixture) {
	age := int64(0)
	w := store.Flow{ID: first(1), ExpiresAt: Begin.Add(time.Hour), Request: store.AuthorizationRequest{
		Client: shop, RedirectURI: "https://shop.example/cb", RedirectURISent: true, State: "s", Nonce: "n", Challenge: "c", Scopes: []string{"openid"},
		Resources: []store.GrantedResource{{ID: "https://api.example", Scopes: []string{"read"}}}, ResourceAsked: true, Prompt: []string{"login"}, MaxAge: &age,
		LoginHint: "ada", IDTokenHint: ada, ACRValues: []string{"2"}, UILocales: "de",
		Claims: store.ClaimsRequest{IDToken: map[string]*store.ClaimRequest{"email": nil, "acr": {Essential: true, Values: []any{"1", "2"}}}},
	}}
	f.write(func(tx *store.Tx) error { return tx.CreateFlow(w) })
	f.refused(store.ErrConflict, func(tx *store.Tx) error { return tx.CreateFlow(w) })
	w.CreatedAt = Begin
	equal(t, "a new flow", is[store.Flow](t)(f.read().Flow(w.ID, Begin)), w)
	w.Browser, w.Session, w.ExpiresAt = []byte("browser"), []byte("session"), Begin.Add(2*time.Hour)
	f.write(func(tx *store.Tx) error {
		won, err := tx.ClaimFlow(w.ID, w.Browser, w.ExpiresAt)
		again, aerr := tx.ClaimFlow(w.ID, []byte("other"), w.ExpiresAt)
		absent, berr := tx.ClaimFlow(first(2), w.Browser, w.ExpiresAt)
		if !won || again || absent {
			t.Errorf("the first browser won: %t, the second: %t, without a flow: %t", won, again, absent)
		}
		return errors.Join(err, aerr, berr, tx.ProveFlow(w.ID, w.Session))
	})
	equal(t, "the flow with its browser", is[store.Flow](t)(f.read().Flow(w.ID, Begin)), w)
	none, err := f.read().Flow(w.ID, w.ExpiresAt)
	gone(t, "the expired flow", none, err)
	if err := f.s.Write(t.Context(), func(tx *store.Tx) error { _, err := tx.ClaimFlow(w.ID, nil, w.ExpiresAt); return err }); err == nil {
		t.Error("nobody claimed a flow")
	}
	f.refused(store.ErrNotFound, func(tx *store.Tx) error { return tx.ProveFlow(first(2), w.Session) })
	f.write(func(tx *store.Tx) error { return tx.ConsumeFlow(w.ID) })
	f.refused(store.ErrNotFound, func(tx *store.Tx) error { return tx.ConsumeFlow(w.ID) })
}

func testConsents(t *testing.T, f *fixture) {
	c := store.Consent{Subject: ada, Client: shop, Scopes: map[string][]string{"": {"openid"}, "https://api.example": {"read", "write"}}}
	f.write(func(tx *store.Tx) error { return tx.PutConsent(c) })
	f.clock.Advance(time.Minute)
	c.Scopes[""], c.UpdatedAt = nil, f.clock.Now()
	f.write(func(tx *store.Tx) error { return tx.PutConsent(c) })
	equal(t, "the consent", is[store.Consent](t)(f.read().Consent(ada, shop)), c)
	put := func(tx *store.Tx) (err error) {
		for _, subject := range []string{ada, "u_bob"} {
			for _, client := range []string{shop, "app"} {
				err = errors.Join(err, tx.PutConsent(store.Consent{Subject: subject, Client: client}))
			}
		}
		return err
	}
	for name, x := range map[string]struct {
		remove func(*store.Tx) error
		left   [4]bool
	}{
		"one":             {func(tx *store.Tx) error { return tx.DeleteConsents(ada, shop) }, [4]bool{false, true, true, true}},
		"of a subject":    {func(tx *store.Tx) error { return tx.DeleteConsents(ada, "") }, [4]bool{false, false, true, true}},
		"to a client":     {func(tx *store.Tx) error { return tx.DeleteConsentsTo(shop) }, [4]bool{false, true, false, true}},
		"that is not one": {func(tx *store.Tx) error { return tx.DeleteConsents("u_3", "") }, [4]bool{true, true, true, true}},
	} {
		f.refused(errUndone, func(tx *store.Tx) error {
			if err := errors.Join(put(tx), x.remove(tx)); err != nil {
				return err
			}
			var left [4]bool
			for i := range left {
				_, err := tx.Consent([]string{ada, "u_bob"}[i/2], []string{shop, "app"}[i%2])
				left[i] = err == nil
			}
			if left != x.left {
				t.Errorf("%s: left are %v, want %v", name, left, x.left)
			}
			return errUndone
		})
	}
}
