//go:build pg

package main

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	revokedEach  = 60 // tokens of each grant: fewer than become one entry
	revokedAlone = 600
	slowCommit   = "&commit_delay=3000&commit_siblings=0"
)

// revocations are those of single tokens, from one connection and from many, beside
// *commit*: as the server commits, and where each commit takes 3 ms longer, as it does
// that waits for a standby elsewhere.
func (p *postgresBench) revocations(ctx context.Context, i *issuer) {
	p.revoked(ctx, i, "", i.store)
	slow, err := newIssuer(filepath.Join(p.dir, "slow"), 200)
	p.must(err)
	slow.store = p.server.Database(p.t) + slowCommit
	p.must(slow.configure(slow.users))
	node, _, err := slow.start(ctx, p.bench.server)
	p.must(err)
	defer func() { p.must(node.stop()) }()
	p.revoked(ctx, slow, ", commits 3 ms slower", slow.store)
}

func (p *postgresBench) revoked(ctx context.Context, i *issuer, how, dsn string) {
	commit := p.commits(ctx, dsn)
	c, err := pgx.Connect(ctx, dsn)
	p.must(err)
	defer c.Close(ctx)
	var limit, one, many, share []float64
	for range p.rounds {
		limit = append(limit, commit())
		rate, _ := p.revoke(ctx, i, c, 1, revokedAlone)
		one = append(one, rate)
		rate, each := p.revoke(ctx, i, c, manyConns, manyConns*revokedEach)
		many, share = append(many, rate), append(share, each)
	}
	for _, row := range []struct {
		what  string
		rates []float64
	}{{"1 connection", one}, {fmt.Sprintf("%d connections", manyConns), many}} {
		text := fmt.Sprintf("%s/s, %s of *commit* (%s/s)", spread(row.rates, thousands), spread(ratios(row.rates, limit), percent), spread(limit, thousands))
		if row.what != "1 connection" {
			text += fmt.Sprintf("; %.1f times the rate of one; %.1f in each change of the head", median(ratios(many, one)), median(share))
		}
		p.say("revocation of access tokens, "+row.what+how, text, "stated", true)
	}
}

// revoke revokes n tokens, and tells how many a second and how many in a transaction.
func (p *postgresBench) revoke(ctx context.Context, i *issuer, db *pgx.Conn, conns, n int) (rate, each float64) {
	tokens := p.accessTokens(ctx, i)
	var head int64
	p.must(db.QueryRow(ctx, "SELECT head FROM issuer").Scan(&head))
	var next atomic.Int64
	ops := times(conns, func(c *conn) error {
		_, err := c.ok(post(i.addr, "/revoke", basic(webClient, i.webSecret), url.Values{"token": {tokens[next.Add(1)-1]}}))
		return err
	})
	rate = float64(n) / p.took(func() error { return count(ctx, i.addr, ops, int64(n)) })
	p.must(db.QueryRow(ctx, "SELECT count(*) / count(DISTINCT xmin::text)::float FROM revocations WHERE n > $1", head).Scan(&each))
	return rate, each
}

func (p *postgresBench) took(work func() error) float64 {
	began := time.Now()
	p.must(work())
	return time.Since(began).Seconds()
}

// accessTokens are of many grants in turn: the tokens of one are revoked one by one.
func (p *postgresBench) accessTokens(ctx context.Context, i *issuer) []string {
	p.t.Helper()
	c, err := dial(i.addr, time.Now().Add(patience))
	p.must(err)
	defer c.close()
	refresh := make([]string, manyConns)
	for k := range refresh {
		body, _, err := flow(c, i.target, "offline_access "+scope, i.user(k))
		p.must(err)
		refresh[k], err = text(body, "refresh_token")
		p.must(err)
	}
	all := make([]string, manyConns*revokedEach)
	var next atomic.Int64
	p.must(count(ctx, i.addr, times(manyConns, func(c *conn) error {
		k := int(next.Add(1) - 1)
		for n := range revokedEach {
			body, err := c.ok(i.refreshRequest(refresh[k]))
			if err != nil {
				return err
			}
			if all[n*manyConns+k], err = text(body, "access_token"); err != nil {
				return err
			}
			if refresh[k], err = text(body, "refresh_token"); err != nil {
				return err
			}
		}
		return nil
	}), manyConns))
	return all
}
