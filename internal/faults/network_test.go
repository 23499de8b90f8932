//go:build faults

package faults

import (
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/pgtest"
)

// away is how long a node is cut off from its database.
const away = 10 * time.Second

// TestCutNode cuts one node of three off from the database: connections are closed, or
// nothing that is sent arrives. It says so to whoever asks it, in time, and the others go
// on.
func TestCutNode(t *testing.T) {
	for name, state := range map[string]wireState{"closed": cut, "silent": silent} {
		t.Run(name, func(t *testing.T) {
			db := pgtest.Start(t, pgtest.Options{})
			dsn := db.Database(t)
			w := newWire(t, "127.0.0.1", db.Addr())
			c := startCluster(t, w.through(dsn), dsn, dsn)
			l := startLoad(c)
			l.goesOn("the load goes on", 50)
			w.set(state)
			c.cutOff(l, c.nodes[0])
			w.set(whole)
			l.noticed(t)
			l.check(dsn)
		})
	}
}

// TestCutRoute does the same with the machine's routing table: packets from the node to
// the address of its database are dropped, in connections that exist too.
func TestCutRoute(t *testing.T) {
	const address = "127.177.1.9" // nobody else's
	route := func(verb string) error {
		out, err := exec.Command("ip", "route", verb, "blackhole", address+"/32", "table", "local").CombinedOutput()
		if err != nil {
			t.Logf("ip route %s: %v: %s", verb, err, strings.TrimSpace(string(out)))
		}
		return err
	}
	if exec.Command("ip", "route", "get", address).Run() != nil {
		_ = route("del") // what a run left that was killed
	}
	db := pgtest.Start(t, pgtest.Options{})
	dsn := db.Database(t)
	w := newWire(t, address, db.Addr())
	c := startCluster(t, w.through(dsn), dsn, dsn)
	l := startLoad(c)
	l.goesOn("the load goes on", 50)
	if err := route("add"); err != nil {
		t.Fatal("packets can't be dropped here: this takes root, and ip of Debian's iproute2")
	}
	dropped := true
	t.Cleanup(func() {
		if dropped {
			_ = route("del")
		}
	})
	if conn, err := net.DialTimeout("tcp", w.listen.Addr().String(), time.Second); err == nil {
		conn.Close()
		t.Fatal("packets still reach the database: the fault was not made")
	}
	c.cutOff(l, c.nodes[0])
	if err := route("del"); err != nil {
		t.Fatal(err)
	}
	dropped = false
	l.noticed(t)
	l.check(dsn)
}

// cutOff watches a node that has no database, for a while.
func (c *cluster) cutOff(l *load, lone *node) {
	c.t.Helper()
	began := time.Now()
	token := l.chains[0]
	for time.Since(began) < away {
		l.mu.Lock()
		access, refresh := token.access, token.newest
		l.mu.Unlock()
		asked := time.Now()
		if got := lone.introspect(access); got.outcome == done && got.Active {
			c.t.Errorf("a node that is cut off answers active after %s", time.Since(began))
		} else if took := time.Since(asked); took > 2*time.Second {
			c.t.Errorf("a node that is cut off answers %s after %s", got, took)
		}
		asked = time.Now()
		if got := lone.revoke(mint, refresh); got.outcome != unknown || got.err != nil {
			c.t.Errorf("a node that is cut off answers a revocation with %s", got)
		} else if took := time.Since(asked); took > 6*time.Second {
			c.t.Errorf("a node that is cut off answers a revocation after %s", took)
		}
	}
	l.goesOn("the other nodes carry the load", 50)
}
