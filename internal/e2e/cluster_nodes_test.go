//go:build e2e

package e2e

import (
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jeton-auth/jeton/internal/pgtest"
)

// TestClusterReload changes the configuration of one node after the other.
func TestClusterReload(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
	const secret = "bmV3Y29tZXItc2VjcmV0LW9mLXRoZS10ZXN0cy0wMDE"
	config := strings.Replace(testConfig, "sqlite:jeton.db", c.dsn, 1)
	everywhere := func(what string, want bool) {
		t.Helper()
		for _, node := range c.nodes {
			eventually(t, what, func() bool { return node.knows("newcomer", secret) == want })
		}
	}
	change := func(i *issuer, config string) {
		t.Helper()
		i.configure(config)
		if err := i.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	with := strings.Replace(config, "users:\n", newcomer("newcomer", "file:newcomer"), 1)
	for _, node := range c.nodes {
		node.write("newcomer", secret+"\n")
		change(node, with)
		everywhere("a client that one node was told of is known to all", true)
	}
	for _, node := range c.nodes {
		change(node, config)
	}
	everywhere("a client that no node is told of any more is gone", false)
}

// TestClusterRolling restarts one node after the other under load: no request is
// refused, and nothing that was acknowledged is lost.
func TestClusterRolling(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
	p := c.ada()
	all := make([]*chain, 12)
	for k := range all {
		a := shop
		if k%2 == 1 {
			a = phone
		}
		all[k] = newChain(t, a, p.tokens(a, "openid offline_access orders:read").refresh())
	}
	var rotations, cut atomic.Int64
	quit := make(chan struct{})
	var group sync.WaitGroup
	for _, ch := range all {
		group.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
				}
				// An answer that was cut off is asked for again: the grace is for that.
				running, first := c.refreshOnce(ch)
				if !running {
					cut.Add(1)
				} else if first {
					rotations.Add(1)
				}
			}
		})
	}
	for _, node := range c.nodes {
		before := rotations.Load()
		eventually(t, "the load goes on", func() bool { return rotations.Load() > before+20 })
		node.stop()
		before = rotations.Load()
		eventually(t, "the other nodes carry the load", func() bool { return rotations.Load() > before+20 })
		node.begin()
	}
	close(quit)
	group.Wait()
	db := c.database()
	for _, ch := range all {
		n := ch.last(t)
		if row, live := c.number(t, db, ch.grant); row < n || row > n+1 || !live {
			t.Errorf("number %d was acknowledged, the row has %d, live %v", n, row, live)
		}
		c.answeredByTheTable(t, ch)
	}
	t.Logf("%d rotations were acknowledged, %d answers were cut off", rotations.Load(), cut.Load())
}

// TestNodeEndsWithoutDatabase tells a node to end while its database is away: it does,
// and says that nothing went wrong with it.
func TestNodeEndsWithoutDatabase(t *testing.T) {
	t.Parallel()
	db := pgtest.Start(t, pgtest.Options{})
	c := startClusterOn(t, db.Database(t), 1, troubled)
	db.Kill(t)
	c.nodes[0].stop()
}
