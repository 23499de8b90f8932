//go:build e2e

package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/pgtest"
)

// cluster is an issuer of several nodes on one PostgreSQL database. Each node is a
// process with a directory of its own; all have one URL, as behind a load balancer.
type cluster struct {
	// issuer is that load balancer: each request goes to the next node.
	*issuer
	nodes []*issuer
	dsn   string
}

// round sends each request to the next node, and to the one after it where that does
// not listen.
type round struct {
	nodes []*issuer
	next  atomic.Uint64
}

func (r *round) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	var refused *net.OpError
	for range r.nodes {
		n := r.next.Add(1) % uint64(len(r.nodes))
		resp, err = r.nodes[n].web.Transport.RoundTrip(req)
		if !errors.As(err, &refused) || refused.Op != "dial" {
			break
		}
	}
	return resp, err
}

// startCluster runs n nodes on an empty database until the test ends. All of them
// start at the same time.
func startCluster(t testing.TB, n int, options ...option) *cluster {
	t.Helper()
	return startClusterOn(t, pgtest.Database(t), n, options...)
}

func startClusterOn(t testing.TB, dsn string, n int, options ...option) *cluster {
	t.Helper()
	port := freePorts(t, n+1)
	url := fmt.Sprintf("http://localhost:%d", port)
	kek := keys.NewKEK() + "\n"
	c := &cluster{dsn: dsn}
	for k := range n {
		i := &issuer{t: t, url: url, dir: t.TempDir(), addr: fmt.Sprintf("127.0.0.1:%d", port+1+k)}
		i.web = &http.Client{
			Timeout: time.Minute,
			Transport: &http.Transport{
				MaxIdleConnsPerHost: 200,
				DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, network, i.addr)
				},
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		config := strings.Replace(testConfig, "sqlite:jeton.db", dsn, 1)
		for _, o := range options {
			o(i, &config)
		}
		i.write("kek", kek)
		i.configure(config)
		c.nodes = append(c.nodes, i)
	}
	first := c.nodes[0]
	c.issuer = &issuer{t: t, url: url, dir: first.dir, web: &http.Client{
		Timeout: time.Minute, Transport: &round{nodes: c.nodes}, CheckRedirect: first.web.CheckRedirect,
	}}
	for _, i := range c.nodes {
		if err := i.spawn(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(i.checkLog)
	}
	t.Cleanup(func() { c.each((*issuer).stop) })
	for _, i := range c.nodes {
		if !i.ready() {
			t.Fatalf("a node did not start:\n%s", i.readLog())
		}
	}
	return c
}

// each does something with all nodes at once.
func (c *cluster) each(do func(*issuer)) {
	var group sync.WaitGroup
	for _, i := range c.nodes {
		group.Go(func() { do(i) })
	}
	group.Wait()
}

// database is the cluster's, beside its nodes.
func (c *cluster) database() *sql.DB {
	c.t.Helper()
	db, err := sql.Open("pgx", c.dsn)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { db.Close() })
	return db
}

// number is that of a grant's row; live is false where the grant ended.
func (c *cluster) number(t testing.TB, db *sql.DB, grant string) (number int64, live bool) {
	t.Helper()
	var ended int64
	if err := db.QueryRow("SELECT number, ended_at FROM grants WHERE id = $1", []byte(grant)).Scan(&number, &ended); err != nil {
		t.Fatalf("grant %x: %v", grant, err)
	}
	return number, ended == 0
}
