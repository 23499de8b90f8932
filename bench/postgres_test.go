//go:build pg

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jeton-auth/jeton/internal/pgtest"
)

const (
	commitGoal  = .40
	walGoal     = 700 // octets a rotation, between checkpoints
	sameGoal    = .95
	confirmGoal = .40
	manyConns   = 64
	manyGrants  = 10_000_000
	walTurns    = 5000
)

// TestPostgres is what make bench-pg runs: nodes on one PostgreSQL server, beside the
// limit of that server, and of this machine.
func TestPostgres(t *testing.T) {
	p := &postgresBench{bench: bench{rounds: 5, duration: 1500 * time.Millisecond, processors: 2, dir: t.TempDir()}, t: t}
	p.run(t.Context())
}

type postgresBench struct {
	bench
	t      *testing.T
	server *pgtest.Server
	rows   [][]string
}

func (p *postgresBench) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *postgresBench) say(what, measured, goal string, ok bool) {
	yes := reached(ok)
	if goal == "stated" {
		yes = "–"
	}
	p.rows = append(p.rows, []string{what, measured, goal, yes})
}

func (p *postgresBench) run(ctx context.Context) {
	p.must(p.build(ctx))
	var err error
	p.limits, err = startLimits(ctx, filepath.Join(p.dir, "limit"), p.dir)
	defer func() { p.limits.stop() }()
	p.must(err)
	p.server = pgtest.Start(p.t, pgtest.Options{Durable: true})
	on, err := newIssuer(filepath.Join(p.dir, "pg"), 200)
	p.must(err)
	on.store = p.server.Database(p.t)
	p.must(on.configure(on.users))
	beside, err := newIssuer(filepath.Join(p.dir, "sqlite"), 4)
	p.must(err)

	defer p.print()
	node, _, err := on.start(ctx, p.bench.server)
	defer func() { p.must(node.stop()) }()
	p.must(err)
	p.rotation(ctx, on, node, on.store)
	p.wal(ctx, on)
	p.revocations(ctx, on)
	p.clientCredentials(ctx, on, beside)
	p.shares(ctx, on, node)
	p.tail(ctx, on)
	p.nodes(ctx, on)
	p.growth(ctx, on)
}

// print writes the rows, those before a failure too.
func (p *postgresBench) print() {
	out := os.Stdout
	fmt.Fprintf(out, "\n%s: %d processors shared by load, nodes and PostgreSQL (%s), fsync and synchronous_commit on; median and range of %d rounds.\n\n",
		time.Now().Format("2006-01-02 15:04"), p.processors, strings.TrimSpace(p.server.Exec(p.t, "postgres", "SHOW server_version")), p.rounds)
	table(out, []string{"what", "measured", "goal", "reached"}, p.rows)
}

// commits is how many single-row updates, each a transaction, 16 connections commit
// in a second.
func (p *postgresBench) commits(ctx context.Context, dsn string) func() float64 {
	setup, err := pgx.Connect(ctx, dsn)
	p.must(err)
	_, err = setup.Exec(ctx, "CREATE TABLE IF NOT EXISTS bench_rows (id bigint PRIMARY KEY, n bigint NOT NULL, text text NOT NULL) WITH (fillfactor = 70)")
	p.must(err)
	_, err = setup.Exec(ctx, "INSERT INTO bench_rows SELECT i, 0, repeat('x', 600) FROM generate_series(1, $1) AS i ON CONFLICT DO NOTHING", connections)
	p.must(err)
	p.must(setup.Close(ctx))
	conns := make([]*pgx.Conn, connections)
	for i := range conns {
		conns[i], err = pgx.Connect(ctx, dsn)
		p.must(err)
		p.t.Cleanup(func() { conns[i].Close(context.Background()) })
	}
	return func() float64 {
		var done atomic.Int64
		var wg sync.WaitGroup
		began := time.Now()
		for i, c := range conns {
			wg.Go(func() {
				for time.Since(began) < p.duration {
					if _, err := c.Exec(ctx, "UPDATE bench_rows SET n = n + 1 WHERE id = $1", i+1); err != nil {
						p.t.Error(err)
						return
					}
					done.Add(1)
				}
			})
		}
		wg.Wait()
		return float64(done.Load()) / time.Since(began).Seconds()
	}
}

// chains are the rotations of a login for each connection.
func (p *postgresBench) chains(i *issuer, n int) []op {
	p.t.Helper()
	c, err := dial(i.addr, time.Now().Add(patience))
	p.must(err)
	defer c.close()
	ops := make([]op, n)
	for k := range ops {
		body, _, err := flow(c, i.target, "offline_access "+scope, i.user(k))
		p.must(err)
		token, err := text(body, "refresh_token")
		p.must(err)
		ops[k] = rotate(i, token)
	}
	return ops
}

func (p *postgresBench) until(ctx context.Context, addr string, ops []op) float64 {
	p.t.Helper()
	rate, err := until(ctx, addr, ops, p.duration)
	p.must(err)
	return rate
}

func (p *postgresBench) rotation(ctx context.Context, i *issuer, node *process, dsn string) {
	ops, commit := p.chains(i, connections), p.commits(ctx, dsn)
	before := p.server.Exec(p.t, pgtest.Name(dsn), "SELECT count(*) FROM grants")
	p.until(ctx, i.addr, ops)
	var product, limit []float64
	for range p.rounds {
		limit = append(limit, commit())
		product = append(product, p.until(ctx, i.addr, ops))
	}
	after := p.server.Exec(p.t, pgtest.Name(dsn), "SELECT count(*) FROM grants")
	all := ratios(product, limit)
	p.say("refresh rotation, durable, 16 connections", fmt.Sprintf("%s/s, %s of *commit* (%s/s)", spread(product, thousands), spread(all, percent), spread(limit, thousands)),
		"≥ 40 % of commit", median(all) >= commitGoal)
	p.say("rows that rotations leave", fmt.Sprintf("%s before, %s after", strings.TrimSpace(before), strings.TrimSpace(after)), "none", before == after)
}

// wal measures the log that rotations write: after a checkpoint each page is written
// whole once.
func (p *postgresBench) wal(ctx context.Context, i *issuer) {
	ops := p.chains(i, connections)
	turn := func() float64 {
		at := func() string {
			return strings.TrimSpace(p.server.Exec(p.t, "postgres", "SELECT pg_current_wal_insert_lsn()"))
		}
		from := at()
		p.must(count(ctx, i.addr, ops, walTurns))
		var octets float64
		_, err := fmt.Sscan(strings.TrimSpace(p.server.Exec(p.t, "postgres", "SELECT pg_wal_lsn_diff('"+at()+"', '"+from+"')")), &octets)
		p.must(err)
		return octets / walTurns
	}
	p.server.Exec(p.t, "postgres", "CHECKPOINT")
	across := turn()
	between := turn()
	p.say("write-ahead log of a rotation", fmt.Sprintf("%.0f bytes between checkpoints, %.0f right after one", between, across), "≤ 700 between", between <= walGoal)
}

func (p *postgresBench) clientCredentials(ctx context.Context, on, beside *issuer) {
	other, _, err := beside.start(ctx, p.bench.server)
	p.must(err)
	defer func() { p.must(other.stop()) }()
	var product, limit []float64
	request := func(i *issuer) []op {
		return times(connections, same(post(i.addr, "/token", basic(robot, i.robotSecret), tokenForm())))
	}
	for range p.rounds {
		limit = append(limit, p.until(ctx, beside.addr, request(beside)))
		product = append(product, p.until(ctx, on.addr, request(on)))
	}
	all := ratios(product, limit)
	p.say("client_credentials with a secret", fmt.Sprintf("%s/s, %s of its rate on SQLite", spread(product, thousands), spread(all, percent)), "≥ 95 %", median(all) >= sameGoal)
}

// shares are rows beside the bare handler.
func (p *postgresBench) shares(ctx context.Context, i *issuer, node *process) {
	for _, row := range []plan{
		{"introspection", "confirmed introspection of JWTs seen before", bare, confirmGoal, introspection(api, seen)},
		flows,
	} {
		r := p.measure(ctx, row, i, node)
		p.must(r.err)
		all := ratios(r.product.rates, r.bound.rates)
		goal, ok := "≥ "+percent(row.goal), median(all) >= row.goal
		if row.name == flows.name {
			goal = "stated"
		}
		p.say(row.what, fmt.Sprintf("%s/s, %s of %s", spread(r.product.rates, thousands), spread(all, percent), row.limit), goal, ok)
	}
}

// tail is how long rotations take when connections are many.
func (p *postgresBench) tail(ctx context.Context, i *issuer) {
	var mu sync.Mutex
	var took []float64
	ops := p.chains(i, manyConns)
	timed := make([]op, len(ops))
	for k, o := range ops {
		timed[k] = func(c *conn) error {
			began := time.Now()
			err := o(c)
			mu.Lock()
			took = append(took, float64(time.Since(began))/float64(time.Millisecond))
			mu.Unlock()
			return err
		}
	}
	rate := p.until(ctx, i.addr, timed)
	p50, p99, most := quantiles(took)
	p.say(fmt.Sprintf("refresh rotation, %d connections", manyConns), fmt.Sprintf("%s/s; p50 %.1f ms, p99 %.1f ms, at most %.1f ms", thousands(rate), p50, p99, most), "stated", true)
}

// nodes spreads the load over two and three nodes.
func (p *postgresBench) nodes(ctx context.Context, i *issuer) {
	addrs := []string{i.addr}
	for len(addrs) < 3 {
		addr, err := freeAddress()
		p.must(err)
		more, _, err := i.startAt(ctx, p.bench.server, addr)
		p.must(err)
		defer func() { p.must(more.stop()) }()
		addrs = append(addrs, addr)
		ops := p.chains(i, connections)
		var rates []float64
		for range p.rounds {
			var wg sync.WaitGroup
			shares := make([]float64, len(addrs))
			for n := range addrs {
				var mine []op
				for k := n; k < len(ops); k += len(addrs) {
					mine = append(mine, ops[k])
				}
				wg.Go(func() {
					rate, err := until(ctx, addrs[n], mine, p.duration)
					if err != nil {
						p.t.Error(err)
					}
					shares[n] = rate
				})
			}
			wg.Wait()
			sum := 0.0
			for _, s := range shares {
				sum += s
			}
			rates = append(rates, sum)
		}
		p.say(fmt.Sprintf("refresh rotation on %d nodes of this machine", len(addrs)), spread(rates, thousands)+"/s", "stated", true)
	}
}

// growth rotates among few grants, and then among many more.
func (p *postgresBench) growth(ctx context.Context, i *issuer) {
	ops := p.chains(i, connections)
	few := p.until(ctx, i.addr, ops)
	c, err := pgx.Connect(ctx, i.store)
	p.must(err)
	defer c.Close(ctx)
	note("%s grants", thousands(manyGrants))
	for _, query := range []string{
		"DROP INDEX grants_live",
		"INSERT INTO grants SELECT uuid_send(gen_random_uuid()), secret, pepper, client, 'u_' || n, session, rev, created_at, absolute_at, unredeemed_until," +
			" code, details, number, rotated_at, idle_at, tokens_until, ended_at, ended_by" +
			fmt.Sprintf(" FROM (SELECT * FROM grants WHERE number > 0 LIMIT 1) AS one, generate_series(1, %d) AS n", manyGrants),
		"CREATE INDEX grants_live ON grants (subject, client, unredeemed_until, created_at) WHERE ended_at = 0",
		"VACUUM ANALYZE grants", "CHECKPOINT",
	} {
		_, err := c.Exec(ctx, query)
		p.must(err)
	}
	p.until(ctx, i.addr, ops)
	var rates []float64
	for range p.rounds {
		rates = append(rates, p.until(ctx, i.addr, ops))
	}
	var size string
	p.must(c.QueryRow(ctx, "SELECT pg_size_pretty(pg_total_relation_size('grants'))").Scan(&size))
	p.say("refresh rotation among "+thousands(manyGrants)+" grants ("+size+")", fmt.Sprintf("%s/s, %.0f %% of the rate before", spread(rates, thousands), 100*median(rates)/few), "stated", true)
}
