package login_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
	"github.com/jeton-auth/jeton/internal/login"
	"github.com/jeton-auth/jeton/internal/password"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/store/sqlite"
)

const right = "seven wooden bridges in fog"

var (
	begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	here  = netip.MustParseAddr("198.51.100.7")
	there = netip.MustParseAddr("203.0.113.9")
	cheap = password.Params{Memory: 64, Iterations: 1, Parallelism: 1}
)

type fixture struct {
	*login.Password
	t     *testing.T
	clock *clock.Manual
	log   *bytes.Buffer
}

func open(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, clock: clock.NewManual(begin), log: &bytes.Buffer{}}
	engine := &sqlite.Engine{}
	log := slog.New(slog.NewTextHandler(f.log, nil))
	st, err := store.Open(t.Context(), engine, filepath.Join(t.TempDir(), "jeton.db"), f.clock, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(st.Close(), engine.Close()); err != nil {
			t.Error(err)
		}
	})
	alog := audit.New(st, log)
	f.Password = &login.Password{Store: st, Audit: alog, Hasher: password.New(cheap, 2, 1000), Limits: limit.New(alog, st), Log: log}
	f.user("ada", func(*store.User) {})
	f.user("off", func(u *store.User) { u.Disabled = true })
	f.user("none", func(u *store.User) { u.Password = "" })
	f.user("broken", func(u *store.User) { u.Password = "$argon2id$nonsense" })
	return f
}

func (f *fixture) user(name string, change func(*store.User)) {
	f.t.Helper()
	phc, err := f.Hasher.Hash(f.t.Context(), right)
	if err != nil {
		f.t.Fatal(err)
	}
	u := store.User{ID: "u_" + name, Email: name + "@example.com", Password: phc}
	change(&u)
	f.write(func(tx *store.Tx) error { return tx.CreateUser(u) })
}

func (f *fixture) write(body func(*store.Tx) error) {
	f.t.Helper()
	if err := f.Store.Write(f.t.Context(), body); err != nil {
		f.t.Fatal(err)
	}
}

func attempt(name, password string, peer netip.Addr) login.Attempt {
	return login.Attempt{Login: name, Password: password, Peer: peer, Origin: audit.Origin{Address: peer.String(), Request: "r1"}}
}

// try logs in as far as a session would begin.
func (f *fixture) try(name, password string, peer netip.Addr) (login.Proof, error) {
	p, err := f.Verify(f.t.Context(), attempt(name, password, peer))
	if err != nil {
		return p, err
	}
	return p, f.Store.Write(f.t.Context(), func(tx *store.Tx) error { _, err := p.Accept(tx); return err })
}

func (f *fixture) events() (types []string) {
	f.t.Helper()
	all, err := f.Store.Read(f.t.Context()).AuditEvents(time.Time{}, 10_000)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, e := range all {
		types = append(types, e.Type+" "+e.Subject)
	}
	return types
}

func TestRightPassword(t *testing.T) {
	t.Parallel()
	f := open(t)
	for _, name := range []string{"ada@example.com", " Ada@EXAMPLE.com "} {
		p, err := f.try(name, right, here)
		if err != nil || p.User.ID != "u_ada" || p.ACR != login.ACRs()[0] || len(p.AMR) != 1 || p.AMR[0] != "pwd" {
			t.Errorf("%q: %+v, %v", name, p, err)
		}
	}
}

func TestWrong(t *testing.T) {
	t.Parallel()
	f := open(t)
	for _, tt := range []struct{ name, password string }{
		{"ada@example.com", "seven wooden bridges in smoke"},
		{"ada@example.com", ""},
		{"", right},
		{"", ""},
		{"nobody@example.com", right},
		{"off@example.com", right},
		{"none@example.com", ""},
		{"none@example.com", right},
		{"broken@example.com", right},
		{"ada@example.com", strings.Repeat("x", 5000)},
		{"ada@example.com", "\xff"},
		{"ada@example.com' OR 1=1 --", right},
		{strings.Repeat("a", 60_000), right},
		{"\xff\xfe", right},
	} {
		if _, err := f.try(tt.name, tt.password, here); !errors.Is(err, login.ErrWrong) {
			t.Errorf("%.40q %.40q: %v", tt.name, tt.password, err)
		}
	}
	if strings.Contains(f.log.String(), "bridges") || strings.Contains(f.log.String(), "nonsense") {
		t.Error("the log holds what was typed, or a hash")
	}
}

// Case 50: the same reads, work and writes whether the account exists or not.
func TestUnknownAccountCostsTheSame(t *testing.T) {
	t.Parallel()
	known, unknown := open(t), open(t)
	for range 12 {
		_, a := known.try("ada@example.com", "wrong wrong wrong", here)
		_, b := unknown.try("eve@example.com", "wrong wrong wrong", here)
		if fmt.Sprint(a) != fmt.Sprint(b) {
			t.Fatalf("%v and %v", a, b)
		}
	}
	a, b := known.events(), unknown.events()
	if len(a) != len(b) {
		t.Errorf("%d and %d events", len(a), len(b))
	}
}

// Case 51: who fails often is slowed down; the owner of the account, elsewhere, is not.
func TestLimits(t *testing.T) {
	t.Parallel()
	f := open(t)
	for range 10 {
		if _, err := f.try("ada@example.com", "wrong", here); !errors.Is(err, login.ErrWrong) {
			t.Fatal(err)
		}
	}
	var limited *login.LimitedError
	if _, err := f.try("ADA@example.com", right, here); !errors.As(err, &limited) || limited.RetryAfter != time.Minute {
		t.Errorf("the right password among too many: %v", err)
	}
	before := len(f.events())
	for range 100 {
		_, _ = f.try("ada@example.com", "wrong", here)
	}
	if after := len(f.events()); after != before {
		t.Errorf("%d attempts that were turned away stand in the log", after-before)
	}
	if n := strings.Count(strings.Join(f.events(), "\n"), string(audit.LoginLimited)+" u_ada"); n != 1 {
		t.Errorf("%d events say that the limit was reached", n)
	}
	if _, err := f.try("ada@example.com", right, there); err != nil {
		t.Errorf("the owner is locked out: %v", err)
	}
	if _, err := f.try("none@example.com", right, here); !errors.Is(err, login.ErrWrong) {
		t.Errorf("another account from the same address: %v", err)
	}
	f.clock.Advance(time.Minute)
	if _, err := f.try("ada@example.com", right, here); err != nil {
		t.Errorf("after a minute: %v", err)
	}
	// A success forgives this account's failures here.
	for range 10 {
		if _, err := f.try("ada@example.com", "wrong", here); !errors.Is(err, login.ErrWrong) {
			t.Fatal(err)
		}
	}
}

// Many accounts from one address are limited by the address, and a success there
// forgives nothing of it.
func TestPeerLimit(t *testing.T) {
	t.Parallel()
	f := open(t)
	var err error
	for i := range 300 {
		if _, err = f.try(fmt.Sprintf("user%d@example.com", i), "wrong", here); !errors.Is(err, login.ErrWrong) {
			t.Fatal(i, err)
		}
		if i == 50 {
			if _, err := f.try("ada@example.com", right, here); err != nil {
				t.Fatal(err)
			}
		}
	}
	var limited *login.LimitedError
	if _, err := f.try("ada@example.com", right, here); !errors.As(err, &limited) || limited.RetryAfter > 2*time.Second {
		t.Errorf("after 300 failures: %v", err)
	}
}

// Guesses judged side by side all pass the first look at the limit; a right one among
// too many still counts for nothing.
func TestParallelGuesses(t *testing.T) {
	t.Parallel()
	f := open(t)
	p, err := f.Verify(t.Context(), attempt("ada@example.com", right, here))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { _, _ = f.try("ada@example.com", "wrong", here) })
	}
	wg.Wait()
	var limited *login.LimitedError
	if err := f.Store.Write(t.Context(), func(tx *store.Tx) error { _, err := p.Accept(tx); return err }); !errors.As(err, &limited) {
		t.Errorf("a right guess among too many: %v", err)
	}
}

// What changed while the hash was made counts.
func TestAccountChangedMeanwhile(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*store.Tx, store.User) error{
		"disabled": func(tx *store.Tx, u store.User) error { u.Disabled = true; return tx.UpdateUser(u) },
		"password": func(tx *store.Tx, u store.User) error { u.Password = "$other"; return tx.UpdateUser(u) },
		"deleted":  func(tx *store.Tx, u store.User) error { return tx.DeleteUser(u.ID) },
	} {
		f := open(t)
		p, err := f.Verify(t.Context(), attempt("ada@example.com", right, here))
		if err != nil {
			t.Fatal(err)
		}
		f.write(func(tx *store.Tx) error { return change(tx, p.User) })
		if err := f.Store.Write(t.Context(), func(tx *store.Tx) error { _, err := p.Accept(tx); return err }); !errors.Is(err, login.ErrWrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A hash of other costs is made anew, and the login goes on.
func TestRehash(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.Hasher = password.New(password.Params{Memory: 128, Iterations: 1, Parallelism: 1}, 2, 10)
	if _, err := f.try("ada@example.com", right, here); err != nil {
		t.Fatal(err)
	}
	u, err := f.Store.Read(t.Context()).User("u_ada")
	if err != nil || !strings.Contains(u.Password, "m=128,") {
		t.Errorf("%.30s, %v", u.Password, err)
	}
	if _, err := f.try("ada@example.com", right, here); err != nil {
		t.Error(err)
	}
}

// Case 45: a flood is turned away, and that counts against nobody.
func TestBusy(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.Hasher = password.New(password.Params{Memory: 32 << 10, Iterations: 8, Parallelism: 1}, 1, 0)
	var busy, wrong int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := f.Verify(context.Background(), attempt("eve@example.com", "wrong", here))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, password.ErrBusy):
				busy++
			case errors.Is(err, login.ErrWrong):
				wrong++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if busy == 0 || wrong == 0 || len(f.events()) != wrong {
		t.Errorf("%d busy, %d wrong, %d events", busy, wrong, len(f.events()))
	}
}
