package keys

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

func TestRotate(t *testing.T) {
	t.Parallel()
	f, ctx := ring(t, policy), t.Context()
	first, second := f.kid(oauth.ES256, Active), f.kid(oauth.ES256, Next)

	// Who has seen any key set has seen the second key.
	must(t, f.Rotate(ctx, oauth.ES256, false))
	f.signs(oauth.ES256, second)
	third := f.kid(oauth.ES256, Next)
	if f.kid(oauth.ES256, Retired) != first || !f.published(first) || !f.published(third) {
		t.Fatal("the old key or the next one is not published")
	}

	// The third is newer than what caches hold.
	f.clock.Advance(time.Hour)
	must(t, f.Remove(ctx, third))
	third = f.kid(oauth.ES256, Next)
	list := f.List()
	for _, wait := range []time.Duration{0, 10*time.Minute - time.Millisecond} {
		f.clock.Advance(wait)
		var notYet *NotYet
		if err := f.Rotate(ctx, oauth.ES256, false); !errors.As(err, &notYet) || !notYet.From.Equal(begin.Add(70*time.Minute)) || notYet.Alg != oauth.ES256 {
			t.Fatalf("too early: %v", err)
		}
		if !strings.Contains(notYet.Error(), "2026-01-02T04:14:05Z") || !strings.Contains(notYet.Error(), "--force") {
			t.Errorf("the error does not tell what to do: %v", notYet)
		}
	}
	if diff := cmp.Diff(list, f.List()); diff != "" {
		t.Errorf("the ring changed all the same: %s", diff)
	}
	f.clock.Advance(time.Millisecond)
	must(t, f.Rotate(ctx, oauth.ES256, false))
	f.signs(oauth.ES256, third)

	// Its time counts from the rotation, not from the old schedule.
	f.after(30*day - time.Second)
	f.signs(oauth.ES256, third)
	if diff := cmp.Diff([]string{"ES256:active", "ES256:next"}, f.states(Sign)); diff != "" {
		t.Error(diff)
	}
}

func TestRotateAll(t *testing.T) {
	t.Parallel()
	p := policy
	p.Algs = []oauth.Alg{oauth.ES256, oauth.ES384, oauth.EdDSA}
	f, ctx := ring(t, p), t.Context()
	must(t, f.SetAlgs(ctx, p.Algs[:2]))
	eddsa := f.kid(oauth.EdDSA, Active)
	next := map[oauth.Alg]string{}
	note := func() {
		for _, alg := range p.Algs[:2] {
			next[alg] = f.kid(alg, Next)
		}
	}
	note()
	f.clock.Advance(time.Minute)
	must(t, f.Rotate(ctx, "", false))
	f.signs(oauth.ES256, next[oauth.ES256])
	f.signs(oauth.ES384, next[oauth.ES384])
	f.signs(oauth.EdDSA, eddsa)

	note()
	f.clock.Advance(time.Minute)
	must(t, f.Rotate(ctx, oauth.ES256, true))
	f.signs(oauth.ES256, next[oauth.ES256])
	es256 := next[oauth.ES256]
	var notYet *NotYet
	if err := f.Rotate(ctx, "", false); !errors.As(err, &notYet) || notYet.Alg != oauth.ES384 || !notYet.From.Equal(begin.Add(11*time.Minute)) {
		t.Errorf("no key can follow: %v", err)
	}

	// One that can follow does; the other is left.
	f.clock.Advance(9 * time.Minute)
	must(t, f.Rotate(ctx, "", false))
	f.signs(oauth.ES384, next[oauth.ES384])
	f.signs(oauth.ES256, es256)

	note()
	must(t, f.Rotate(ctx, "", true))
	f.signs(oauth.ES256, next[oauth.ES256])
	f.signs(oauth.ES384, next[oauth.ES384])
	must(t, f.SetAlgs(ctx, nil))
	must(t, f.Rotate(ctx, "", false))
}

func TestRotateByForce(t *testing.T) {
	t.Parallel()
	f, ctx := ring(t, policy), t.Context()
	first := f.kid(oauth.ES256, Active)
	for range 3 {
		next := f.kid(oauth.ES256, Next)
		must(t, f.Rotate(ctx, oauth.ES256, true))
		f.signs(oauth.ES256, next)
	}
	if !f.published(first) {
		t.Error("the first key is not published")
	}
	if err := f.Rotate(ctx, oauth.RS256, true); !errors.Is(err, ErrUnknownAlg) || !strings.Contains(err.Error(), "ES256") {
		t.Errorf("an algorithm without a key: %v", err)
	}
}

func TestRotatePepper(t *testing.T) {
	t.Parallel()
	f := ring(t, policy)
	first := f.Pepper()
	must(t, f.RotatePepper(t.Context()))
	f.after(3650 * day)
	for range 2 {
		if f.Pepper().ID != 2 || cmp.Equal(f.Pepper().Secret, first.Secret) {
			t.Errorf("the pepper is %v", f.Pepper())
		}
		if old, ok := f.PepperByID(1); !ok || !cmp.Equal(old.Secret, first.Secret) {
			t.Error("the first pepper is gone, and with it the grants that name it")
		}
		must(t, f.restart(policy))
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	f, ctx := ring(t, policy), t.Context()
	first := f.kid(oauth.ES256, Active)
	must(t, f.Remove(ctx, first))
	second := f.kid(oauth.ES256, Active)
	if second == first || f.published(first) {
		t.Fatal("the active key is still there")
	}
	f.signs(oauth.ES256, second)

	third := f.kid(oauth.ES256, Next)
	must(t, f.Remove(ctx, second))
	f.signs(oauth.ES256, third)
	if diff := cmp.Diff([]string{"ES256:active", "ES256:next"}, f.states(Sign)); diff != "" {
		t.Error(diff)
	}

	must(t, f.Rotate(ctx, oauth.ES256, true))
	must(t, f.Remove(ctx, third))
	if f.published(third) {
		t.Error("the retired key is still published")
	}
	next := f.kid(oauth.ES256, Next)
	must(t, f.Remove(ctx, next))
	if f.kid(oauth.ES256, Next) == next || f.published(next) {
		t.Error("the next key is still there")
	}

	seal := f.Seal()
	active := ""
	for _, k := range f.List() {
		if k.Purpose == Seal && k.State == Active {
			active = k.ID
		}
	}
	must(t, f.Remove(ctx, active))
	if cmp.Equal(f.Seal().Secret, seal.Secret) {
		t.Error("the sealing key is still there")
	}

	if err := f.Remove(ctx, "pepper-1"); !errors.Is(err, ErrPepper) {
		t.Errorf("the pepper: %v", err)
	}
	for _, kid := range []string{"nobody", "", "../../etc/passwd", "' OR 1=1 --"} {
		if err := f.Remove(ctx, kid); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("%q: %v", kid, err)
		}
	}
	list := f.List()
	must(t, f.restart(policy))
	if diff := cmp.Diff(list, f.List()); diff != "" {
		t.Error(diff)
	}
}

// What the caller adds is kept with the change, or neither is.
func TestAlso(t *testing.T) {
	t.Parallel()
	f, ctx := ring(t, policy), t.Context()
	list, generation, document := f.List(), f.Generation(), string(f.JWKS())
	oops := errors.New("oops")
	refuse := func(*store.Tx) error { return oops }
	for name, err := range map[string]error{
		"Remove":       f.Remove(ctx, f.kid(oauth.ES256, Active), refuse),
		"Rotate":       f.Rotate(ctx, oauth.ES256, true, refuse),
		"RotatePepper": f.RotatePepper(ctx, refuse),
	} {
		if !errors.Is(err, oops) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if diff := cmp.Diff(list, f.List()); diff != "" || f.Generation() != generation || string(f.JWKS()) != document {
		t.Errorf("memory is ahead of the database: %s", diff)
	}
	must(t, f.Reload(ctx))
	if diff := cmp.Diff(list, f.List()); diff != "" || f.Generation() != generation {
		t.Errorf("the database changed: %s", diff)
	}
	must(t, f.Remove(ctx, f.kid(oauth.ES256, Active), func(tx *store.Tx) error {
		return audit.Append(tx, audit.Event{Type: audit.CutOff, Data: map[string]string{"why": "test"}})
	}))
	events, err := f.st.Read(ctx).AuditEvents(begin, 100)
	must(t, err)
	kinds := map[string]int{}
	for _, e := range events {
		kinds[e.Type]++
	}
	want := map[string]int{string(audit.KeyCreated): 7, string(audit.KeyActivated): 1, string(audit.KeyDeleted): 1, string(audit.CutOff): 1}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Error(diff)
	}
}

func TestSetAlgs(t *testing.T) {
	t.Parallel()
	f, ctx := ring(t, policy), t.Context()
	es256 := f.kid(oauth.ES256, Active)
	must(t, f.SetAlgs(ctx, []oauth.Alg{oauth.EdDSA, oauth.ES384, oauth.EdDSA}))
	f.signs(oauth.EdDSA, f.kid(oauth.EdDSA, Active))
	f.signs(oauth.ES384, f.kid(oauth.ES384, Active))
	f.signs(oauth.ES256, es256) // who read the old configuration still needs it

	if err := f.SetAlgs(ctx, []oauth.Alg{"HS256"}); err == nil {
		t.Error("HS256 is taken")
	}
	f.after(28 * day)
	f.after(2 * day)
	if f.kid(oauth.ES256, Retired) != es256 {
		t.Errorf("keys %v", f.states(Sign))
	}
	if _, ok := f.Signer(oauth.ES256); ok {
		t.Error("the key signs although its time is over")
	}
	f.kid(oauth.EdDSA, Active)
	f.after(3 * day)
	if f.published(es256) {
		t.Error("the key is still published")
	}
	must(t, f.SetAlgs(ctx, []oauth.Alg{oauth.ES256}))
	if f.kid(oauth.ES256, Active) == es256 {
		t.Error("a deleted key is back")
	}
}

// A next key whose algorithm is not wanted any more goes with the active one.
func TestUnwantedNext(t *testing.T) {
	t.Parallel()
	f := ring(t, policy)
	f.after(28 * day)
	next := f.kid(oauth.ES256, Next)
	must(t, f.SetAlgs(t.Context(), nil))
	f.after(2 * day)
	if diff := cmp.Diff([]string{"ES256:retired"}, f.states(Sign)); diff != "" || f.published(next) {
		t.Error(diff)
	}
	f.after(3 * day)
	if len(f.states(Sign)) != 0 {
		t.Errorf("published %s", f.JWKS())
	}
}

func TestRemoveUnwanted(t *testing.T) {
	t.Parallel()
	f := ring(t, policy)
	f.after(28 * day)
	must(t, f.SetAlgs(t.Context(), nil))
	must(t, f.Remove(t.Context(), f.kid(oauth.ES256, Active)))
	f.after(0)
	if got := f.states(Sign); len(got) != 0 {
		t.Errorf("keys %v", got)
	}
}

// What one node changes, another takes over.
func TestReload(t *testing.T) {
	t.Parallel()
	f, ctx := ring(t, policy), t.Context()
	other, err := Open(ctx, f.log, f.st, f.kek, policy)
	must(t, err)
	generation := other.Generation()
	must(t, other.Reload(ctx))
	if other.Generation() != generation {
		t.Error("the generation rose for nothing")
	}
	must(t, f.Rotate(ctx, oauth.ES256, true))
	must(t, other.Reload(ctx))
	if diff := cmp.Diff(f.List(), other.List()); diff != "" || other.Generation() == generation {
		t.Errorf("generation %d after %d; %s", other.Generation(), generation, diff)
	}
	s, _ := other.Signer(oauth.ES256)
	f.signs(oauth.ES256, s.ID)

	must(t, f.Rotate(ctx, oauth.ES256, true))
	must(t, other.Tick(ctx))
	if diff := cmp.Diff(f.List(), other.List()); diff != "" {
		t.Errorf("a tick does not take over: %s", diff)
	}
}

// Whatever changes the ring, there is always a signer, and its key is published.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	f, ctx := ring(t, policy), t.Context()
	done := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			last := uint64(0)
			for {
				select {
				case <-done:
					return
				default:
				}
				s, ok := f.Signer(oauth.ES256)
				if !ok {
					t.Error("no signer")
					return
				}
				sig, err := s.Sign([]byte("x"))
				if err != nil {
					t.Error(err)
					return
				}
				k, ok := f.Key(s.ID)
				if !ok || k.Verify([]byte("x"), sig) != nil {
					t.Errorf("key %s is not published", s.ID)
					return
				}
				g := f.Generation()
				if g < last || f.Pepper().ID == 0 || f.Seal().ID == 0 || len(f.JWKS()) == 0 || len(f.List()) < 3 {
					t.Errorf("generation %d after %d", g, last)
					return
				}
				last = g
			}
		})
	}
	for i := range 4 {
		writers.Go(func() {
			for range 10 {
				var err error
				switch i {
				case 0:
					err = f.Rotate(ctx, oauth.ES256, true)
				case 1:
					f.clock.Advance(time.Minute)
					err = f.Tick(ctx)
				case 2:
					err = f.Reload(ctx)
				case 3:
					err = f.RotatePepper(ctx)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	if got := f.states(Sign); len(got) != 12 || f.Pepper().ID != 11 {
		t.Errorf("%v after ten rotations; %v", got, f.Pepper())
	}
	list := f.List()
	must(t, f.Reload(ctx))
	if diff := cmp.Diff(list, f.List()); diff != "" {
		t.Errorf("memory and database differ: %s", diff)
	}
}
