//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/pgtest"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/verify"
)

// The bounds within which a node answers while its database is gone or stands still,
// and as much again as a machine that runs many tests at once may need.
const (
	writeBound      = (5 + 2) * time.Second
	introspectBound = (500 + 1500) * time.Millisecond
	memoryBound     = 2 * time.Second
)

// TestClusterWithoutDatabase takes the database away under running nodes, in two ways,
// and gives it back.
func TestClusterWithoutDatabase(t *testing.T) {
	t.Parallel()
	for name, outage := range map[string]func(*testing.T, *pgtest.Server) (over func()){
		"killed": func(t *testing.T, db *pgtest.Server) func() {
			db.Kill(t)
			return func() { db.Restart(t) }
		},
		"standing still": func(t *testing.T, db *pgtest.Server) func() {
			family := databaseProcesses(t, db)
			signalAll(t, family, syscall.SIGSTOP)
			over := sync.OnceFunc(func() { signalAll(t, family, syscall.SIGCONT) })
			t.Cleanup(over) // it can't be ended otherwise
			return over
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.Start(t, pgtest.Options{})
			c := startClusterOn(t, db.Database(t), 2, troubled)
			shed(t, c, func() func() { return outage(t, db) })
		})
	}
}

func shed(t *testing.T, c *cluster, outage func() (over func())) {
	node := c.nodes[0]
	p := c.ada()
	tokens := p.tokens(shop, "openid offline_access orders:read")
	request := shop.asking("openid")
	login := c.person("bob@example.com", bobPassword)
	page := login.authorize(request)
	// An API elsewhere, which has looked at nothing but the keys so far.
	old, err := verify.New(t.Context(), c.url, verify.Audience(orders), verify.HTTPClient(c.web))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	stream := node.follow(t)
	eventually(t, "a heartbeat comes", func() bool { return stream.beats.Load() > 0 })

	over := outage()
	within := func(what string, bound time.Duration, status int, ask func() reply) reply {
		t.Helper()
		began := time.Now()
		r := ask()
		took := time.Since(began)
		if r.status != status || took > bound {
			t.Errorf("%s without a database: %d after %s, want %d within %s: %.200s", what, r.status, took, status, bound, r.body)
		}
		if status == http.StatusServiceUnavailable && r.header.Get("Retry-After") == "" {
			t.Errorf("%s without a database: no Retry-After", what)
		}
		return r
	}
	var group sync.WaitGroup
	writes := func(what string, status int, ask func() reply) {
		group.Go(func() { within(what, writeBound, status, ask) })
	}
	// What needs no database goes on.
	for _, path := range []string{"/jwks", "/.well-known/openid-configuration", "/livez"} {
		within(path, memoryBound, 200, func() reply { return node.get(path) })
	}
	fresh, err := verify.New(t.Context(), c.url, verify.Audience(orders), verify.HTTPClient(node.web))
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	for _, v := range []*verify.Verifier{old, fresh} {
		if _, err := v.Verify(t.Context(), tokens.access()); err != nil {
			t.Errorf("an API refuses a token while the issuer has no database: %v", err)
		}
	}
	// What can't be confirmed or written is refused in time. The order is that of the
	// bounds: what waits longest is asked at once.
	writes("a rotation", 503, func() reply { return node.rotate(shop, tokens.refresh()) })
	writes("a revocation", 503, func() reply { return node.post("/revoke", shop.as, "token", tokens.refresh()) })
	writes("userinfo", 503, func() reply { return node.get("/userinfo", "Authorization", "Bearer "+tokens.access()) })
	writes("a login", 503, func() reply { return login.logIn(page).reply })
	writes("a page", 503, func() reply { return p.authorize(request).reply })
	for range 3 {
		within("an introspection", introspectBound, 503, func() reply {
			return node.post("/introspect", basic(orders, apiSecret), "token", tokens.access())
		}).want(503, oauth.TemporarilyUnavailable)
		within("a refresh token's introspection", introspectBound, 503, func() reply {
			return node.post("/introspect", shop.as, "token", tokens.refresh())
		})
	}
	if r := node.get("/readyz"); r.status != http.StatusServiceUnavailable {
		t.Errorf("/readyz answers %d", r.status)
	}
	group.Wait()
	if r := p.authorize(request); !strings.Contains(r.header.Get("Content-Type"), "text/html") || !strings.Contains(r.body, "Back in a moment") {
		t.Errorf("the page %d does not say that it is a moment: %.300s", r.status, r.body)
	}
	// The stream stays open and says nothing that was not confirmed.
	beats, comments := stream.beats.Load(), stream.comments.Load()
	eventually(t, "the stream says that nothing is confirmed", func() bool { return stream.comments.Load() > comments+1 })
	if got := stream.beats.Load(); got != beats {
		t.Errorf("%d heartbeats came without a database", got-beats)
	}

	over()
	eventually(t, "an introspection answers again", func() bool {
		return node.post("/introspect", basic(orders, apiSecret), "token", tokens.access()).status == 200
	})
	if !node.introspect(tokens.access()) {
		// The revocation had no answer: it may have been done.
		tokens = c.ada().tokens(shop, "openid offline_access orders:read")
	}
	for _, i := range c.nodes {
		eventually(t, "a node is ready again", func() bool { return i.get("/readyz").status == 200 })
		eventually(t, "a node writes again", func() bool {
			r := i.rotate(shop, tokens.refresh())
			if r.status == http.StatusBadRequest {
				tokens = c.ada().tokens(shop, "openid offline_access orders:read")
			}
			return r.status == 200
		})
	}
	eventually(t, "heartbeats come again on the same stream", func() bool { return stream.beats.Load() > beats })
	if stream.ended.Load() {
		t.Error("the stream was cut")
	}
}

// stream counts what comes over the feed.
type stream struct {
	beats, comments atomic.Int64
	ended           atomic.Bool
}

// follow opens the node's feed until the test ends.
func (i *issuer) follow(t *testing.T) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.url+"/revocations", nil)
	if err != nil {
		t.Fatal(err)
	}
	basic(orders, apiSecret)(req, nil)
	req.Header.Set("Accept", "text/event-stream")
	resp, err := (&http.Client{Transport: i.web.Transport}).Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	s := &stream{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			switch line := lines.Text(); {
			case line == "event: heartbeat":
				s.beats.Add(1)
			case strings.HasPrefix(line, ":"):
				s.comments.Add(1)
			}
		}
		s.ended.Store(true)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		resp.Body.Close()
	})
	return s
}

// databaseProcesses are those of a server, the postmaster first.
func databaseProcesses(t *testing.T, db *pgtest.Server) []int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(db.Exec(t, "postgres", "SHOW data_directory"), "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	all := []int{}
	if pid, err := strconv.Atoi(first); err == nil {
		all = append(all, pid)
	}
	// The main thread starts every other process.
	children, err := os.ReadFile("/proc/" + first + "/task/" + first + "/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, child := range strings.Fields(string(children)) {
		if pid, err := strconv.Atoi(child); err == nil {
			all = append(all, pid)
		}
	}
	if len(all) < 5 {
		t.Fatalf("PostgreSQL has only the processes %v", all)
	}
	return all
}

func signalAll(t *testing.T, processes []int, s syscall.Signal) {
	t.Helper()
	for _, pid := range processes {
		if err := syscall.Kill(pid, s); err != nil && err != syscall.ESRCH {
			t.Error(err)
		}
	}
}

// TestClusterSmallPool has 64 clients use a node with four connections: they wait for
// each other, and everybody is answered.
func TestClusterSmallPool(t *testing.T) {
	t.Parallel()
	const clients = 64
	c := startClusterOn(t, pgtest.Database(t)+"&pool_max_conns=4", 1)
	node := c.nodes[0]
	all := node.chains(clients)
	access := c.ada().tokens(club, "openid orders:read").access()
	stop := time.Now().Add(4 * time.Second)
	var rotations, introspections atomic.Int64
	var slowest atomic.Int64
	var group sync.WaitGroup
	for _, ch := range all {
		group.Go(func() {
			for time.Now().Before(stop) {
				began := time.Now()
				if running, _ := node.refreshOnce(ch); !running {
					t.Error("a connection was cut")
					return
				}
				rotations.Add(1)
				active, status, err := node.isActive(access)
				if err != nil || status != http.StatusOK || !active {
					t.Errorf("an introspection amid the load: %d, active %v, %v", status, active, err)
					return
				}
				introspections.Add(1)
				for took := int64(time.Since(began)); ; {
					if had := slowest.Load(); took <= had || slowest.CompareAndSwap(had, took) {
						break
					}
				}
			}
		})
	}
	group.Wait()
	t.Logf("%d rotations and %d introspections, the slowest pair after %s", rotations.Load(), introspections.Load(), time.Duration(slowest.Load()))
	if rotations.Load() < 2*clients || time.Duration(slowest.Load()) > 4*time.Second {
		t.Error("64 clients on four connections stall")
	}
}
