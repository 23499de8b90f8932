//go:build e2e

package revoke_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/pgtest"
	"github.com/jeton-auth/jeton/internal/revoke"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/store/postgres"
	"github.com/jeton-auth/jeton/oauth/feed"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// node is one of several on a database.
func node(t *testing.T, dsn string) (*store.Store, *revoke.Log) {
	t.Helper()
	st, err := store.Open(t.Context(), &postgres.Engine{}, dsn, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	write(t, st, func(tx *store.Tx) error { return tx.CreateIssuer(time.Hour) })
	return st, load(t, st)
}

func named(id string) *feed.Names { return feed.NewNames(feed.Claims{ID: id, HasRev: true}) }

// What was written on any node before the question is known after Confirm, while all of
// them write; each log is whole and the same in the end.
func TestConfirm(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	const nodes, each = 3, 60
	var logs [nodes]*revoke.Log
	var stores [nodes]*store.Store
	for i := range logs {
		stores[i], logs[i] = node(t, dsn)
	}
	var wg sync.WaitGroup
	for i := range logs {
		wg.Go(func() {
			for k := range each {
				id := fmt.Sprintf("g%d.%d", i, k)
				if err := stores[i].Write(t.Context(), func(tx *store.Tx) error {
					return logs[i].Add(tx, "test", revoke.Entry{Kind: feed.Token, Value: id})
				}); err != nil {
					t.Error(err)
					return
				}
				other := logs[(i+1)%nodes]
				err := other.Confirm(t.Context())
				for errors.Is(err, revoke.ErrUnconfirmed) { // the machine was too slow; who asked would ask again
					err = other.Confirm(t.Context())
				}
				if err != nil {
					t.Error(err)
				} else if !other.Revoked(named(id)) {
					t.Errorf("%s was acknowledged and is not known after a confirmation", id)
				}
			}
		})
	}
	wg.Wait()
	for _, l := range logs {
		if err := l.Follow(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want, _ := logs[0].Position()
	for _, l := range logs {
		if got, _ := l.Position(); got != want || got.N != nodes*each {
			t.Errorf("a node is at %v, another at %v", got, want)
		}
	}
}

// Who is content with an older look gets one, for as long as was said.
func TestConfirmWithin(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	st, writer := node(t, dsn)
	_, reader := node(t, dsn)
	reader.Within(time.Hour)
	if err := reader.Confirm(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, st, func(tx *store.Tx) error {
		return writer.Add(tx, "test", revoke.Entry{Kind: feed.Token, Value: "g.1"})
	})
	if err := reader.Confirm(t.Context()); err != nil || reader.Revoked(named("g.1")) {
		t.Errorf("the second confirmation looked again: %v", err)
	}
	if err := reader.Follow(t.Context()); err != nil || !reader.Revoked(named("g.1")) {
		t.Errorf("a node that follows does not know: %v", err)
	}
}

// Without its database a node confirms nothing, and says so in time.
func TestUnconfirmed(t *testing.T) {
	t.Parallel()
	st, l := node(t, pgtest.Database(t))
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := l.Confirm(t.Context()); !errors.Is(err, revoke.ErrUnconfirmed) || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("confirmed without a database: %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s to say so", took)
	}
}
