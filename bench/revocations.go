package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jeton-auth/jeton/oauth/feed"
	"github.com/jeton-auth/jeton/verify"
)

const (
	verifiers    = 50
	revocations  = 10_000
	revokers     = 4
	readers      = 1000
	readerRounds = 500 // revocations while there are so many readers
)

// revocationRows measure how long after the answer of /revoke a token is refused
// where it is checked.
func (b *bench) revocationRows(ctx context.Context, i *issuer) (rows [][]string, err error) {
	p, _, err := i.start(ctx, b.server)
	defer func() { err = errors.Join(err, p.stop()) }()
	if err != nil {
		return nil, err
	}
	row, err := b.verifiersRow(ctx, i)
	if err != nil {
		return nil, err
	}
	rows = append(rows, row)
	more, err := b.readersRows(ctx, i, p)
	return append(rows, more...), err
}

// verifiersRow revokes while the server is under other load.
func (b *bench) verifiersRow(ctx context.Context, i *issuer) ([]string, error) {
	note("%s revocations at %d verifiers", thousands(revocations), verifiers)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all := make([]*verify.Verifier, verifiers)
	for n := range all {
		v, err := verify.New(ctx, "http://"+i.addr, verify.Audience(api), verify.Feed(verify.APISecret(api, i.apiSecret)), verify.Logger(slog.New(slog.DiscardHandler)))
		if err != nil {
			return nil, err
		}
		defer v.Close()
		all[n] = v
	}
	var load sync.WaitGroup
	defer load.Wait()
	defer cancel()
	request := post(i.addr, "/token", basic(robot, i.robotSecret), tokenForm())
	load.Go(func() { _, _ = until(ctx, i.addr, times(2, same(request)), 10*time.Minute) }) // ends with ctx

	var mu sync.Mutex
	var times []float64 // milliseconds
	var missed atomic.Int64
	errs := make([]error, revokers)
	var wg sync.WaitGroup
	for n := range revokers {
		wg.Go(func() {
			for k := n; k < revocations && errs[n] == nil; k += revokers {
				found, lost, err := revokeOne(ctx, i, all, k)
				errs[n] = err
				missed.Add(lost)
				mu.Lock()
				times = append(times, found...)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	p50, p99, most := quantiles(times)
	return []string{
		fmt.Sprintf("/revoke answered → refused at %d verifiers, under load", verifiers),
		fmt.Sprintf("p50 %.1f ms, p99 %.1f ms, at most %.1f ms; %d of %s missed", p50, p99, most, missed.Load(), thousands(revocations)),
		"p50 ≤ 10 ms, p99 ≤ 100 ms, 0 missed", reached(p50 <= 10 && p99 <= 100 && missed.Load() == 0),
	}, nil
}

// revokeOne has every verifier take a token, revokes it, and sees when each refuses it.
func revokeOne(ctx context.Context, i *issuer, all []*verify.Verifier, k int) (took []float64, missed int64, err error) {
	c, err := dial(i.addr, time.Now().Add(patience))
	if err != nil {
		return nil, 0, err
	}
	defer c.close()
	body, _, err := flow(c, i.target, "offline_access "+scope, i.user(k))
	if err != nil {
		return nil, 0, err
	}
	token, err := text(body, "access_token")
	if err != nil {
		return nil, 0, err
	}
	refresh, err := text(body, "refresh_token")
	if err != nil {
		return nil, 0, err
	}
	done := make([]<-chan struct{}, len(all))
	for n, v := range all {
		p, err := v.Verify(ctx, token)
		if err != nil {
			return nil, 0, err
		}
		done[n] = p.Done()
	}
	seen := make([]time.Time, len(all))
	var wg sync.WaitGroup
	for n := range all {
		wg.Go(func() {
			select {
			case <-done[n]:
				seen[n] = time.Now()
			case <-time.After(patience):
			}
		})
	}
	if _, err := c.ok(post(i.addr, "/revoke", basic(webClient, i.webSecret), url.Values{"token": {refresh}})); err != nil {
		return nil, 0, err
	}
	answered := time.Now()
	wg.Wait()
	for n, v := range all {
		if _, err := v.Verify(ctx, token); err == nil || seen[n].IsZero() {
			missed++
			continue
		}
		took = append(took, max(0, float64(seen[n].Sub(answered))/float64(time.Millisecond)))
	}
	return took, missed, nil
}

func quantiles(values []float64) (p50, p99, most float64) {
	if len(values) == 0 {
		return 0, 0, 0
	}
	slices.Sort(values)
	return values[len(values)/2], values[len(values)*99/100], values[len(values)-1]
}

// readersRows open many streams, and see what they cost and how late they are.
func (b *bench) readersRows(ctx context.Context, i *issuer, p *process) ([][]string, error) {
	note("%d feed readers", readers)
	quiet, _, err := memory(p.pid())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	r := &arrivals{at: make([]atomic.Int64, readerRounds+1)}
	for range readers {
		c, err := dial(i.addr, time.Now().Add(5*time.Minute))
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = c.close() })
		wg.Go(func() {
			r.read(c, get(i.addr, "/revocations", "Accept: text/event-stream\r\n"+basic(api, i.apiSecret)))
		})
	}
	for began := time.Now(); r.joined.Load() < readers; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > patience {
			return nil, fmt.Errorf("%d of %d readers got a heartbeat", r.joined.Load(), readers)
		}
	}
	r.base.Store(r.head.Load())
	before, err := b.sample(p)
	if err != nil {
		return nil, err
	}
	time.Sleep(5 * time.Second)
	after, err := b.sample(p)
	if err != nil {
		return nil, err
	}
	idle := float64(after.server-before.server) / float64(after.at.Sub(before.at))
	if err := r.revoke(i); err != nil {
		return nil, err
	}
	for began := time.Now(); r.count.Load() < readers*readerRounds && time.Since(began) < patience; {
		time.Sleep(10 * time.Millisecond)
	}
	busy, err := b.sample(p)
	if err != nil {
		return nil, err
	}
	used, _, err := memory(p.pid())
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p50, p99, most := quantiles(r.late)
	lost := int64(readers*readerRounds) - r.count.Load()
	return [][]string{
		{
			fmt.Sprintf("%s feed readers: /revoke answered → received", thousands(readers)),
			fmt.Sprintf("p50 %.1f ms, p99 %.1f ms, at most %.1f ms; %d of %s missed", p50, p99, most, lost, thousands(readers*readerRounds)), "p99 ≤ 250 ms", reached(p99 <= 250 && lost == 0),
		},
		{
			fmt.Sprintf("%s feed readers: the issuer's memory and processor time", thousands(readers)),
			fmt.Sprintf("%.0f MiB resident (%.0f before); %.1f %% of a processor for heartbeats alone, %.0f %% at %.0f revocations/s", used, quiet, 100*idle,
				100*float64(busy.server-after.server)/float64(busy.at.Sub(after.at)), r.rate),
			"stated", "–",
		},
	}, nil
}

// arrivals are when entries came to readers, beside when /revoke had answered.
type arrivals struct {
	base, head, joined, count atomic.Int64
	at                        []atomic.Int64 // Unix nanoseconds of the answer, by number after base
	rate                      float64

	mu   sync.Mutex
	late []float64 // milliseconds
}

// read follows a stream by the numbers of its events.
func (r *arrivals) read(c *conn, request []byte) {
	if _, err := c.nc.Write(request); err != nil {
		return
	}
	in := bufio.NewReaderSize(c.nc, 2<<10)
	var event string
	joined, last := false, int64(-1)
	var late []float64
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			break
		}
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), ": "); name {
		case "event":
			event = value
		case "id":
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return
			}
			now := time.Now().UnixNano()
			if last < 0 {
				last = n
			}
			for base := r.base.Load(); base > 0 && last < n; {
				last++
				if k := last - base; k >= 1 && k < int64(len(r.at)) {
					ms := 0.0
					if at := r.at[k].Load(); at > 0 {
						ms = max(0, float64(now-at)/1e6)
					}
					late = append(late, ms)
					if r.count.Add(1); len(late) == readerRounds {
						r.mu.Lock()
						r.late = append(r.late, late...)
						r.mu.Unlock()
					}
				}
			}
			if event == feed.EventHeartbeat {
				r.head.Store(n)
				if !joined {
					joined = true
					r.joined.Add(1)
				}
			}
		}
	}
}

// revoke ends one grant after the other; each is one entry.
func (r *arrivals) revoke(i *issuer) error {
	c, err := dial(i.addr, time.Now().Add(2*time.Minute))
	if err != nil {
		return err
	}
	defer c.close()
	tokens := make([]string, readerRounds)
	for k := range tokens {
		body, _, err := flow(c, i.target, "offline_access "+scope, i.user(k))
		if err != nil {
			return err
		}
		if tokens[k], err = text(body, "refresh_token"); err != nil {
			return err
		}
	}
	began := time.Now()
	for k, token := range tokens {
		if _, err := c.ok(post(i.addr, "/revoke", basic(webClient, i.webSecret), url.Values{"token": {token}})); err != nil {
			return err
		}
		r.at[k+1].Store(time.Now().UnixNano())
		time.Sleep(10 * time.Millisecond)
	}
	r.rate = readerRounds / time.Since(began).Seconds()
	return nil
}
