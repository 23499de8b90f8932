//go:build e2e

package e2e

import (
	"database/sql"
	"net/http"
	"sync"
	"testing"

	"github.com/jeton-auth/jeton/internal/pgtest"
	"github.com/jeton-auth/jeton/oauth"
)

// TestClusterLogin begins logins on one node and finishes them on others: each request
// of a browser, an app and an API goes to another node than the one before.
func TestClusterLogin(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
	for range 4 { // three nodes and six or seven requests: each step is on each node once
		p, r := c.person("bob@example.com", bobPassword), club.asking("openid offline_access orders:read")
		on := p.authorize(r)
		if !on.has("login") {
			on = p.submit(on, "allow") // never: it fails with the page
		}
		if on = p.logIn(on); on.has("allow") {
			on = p.submit(on, "allow")
		}
		code := on.answer(r).Get("code")
		got := c.redeem(r, code).want(200, "")
		for _, node := range c.nodes {
			if !node.introspect(got.access()) {
				t.Error("a node does not know a token of another")
			}
			node.get("/userinfo", "Authorization", "Bearer "+got.access())
		}
		// A second request in the same browser needs no login on any node.
		for range c.nodes {
			if again := club.asking("openid offline_access orders:read"); p.authorize(again).answer(again).Get("code") == "" {
				t.Error("a session is not known on another node")
			}
		}
		// A code is spent on all nodes.
		c.redeem(r, code).want(400, oauth.InvalidGrant)
		for _, node := range c.nodes {
			if node.introspect(got.access()) {
				t.Error("the second use of a code, on another node, did not end what it gave")
			}
		}
	}

	// A person who leaves on one node has left on all.
	p := c.person("bob@example.com", bobPassword)
	got := p.tokens(shop, "openid orders:read")
	on := p.submit(p.get(c.url+"/logout"), "logout")
	if on.status != http.StatusOK {
		t.Fatalf("the logout answers %d: %s", on.status, on.body)
	}
	for _, node := range c.nodes {
		if node.introspect(got.access()) {
			t.Error("a logout on one node left a token alive on another")
		}
		if !p.authorize(shop.asking("openid")).has("login") {
			t.Error("a logout on one node left the session alive on another")
		}
	}
}

// TestClusterRefresh rotates grants round the nodes, and holds the table of TOKENS §2
// whichever node is asked, and whichever isolation the database gives by default.
func TestClusterRefresh(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string][]string{"default": nil, "serializable": {"default_transaction_isolation=serializable"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refreshRound(t, startClusterOn(t, pgtest.Database(t, settings...), 3))
		})
	}
}

func refreshRound(t *testing.T, c *cluster) {
	db := c.database()
	p := c.ada()
	all := make([]*chain, 10)
	for k := range all {
		a := shop
		if k%2 == 1 {
			a = phone
		}
		all[k] = newChain(t, a, p.tokens(a, "openid offline_access orders:read").refresh())
	}
	var group sync.WaitGroup
	for _, ch := range all {
		group.Go(func() {
			for k := range 30 {
				if running, _ := c.nodes[k%len(c.nodes)].refreshOnce(ch); !running {
					t.Error("a node did not answer")
				}
			}
		})
	}
	group.Wait()
	for _, ch := range all {
		if n := ch.last(t); n != 31 {
			t.Errorf("30 rotations round the nodes led to number %d", n)
		}
		if row, live := c.number(t, db, ch.grant); row != 31 || !live {
			t.Errorf("the row has number %d, live %v", row, live)
		}
		c.answeredByTheTable(t, ch)
	}

	// Crowds on all nodes at once: each number has one successor.
	ch := newChain(t, shop, p.tokens(shop, "openid offline_access orders:read").refresh())
	for range 20 {
		presented, before := ch.now(), number(t, ch.now())
		var group sync.WaitGroup
		for k := range 12 {
			group.Go(func() {
				resp, err := c.nodes[k%len(c.nodes)].ask("/token", ch.as, "grant_type", "refresh_token", "refresh_token", presented)
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				got, err := readTokens(resp)
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Errorf("a refresh amid a crowd was answered with %d %s %v", resp.StatusCode, got.Error, err)
					return
				}
				ch.take(t, presented, got.Refresh)
			})
		}
		group.Wait()
		if row, live := c.number(t, db, ch.grant); row != before+1 || !live {
			t.Fatalf("after a crowd with number %d the row has %d, live %v", before, row, live)
		}
	}
}

// TestClusterOneCode has all nodes redeem one code at the same moment.
func TestClusterOneCode(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
	db := c.database()
	p := c.ada()
	for range 20 {
		r := shop.asking("openid offline_access orders:read")
		code := p.allow(r)
		var mu sync.Mutex
		var won []tokens
		var group sync.WaitGroup
		for k := range 6 {
			group.Go(func() {
				resp, err := c.nodes[k%len(c.nodes)].ask("/token", r.app.as, "grant_type", "authorization_code",
					"code", code, "redirect_uri", r.app.redirect, "code_verifier", r.verifier)
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				got, err := readTokens(resp)
				switch {
				case err == nil && resp.StatusCode == http.StatusOK:
					mu.Lock()
					won = append(won, got)
					mu.Unlock()
				case err != nil || got.Error != oauth.InvalidGrant:
					t.Errorf("the loser of a race for a code was answered with %d %s %v", resp.StatusCode, got.Error, err)
				}
			})
		}
		group.Wait()
		if len(won) != 1 {
			t.Fatalf("one code was redeemed %d times", len(won))
		}
		c.ended(t, db, grantID(t, code))
		for _, node := range c.nodes {
			if node.introspect(won[0].Access) {
				t.Error("a code was used twice, and what it gave is active")
			}
		}
	}
}

// ended fails the test unless a grant is over.
func (c *cluster) ended(t testing.TB, db *sql.DB, grant string) {
	t.Helper()
	if _, live := c.number(t, db, grant); live {
		t.Errorf("grant %x is alive", grant)
	}
}
