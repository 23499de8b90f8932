//go:build e2e

package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jeton-auth/jeton/internal/pgtest"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/store/postgres"
	"github.com/jeton-auth/jeton/oauth/feed"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// held is a store on PostgreSQL whose head somebody else holds, until release.
type held struct {
	*testing.T
	s       *store.Store
	conn    *pgx.Conn
	lock    pgx.Tx
	writing sync.WaitGroup
}

func hold(t *testing.T, settings ...string) *held {
	t.Helper()
	dsn := pgtest.Database(t, settings...)
	s, err := store.Open(t.Context(), &postgres.Engine{}, dsn, nil, slog.New(slog.DiscardHandler))
	h := &held{T: t, s: s}
	h.must(err)
	t.Cleanup(func() { h.must(s.Close()) })
	h.must(s.Write(t.Context(), func(tx *store.Tx) error { return tx.CreateIssuer(time.Hour) }))
	h.conn, err = pgx.Connect(t.Context(), dsn)
	h.must(err)
	t.Cleanup(func() { h.conn.Close(context.Background()) })
	h.lock, err = h.conn.Begin(t.Context())
	h.must(err)
	_, err = h.lock.Exec(t.Context(), "SELECT head FROM issuer FOR UPDATE")
	h.must(err)
	return h
}

func (h *held) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// until waits for what comes, and fails where it does not.
func (h *held) until(what string, done func() bool) {
	h.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			h.Fatalf("in vain: %s", what)
		}
	}
}

// count reads a number as of now.
func (h *held) count(query string) (n int) {
	h.Helper()
	h.must(h.conn.QueryRow(h.Context(), query).Scan(&n))
	return n
}

// first has a revocation come to the head, where it is blocked.
func (h *held) first() {
	h.Helper()
	h.write(h.Context(), revoking("first"), nil)
	h.until("a revocation comes to the head", func() bool {
		return h.count("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()") == 1
	})
}

// write has a body written meanwhile, and its caller answered with want.
func (h *held) write(ctx context.Context, body func(*store.Tx) error, want error) {
	h.writing.Go(func() {
		if err := h.s.Write(ctx, body); !errors.Is(err, want) {
			h.Errorf("a body was answered with %v, want %v", err, want)
		}
	})
}

func (h *held) waiting(n int) {
	h.Helper()
	h.until(fmt.Sprintf("%d wait", n), func() bool { return h.s.Waiting() == n })
}

func (h *held) release() {
	h.Helper()
	h.must(h.lock.Rollback(h.Context()))
	h.writing.Wait()
}

// transactions is in how many the entries of the log were written, of which there are n
// with consecutive numbers.
func (h *held) transactions(n int) int {
	h.Helper()
	if got := h.count("SELECT count(*) FROM revocations WHERE n BETWEEN 1 AND (SELECT head FROM issuer)"); got != n || h.count("SELECT head FROM issuer") != n {
		h.Errorf("the log has %d entries, and the head is %d; want %d", got, h.count("SELECT head FROM issuer"), n)
	}
	return h.count("SELECT count(DISTINCT xmin::text) FROM revocations")
}

func revoking(value string) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		return errors.Join(
			tx.AppendRevocations([]store.Revocation{{Kind: feed.Token, Value: value}}),
			tx.AppendAudit(store.AuditEvent{ID: value}))
	}
}

// What comes while a revocation waits for its commit is committed together afterwards,
// also what had changed something before it came to the head. Who does not want to wait
// may go, and leaves nothing.
func TestTogether(t *testing.T) {
	t.Parallel()
	for _, isolation := range []string{"read committed", "serializable"} {
		t.Run(isolation, func(t *testing.T) {
			t.Parallel()
			h := hold(t, "default_transaction_isolation="+isolation)
			h.first()
			const many = 60
			ctx, cancel := context.WithCancel(t.Context())
			for i := range many {
				name := fmt.Sprint(i)
				switch i % 3 {
				case 0:
					h.write(t.Context(), revoking(name), nil)
				case 1:
					h.write(t.Context(), func(tx *store.Tx) error { return errors.Join(tx.PutAttempt(name, time.Now()), revoking(name)(tx)) }, nil)
				case 2:
					h.write(ctx, revoking(name), context.Canceled)
				}
			}
			h.waiting(many)
			// They hold nothing meanwhile, so all else is written.
			if err := h.s.Write(t.Context(), func(tx *store.Tx) error { return tx.PutAttempt("1", time.Now()) }); err != nil {
				t.Error(err)
			}
			cancel()
			h.waiting(many - many/3)
			h.release()
			if n := h.transactions(1 + many - many/3); n != 2 {
				t.Errorf("%d revocations that waited together were written in %d transactions", many-many/3, n-1)
			}
		})
	}
}

// A body that fails among others, or whose statement does, fails alone.
func TestTogetherFails(t *testing.T) {
	t.Parallel()
	failure := errors.New("no")
	for name, fail := range map[string]struct {
		body func(*store.Tx) error
		want error
	}{
		"by itself": {func(*store.Tx) error { return failure }, failure},
		"in a statement": {func(tx *store.Tx) error {
			return errors.Join(tx.PutHold("twice", ""), tx.CreateUser(store.User{ID: "u_1", Email: "a"}), tx.CreateUser(store.User{ID: "u_1", Email: "b"}))
		}, store.ErrConflict},
		"at its end": {func(tx *store.Tx) error {
			tx.OnceNumbered(func() error { return failure })
			return nil
		}, failure},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hold(t)
			h.first()
			const many = 10
			var after atomic.Int64
			for i := range many {
				h.write(t.Context(), func(tx *store.Tx) error {
					tx.AfterCommit(func() { after.Add(1) })
					return revoking(fmt.Sprint(i))(tx)
				}, nil)
			}
			h.waiting(many)
			runs := 0
			h.write(t.Context(), func(tx *store.Tx) error {
				if runs++; runs == 1 {
					return revoking("bad")(tx) // it comes to the head
				}
				return errors.Join(revoking("bad")(tx), fail.body(tx))
			}, fail.want)
			h.waiting(many + 1)
			h.release()
			if runs != 3 {
				t.Errorf("the body ran %d times: until it waited, with the others and alone it is three", runs)
			}
			h.transactions(1 + many)
			if after.Load() != many {
				t.Errorf("memory followed %d of %d", after.Load(), many)
			}
			if n := h.count("SELECT count(*) FROM audit"); n != 1+many {
				t.Errorf("%d events are there of %d revocations", n, 1+many)
			}
			if n := h.count("SELECT (SELECT count(*) FROM holds) + (SELECT count(*) FROM users)"); n != 0 {
				t.Errorf("what failed left %d rows", n)
			}
		})
	}
}

// Nobody waits longer than a transaction may take, however long those before it do.
func TestTogetherInTime(t *testing.T) {
	t.Parallel()
	h := hold(t)
	h.write(t.Context(), revoking("first"), store.ErrUnavailable)
	h.until("a revocation comes to the head", func() bool { return h.count("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0 })
	began := time.Now()
	for i := range 10 {
		h.write(t.Context(), revoking(fmt.Sprint(i)), store.ErrUnavailable)
	}
	h.writing.Wait()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("who waited was answered after %s", took)
	}
	h.release()
	h.until("what was given up leaves nothing", func() bool { return h.count("SELECT head FROM issuer") == 0 })
	if err := h.s.Write(t.Context(), revoking("later")); err != nil {
		t.Error(err)
	}
	h.transactions(1)
}
