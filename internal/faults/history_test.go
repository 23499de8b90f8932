//go:build faults

package faults

import (
	"math"
	"math/rand/v2"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/jeton-auth/jeton/internal/pgtest"
)

// history records what clients did with grants and when.
type history struct {
	c      *cluster
	began  time.Time
	person *session

	mu      sync.Mutex
	ops     []porcupine.Operation
	unknown int
	grants  int
}

// hand is what the clients of one grant share: its credentials as they come.
type hand struct {
	h     *history
	grant string
	code  string

	mu      sync.Mutex
	refresh map[int64]string
	newest  int64
	access  []string
	unknown int // of its operations; each multiplies what the checker has to look at
	left    int // operations to come
}

const (
	clientsOfGrant  = 3
	opsOfGrant      = 60
	unknownOfGrant  = 5
	grantsAtATime   = 4
	historyLasts    = 60 * time.Second
	checkingLasts   = 2 * time.Minute
	shortHistory    = 8 * time.Second
	grantsToBeFound = 20
)

// record keeps an operation. What had no answer may happen at any time from then on.
func (h *history) record(client int, in input, call time.Duration, r result) {
	end := time.Since(h.began)
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.outcome == unknown {
		if in.kind == introspecting {
			return // it changes nothing and says nothing
		}
		end = math.MaxInt64
		h.unknown++
	}
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: in, Call: int64(call), Output: r, Return: int64(end)})
}

// run has clients work on one grant after the other for a while.
func (h *history) run(t *testing.T, lasting time.Duration) *sync.WaitGroup {
	h.began = time.Now()
	var group sync.WaitGroup
	for slot := range grantsAtATime {
		group.Go(func() {
			for time.Since(h.began) < lasting {
				n := h.c.some()
				code, err := h.person.code(n, mint)
				if err != nil {
					pause(answer{}) // no grant, nothing to record
					continue
				}
				g, _ := credential(code)
				hd := &hand{h: h, grant: string(g), code: code, refresh: map[int64]string{}, left: opsOfGrant}
				var clients sync.WaitGroup
				for k := range clientsOfGrant {
					clients.Go(func() {
						for hd.act(slot*clientsOfGrant + k) {
						}
					})
				}
				clients.Wait()
				h.mu.Lock()
				h.grants++
				h.mu.Unlock()
			}
		})
	}
	return &group
}

// act does one operation; false: the grant has had enough.
func (hd *hand) act(client int) bool {
	hd.mu.Lock()
	if hd.left == 0 || hd.unknown >= unknownOfGrant {
		hd.mu.Unlock()
		return false
	}
	hd.left--
	in := input{grant: hd.grant}
	token := hd.code
	switch dice := rand.IntN(100); {
	case hd.newest == 0 || dice < 2 && hd.left < opsOfGrant/3:
		in.kind = redeeming
	case dice < 4 && hd.left < opsOfGrant/3:
		in.kind, token = ending, hd.refresh[hd.newest]
	case dice < 50:
		in.kind, token = introspecting, hd.access[rand.IntN(len(hd.access))]
	default:
		in.kind, in.number = rotating, hd.newest
		if older := rand.IntN(10); older < 4 && hd.newest > 1 {
			in.number-- // as if its answer had been lost
			if older == 0 && hd.newest > 3 {
				in.number -= 1 + rand.Int64N(2)
			}
		}
		token = hd.refresh[in.number]
		if token == "" { // its answer was
			in.number, token = hd.newest, hd.refresh[hd.newest]
		}
	}
	hd.mu.Unlock()

	n := hd.h.c.some()
	call := time.Since(hd.h.began)
	var got answer
	switch in.kind {
	case redeeming:
		got = n.redeem(mint, token)
	case rotating:
		got = n.rotate(mint, token)
	case ending:
		got = n.revoke(mint, token)
	case introspecting:
		got = n.introspect(token)
	}
	r := result{outcome: got.outcome, active: got.Active}
	if got.Refresh != "" {
		_, r.next = credential(got.Refresh)
	}
	hd.h.record(client, in, call, r)
	hd.mu.Lock()
	defer hd.mu.Unlock()
	if got.outcome == unknown && in.kind != introspecting {
		hd.unknown++
	}
	if r.next > 0 {
		hd.refresh[r.next], hd.access = got.Refresh, append(hd.access, got.Access)
		hd.newest = max(hd.newest, r.next)
	}
	return true
}

// check looks for an order in which the operations of each grant could have happened one
// after the other.
func (h *history) check() porcupine.CheckResult {
	h.mu.Lock()
	defer h.mu.Unlock()
	return porcupine.CheckOperationsTimeout(model, h.ops, checkingLasts)
}

func (h *history) kinds() map[string]int {
	counts := map[string]int{}
	for _, op := range h.ops {
		name := op.Input.(input).kind.String()
		if op.Output.(result).outcome == unknown {
			name += ", unanswered"
		}
		counts[name]++
	}
	return counts
}

// TestHistory records what clients see of three nodes while nodes are killed and stopped
// and the database is killed and started again, and checks that it is linearizable.
func TestHistory(t *testing.T) {
	db := pgtest.Start(t, pgtest.Options{})
	dsn := db.Database(t)
	c := startCluster(t, dsn, dsn, dsn)
	h := &history{c: c, person: c.logIn("ada@example.com")}
	group := h.run(t, historyLasts)
	faults := []func(n *node){
		func(n *node) { n.kill(); n.start() },
		func(n *node) { n.signal(syscall.SIGSTOP); lasts(t, 3*time.Second); n.signal(syscall.SIGCONT) },
		func(*node) { db.Kill(t); db.Restart(t) },
	}
	made := 0
	for time.Since(h.began) < historyLasts {
		lasts(t, 3*time.Second)
		faults[made%len(faults)](c.nodes[made/len(faults)%len(c.nodes)])
		made++
		c.ready()
	}
	group.Wait()
	t.Logf("recorded with %d faults: %d grants, %v", made, h.grants, h.kinds())
	if got := h.check(); got != porcupine.Ok {
		t.Errorf("the history is %s, not linearizable", got)
	}
	if h.grants < grantsToBeFound || h.unknown == 0 || made < 9 {
		t.Error("too little happened for this to say much")
	}
}

// TestHistoryOfBroken has the same check find what is wrong with stores that are broken
// on purpose, without any fault: clients stand behind something that gives old answers.
func TestHistoryOfBroken(t *testing.T) {
	db := pgtest.Start(t, pgtest.Options{})
	for name, breaks := range map[string]func(*http.Request, string) (key string){
		// A node that answers from what it knew a moment ago.
		"introspection is stale": func(r *http.Request, form string) string {
			return map[bool]string{true: form}[r.URL.Path == "/introspect"]
		},
		// A store that forgot that the code was spent.
		"a code is redeemed twice": func(r *http.Request, form string) string {
			return map[bool]string{true: form}[r.URL.Path == "/token" && isCode(form)]
		},
	} {
		t.Run(name, func(t *testing.T) {
			dsn := db.Database(t)
			c := startCluster(t, dsn, dsn, dsn)
			h := &history{c: c, person: c.logIn("ada@example.com")}
			for _, n := range c.nodes {
				n.http.Transport = &forgetful{RoundTripper: n.http.Transport, key: breaks, kept: map[string]kept{}}
			}
			h.run(t, shortHistory).Wait()
			t.Logf("recorded: %d grants, %v", h.grants, h.kinds())
			if got := h.check(); got != porcupine.Illegal {
				t.Errorf("the history of a broken store is found to be %s", got)
			}
		})
	}
}
