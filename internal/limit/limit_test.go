package limit_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/limit"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/store/sqlite"
)

var (
	begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	rule  = limit.Rule{Burst: 5, Every: time.Minute}
)

type fixture struct {
	*limit.Limiter
	st    *store.Store
	log   *audit.Log
	clock *clock.Manual
	close func()
}

func open(t *testing.T, path string, c *clock.Manual) fixture {
	t.Helper()
	engine := &sqlite.Engine{}
	st, err := store.Open(t.Context(), engine, path, c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	end := sync.OnceFunc(func() {
		if err := errors.Join(st.Close(), engine.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(end)
	log := audit.New(st, slog.New(slog.DiscardHandler))
	return fixture{limit.New(log, st), st, log, c, end}
}

func begun(t *testing.T) fixture {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "jeton.db"), clock.NewManual(begin))
}

func (f fixture) fail(t *testing.T, keys ...limit.Key) {
	t.Helper()
	if err := f.Fail(t.Context(), keys...); err != nil {
		t.Fatal(err)
	}
}

// wants checks how long the keys refuse.
func (f fixture) wants(t *testing.T, want time.Duration, keys ...limit.Key) {
	t.Helper()
	got, err := f.Check(t.Context(), f.clock.Now(), keys...)
	if err != nil || got != want {
		t.Errorf("Check = %v, %v, want %v", got, err, want)
	}
}

func TestBurstThenInterval(t *testing.T) {
	t.Parallel()
	f, k := begun(t), limit.Key{Name: "login:ada", Rule: rule}
	f.wants(t, 0, k)
	for range rule.Burst {
		f.wants(t, 0, k)
		f.fail(t, k)
	}
	f.wants(t, time.Minute, k)
	f.clock.Advance(59 * time.Second)
	f.wants(t, time.Second, k)
	f.clock.Advance(time.Second)
	f.wants(t, 0, k)
	f.fail(t, k)
	f.wants(t, time.Minute, k)
	f.clock.Advance(time.Hour)
	for range rule.Burst {
		f.wants(t, 0, k)
		f.fail(t, k)
	}
	f.wants(t, time.Minute, k)
}

func TestKeysAreApart(t *testing.T) {
	t.Parallel()
	f := begun(t)
	ada := limit.Key{Name: "login:ada", Rule: limit.Rule{Burst: 1, Every: time.Minute}}
	peer := limit.Key{Name: "peer:198.51.100.7/32", Rule: limit.Rule{Burst: 2, Every: time.Hour}}
	f.fail(t, ada, peer)
	f.wants(t, time.Minute, ada)
	f.wants(t, 0, peer)
	f.wants(t, time.Minute, peer, ada)
	f.wants(t, 0, limit.Key{Name: "login:Ada", Rule: ada.Rule})
	f.fail(t, peer)
	f.wants(t, time.Hour, ada, peer)
	f.wants(t, 0)
}

func TestForget(t *testing.T) {
	t.Parallel()
	f := begun(t)
	ada := limit.Key{Name: "login:ada@198.51.100.7/32", Rule: rule}
	peer := limit.Key{Name: "peer:198.51.100.7/32", Rule: rule}
	other := limit.Key{Name: "never failed", Rule: rule}
	for range 6 {
		f.fail(t, ada, peer)
	}
	err := f.log.Write(t.Context(), func(tx *store.Tx) (audit.Event, error) {
		return audit.Event{Type: audit.LoginSucceeded}, f.ForgetTx(tx, ada, other)
	})
	if err != nil {
		t.Fatal(err)
	}
	f.wants(t, 0, ada)
	f.wants(t, 2*time.Minute, peer)
	for range rule.Burst {
		f.wants(t, 0, ada)
		f.fail(t, ada)
	}
	f.wants(t, time.Minute, ada)
	if _, err := f.st.Read(t.Context()).Attempt(other.Name); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("forgetting what was never counted left a row: %v", err)
	}
}

// A failure counts if its transaction commits, and only then.
func TestFailTx(t *testing.T) {
	t.Parallel()
	f, k := begun(t), limit.Key{Name: "login:ada", Rule: limit.Rule{Burst: 1, Every: time.Minute}}
	oops := errors.New("oops")
	err := f.log.Write(t.Context(), func(tx *store.Tx) (audit.Event, error) {
		return audit.Event{Type: audit.LoginFailed}, errors.Join(f.FailTx(tx, k), oops)
	})
	if !errors.Is(err, oops) {
		t.Fatal(err)
	}
	f.wants(t, 0, k)
	err = f.log.Write(t.Context(), func(tx *store.Tx) (audit.Event, error) {
		return audit.Event{Type: audit.LoginFailed}, f.FailTx(tx, k)
	})
	if err != nil {
		t.Fatal(err)
	}
	f.wants(t, time.Minute, k)
}

// Of guesses that were all let in together, one that is judged late is refused
// although it is right.
func TestCheckTx(t *testing.T) {
	t.Parallel()
	f, k := begun(t), limit.Key{Name: "login:ada", Rule: rule}
	f.wants(t, 0, k)
	check := func(want time.Duration) {
		t.Helper()
		err := f.log.Write(t.Context(), func(tx *store.Tx) (audit.Event, error) {
			if got, err := f.CheckTx(tx, k); err != nil || got != want {
				t.Errorf("CheckTx = %v, %v, want %v", got, err, want)
			}
			return audit.Event{}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	check(0)
	for range rule.Burst {
		f.fail(t, k)
	}
	check(time.Minute)
}

func TestParallelFailuresAllCount(t *testing.T) {
	t.Parallel()
	f, k := begun(t), limit.Key{Name: "login:ada", Rule: rule}
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if err := f.Fail(t.Context(), k); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	f.wants(t, time.Duration(100-rule.Burst+1)*time.Minute, k)
}

func TestRestartForgivesNothing(t *testing.T) {
	t.Parallel()
	path, k := filepath.Join(t.TempDir(), "jeton.db"), limit.Key{Name: "login:ada", Rule: rule}
	f := open(t, path, clock.NewManual(begin))
	for range rule.Burst {
		f.fail(t, k)
	}
	f.close()
	f = open(t, path, f.clock)
	f.wants(t, time.Minute, k)

	// What holds nothing against anybody goes.
	f.clock.Advance(6 * time.Minute)
	var gone int64
	err := f.log.Write(t.Context(), func(tx *store.Tx) (event audit.Event, err error) {
		gone, err = tx.PurgeAttempts(10)
		return audit.Event{Type: audit.Housekeeping}, err
	})
	if err != nil || gone != 1 {
		t.Errorf("%d rows purged, %v", gone, err)
	}
}

// What people type as their name must not stand in the database in clear.
func TestNamesAreHashed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "jeton.db")
	f := open(t, path, clock.NewManual(begin))
	f.fail(t, limit.Key{Name: "login:hunter2-typed-here", Rule: rule})
	f.close()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var key string
	if err := db.QueryRow("SELECT key FROM attempts").Scan(&key); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(key, "hunter2") || len(key) != 43 {
		t.Errorf("the row's key is %q", key)
	}
}

func TestUnusable(t *testing.T) {
	t.Parallel()
	f := begun(t)
	for _, k := range []limit.Key{
		{Rule: rule},
		{Name: "x"},
		{Name: "x", Rule: limit.Rule{Burst: 5}},
		{Name: "x", Rule: limit.Rule{Every: time.Minute}},
		{Name: "x", Rule: limit.Rule{Burst: -1, Every: time.Minute}},
		{Name: "x", Rule: limit.Rule{Burst: 1, Every: time.Microsecond}},
	} {
		if _, err := f.Check(t.Context(), begin, k); err == nil {
			t.Errorf("Check took %+v", k)
		}
		if err := f.Fail(t.Context(), k); err == nil {
			t.Errorf("Fail took %+v", k)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Check(ctx, begin, limit.Key{Name: "x", Rule: rule}); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended gives %v", err)
	}
}

func TestPeer(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"198.51.100.7":         "198.51.100.7/32",
		"::ffff:198.51.100.7":  "198.51.100.7/32",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::":  "2001:db8:1:2::/64",
		"fe80::1%eth0":         "fe80::/64",
		"::1":                  "::/64",
		"2001:db8:1:3::":       "2001:db8:1:3::/64",
	} {
		if got := limit.Peer(netip.MustParseAddr(in)); got != want {
			t.Errorf("Peer(%s) = %s, want %s", in, got, want)
		}
	}
	if got := limit.Peer(netip.Addr{}); got != "unknown" {
		t.Errorf("Peer of no address = %s", got)
	}
}
