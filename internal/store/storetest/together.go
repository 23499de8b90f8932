package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// Revocations that are written at once get consecutive numbers, each body its own. Of
// those that fail, panic or are not wanted any more nothing is there.
func testRevocationsTogether(t *testing.T, f *fixture) {
	f.people()
	failure := errors.New("no")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	begin := make(chan struct{})
	var mu sync.Mutex
	told := map[int64]int{}
	var wg sync.WaitGroup
	const kinds = 5
	for i := range parallel {
		wg.Go(func() {
			ctx, want := t.Context(), i%kinds < 2
			if i%kinds == 4 {
				ctx = gone
			}
			<-begin
			var last store.Revocation
			err := f.s.Write(ctx, func(tx *store.Tx) error {
				entries := []store.Revocation{{Kind: feed.Token, Value: fmt.Sprint(i)}, {Kind: feed.Grant, Value: fmt.Sprint(i), Until: Begin}}
				err := errors.Join(
					tx.AppendRevocations(entries),
					tx.AppendAudit(store.AuditEvent{ID: fmt.Sprint("e", i)}),
					tx.PutAttempt(fmt.Sprint(i), Begin))
				tx.OnceNumbered(func() error { return tx.PutAttempt(fmt.Sprint("n", i), time.UnixMilli(entries[1].N)) })
				appended := tx.LastAppended()
				tx.AfterCommit(func() { last = *appended })
				switch i % kinds {
				case 2:
					return errors.Join(err, failure)
				case 3:
					panic("no")
				}
				return err
			})
			switch i % kinds {
			case 0, 1:
				if err != nil {
					t.Errorf("body %d: %v", i, err)
				}
				mu.Lock()
				defer mu.Unlock()
				told[last.N] = i
			case 2:
				want = errors.Is(err, failure)
			case 3:
				want = err != nil && !errors.Is(err, failure)
			case 4:
				want = errors.Is(err, context.Canceled)
			}
			if !want {
				t.Errorf("body %d was answered with %v", i, err)
			}
		})
	}
	close(begin)
	wg.Wait()
	const kept = parallel * 2 / kinds
	checkChain(t, f, 2*kept)
	log := is[[]store.Revocation](t)(f.read().Revocations(0, 2*parallel))
	for k := 0; k+1 < len(log); k += 2 {
		i, ok := told[log[k+1].N]
		if want := fmt.Sprint(i); !ok || log[k].Value != want || log[k+1].Value != want {
			t.Errorf("the entries %d and %d name %s and %s; the body that was told of them is %d", log[k].N, log[k+1].N, log[k].Value, log[k+1].Value, i)
		}
		if !log[k].Until.Equal(Begin.Add(time.Hour+10*time.Minute)) || !log[k+1].Until.Equal(Begin) {
			t.Errorf("the entries are kept until %v and %v", log[k].Until, log[k+1].Until)
		}
		equal(t, "what was written once the number was known", is[time.Time](t)(f.read().Attempt(fmt.Sprint("n", i))), time.UnixMilli(log[k+1].N))
	}
	if events := is[[]store.AuditEvent](t)(f.read().AuditEvents(time.Time{}, parallel)); len(events) != kept {
		t.Errorf("%d events are there, want %d", len(events), kept)
	}
	for i := range parallel {
		_, err := f.read().Attempt(fmt.Sprint(i))
		if there := err == nil; there != (i%kinds < 2) {
			t.Errorf("what body %d wrote: %v", i, err)
		}
	}
}
