package e2e

import (
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jeton-auth/jeton/oauth"
)

// chain is a grant that many workers refresh at once, as the tabs of a browser do.
type chain struct {
	app
	grant string

	mu     sync.Mutex
	newest string
	acked  map[int64]string // every refresh token that an answer brought, by number
}

func newChain(t testing.TB, a app, refresh string) *chain {
	return &chain{app: a, grant: grantID(t, refresh), newest: refresh, acked: map[int64]string{number(t, refresh): refresh}}
}

func (c *chain) now() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.newest
}

// take notes an acknowledged token. There is one string for each number.
func (c *chain) take(t testing.TB, presented, got string) (first bool) {
	n := number(t, got)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n != number(t, presented)+1 {
		t.Errorf("number %d was answered with %d", number(t, presented), n)
	}
	before, repeated := c.acked[n]
	if repeated && before != got {
		t.Errorf("number %d has two spellings", n)
	}
	c.acked[n] = got
	if n > number(t, c.newest) {
		c.newest = got
	}
	return !repeated
}

// last is the highest number that was acknowledged, after a check that none was left
// out.
func (c *chain) last(t testing.TB) int64 {
	t.Helper()
	numbers := slices.Sorted(maps.Keys(c.acked))
	for k, n := range numbers {
		if n != int64(k)+1 {
			t.Errorf("the acknowledged numbers are %v: a rotation rises by one", numbers)
			break
		}
	}
	return numbers[len(numbers)-1]
}

// chains are grants of one person, split between two clients: a client has at most
// fifty.
func (i *issuer) chains(n int) []*chain {
	i.t.Helper()
	p := i.ada()
	var all []*chain
	for k := range n {
		a := shop
		if k%2 == 1 {
			a = phone
		}
		all = append(all, newChain(i.t, a, p.tokens(a, "openid offline_access orders:read").refresh()))
	}
	return all
}

// TestKillAmidRefreshes kills the server with SIGKILL after a thousand rotations of
// fifty grants, while they go on in parallel, and looks at what it knows after a
// restart. Every fifth grant is refreshed by a crowd at once.
func TestKillAmidRefreshes(t *testing.T) {
	t.Parallel()
	const grants, crowd, enough = 50, 10, 1000
	i := start(t)
	all := i.chains(grants)

	var rotations atomic.Int64
	reached := make(chan struct{})
	var group sync.WaitGroup
	for k, c := range all {
		workers := 1
		if k%5 == 0 {
			workers = crowd
		}
		for range workers {
			group.Go(func() {
				for running, first := true, false; running; {
					if running, first = i.refreshOnce(c); first && rotations.Add(1) == enough {
						close(reached)
					}
				}
			})
		}
	}
	<-reached
	i.kill()
	group.Wait()

	i.begin()
	db := i.database()
	var lost int64
	for _, c := range all {
		n := c.last(t)
		row, live := grantNumber(t, db, c.grant)
		// One rotation more may have been committed than an answer reached anybody.
		if !live || row < n || row > n+1 {
			t.Errorf("number %d was acknowledged, the row has %d, live %v", n, row, live)
		}
		lost += row - n
	}
	t.Logf("%d rotations were acknowledged, %d more were cut off before their answer", rotations.Load(), lost)
	for _, c := range all {
		i.answeredByTheTable(t, c)
	}
}

// refreshOnce is one worker's turn. running is false when the server is gone; first
// tells that nobody had the answer before.
func (i *issuer) refreshOnce(c *chain) (running, first bool) {
	presented := c.now()
	resp, err := i.ask("/token", c.as, "grant_type", "refresh_token", "refresh_token", presented)
	if err != nil {
		return false, false
	}
	defer resp.Body.Close()
	got, err := readTokens(resp)
	switch {
	case err != nil: // cut off in the middle of an answer
		return false, false
	case resp.StatusCode == http.StatusOK:
		first = c.take(i.t, presented, got.Refresh)
	case resp.StatusCode == http.StatusBadRequest && got.Error == oauth.InvalidGrant && number(i.t, c.now()) > number(i.t, presented):
		// A late tab: the others went on meanwhile.
	default:
		i.t.Errorf("a refresh was answered with %d %s", resp.StatusCode, got.Error)
	}
	return true, first
}

// answeredByTheTable presents acknowledged tokens after a restart. All of them are
// within the grace of the last rotation, for the outage is nobody's theft.
func (i *issuer) answeredByTheTable(t *testing.T, c *chain) {
	t.Helper()
	n := c.last(t)
	successor := i.rotate(c.app, c.acked[n]).want(200, "").refresh()
	if number(t, successor) != n+1 {
		t.Fatalf("number %d was answered with %d", n, number(t, successor))
	}
	// Whether the row had n or n+1: the answer is the same, and so is its repetition.
	if again := i.rotate(c.app, c.acked[n]).want(200, "").refresh(); again != successor {
		t.Error("the repeated answer is another one")
	}
	if n >= 2 {
		old := c.acked[1+rand.Int64N(n-1)]
		i.rotate(c.app, old).want(400, oauth.InvalidGrant)
	}
	if next := i.rotate(c.app, successor).want(200, "").refresh(); number(t, next) != n+2 {
		t.Errorf("number %d was answered with %d", n+1, number(t, next))
	}
}

// TestKillAfterRevoke kills the server as soon as /revoke has answered.
func TestKillAfterRevoke(t *testing.T) {
	t.Parallel()
	i := start(t)
	p := i.ada()
	keep := p.tokens(shop, "openid offline_access orders:read")
	single := p.tokens(shop, "openid offline_access orders:read")
	var whole []reply
	for range 8 {
		whole = append(whole, p.tokens(club, "openid offline_access orders:read"))
	}
	for _, r := range append(whole, keep, single) {
		if !i.introspect(r.access()) {
			t.Fatal("a fresh token is inactive")
		}
	}
	var group sync.WaitGroup
	for _, r := range whole {
		group.Go(func() { i.post("/revoke", club.as, "token", r.refresh()).want(200, "") })
	}
	group.Go(func() { i.post("/revoke", shop.as, "token", single.access()).want(200, "") })
	group.Wait()
	i.kill()

	i.begin()
	for _, r := range whole {
		if i.introspect(r.access()) {
			t.Error("an access token of a revoked grant is active after a restart")
		}
		i.rotate(club, r.refresh()).want(400, oauth.InvalidGrant)
	}
	if i.introspect(single.access()) {
		t.Error("a revoked access token is active after a restart")
	}
	i.rotate(shop, single.refresh()).want(200, "")
	if !i.introspect(keep.access()) {
		t.Error("a token that nobody revoked is inactive after a restart")
	}
}

// TestKillAmidLogins kills the server between the steps of a login: what a person was
// shown goes on afterwards.
func TestKillAmidLogins(t *testing.T) {
	t.Parallel()
	i := start(t)
	p, r := i.ada(), club.asking("openid offline_access orders:read")
	again := func() { i.kill(); i.begin() }
	on := p.authorize(r)
	again()
	on = p.logIn(on)
	again()
	code := p.submit(on, "allow").answer(r).Get("code")
	again()
	tokens := i.redeem(r, code).want(200, "")
	again()
	i.redeem(r, code).want(400, oauth.InvalidGrant)
	if i.introspect(tokens.access()) {
		t.Error("the second use of a code, after a restart, did not end what it gave")
	}
}
