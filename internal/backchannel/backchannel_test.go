package backchannel

import (
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/directory"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/store/sqlite"
)

// Clients take turns where there is no room for all: whoever fills it, once and again,
// keeps none of the others waiting for good.
func TestTurns(t *testing.T) {
	t.Parallel()
	engine := &sqlite.Engine{}
	log := slog.New(slog.DiscardHandler)
	st, err := store.Open(t.Context(), engine, filepath.Join(t.TempDir(), "jeton.db"), clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(st.Close(), engine.Close()); err != nil {
			t.Error(err)
		}
	})
	dir, err := directory.Open(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	q := New(Needs{Store: st, Audit: audit.New(st, log), Directory: dir, Log: log})
	clients := []string{"a", "b", "c"}
	err = st.Write(t.Context(), func(tx *store.Tx) (err error) {
		for n := range byte(9) {
			l := store.PendingLogout{ID: store.LogoutID{n}, Client: clients[n/3], Subject: "u", Known: []byte("session")}
			err = errors.Join(err, tx.QueueLogout(l))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for range inAll - 1 {
		q.room <- struct{}{} // attempts that hang
	}
	for round := range 3 {
		for turn, client := range clients {
			// No attempt gets on, and leaves its room, while it is decided who may begin.
			var wg sync.WaitGroup
			held, decided := make(chan struct{}), make(chan struct{})
			hold := sync.OnceFunc(func() { close(held) })
			wg.Go(func() {
				if err := st.Write(t.Context(), func(*store.Tx) error { hold(); <-decided; return nil }); err != nil {
					t.Error(err)
				}
			})
			<-held
			err := q.due(t.Context(), &wg)
			close(decided)
			wg.Wait()
			if err != nil {
				t.Fatal(err)
			}
			done := map[string]int{}
			all, err := st.Read(t.Context()).PendingLogouts(9)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range all {
				if !l.FailedAt.IsZero() { // there is no such client
					done[l.Client]++
				}
			}
			if done[client] != round+1 {
				t.Fatalf("round %d, turn %d: attempts were made for %v", round, turn, done)
			}
		}
	}
}
