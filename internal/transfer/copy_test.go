package transfer

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jeton-auth/jeton/internal/store"
)

// wantRefused checks that nothing was begun, and why.
func wantRefused(t testing.TB, err error, says string) {
	t.Helper()
	var refused *Refused
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), says) {
		t.Errorf("refused with %v, want something with %q", err, says)
	}
}

// same checks that a copy is whole: but for the event that tells of it.
func same(t testing.TB, from, to *store.Store) {
	t.Helper()
	a, b := all(t, from), all(t, to)
	for i := range a {
		if a[i].Table == "audit" {
			if b[i].Rows != a[i].Rows+1 {
				t.Errorf("the copy has %d events, want those of the source and one: %d", b[i].Rows, a[i].Rows+1)
			}
			a[i], b[i] = Tally{}, Tally{}
		}
	}
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("the copy differs (-source +target):\n%s", diff)
	}
	if h := holds(t, to); len(h) > 0 {
		t.Errorf("the copy still has %v", h)
	}
}

const seeded = 2500

func TestCopy(t *testing.T) {
	t.Parallel()
	from, to := empty(t), empty(t)
	seed(t, from, seeded)
	before := all(t, from)
	out, err := Copy{From: from, To: to, Log: quietLog}.Run(t.Context())
	must(t, err)
	if diff := cmp.Diff(before, out.Tables); diff != "" || out.Resumed {
		t.Errorf("what was compared is not the source (-source +compared):\n%s", diff)
	}
	if diff := cmp.Diff(before, all(t, from)); diff != "" {
		t.Errorf("the source was changed:\n%s", diff)
	}
	same(t, from, to)
	_, err = Copy{From: from, To: to, Log: quietLog}.Run(t.Context())
	wantRefused(t, err, "holds this issuer already")
	other := empty(t)
	seed(t, other, 1)
	_, err = Copy{From: other, To: to, Log: quietLog}.Run(t.Context())
	wantRefused(t, err, "another issuer's data")
	_, err = Copy{From: empty(t), To: empty(t), Log: quietLog}.Run(t.Context())
	wantRefused(t, err, "no issuer in the source")
}

// A copy that ends in the middle leaves a hold, and the next one goes on there.
func TestCopyResumes(t *testing.T) {
	t.Parallel()
	from := empty(t)
	seed(t, from, seeded)
	path := filepath.Join(t.TempDir(), "jeton.db")
	for _, at := range []string{"outages", "users", "grants", "changes"} {
		to, end := open(t, path)
		ctx, progress := interrupted(t, at, 1000)
		if _, err := (Copy{From: from, To: to, Log: quietLog, Progress: progress}).Run(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("interrupted in %s: %v", at, err)
		}
		if h := holds(t, to); len(h) != 1 || h[0].Name != store.HoldCopy {
			t.Fatalf("interrupted in %s: %v", at, h)
		}
		end()
	}
	to, _ := open(t, path)
	moved := map[string]int64{}
	out, err := Copy{From: from, To: to, Log: quietLog, Progress: func(table string, n int64) { moved[table] = n }}.Run(t.Context())
	must(t, err)
	if !out.Resumed || moved["users"] > 0 || moved["grants"] > 0 || moved["changes"] != seeded-1000 {
		t.Errorf("resumed: %t, and moved %v", out.Resumed, moved)
	}
	same(t, from, to)
}

// A source that went on is copied anew, and one that goes on during the copy is noticed.
func TestCopySourceGoesOn(t *testing.T) {
	t.Parallel()
	from, to := empty(t), empty(t)
	seed(t, from, seeded)
	revoke := func() {
		must(t, from.Write(t.Context(), func(tx *store.Tx) error {
			return tx.AppendRevocations([]store.Revocation{{Kind: "key", Value: "k"}})
		}))
	}
	must(t, from.Write(t.Context(), func(tx *store.Tx) error {
		for range 3 {
			if _, err := tx.Empty(tablesOf(t, from)[6], batch); err != nil {
				return err
			}
		}
		return nil
	}))
	ctx, progress := interrupted(t, "grants", 1000)
	if _, err := (Copy{From: from, To: to, Log: quietLog, Progress: progress}).Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	revoke()
	once := false
	_, err := Copy{From: from, To: to, Log: quietLog, Progress: func(table string, _ int64) {
		if table == "flows" && !once {
			once = true
			revoke()
		}
	}}.Run(t.Context())
	wantRefused(t, err, "a server began to run on the source")
	if len(holds(t, to)) != 1 {
		t.Error("a copy that is not whole has no hold")
	}
	out, err := Copy{From: from, To: to, Log: quietLog}.Run(t.Context())
	must(t, err)
	if out.Resumed || out.Head != 2 {
		t.Errorf("after the source went on: %+v", out)
	}
	same(t, from, to)
}

// A row that changed on its way is found, and the next copy is whole again.
func TestCopyChangedRow(t *testing.T) {
	t.Parallel()
	from, to := empty(t), empty(t)
	seed(t, from, seeded)
	changed := false
	_, err := Copy{From: from, To: to, Log: quietLog, Progress: func(table string, _ int64) {
		if table != "changes" || changed {
			return
		}
		changed = true
		must(t, to.Write(context.Background(), func(tx *store.Tx) error {
			return tx.PutAttempt("a new one", begin)
		}))
		must(t, to.Write(context.Background(), func(tx *store.Tx) error { return tx.CutOffAll(1 << 62) }))
	}}.Run(t.Context())
	wantRefused(t, err, "issuer (1 rows of 1), attempts (2501 rows of 2500)")
	if len(holds(t, to)) != 1 {
		t.Error("a copy that is not equal has no hold")
	}
	_, err = Copy{From: from, To: to, Log: quietLog}.Run(t.Context())
	must(t, err)
	same(t, from, to)
}

// A source that waits for an operator is not copied.
func TestCopyHeld(t *testing.T) {
	t.Parallel()
	from, to := empty(t), empty(t)
	seed(t, from, 1)
	must(t, from.Write(t.Context(), func(tx *store.Tx) error { return tx.PutHold(store.HoldRecover, "a reader saw more") }))
	_, err := Copy{From: from, To: to, Log: quietLog}.Run(t.Context())
	var held *Held
	if !errors.As(err, &held) || !strings.Contains(err.Error(), "jeton recover") {
		t.Errorf("a source with a hold: %v", err)
	}
}
