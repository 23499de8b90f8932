// Package jobs runs what has to be done every now and then: rotating keys, removing
// what has expired. A job runs under its row in the table of leases, so that of
// many nodes one does it, and it is stopped before its lease ends.
package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/store"
)

// Job is something to be done once in each Every, on one node. Names are distinct
// and the same on all nodes. Run must end soon after its context does; what it
// leaves undone it does the next time. It may run twice, so it must be repeatable. Each
// transaction of it holds the lease.
type Job struct {
	Name  string
	Every time.Duration
	Run   func(ctx context.Context, lease Lease) error
}

// Lease is the right to run a job.
type Lease struct{ name, holder string }

// Hold fails a transaction where the lease is lost, and keeps it until the transaction
// ends: a process that stood still for longer than its lease changes nothing after it.
func (l Lease) Hold(tx *store.Tx) error { return tx.HoldLease(l.name, l.holder) }

const (
	// lease is how long a job whose node died keeps the other nodes waiting; that of a job
	// which is due every few seconds is shorter, down to briefLease.
	lease      = time.Minute
	briefLease = 10 * time.Second
	// grace is how long Run waits for jobs to stop.
	grace = 5 * time.Second
)

// Run runs jobs until ctx ends, and returns when they have stopped, or with a
// warning when one doesn't. holder names this process among all that share the
// database; a new one has a new name.
func Run(ctx context.Context, log *slog.Logger, alog *audit.Log, holder string, jobs []Job) {
	r := &runner{log: log, audit: alog, holder: holder}
	var wg sync.WaitGroup
	for _, job := range jobs {
		wg.Go(func() { r.loop(ctx, job) })
	}
	stopped := make(chan struct{})
	go func() {
		wg.Wait()
		close(stopped)
	}()
	<-ctx.Done()
	select {
	case <-stopped:
	case <-time.After(grace):
		log.Warn("jobs are still running at shutdown; they are left behind", slog.Duration("waited", grace))
	}
}

type runner struct {
	log    *slog.Logger
	audit  *audit.Log
	holder string
}

// loop runs a job whenever it is due. Each wait is a little longer than need be,
// so that jobs and nodes spread.
func (r *runner) loop(ctx context.Context, job Job) {
	wait := time.Duration(0)
	for {
		timer := time.NewTimer(wait + jitter(job.Every))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		var err error
		if _, wait, err = r.runOnce(ctx, job); err != nil && ctx.Err() == nil {
			r.log.Error("a job failed; it is tried again", slog.String("job", job.Name), slog.Duration("in", wait), slog.Any("error", err))
		}
	}
}

// jitter is up to a tenth of a job's interval, and up to five seconds.
func jitter(every time.Duration) time.Duration {
	return rand.N(max(min(every/10, 5*time.Second), 1))
}

// runOnce runs the job if it is due and nobody else runs it, and tells how long to
// wait before asking again.
func (r *runner) runOnce(ctx context.Context, job Job) (ran bool, wait time.Duration, err error) {
	// The job is told to stop when a sixth of its lease is left. Its time is measured here
	// from before the lease is taken, so whatever this clock and the database's differ by,
	// it is over first.
	ctx, cancel := context.WithTimeout(ctx, job.lease()-job.lease()/6)
	defer cancel()
	mine, wait, err := r.begin(ctx, job)
	if err != nil || !mine {
		return false, wait, err
	}
	err = r.contained(ctx, job)
	if err = errors.Join(err, r.end(ctx, job, err == nil)); err != nil {
		return true, retry(job), err
	}
	return true, job.Every, nil
}

func (j Job) lease() time.Duration { return min(lease, max(10*j.Every, briefLease)) }

// retry is how long after a failure a job is tried again.
func retry(job Job) time.Duration { return min(job.Every, lease) }

// begin takes the lease of a job that is due.
func (r *runner) begin(ctx context.Context, job Job) (mine bool, wait time.Duration, err error) {
	err = r.audit.Write(ctx, func(tx *store.Tx) (event audit.Event, err error) {
		mine, wait = false, 0
		ranAt, err := tx.LeaseRanAt(job.Name)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return event, err
		}
		// A time to come was noted by a clock that has since been set back.
		if due := ranAt.Add(job.Every); due.After(tx.Now()) && !ranAt.After(tx.Now()) {
			wait = due.Sub(tx.Now())
			return event, nil
		}
		if mine, err = tx.TakeLease(job.Name, r.holder, tx.Now().Add(job.lease())); err != nil || !mine {
			wait = min(job.Every, job.lease()/4)
			return event, err
		}
		return audit.Event{Type: audit.Housekeeping, Data: map[string]string{"job": job.Name}}, nil
	})
	if err != nil {
		return false, retry(job), fmt.Errorf("take the lease: %w", err)
	}
	return mine, wait, nil
}

// end notes that the job ran, if it did, and gives the lease back. A lease that was
// lost stays lost. A shutdown does not keep this from being written.
func (r *runner) end(ctx context.Context, job Job, done bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace/2)
	defer cancel()
	err := r.audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		event := audit.Event{Type: audit.Housekeeping, Data: map[string]string{"job": job.Name}}
		if done {
			if err := tx.LeaseRan(job.Name, r.holder); err != nil {
				return event, err
			}
		}
		_, err := tx.TakeLease(job.Name, r.holder, tx.Now())
		return event, err
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return errors.New("it took longer than its lease")
	case err != nil:
		return fmt.Errorf("give the lease back: %w", err)
	}
	return nil
}

// contained runs the job; a panic in it is an error.
func (r *runner) contained(ctx context.Context, job Job) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("a job panicked", slog.String("job", job.Name), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return job.Run(ctx, Lease{job.Name, r.holder})
}
