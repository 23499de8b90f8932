//go:build faults

package faults

import (
	"syscall"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/pgtest"
)

// TestKillNode kills one node after the other with SIGKILL in the middle of rotations.
func TestKillNode(t *testing.T) {
	dsn := pgtest.Start(t, pgtest.Options{}).Database(t)
	c := startCluster(t, dsn, dsn, dsn)
	l := startLoad(c)
	for range 2 {
		for _, n := range c.nodes {
			l.goesOn("the load goes on", 50)
			n.kill()
			l.goesOn("the other nodes carry the load", 50)
			n.start()
			c.ready()
		}
	}
	l.noticed(t)
	l.check(dsn)
}

// TestRestartAll kills all nodes at the same moment and starts them again together.
func TestRestartAll(t *testing.T) {
	dsn := pgtest.Start(t, pgtest.Options{}).Database(t)
	c := startCluster(t, dsn, dsn, dsn)
	l := startLoad(c)
	for range 3 {
		l.goesOn("the load goes on", 100)
		for _, n := range c.nodes {
			n.signal(syscall.SIGKILL)
		}
		for _, n := range c.nodes {
			<-n.end
			n.start()
		}
		c.ready()
	}
	l.noticed(t)
	l.check(dsn)
}

// TestPauseNode stops a node for half a minute, in the middle of what it does, and lets it
// go on: what it held on to in the meantime is nobody's any more.
func TestPauseNode(t *testing.T) {
	db := pgtest.Start(t, pgtest.Options{})
	dsn := db.Database(t)
	c := startCluster(t, dsn, dsn, dsn)
	l := startLoad(c)
	l.goesOn("the load goes on", 100)
	paused := c.nodes[0]
	paused.signal(syscall.SIGSTOP)
	began := time.Now()
	signs := func() string {
		return db.Exec(t, pgtest.Name(dsn), "SELECT alive_at FROM issuer")
	}
	// The other nodes do the jobs, whoever had their leases.
	for time.Since(began) < 30*time.Second {
		before := signs()
		eventually(t, "the other nodes give signs of life", func() bool { return signs() != before })
		l.goesOn("the other nodes carry the load", 20)
		lasts(t, time.Second)
	}
	paused.signal(syscall.SIGCONT)
	// The first thing that it is asked is what happened meanwhile.
	l.mu.Lock()
	revoked := l.revoked
	l.mu.Unlock()
	for _, token := range revoked[max(0, len(revoked)-100):] {
		if got := paused.introspect(token); got.outcome == done && got.Active {
			t.Error("a node that stood still says active of what was revoked meanwhile")
		}
	}
	l.noticed(t)
	l.check(dsn)
}
