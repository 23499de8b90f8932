//go:build faults

package faults

import (
	"database/sql"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
)

// load keeps clients at work and a ledger of what they were told.
type load struct {
	c      *cluster
	person *session
	quit   chan struct{}
	group  sync.WaitGroup

	mu       sync.Mutex
	chains   []*chain
	codes    map[string]int // how often each was redeemed
	revoked  []string       // access tokens whose revocation was acknowledged
	rotated  int
	unknown  int
	breaches []string // what no client may ever see
}

// chain is a grant that one client refreshes, one request after the other.
type chain struct {
	app
	grant  []byte
	newest string
	access string
	acked  int64 // number of the newest
}

// chains and workers of a load; each worker has its own chains.
const (
	chainsOfEach = 12 // of each of two apps
	minters      = 2
)

// startLoad begins with grants of two apps and keeps them busy until stop. It returns
// when much was acknowledged.
func startLoad(c *cluster) *load {
	c.t.Helper()
	l := &load{c: c, person: c.logIn("ada@example.com"), quit: make(chan struct{}), codes: map[string]int{}}
	for k := range 2 * chainsOfEach {
		a := shop
		if k%2 == 1 {
			a = phone
		}
		l.chains = append(l.chains, l.begin(a))
	}
	for k := range chainsOfEach {
		l.group.Go(func() {
			for l.on() {
				l.rotate(l.chains[2*k])
				l.rotate(l.chains[2*k+1])
			}
		})
	}
	for range minters {
		l.group.Go(func() {
			for l.on() {
				l.mint()
			}
		})
	}
	c.t.Cleanup(l.stop)
	eventually(c.t, "there is something to lose", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.enough()
	})
	return l
}

// enough tells whether so much was acknowledged that finding all of it says something;
// the caller has the lock.
func (l *load) enough() bool { return l.rotated >= 200 && len(l.codes) >= 10 && len(l.revoked) >= 10 }

// begin makes a chain, without faults.
func (l *load) begin(a app) *chain {
	l.c.t.Helper()
	n := l.c.nodes[0]
	code, err := l.person.code(n, a)
	if err != nil {
		l.c.t.Fatal(err)
	}
	got := n.redeem(a, code)
	if got.outcome != done {
		l.c.t.Fatalf("a code is answered with %s", got)
	}
	c := &chain{app: a, newest: got.Refresh, access: got.Access}
	c.grant, c.acked = credential(got.Refresh)
	return c
}

func (l *load) on() bool {
	select {
	case <-l.quit:
		return false
	default:
		return true
	}
}

func (l *load) stop() {
	l.mu.Lock()
	if l.on() {
		close(l.quit)
	}
	l.mu.Unlock()
	l.group.Wait()
}

func (l *load) node() *node { return l.c.some() }

// breach notes what must not be; the caller has the lock.
func (l *load) breach(what string) { l.breaches = append(l.breaches, what) }

// rotate presents a chain's newest token to some node. Its answer may be lost, and then
// the same token is presented again.
func (l *load) rotate(c *chain) {
	got := l.node().rotate(c.app, c.newest)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch got.outcome {
	case done:
		l.rotated++
		_, n := credential(got.Refresh)
		if n != c.acked+1 {
			l.breach("a rotation skipped a number")
		}
		c.newest, c.access, c.acked = got.Refresh, got.Access, n
	case refused:
		l.breach("an acknowledged refresh token is refused: " + got.String())
	default:
		l.unknown++
	}
	pause(got)
}

// pause keeps a client that meets a node which is down from turning into an attack.
func pause(got answer) {
	if got.outcome == unknown {
		time.Sleep(5 * time.Millisecond)
	}
}

// mint has a code redeemed by two nodes at once, and again until it is decided; and
// revokes what it gave. Its introspection on another node is the first after that.
func (l *load) mint() {
	code, err := l.person.code(l.node(), mint)
	if err != nil {
		l.mu.Lock()
		l.unknown++
		l.mu.Unlock()
		pause(answer{})
		return
	}
	var two sync.WaitGroup
	answers := make([]answer, 2)
	for k := range answers {
		two.Go(func() { answers[k] = l.node().redeem(mint, code) })
	}
	two.Wait()
	answers = append(answers, l.node().redeem(mint, code))
	token := ""
	l.mu.Lock()
	for _, got := range answers {
		switch got.outcome {
		case done:
			l.codes[code]++
			token = got.Access
		case unknown:
			l.unknown++
		}
	}
	l.mu.Unlock()
	if token == "" {
		return
	}
	// The second use has ended the grant, if any of them had an answer.
	l.mu.Lock()
	if answers[2].outcome == refused {
		l.revoked = append(l.revoked, token)
	}
	l.mu.Unlock()
	l.look(token, answers[2].outcome == refused)
	if l.node().revoke(mint, token).outcome == done {
		l.mu.Lock()
		l.revoked = append(l.revoked, token)
		l.mu.Unlock()
		l.look(token, true)
	}
}

// look introspects on some node, after a revocation was acknowledged or not.
func (l *load) look(token string, dead bool) {
	got := l.node().introspect(token)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case got.outcome != done:
		l.unknown++
	case got.Active && dead:
		l.breach("an introspection after an acknowledged revocation says active")
	}
}

// goesOn waits for so many more rotations.
func (l *load) goesOn(what string, more int) {
	l.c.t.Helper()
	count := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.rotated
	}
	before := count()
	eventually(l.c.t, what, func() bool { return count() >= before+more })
}

// check ends the load and looks for all that was acknowledged: in the rows, and on every
// node. It prints the account, and fails the test if anything is lost.
func (l *load) check(dsn string) {
	t := l.c.t
	t.Helper()
	l.c.ready()
	l.goesOn("the load goes on after the fault", 300)
	l.stop()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	lost := 0
	lose := func(format string, args ...any) {
		lost++
		t.Errorf(format, args...)
	}
	found := 0
	for k, c := range l.chains {
		var number, ended int64
		if err := db.QueryRow("SELECT number, ended_at FROM grants WHERE id = $1", c.grant).Scan(&number, &ended); err != nil {
			lose("grant %x: %v", c.grant, err)
			continue
		}
		if number < c.acked || number > c.acked+1 || ended != 0 {
			lose("grant %x: number %d was acknowledged, the row has %d, ended at %d", c.grant, c.acked, number, ended)
			continue
		}
		found++
		for j := range l.c.nodes {
			n := l.c.nodes[(k+j)%len(l.c.nodes)]
			got := n.rotate(c.app, c.newest)
			if got.outcome != done {
				lose("%s refuses number %d of grant %x: %s", n.name, c.acked, c.grant, got)
				break
			}
			c.newest, c.access = got.Refresh, got.Access
			_, c.acked = credential(got.Refresh)
			if got := n.introspect(c.access); !got.Active {
				lose("%s does not know the token that it just gave: %s", n.name, got)
			}
		}
	}
	inactive := 0
	for _, token := range l.revoked {
		dead := true
		for _, n := range l.c.nodes {
			if got := n.introspect(token); got.outcome != done || got.Active {
				lose("%s says of a revoked token: active %v, %s", n.name, got.Active, got)
				dead = false
			}
		}
		if dead {
			inactive++
		}
	}
	once := 0
	for _, times := range l.codes {
		if times > 1 {
			lose("a code was redeemed %d times", times)
		} else {
			once++
		}
	}
	for _, what := range l.breaches {
		lose("%s", what)
	}
	t.Logf("acknowledged: %d rotations of %d grants, %d codes, %d revocations; %d answers were lost or said that nobody knows", l.rotated, len(l.chains), len(l.codes), len(l.revoked), l.unknown)
	t.Logf("found: %d grants at their number or one further, %d codes redeemed once, %d revocations in force on all %d nodes", found, once, inactive, len(l.c.nodes))
	t.Logf("lost: %d", lost)
}

// noticed fails the test where the fault did not reach anybody.
func (l *load) noticed(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.unknown == 0 {
		t.Error("no client noticed the fault: it was not made")
	}
}
