//go:build e2e

package server

import (
	"database/sql"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/manage"
	"github.com/jeton-auth/jeton/internal/password"
	"github.com/jeton-auth/jeton/internal/pgtest"
	"github.com/jeton-auth/jeton/internal/store"
)

// twoNodes are two servers on one database. Nothing runs in the background: one follows
// the other when a test says so.
func twoNodes(t *testing.T) (a, b *issuer, db *sql.DB) {
	t.Helper()
	return nodesOf(t, testConfig)
}

// nodesOf is twoNodes with a configuration.
func nodesOf(t *testing.T, config string) (a, b *issuer, db *sql.DB) {
	t.Helper()
	dsn, dir, kek := pgtest.Database(t), t.TempDir(), keys.NewKEK()
	open := func() *issuer {
		i := &issuer{t: t, dir: dir, kek: kek}
		text := strings.Replace(config, "sqlite:jeton.db", dsn+"&pool_max_conns=8", 1)
		srv, err := Open(t.Context(), Options{
			Config: parseConfig(t, text, dir, kek), Log: slog.New(slog.NewTextHandler(&i.log, nil)),
			Hasher: password.New(password.Params{Memory: 8, Iterations: 1, Parallelism: 1}, 2, 64),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := srv.Close(); err != nil {
				t.Error(err)
			}
		})
		i.Server = srv
		return i
	}
	a, b = open(), open()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return a, b, db
}

func (i *issuer) catchUp(had *seen) {
	i.t.Helper()
	if err := i.pulse(i.t.Context(), had); err != nil {
		i.t.Fatal(err)
	}
}

// A node that follows the log, but not yet the clients, gives a client that was switched
// off no token that outlives that.
func TestSwitchedOffElsewhere(t *testing.T) {
	t.Parallel()
	a, b, _ := twoNodes(t)
	had := seen{changes: -1}
	b.catchUp(&had)
	token := func() string {
		return b.post("/token", robot, "grant_type", "client_credentials").want(t, 200, "").str(t, "access_token")
	}
	before := token()
	if err := a.manager.DisableClient(t.Context(), operator, "robot", true); err != nil {
		t.Fatal(err)
	}
	if b.active(before) {
		t.Error("a token of a client that was switched off on another node is active")
	}
	if after := token(); b.revoked.Head() == 0 || b.active(after) || a.active(after) {
		t.Error("a node gave a token that outlives the switching off of its client")
	}
	b.catchUp(&had)
	b.post("/token", robot, "grant_type", "client_credentials").want(t, 401, "invalid_client")
	if err := a.manager.DisableClient(t.Context(), operator, "robot", false); err != nil {
		t.Fatal(err)
	}
	b.catchUp(&had)
	if now := token(); !b.active(now) || !a.active(now) || b.active(before) {
		t.Error("a client that is switched on again gets dead tokens, or revives old ones")
	}
}

// Of changes at the same time on several nodes each counts, and none waits for another
// that waits for it.
func TestChangedTogether(t *testing.T) {
	t.Parallel()
	a, b, db := twoNodes(t)
	ctx := t.Context()
	const email = "ada@example.com"
	texts := []string{"three copper kettles in the rain", "eleven slow trains to the coast"}
	for round := range 15 {
		text := texts[round%2]
		var group sync.WaitGroup
		for _, act := range []func() error{
			func() error { return a.manager.DisableUser(ctx, operator, email, true) },
			func() error { return b.manager.SetPassword(ctx, operator, email, text) },
			func() error {
				_, err := b.manager.Revoke(ctx, operator, manage.Target{User: email}, "test")
				return err
			},
			func() error {
				_, err := a.manager.Revoke(ctx, operator, manage.Target{User: email}, "test")
				return err
			},
			func() error { return a.manager.DisableClient(ctx, operator, "phone", true) },
			func() error {
				_, err := b.manager.Revoke(ctx, operator, manage.Target{Client: "phone"}, "test")
				return err
			},
		} {
			group.Go(func() {
				if err := act(); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		u, err := a.store.Read(ctx).UserByLogin(email)
		if err != nil {
			t.Fatal(err)
		}
		if ok, _, err := password.New(password.Params{Memory: 8, Iterations: 1, Parallelism: 1}, 1, 1).Verify(ctx, u.Password, text); err != nil || !ok || !u.Disabled {
			t.Fatalf("round %d: switched off %v, the new password holds %v, %v", round, u.Disabled, ok, err)
		}
		if err := b.manager.DisableUser(ctx, operator, email, false); err != nil {
			t.Fatal(err)
		}
	}
	var deadlocks int
	if err := db.QueryRow("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").Scan(&deadlocks); err != nil || deadlocks > 0 {
		t.Errorf("%d deadlocks, %v", deadlocks, err)
	}
}

// An outage in which no node could write is noted by the first that can again: a node
// that starts later does not hold it against a client either.
func TestOutageOfAll(t *testing.T) {
	t.Parallel()
	i := start(t)
	before := i.store.Now()
	i.clock.Advance(time.Second)
	if err := i.store.Write(t.Context(), (*store.Tx).StillAlive); err != nil {
		t.Fatal(err)
	}
	if got := i.store.Outage.Served(before, i.store.Now()); got != time.Second {
		t.Errorf("a second between two signs of life counts as %s", got)
	}
	i.clock.Advance(time.Minute)
	if err := i.store.Write(t.Context(), (*store.Tx).StillAlive); err != nil {
		t.Fatal(err)
	}
	i.clock.Advance(2 * time.Second)
	if err := i.store.Write(t.Context(), (*store.Tx).StillAlive); err != nil {
		t.Fatal(err)
	}
	i.restart()
	if got := i.store.Outage.Served(before, i.store.Now()); got != 3*time.Second {
		t.Errorf("three seconds and an outage of a minute count as %s", got)
	}
}

// Writes that wait for a row take every connection of the pool, and keep nobody from
// hearing whether a token is revoked.
func TestLooksPassWrites(t *testing.T) {
	t.Parallel()
	_, b, db := twoNodes(t)
	token := b.post("/token", robot, "grant_type", "client_credentials").want(t, 200, "").str(t, "access_token")
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("SELECT 1 FROM clients WHERE id = 'robot' FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 16 { // more than connections
		group.Go(func() {
			if _, err := b.manager.Revoke(t.Context(), operator, manage.Target{Client: "robot"}, "test"); err != nil {
				t.Error(err)
			}
		})
	}
	for waiting, end := 0, time.Now().Add(3*time.Second); waiting < 6; time.Sleep(time.Millisecond) {
		err := db.QueryRow("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&waiting)
		if err != nil || time.Now().After(end) {
			t.Fatalf("%d wait for the row, %v", waiting, err)
		}
	}
	for range 10 {
		if !b.active(token) {
			t.Error("a token that nobody has revoked yet is not active")
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	if b.active(token) {
		t.Error("a revoked token is active")
	}
}
