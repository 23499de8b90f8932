//go:build faults

package faults

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/pgtest"
)

// TestTenThousandRevocations revokes ten thousand tokens on one node and asks another
// about each as soon as that has answered, while the node that is asked is stopped,
// killed, and cut off from its database. No answer is ever active; the first that comes
// is inactive.
func TestTenThousandRevocations(t *testing.T) {
	const workers, each, perGrant = 16, 625, 25
	db := pgtest.Start(t, pgtest.Options{})
	dsn := db.Database(t)
	w := newWire(t, "127.0.0.1", db.Addr())
	c := startCluster(t, dsn, w.through(dsn))
	a, b := c.nodes[0], c.nodes[1]
	people := []*session{c.logIn("ada@example.com"), c.logIn("bob@example.com"), c.logIn("eve@example.com")}

	var revoked, first, unanswered atomic.Int64
	one := func(r *revoking) bool {
		if r.left == 0 {
			code, err := r.person.code(a, r.app)
			if err != nil {
				t.Error(err)
				return false
			}
			got := a.redeem(r.app, code)
			if got.outcome != done {
				t.Errorf("a code is answered with %s", got)
				return false
			}
			r.refresh, r.left = got.Refresh, perGrant
		}
		got := a.rotate(r.app, r.refresh)
		if got.outcome != done {
			t.Errorf("a refresh is answered with %s", got)
			return false
		}
		r.refresh = got.Refresh
		r.left--
		named := got.Access
		if r.left == 0 {
			named = r.refresh // the whole grant
		}
		if rand.IntN(4) == 0 { // b has seen it, and may remember it as active
			b.introspect(got.Access)
		}
		if answer := a.revoke(r.app, named); answer.outcome != done {
			t.Errorf("a revocation is answered with %s", answer)
			return false
		}
		revoked.Add(1)
		for try := 0; ; try++ {
			switch in := b.introspect(got.Access); {
			case in.outcome == done && in.Active:
				t.Error("an introspection after an acknowledged revocation says active")
				return false
			case in.outcome == done && try == 0:
				first.Add(1)
				return true
			case in.outcome == done:
				return true
			case try == 0:
				unanswered.Add(1)
			}
			time.Sleep(20 * time.Millisecond) // the node is away, and others ask it too
		}
	}
	over := make(chan struct{})
	var group sync.WaitGroup
	for k := range workers {
		r := &revoking{person: people[k%len(people)], app: []app{shop, phone, mint}[k/len(people)%3]}
		group.Go(func() {
			for range each {
				if !one(r) {
					return
				}
			}
		})
	}
	go func() {
		group.Wait()
		close(over)
	}()
	made, faults := 0, []func(){
		func() { b.signal(syscall.SIGSTOP); lasts(t, 2*time.Second); b.signal(syscall.SIGCONT) },
		func() { w.set(cut); w.set(whole) },
		func() { w.set(silent); lasts(t, 2*time.Second); w.set(whole) },
		func() { b.kill(); b.start(); eventually(t, "the node is ready", b.answers) },
		func() { w.set(cut); lasts(t, time.Second); w.set(whole) },
	}
	for running := true; running; {
		select {
		case <-over:
			running = false
		case <-time.After(2 * time.Second):
			faults[made%len(faults)]()
			made++
		}
	}
	t.Logf("acknowledged: %d revocations, with %d faults", revoked.Load(), made)
	t.Logf("found: %d inactive at the first question, %d asked again because the node did not answer", first.Load(), unanswered.Load())
	if !t.Failed() {
		t.Log("lost: 0")
	}
	if revoked.Load() != workers*each || made < 5 || unanswered.Load() == 0 {
		t.Error("too little happened for this to say much")
	}
}

// revoking is what one worker revokes from.
type revoking struct {
	person  *session
	app     app
	refresh string
	left    int // how often, until its grant is revoked
}
