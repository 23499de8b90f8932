package keys

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/jwks"
)

func TestFirstStart(t *testing.T) {
	t.Parallel()
	p := policy
	p.Algs = algorithms
	f := ring(t, p)
	for _, alg := range algorithms {
		f.signs(alg, f.kid(alg, Active))
		if !f.published(f.kid(alg, Next)) {
			t.Errorf("%s: the next key is not published", alg)
		}
		k, _ := f.Key(f.kid(alg, Active))
		if k.ID != k.Thumbprint() {
			t.Errorf("%s: kid %s is not the thumbprint %s", alg, k.ID, k.Thumbprint())
		}
	}
	for name, root := range map[string]Root{"pepper": f.Pepper(), "seal": f.Seal()} {
		if root.ID != 1 || len(root.Secret) != 32 {
			t.Errorf("%s: id %d, %d bytes", name, root.ID, len(root.Secret))
		}
	}
	if byID, ok := f.PepperByID(1); !ok || !cmp.Equal(byID.Secret, f.Pepper().Secret) {
		t.Error("the pepper is not found by its id")
	}
	if byID, ok := f.SealByID(1); !ok || !cmp.Equal(byID.Secret, f.Seal().Secret) {
		t.Error("the sealing key is not found by its id")
	}
	if cmp.Equal(f.Pepper().Secret, f.Seal().Secret) {
		t.Error("two roots are the same")
	}
	for _, id := range []int64{0, 2, -1} {
		if _, ok := f.PepperByID(id); ok {
			t.Errorf("pepper %d exists", id)
		}
	}
	if _, ok := f.Key("pepper-1"); ok || strings.Contains(string(f.JWKS()), "pepper") {
		t.Error("the pepper is published")
	}
	events, err := f.st.Read(t.Context()).AuditEvents(begin, 100)
	must(t, err)
	made := map[string]int{}
	for _, e := range events {
		if e.Type != string(audit.KeyCreated) || e.Actor == "" {
			t.Errorf("audit event %+v", e)
		}
		for _, s := range []State{Active, Next} {
			if strings.Contains(e.Data, fmt.Sprintf(`"state":%q`, s)) {
				made[string(s)]++
			}
		}
	}
	if diff := cmp.Diff(map[string]int{"active": len(algorithms) + 3, "next": len(algorithms) + 1}, made); diff != "" {
		t.Error(diff)
	}
}

func TestRestart(t *testing.T) {
	t.Parallel()
	p := policy
	p.Algs = []oauth.Alg{oauth.RS256, oauth.ES256, oauth.EdDSA}
	f := ring(t, p)
	before, document, pepper, seal := f.List(), string(f.JWKS()), f.Pepper(), f.Seal()
	must(t, f.restart(p))
	if diff := cmp.Diff(before, f.List()); diff != "" {
		t.Error(diff)
	}
	if string(f.JWKS()) != document || !cmp.Equal(f.Pepper().Secret, pepper.Secret) || !cmp.Equal(f.Seal().Secret, seal.Secret) {
		t.Error("the ring is another after a restart")
	}
	for _, alg := range p.Algs {
		f.signs(alg, f.kid(alg, Active))
	}
}

func TestWrongKEK(t *testing.T) {
	t.Parallel()
	f := ring(t, policy)
	rows, err := f.st.Read(t.Context()).Keys()
	must(t, err)
	right := f.kek
	for name, tt := range map[string]struct {
		kek  string
		says string
	}{
		"another": {NewKEK(), "set key_encryption_key to the one"},
		"short":   {base64.StdEncoding.EncodeToString([]byte("short")), "jeton keygen"},
		"empty":   {"", "jeton keygen"},
	} {
		f.kek, err = base64.StdEncoding.DecodeString(tt.kek)
		must(t, err)
		if err := f.restart(policy); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
		after, err := f.st.Read(t.Context()).Keys()
		must(t, err)
		if diff := cmp.Diff(rows, after); diff != "" {
			t.Errorf("%s: the keys were touched: %s", name, diff)
		}
	}
	f.kek = right
	must(t, f.restart(policy))
	f.signs(oauth.ES256, f.kid(oauth.ES256, Active))
}

// What was sealed opens in its own row alone, with its own purpose, algorithm and
// public half.
func TestIntrusion(t *testing.T) {
	t.Parallel()
	for name, query := range map[string]string{
		"rows swapped":               `UPDATE keys SET sealed = (SELECT sealed FROM keys k WHERE k.purpose = 'sign' AND k.state = 'active' AND k.id <> keys.id) WHERE purpose = 'sign' AND state = 'active'`,
		"secret of another row":      `UPDATE keys SET sealed = (SELECT sealed FROM keys WHERE id = 'seal-1') WHERE id = 'pepper-1'`,
		"seal as pepper":             `UPDATE keys SET purpose = 'pepper', number = 2, id = 'pepper-2' WHERE id = 'seal-1'`,
		"another number":             `UPDATE keys SET number = 7 WHERE id = 'pepper-1'`,
		"RS256 as PS256":             `UPDATE keys SET alg = 'PS256' WHERE alg = 'RS256'`,
		"another kid":                `UPDATE keys SET id = 'mine' WHERE purpose = 'sign' AND alg = 'ES256' AND state = 'next'`,
		"another purpose":            `UPDATE keys SET purpose = 'other' WHERE alg = 'ES256' AND state = 'active'`,
		"some bits changed":          `UPDATE keys SET sealed = CAST(substr(sealed, 1, 40) || x'00000000' || substr(sealed, 45) AS BLOB) WHERE id = 'pepper-1'`,
		"cut short":                  `UPDATE keys SET sealed = x'0001' WHERE id = 'pepper-1'`,
		"public half of another key": `UPDATE keys SET public = (SELECT public FROM keys WHERE alg = 'EdDSA' AND state = 'active') WHERE alg = 'ES256' AND state = 'active'`,
		"a key without a secret":     `INSERT INTO keys SELECT 'mine', number, purpose, alg, 'retired', public, x'', created_at, active_at, retired_at FROM keys WHERE purpose = 'sign' AND alg = 'ES256' AND state = 'active'`,
		"feed as sign":               `UPDATE keys SET purpose = 'sign' WHERE purpose = 'feed' AND state = 'next'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := policy
			p.Algs = []oauth.Alg{oauth.ES256, oauth.EdDSA}
			if strings.HasPrefix(name, "RS256") {
				p.Algs = []oauth.Alg{oauth.RS256}
			}
			f := ring(t, p)
			err := f.restart(p, query)
			if err == nil || !strings.Contains(err.Error(), "restore the database from a backup") {
				t.Errorf("the ring opens with %v", err)
			}
		})
	}
}

func TestLife(t *testing.T) {
	t.Parallel()
	f := ring(t, policy)
	first, generation := f.kid(oauth.ES256, Active), f.Generation()
	step := func(d time.Duration, changed bool, want ...string) {
		t.Helper()
		f.after(d)
		if diff := cmp.Diff(want, f.states(Sign)); diff != "" {
			t.Fatalf("%s after the start: %s", f.clock.Now().Sub(begin), diff)
		}
		g := f.Generation()
		if changed && g <= generation || g < generation {
			t.Errorf("%s after the start: generation %d after %d", f.clock.Now().Sub(begin), g, generation)
		}
		generation = g
	}
	second := f.kid(oauth.ES256, Next)
	step(0, false, "ES256:active", "ES256:next")
	step(30*day-time.Second, false, "ES256:active", "ES256:next")
	f.signs(oauth.ES256, first)
	if !f.published(second) {
		t.Error("the next key is not published")
	}
	must(t, f.restart(policy))
	generation = f.Generation()
	step(time.Second, true, "ES256:active", "ES256:next", "ES256:retired")
	f.signs(oauth.ES256, second)
	third := f.kid(oauth.ES256, Next)
	if !f.published(first) || !f.published(third) {
		t.Error("the retired key or the new next one is not published")
	}
	step(3*day-time.Second, false, "ES256:active", "ES256:next", "ES256:retired")
	step(time.Second, true, "ES256:active", "ES256:next")
	if f.published(first) {
		t.Error("the key is published although no token of it lives")
	}
	f.signs(oauth.ES256, second)
	step(27*day, true, "ES256:active", "ES256:next", "ES256:retired")
	f.signs(oauth.ES256, third)
}

// A key that is due waits until its successor has been published for long enough,
// also where the server was off for long.
func TestDowntime(t *testing.T) {
	t.Parallel()
	f := ring(t, policy)
	first := f.kid(oauth.ES256, Active)
	f.clock.Advance(365 * day)
	must(t, f.Remove(t.Context(), f.kid(oauth.ES256, Next)))
	second := f.kid(oauth.ES256, Next)
	must(t, f.restart(policy))
	f.signs(oauth.ES256, first)
	f.after(2*day - time.Second)
	f.signs(oauth.ES256, first)
	f.after(time.Second)
	f.signs(oauth.ES256, second)

	third := f.kid(oauth.ES256, Next)
	f.clock.Advance(365 * day)
	must(t, f.restart(policy))
	f.signs(oauth.ES256, third)
}

// A ring that was made without a next key gets one, which is not as old as the ring.
func TestRingWithoutNext(t *testing.T) {
	t.Parallel()
	f := ring(t, policy)
	f.clock.Advance(time.Hour)
	must(t, f.restart(policy, `DELETE FROM keys WHERE state = 'next'`))
	var notYet *NotYet
	if err := f.Rotate(t.Context(), "", false); !errors.As(err, &notYet) || !notYet.From.Equal(begin.Add(time.Hour+10*time.Minute)) {
		t.Errorf("the new next key signs: %v", err)
	}
	if !f.published(f.kid(oauth.ES256, Next)) {
		t.Error("the next key is not published")
	}
}

// Sealing keys change each day, and open what they sealed for as long as it lives.
func TestSealingKeys(t *testing.T) {
	t.Parallel()
	f := ring(t, policy)
	first := f.Seal()
	f.after(23 * time.Hour)
	if _, ok := f.SealByID(2); !ok || f.Seal().ID != 1 {
		t.Errorf("after 23 h %v seals, and the next one is known: %v", f.Seal(), ok)
	}
	f.after(time.Hour)
	if f.Seal().ID != 2 || cmp.Equal(f.Seal().Secret, first.Secret) {
		t.Errorf("after a day %v seals", f.Seal())
	}
	f.after(3*day - time.Second)
	if old, ok := f.SealByID(1); !ok || !cmp.Equal(old.Secret, first.Secret) {
		t.Error("the first key is gone while its tokens live")
	}
	f.after(time.Second)
	if _, ok := f.SealByID(1); ok {
		t.Error("the first key outlives its tokens")
	}
	if f.Pepper().ID != 1 {
		t.Errorf("the pepper is %v", f.Pepper())
	}
}

func TestNoSchedule(t *testing.T) {
	t.Parallel()
	p := policy
	p.Rotate = 0
	f := ring(t, p)
	first := f.kid(oauth.ES256, Active)
	f.after(3650 * day)
	f.signs(oauth.ES256, first)
	if diff := cmp.Diff([]string{"ES256:active", "ES256:next"}, f.states(Sign)); diff != "" {
		t.Error(diff)
	}
	second := f.kid(oauth.ES256, Next)
	must(t, f.Rotate(t.Context(), "", false))
	f.signs(oauth.ES256, second)
}

func TestPolicyIsChecked(t *testing.T) {
	t.Parallel()
	f := database(t)
	for name, change := range map[string]func(*Policy){
		"unknown algorithm":   func(p *Policy) { p.Algs = []oauth.Alg{"HS256"} },
		"none":                func(p *Policy) { p.Algs = []oauth.Alg{"none"} },
		"published too early": func(p *Policy) { p.PublishBefore = p.Rotate },
		"published too late":  func(p *Policy) { p.PublishBefore = CacheLifetime - 1 },
		"negative":            func(p *Policy) { p.Rotate = -1 },
		"retired at once":     func(p *Policy) { p.RetireAfter = 0 },
	} {
		p := policy
		change(&p)
		if err := f.open(p); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	keys, err := f.st.Read(t.Context()).Keys()
	must(t, err)
	if len(keys) != 0 {
		t.Errorf("%d keys were made", len(keys))
	}
}

// Two that start on one database at the same moment make one set of keys.
func TestStartTogether(t *testing.T) {
	t.Parallel()
	f := database(t)
	var rings [8]*Ring
	var wg sync.WaitGroup
	for i := range rings {
		wg.Go(func() {
			var err error
			if rings[i], err = Open(t.Context(), f.log, f.st, f.kek, policy); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	rows, err := f.st.Read(t.Context()).Keys()
	must(t, err)
	if len(rows) != 6 {
		t.Errorf("%d keys were made, want 6", len(rows))
	}
	for _, r := range rings {
		if string(r.JWKS()) != string(rings[0].JWKS()) || r.Pepper().ID != 1 {
			t.Errorf("a ring publishes %s", r.JWKS())
		}
	}
}

// Two actives of one algorithm, which two nodes made in the same moment, become
// one; both are published.
func TestTwoActive(t *testing.T) {
	t.Parallel()
	f := ring(t, policy)
	first := f.kid(oauth.ES256, Active)
	f.clock.Advance(time.Second)
	k, err := f.vault.newKey(Sign, oauth.ES256)
	must(t, err)
	k.State, k.ActiveAt = string(Active), f.clock.Now()
	must(t, f.st.Write(t.Context(), func(tx *store.Tx) error { return tx.CreateKey(k) }))
	must(t, f.Reload(t.Context()))
	f.signs(oauth.ES256, k.ID)
	f.after(0)
	f.signs(oauth.ES256, k.ID)
	if f.kid(oauth.ES256, Retired) != first || !f.published(first) {
		t.Errorf("keys %v", f.states(Sign))
	}
}

func TestNothingSecretPrints(t *testing.T) {
	t.Parallel()
	f := ring(t, policy)
	s, _ := f.Signer(oauth.ES256)
	pepper := f.Pepper()
	encoded, err := json.Marshal(map[string]any{"root": pepper, "signer": s, "list": f.List()})
	must(t, err)
	out := string(encoded)
	for _, v := range []any{pepper, &pepper, s, f.Ring} {
		out += fmt.Sprintf("%v %+v %#v %s\n", v, v, v, v)
	}
	for _, leak := range []string{
		fmt.Sprint(pepper.Secret), fmt.Sprintf("%x", pepper.Secret), base64.StdEncoding.EncodeToString(pepper.Secret), "PrivateKey", "aead", "0x",
	} {
		if strings.Contains(out, leak) {
			t.Errorf("%q is printed in %s", leak, out)
		}
	}
}

func TestNewKEK(t *testing.T) {
	t.Parallel()
	a, err := base64.StdEncoding.Strict().DecodeString(NewKEK())
	if err != nil || len(a) != KEKSize {
		t.Errorf("%d bytes, %v", len(a), err)
	}
	if b := NewKEK(); b == NewKEK() {
		t.Error("two are the same")
	}
}

// The feed has a key of its own, which is published as such and signs no token, and
// follows the schedule.
func TestFeedKey(t *testing.T) {
	t.Parallel()
	f := ring(t, policy)
	first := f.FeedSigner()
	set, err := jwks.Parse(f.JWKS())
	must(t, err)
	k, ok := set.FeedKey(first.ID)
	if !ok {
		t.Fatalf("%s lacks the feed's key", f.JWKS())
	}
	if _, ok := f.Key(first.ID); ok {
		t.Error("the feed's key may sign tokens")
	}
	if s, _ := f.Signer(oauth.ES256); s.ID == first.ID {
		t.Error("the feed's key signs tokens")
	}
	if last := set.Keys()[len(set.Keys())-1]; !last.Feed {
		t.Error("the feed's keys don't come last")
	}
	sig, err := first.Sign([]byte("signed"))
	must(t, err)
	must(t, k.Verify([]byte("signed"), sig))
	f.after(30 * day)
	if f.FeedSigner().ID == first.ID {
		t.Error("the feed's key was not rotated")
	}
	must(t, f.Remove(t.Context(), f.FeedSigner().ID))
	if set, err = jwks.Parse(f.JWKS()); err != nil {
		t.Fatal(err)
	}
	if _, ok := set.FeedKey(f.FeedSigner().ID); !ok {
		t.Error("after a removal the active key is not published")
	}
}
