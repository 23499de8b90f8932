package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/manage"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// most is how many tokens of one handle may have entries of their own in tests: fewer
// than anywhere else.
const most = 64

// machine gets a token of the robot's own.
func (i *issuer) machine() string {
	i.t.Helper()
	return i.post("/token", robot, "grant_type", "client_credentials").want(i.t, 200, "").str(i.t, "access_token")
}

func (i *issuer) revoke(as caller, token string) {
	i.t.Helper()
	i.post("/revoke", as, "token", token).want(i.t, 200, "")
	if i.active(token) {
		i.t.Error("a token is active after /revoke answered 200")
	}
}

// kinds counts the entries of the log.
func (i *issuer) kinds() map[feed.Kind]int {
	i.t.Helper()
	n := map[feed.Kind]int{}
	for _, e := range i.entries() {
		n[e.Kind]++
	}
	return n
}

func (i *issuer) wantKinds(tokens, grants int) {
	i.t.Helper()
	if n := i.kinds(); n[feed.Token] != tokens || n[feed.Grant] != grants || len(n) > 2 {
		i.t.Fatalf("the log has %v, want %d tokens and %d grants", n, tokens, grants)
	}
}

func handle(t testing.TB, token string) string {
	t.Helper()
	return feed.Handle(payload(t, token)["jti"].(string))
}

// Many tokens of one grant that are revoked one by one end the grant, also when the
// requests come at once.
func TestManyTokensOfAGrant(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]func(func()){
		"in turn": func(f func()) { f() },
		"at once": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := start(t)
			other := i.login()
			r := i.login()
			access := []string{r.str(t, "access_token")}
			for range most + 20 {
				r = i.refresh(shop, r.str(t, "refresh_token")).want(t, 200, "")
				access = append(access, r.str(t, "access_token"))
			}
			var wg sync.WaitGroup
			for _, token := range access {
				act := func() { i.revoke(shop, token) }
				if run != nil {
					run(act)
				} else {
					wg.Go(act)
				}
			}
			wg.Wait()
			i.wantKinds(most, 1)
			i.refresh(shop, r.str(t, "refresh_token")).want(t, 400, oauth.InvalidGrant)
			if !i.active(other.str(t, "access_token")) {
				t.Error("another grant was touched")
			}
		})
	}
}

// Revoking is idempotent: what is revoked already, by itself or by its grant, leaves
// no further entry.
func TestRevokedAlready(t *testing.T) {
	t.Parallel()
	i := start(t)
	r := i.login()
	access := r.str(t, "access_token")
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { i.revoke(shop, access) })
	}
	wg.Wait()
	i.wantKinds(1, 0)
	r = i.refresh(shop, r.str(t, "refresh_token")).want(t, 200, "")
	for range 2 {
		i.post("/revoke", shop, "token", r.str(t, "refresh_token")).want(t, 200, "")
		i.revoke(shop, r.str(t, "access_token"))
	}
	i.wantKinds(1, 1)
}

// Only entries that are alive count.
func TestOldEntriesDoNotCount(t *testing.T) {
	t.Parallel()
	i := start(t)
	for range most {
		i.revoke(robot, i.machine())
	}
	i.clock.Advance(time.Hour)
	i.revoke(robot, i.machine())
	i.wantKinds(most+1, 0)
}

// A client that revokes many of its own tokens loses all of them, and gets others
// under another handle; nobody else notices.
func TestManyTokensOfAClient(t *testing.T) {
	t.Parallel()
	i := start(t)
	bystander, secret, err := i.manager.CreateClient(t.Context(), operator, spec.Client{
		ID: "robot-2", AuthMethod: oauth.ClientSecretBasic, GrantTypes: []oauth.GrantType{oauth.ClientCredentials}, Scopes: []string{"orders:read"},
	})
	if err != nil {
		t.Fatal(err)
	}
	theirs := i.post("/token", basic(bystander.ID, secret.Reveal()), "grant_type", "client_credentials").want(t, 200, "").str(t, "access_token")
	adas := i.login().str(t, "access_token")
	kept := i.machine()
	first := handle(t, kept)
	for range most {
		i.revoke(robot, i.machine())
	}
	if !i.active(kept) || handle(t, i.machine()) != first {
		t.Fatal("the handle changed too early")
	}
	i.revoke(robot, i.machine())
	i.wantKinds(most, 1)
	if i.active(kept) {
		t.Error("a token of the old handle is active")
	}
	now := i.machine()
	if handle(t, now) == first || !i.active(now) {
		t.Error("the client did not get another handle")
	}
	// For a minute from now on, each revocation is one of the handle.
	i.revoke(robot, now)
	i.wantKinds(most, 2)
	// A restart and a new declaration keep the generation; a minute brings calm.
	now = i.machine()
	i.restart()
	if !i.active(now) || handle(t, i.machine()) != handle(t, now) {
		t.Error("the handle changed at a restart")
	}
	declared := strings.Replace(testConfig, "scopes: [orders:read, orders:write]\n    resources", "scopes: [orders:read]\n    resources", 1)
	if err := i.manager.Apply(t.Context(), parseConfig(t, declared, i.dir, i.kek)); err != nil {
		t.Fatal(err)
	}
	if !i.active(now) || handle(t, i.machine()) != handle(t, now) {
		t.Error("the handle changed with the declaration")
	}
	i.revoke(robot, now)
	i.wantKinds(most+1, 2)
	if !i.active(theirs) || !i.active(adas) {
		t.Error("somebody else's token is dead")
	}
	if !i.active(i.machine()) {
		t.Error("the client's next token is dead")
	}
}

// What was gathered and could not be written is reported, to all who wait.
func TestGatheredRevocationReportsFailure(t *testing.T) {
	t.Parallel()
	i := start(t)
	for range most + 1 {
		i.revoke(robot, i.machine())
	}
	waiting := []string{i.machine(), i.machine(), i.machine()}
	if err := i.store.Close(); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, token := range waiting {
		wg.Go(func() {
			if got := i.post("/revoke", robot, "token", token); got.status < 500 {
				t.Errorf("/revoke without a store = %d %s", got.status, got.body)
			}
		})
	}
	wg.Wait()
	if err := closeEngine(i.engine); err != nil {
		t.Fatal(err)
	}
	i.open(testConfig)
	for _, token := range waiting {
		if !i.active(token) {
			t.Error("a token is revoked though /revoke failed")
		}
	}
}

// A client that hangs up while its revocation is gathered changes nothing for those
// who wait with it.
func TestGatheredRevocationOutlivesItsRequest(t *testing.T) {
	t.Parallel()
	i := start(t)
	for range most + 1 {
		i.revoke(robot, i.machine())
	}
	gone, stays := i.machine(), i.machine()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	form := url.Values{"token": {gone}}.Encode()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/revoke", strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	robot(r, nil)
	if got := i.do(r); got.status == 200 {
		t.Errorf("who hung up was told %d before the entry was written", got.status)
	}
	i.revoke(robot, stays)
	if i.active(gone) {
		t.Error("the token of who hung up is active")
	}
	i.wantKinds(most, 2)
}

// After a minute without a collapse a client's tokens are revoked one by one again.
func TestCalmAfterAMinute(t *testing.T) {
	t.Parallel()
	i := start(t)
	for range most + 1 {
		i.revoke(robot, i.machine())
	}
	i.clock.Advance(time.Minute)
	kept := i.machine()
	i.revoke(robot, i.machine())
	i.wantKinds(most+1, 1)
	if !i.active(kept) {
		t.Error("one revocation killed two tokens")
	}
}

// A client whose id comes back has no handle of the one before.
func TestHandleOfAClientThatComesBack(t *testing.T) {
	t.Parallel()
	i := start(t)
	seen := map[string]bool{}
	for range 3 {
		for range most + 3 {
			token := i.machine()
			if !i.active(token) {
				t.Fatal("a new token is dead")
			}
			seen[handle(t, token)] = true
			i.revoke(robot, token)
		}
		last := handle(t, i.machine())
		if err := i.manager.DeleteClient(t.Context(), operator, "robot"); err != nil {
			t.Fatal(err)
		}
		if err := i.manager.Apply(t.Context(), parseConfig(t, testConfig, i.dir, i.kek)); err != nil {
			t.Fatal(err)
		}
		seen[last] = true
		if token := i.machine(); seen[handle(t, token)] || !i.active(token) {
			t.Fatal("the new client's handle is an old one, or its token is dead")
		}
	}
}

// jeton revoke --token is bound by the same rules.
func TestOperatorCollapses(t *testing.T) {
	t.Parallel()
	i := start(t)
	var last manage.Revoked
	for range most + 1 {
		var err error
		if last, err = i.manager.Revoke(t.Context(), operator, manage.Target{Token: i.machine()}, "leaked"); err != nil {
			t.Fatal(err)
		}
	}
	if last.Kind != feed.Grant || last.Entry != most+1 {
		t.Errorf("%+v", last)
	}
	i.wantKinds(most, 1)
}

// jeton revoke --grant with a client's own handle revokes its own tokens, once.
func TestOperatorRevokesOwnHandle(t *testing.T) {
	t.Parallel()
	i := start(t)
	token := i.machine()
	for n := range 2 {
		out, err := i.manager.Revoke(t.Context(), operator, manage.Target{Grant: handle(t, token)}, "leaked")
		if n == 1 {
			if err == nil || !strings.Contains(err.Error(), "not a handle that is in use") {
				t.Errorf("again: %+v, %v", out, err)
			}
			continue
		}
		if err != nil || out != (manage.Revoked{Kind: feed.Grant, Name: handle(t, token), Entry: 1}) {
			t.Fatalf("%+v, %v", out, err)
		}
	}
	if i.active(token) || !i.active(i.machine()) {
		t.Error("the old handle is alive, or the new one is not")
	}
	kept := i.machine()
	i.revoke(robot, i.machine())
	if !i.active(kept) {
		t.Error("the operator's act made the client a busy one")
	}
}

// A client that mints and revokes 5,000 tokens as fast as it can: each is dead when
// /revoke has answered, nobody else's is, and the log stays small.
func TestMintAndRevoke5000(t *testing.T) {
	t.Parallel()
	i := start(t)
	adas := i.login().str(t, "access_token")
	const tokens, workers = 5000, 100
	var next, alive, dead atomic.Int64
	begun := time.Now()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for next.Add(1) <= tokens {
				token := i.machine()
				if i.active(token) {
					alive.Add(1)
				}
				i.post("/revoke", robot, "token", token).want(t, 200, "")
				if i.active(token) {
					t.Error("a token is active after /revoke answered 200")
				} else {
					dead.Add(1)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(begun)
	n := i.kinds()
	// A gathering takes 20 ms, and there is one at a time.
	bound := most + 1 + int(took/(20*time.Millisecond)) + 1
	t.Logf("%d tokens in %s: %d were active when they were made, %d are revoked; the log has %d entries (%v), at most %d",
		tokens, took.Round(time.Millisecond), alive.Load(), dead.Load(), len(i.entries()), n, bound)
	if n[feed.Token] > most || len(i.entries()) > bound || dead.Load() != tokens {
		t.Error("the log grew with the tokens, or a token is active")
	}
	revocations := 0
	for _, e := range i.audited() {
		if e == string(audit.GrantRevoked) || e == string(audit.TokenRevoked) {
			revocations++
		}
	}
	if revocations > bound {
		t.Errorf("%d audit events of revocations", revocations)
	}
	if !i.active(adas) {
		t.Error("somebody else's token is dead")
	}
	if !i.active(i.machine()) {
		t.Error("the next token is dead")
	}
	i.restart()
	if !i.active(adas) || !i.active(i.machine()) {
		t.Error("somebody else's token, or the next one, is dead after a restart")
	}
}
