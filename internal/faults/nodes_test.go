//go:build faults

package faults

import (
	"database/sql"
	"fmt"
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

// TestPauseNode stops a node for half a minute, in the middle of the job whose lease it
// holds, and lets it go on: what it held on to is nobody's any more.
func TestPauseNode(t *testing.T) {
	db := pgtest.Start(t, pgtest.Options{})
	dsn := db.Database(t)
	c := startCluster(t, dsn+"&application_name=node-0", dsn+"&application_name=node-1", dsn+"&application_name=node-2")
	l := startLoad(c)
	l.goesOn("the load goes on", 100)
	look, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer look.Close()
	alive := func() (at int64) {
		t.Helper()
		if err := look.QueryRow("SELECT alive_at FROM issuer").Scan(&at); err != nil {
			t.Fatal(err)
		}
		return at
	}

	paused := c.nodeAtWork(look)
	defer paused.signal(syscall.SIGCONT)
	began, last := time.Now(), alive()
	for time.Since(began) < 30*time.Second {
		// The other nodes do the job, as soon as the lease is over.
		before := alive()
		eventually(t, "the other nodes give signs of life", func() bool { return alive() != before })
		if at := alive(); at < last {
			t.Errorf("the time of the last sign of life went back by %d ms", last-at)
		} else {
			last = at
		}
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
		if at := alive(); at < last {
			t.Fatalf("a node that stood still acts on a lease that is over: the last sign of life is %d ms older now", last-at)
		} else {
			last = at
		}
	}
	l.noticed(t)
	l.check(dsn)
}

// nodeAtWork stops a node within the transaction of a job: it waits there for a row that
// this test has, until it is stopped.
func (c *cluster) nodeAtWork(db *sql.DB) *node {
	c.t.Helper()
	tx, err := db.Begin()
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }() // which lets the node's statement go on, but not the node
	if _, err := tx.Exec("SELECT 1 FROM issuer FOR UPDATE"); err != nil {
		c.t.Fatal(err)
	}
	var at int
	eventually(c.t, "a node is in the middle of its job", func() bool {
		var name string
		err := db.QueryRow(`SELECT application_name FROM pg_stat_activity
			WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE issuer SET alive_at%' AND application_name LIKE 'node-%'`).Scan(&name)
		if err != nil {
			return false
		}
		_, err = fmt.Sscanf(name, "node-%d", &at)
		return err == nil
	})
	c.nodes[at].signal(syscall.SIGSTOP)
	return c.nodes[at]
}
