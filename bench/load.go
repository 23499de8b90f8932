package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// op does one operation. It keeps its own state and belongs to one connection at a
// time.
type op func(*conn) error

// patience is how much longer than planned a round may take before its connections
// give up.
const patience = 20 * time.Second

// same is the operation of sending one request over and over.
func same(request []byte) op {
	return func(c *conn) error {
		_, err := c.ok(request)
		return err
	}
}

// times gives n workers the same operation, one without state.
func times(n int, o op) []op {
	ops := make([]op, n)
	for i := range ops {
		ops[i] = o
	}
	return ops
}

// until runs each operation in a closed loop on a connection of its own for d, and
// returns how many were done in a second. The first error ends the round.
func until(ctx context.Context, addr string, ops []op, d time.Duration) (rate float64, err error) {
	var stop atomic.Bool
	timer := time.AfterFunc(d, func() { stop.Store(true) })
	defer timer.Stop()
	return loop(ctx, addr, ops, d, func() bool { return !stop.Load() })
}

// count runs the operations until n are done.
func count(ctx context.Context, addr string, ops []op, n int64) error {
	var taken atomic.Int64
	_, err := loop(ctx, addr, ops, time.Minute, func() bool { return taken.Add(1) <= n })
	return err
}

func loop(ctx context.Context, addr string, ops []op, d time.Duration, more func() bool) (rate float64, err error) {
	conns := make([]*conn, len(ops))
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.close()
			}
		}
	}()
	for i := range conns {
		if conns[i], err = dial(addr, time.Now().Add(d+patience)); err != nil {
			return 0, err
		}
	}
	var wg sync.WaitGroup
	var done atomic.Int64
	var failed atomic.Bool
	errs := make([]error, len(ops))
	began := time.Now()
	for i, o := range ops {
		wg.Go(func() {
			n := int64(0)
			for errs[i] == nil && !failed.Load() && ctx.Err() == nil && more() {
				if errs[i] = o(conns[i]); errs[i] == nil {
					n++
				}
			}
			if errs[i] != nil {
				failed.Store(true)
			}
			done.Add(n)
		})
	}
	wg.Wait()
	for _, e := range errs {
		if e != nil {
			return 0, e
		}
	}
	if err := context.Cause(ctx); err != nil {
		return 0, errors.Join(errors.New("interrupted"), err)
	}
	return float64(done.Load()) / time.Since(began).Seconds(), nil
}
