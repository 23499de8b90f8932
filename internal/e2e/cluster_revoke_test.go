//go:build e2e

package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/jeton-auth/jeton/oauth"
)

// isActive introspects for workers, which may not end the test.
func (i *issuer) isActive(token string) (active bool, status int, err error) {
	resp, err := i.ask("/introspect", basic(orders, apiSecret), "token", token)
	if err != nil {
		return false, 0, err
	}
	defer resp.Body.Close()
	var answer struct{ Active bool }
	err = json.NewDecoder(resp.Body).Decode(&answer)
	return answer.Active, resp.StatusCode, err
}

// TestClusterRevoke revokes a thousand tokens and grants on one node each, and asks
// another node as soon as that has answered.
func TestClusterRevoke(t *testing.T) {
	t.Parallel()
	const workers, each = 8, 125
	c := startCluster(t, 3)
	p := c.ada()
	var firsts [workers][]string // refresh tokens, of which each gives some access tokens
	for w := range firsts {
		for range 5 {
			firsts[w] = append(firsts[w], p.tokens(shop, "openid offline_access orders:read").refresh())
		}
	}
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for k := range each {
				a, b := c.nodes[(w+k)%3], c.nodes[(w+k+1+k%2)%3]
				at := &firsts[w][k/25]
				resp, err := a.ask("/token", shop.as, "grant_type", "refresh_token", "refresh_token", *at)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := readTokens(resp)
				resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Errorf("a refresh is answered with %d %s %v", resp.StatusCode, got.Error, err)
					return
				}
				*at = got.Refresh
				if active, _, err := b.isActive(got.Access); err != nil || !active {
					t.Errorf("a fresh token is not active on another node: %v", err)
					return
				}
				named := got.Access
				if k%25 == 24 {
					named = got.Refresh // the whole grant
				}
				resp, err = a.ask("/revoke", shop.as, "token", named)
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Errorf("a revocation is answered with %d", resp.StatusCode)
					return
				}
				if active, status, err := b.isActive(got.Access); err != nil || active || status != http.StatusOK {
					t.Errorf("the first introspection on another node, after a revocation was acknowledged: %d, active %v, %v", status, active, err)
				}
			}
		})
	}
	group.Wait()
}

// TestClusterManaged has what an administrator does through one node, or through a
// command beside them, hold on all others when it is done.
func TestClusterManaged(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
	dead := func(what string, tokens ...string) {
		t.Helper()
		for _, node := range c.nodes {
			for _, token := range tokens {
				if node.introspect(token) {
					t.Errorf("%s: a node answers active", what)
				}
			}
		}
	}
	p := c.ada()
	one, two := p.tokens(shop, "openid offline_access orders:read"), p.tokens(shop, "openid orders:read")
	bob := c.person("bob@example.com", bobPassword)
	other := bob.tokens(club, "openid offline_access orders:read")

	c.run(t, "user", "disable", "ada@example.com")
	dead("a disabled user", one.access(), two.access())
	for _, node := range c.nodes {
		node.rotate(shop, one.refresh()).want(400, oauth.InvalidGrant)
		if !p.authorize(shop.asking("openid")).has("login") {
			t.Error("a disabled user is logged in")
		}
		if on := p.logIn(p.authorize(shop.asking("openid"))); !on.has("login") {
			t.Errorf("a disabled user logs in: %d %s", on.status, on.at)
		}
	}
	c.run(t, "user", "enable", "ada@example.com")
	dead("a user who was disabled", one.access(), two.access())
	if !c.introspect(p.tokens(shop, "openid orders:read").access()) {
		t.Error("a user who is enabled again has dead tokens")
	}

	robot := basic("robot", robotSecret)
	own := c.post("/token", robot, "grant_type", "client_credentials", "scope", "orders:read").want(200, "").access()
	c.run(t, "client", "disable", "club")
	c.run(t, "client", "disable", "robot")
	dead("a disabled client", other.access(), own)
	for _, node := range c.nodes {
		// A node may learn of it a moment later; what it gives out meanwhile is dead.
		if r := node.post("/token", robot, "grant_type", "client_credentials", "scope", "orders:read"); r.status == http.StatusOK {
			dead("a token that a disabled client got", r.access())
		}
		eventually(t, "a node refuses a disabled client", func() bool {
			return node.post("/token", robot, "grant_type", "client_credentials").status == http.StatusUnauthorized
		})
		if r := node.rotate(club, other.refresh()); r.status == http.StatusOK {
			t.Error("a disabled client refreshes")
		}
	}
	c.run(t, "client", "enable", "robot")
	dead("a client that was disabled", other.access(), own)
	for _, node := range c.nodes {
		eventually(t, "a node knows an enabled client again", func() bool {
			r := node.post("/token", robot, "grant_type", "client_credentials", "scope", "orders:read")
			return r.status == http.StatusOK && c.introspect(r.access())
		})
	}
}

// TestClusterKeys rotates the keys beside running nodes: all of them publish and sign
// with the new ones, and take what any of them signed before and after.
func TestClusterKeys(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
	p := c.ada()
	tokens := []string{p.tokens(shop, "openid orders:read").access()}
	before := header(t, tokens[0])["kid"]
	c.run(t, "key", "rotate", "--force")
	for _, node := range c.nodes {
		var kid any
		eventually(t, "a node signs with the new key", func() bool {
			got := node.post("/token", basic("robot", robotSecret), "grant_type", "client_credentials", "scope", "orders:read").want(200, "").access()
			kid = header(t, got)["kid"]
			tokens = append(tokens, got)
			return kid != before
		})
		for _, other := range c.nodes {
			eventually(t, "a node publishes the new key", func() bool {
				return strings.Contains(other.get("/jwks").want(200, "").body, kid.(string))
			})
		}
	}
	for _, node := range c.nodes {
		for _, token := range tokens {
			if !node.introspect(token) {
				t.Errorf("a node refuses a token of key %v", header(t, token)["kid"])
			}
		}
	}
	// A key that is taken out for being compromised is dead on all nodes at once.
	c.run(t, "key", "remove", before.(string))
	for _, node := range c.nodes {
		if node.introspect(tokens[0]) {
			t.Error("a node takes a token of a key that was removed")
		}
	}
}

// TestClusterLimits spreads failed logins over the nodes: they add up.
func TestClusterLimits(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
	wrong := c.person("ada@example.com", "a wrong guess that is long")
	on := wrong.authorize(shop.asking("openid"))
	for k := range 10 {
		if on = wrong.logIn(on); on.status != http.StatusBadRequest {
			t.Fatalf("failure %d is answered with %d", k+1, on.status)
		}
	}
	for range c.nodes { // each of them in turn, with the right password
		right := c.ada()
		on := right.logIn(right.authorize(shop.asking("openid")))
		if on.status != http.StatusTooManyRequests || on.header.Get("Retry-After") == "" {
			t.Errorf("after ten failures on all nodes together a login is answered with %d", on.status)
		}
	}
}
