package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/store/sqlite"
	"github.com/jeton-auth/jeton/oauth"
)

var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func open(t testing.TB) (*store.Store, *clock.Manual) {
	t.Helper()
	c := clock.NewManual(begin)
	return openAt(t, filepath.Join(t.TempDir(), "jeton.db"), c), c
}

func openAt(t testing.TB, path string, c clock.Clock) *store.Store {
	t.Helper()
	engine := &sqlite.Engine{}
	s, err := store.Open(t.Context(), engine, path, c, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), engine.Close()); err != nil {
			t.Error(err)
		}
	})
	must(t, s.Write(t.Context(), func(tx *store.Tx) error { return tx.CreateIssuer(time.Hour) }))
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// seed adds a client, a user and a grant redeemed to number 1.
func seed(t testing.TB, s *store.Store) store.Grant {
	t.Helper()
	g := store.Grant{
		Secret: secret.Bytes(32), Pepper: 1, Client: "shop", Subject: "u_ada",
		AbsoluteAt: begin.Add(100 * time.Hour), IdleAt: begin.Add(10 * time.Hour),
		Code:    &store.CodeDetails{RedirectURI: "https://shop.example/cb", ExpiresAt: begin.Add(time.Minute)},
		Details: store.GrantDetails{Scopes: []string{"openid"}, AuthTime: begin},
	}
	copy(g.ID[:], secret.Bytes(16))
	must(t, s.Write(t.Context(), func(tx *store.Tx) error {
		return errors.Join(
			tx.PutClient(store.Client{Client: spec.Client{ID: "shop", AuthMethod: oauth.NoAuth}, Source: store.SourceAPI}),
			ignoreConflict(tx.CreateUser(store.User{ID: "u_ada", Email: "ada@example.com"})),
			tx.CreateGrant(g))
	}))
	must(t, s.Write(t.Context(), func(tx *store.Tx) error {
		won, err := tx.SpendCode(&g, g.IdleAt, begin.Add(time.Minute))
		if err == nil && !won {
			err = errors.New("the code was not there")
		}
		return err
	}))
	return g
}

func ignoreConflict(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

func BenchmarkRotate(b *testing.B) {
	s, _ := open(b)
	grants := make([]store.Grant, 16)
	for i := range grants {
		grants[i] = seed(b, s)
	}
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range grants {
		wg.Go(func() {
			for range b.N / len(grants) {
				g, err := s.Read(context.Background()).Grant(grants[i].ID)
				if err != nil {
					b.Error(err)
					return
				}
				err = s.Write(context.Background(), func(tx *store.Tx) error {
					won, err := tx.Rotate(g.ID, g.Number, g.IdleAt, begin)
					if err == nil && !won {
						err = fmt.Errorf("lost at %d", g.Number)
					}
					return err
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
