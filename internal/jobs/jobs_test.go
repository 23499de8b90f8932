package jobs

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/store/sqlite"
)

var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// open gives a runner for each holder, over one database.
func open(t *testing.T, path string, c clock.Clock, holders ...string) (runners []*runner, st *store.Store, end func()) {
	t.Helper()
	engine := &sqlite.Engine{}
	quiet := slog.New(slog.DiscardHandler)
	st, err := store.Open(t.Context(), engine, path, c, quiet)
	if err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() {
		if err := errors.Join(st.Close(), engine.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(end)
	for _, h := range holders {
		runners = append(runners, &runner{log: quiet, audit: audit.New(st, quiet), holder: h})
	}
	return runners, st, end
}

func begun(t *testing.T, holders ...string) ([]*runner, *store.Store, *clock.Manual) {
	t.Helper()
	c := clock.NewManual(begin)
	runners, st, _ := open(t, filepath.Join(t.TempDir(), "jeton.db"), c, holders...)
	return runners, st, c
}

// counted is a job each minute that counts its runs.
func counted(n *int) Job {
	return Job{Name: "count", Every: time.Minute, Run: func(context.Context, Lease) error { *n++; return nil }}
}

// wants runs a job that must not fail.
func (r *runner) wants(t *testing.T, job Job, wantRan bool, wantWait time.Duration) {
	t.Helper()
	ran, wait, err := r.runOnce(t.Context(), job)
	if ran != wantRan || wait != wantWait || err != nil {
		t.Errorf("%s: ran %v, wait %v, %v; want %v, %v", r.holder, ran, wait, err, wantRan, wantWait)
	}
}

func TestOncePerInterval(t *testing.T) {
	t.Parallel()
	rs, st, c := begun(t, "a", "b")
	n := 0
	job := counted(&n)
	rs[0].wants(t, job, true, time.Minute)
	rs[0].wants(t, job, false, time.Minute)
	rs[1].wants(t, job, false, time.Minute)
	c.Advance(40 * time.Second)
	rs[1].wants(t, job, false, 20*time.Second)
	c.Advance(20 * time.Second)
	rs[1].wants(t, job, true, time.Minute) // the lease was given back
	rs[0].wants(t, job, false, time.Minute)
	if n != 2 {
		t.Errorf("%d runs, want 2", n)
	}
	if at, err := st.Read(t.Context()).LeaseRanAt(job.Name); err != nil || !at.Equal(c.Now()) {
		t.Errorf("ran at %v, %v", at, err)
	}
	events, err := st.Read(t.Context()).AuditEvents(begin, 10)
	if err != nil || len(events) != 0 {
		t.Errorf("routine work leaves %d audit events, %v", len(events), err)
	}
}

func TestOneNodeAtATime(t *testing.T) {
	t.Parallel()
	holders := strings.Split("abcdefghijklmnop", "")
	rs, _, _ := begun(t, holders...)
	var running, most, runs atomic.Int64
	release := make(chan struct{})
	job := Job{Name: "alone", Every: time.Minute, Run: func(context.Context, Lease) error {
		runs.Add(1)
		most.Store(max(most.Load(), running.Add(1)))
		<-release
		running.Add(-1)
		return nil
	}}
	var wg, refused sync.WaitGroup
	refused.Add(len(rs) - 1)
	for _, r := range rs {
		wg.Go(func() {
			ran, wait, err := r.runOnce(t.Context(), job)
			if err != nil {
				t.Error(err)
			}
			if !ran {
				if wait != lease/4 {
					t.Errorf("%s asks again in %v", r.holder, wait)
				}
				refused.Done()
			}
		})
	}
	refused.Wait()
	close(release)
	wg.Wait()
	if runs.Load() != 1 || most.Load() != 1 {
		t.Errorf("%d runs, %d at once", runs.Load(), most.Load())
	}
}

// A node that died with a lease keeps the others waiting until it ends.
func TestDeadNode(t *testing.T) {
	t.Parallel()
	rs, st, c := begun(t, "b")
	err := st.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.TakeLease("count", "dead", tx.Now().Add(lease))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	rs[0].wants(t, counted(&n), false, lease/4)
	c.Advance(lease - time.Second)
	rs[0].wants(t, counted(&n), false, lease/4)
	c.Advance(time.Second)
	rs[0].wants(t, counted(&n), true, time.Minute)
}

func TestRestart(t *testing.T) {
	t.Parallel()
	path, c := filepath.Join(t.TempDir(), "jeton.db"), clock.NewManual(begin)
	n := 0
	job := counted(&n)
	job.Every = time.Hour
	rs, _, end := open(t, path, c, "first")
	rs[0].wants(t, job, true, time.Hour)
	end()
	c.Advance(50 * time.Minute)
	rs, _, _ = open(t, path, c, "second")
	rs[0].wants(t, job, false, 10*time.Minute)
	c.Advance(10 * time.Minute)
	rs[0].wants(t, job, true, time.Hour)
}

func TestFailure(t *testing.T) {
	t.Parallel()
	oops := errors.New("oops")
	for name, run := range map[string]func(context.Context, Lease) error{
		"error": func(context.Context, Lease) error { return oops },
		"panic": func(context.Context, Lease) error { panic("oops") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rs, _, _ := begun(t, "a", "b")
			job := Job{Name: "count", Every: time.Hour, Run: run}
			ran, wait, err := rs[0].runOnce(t.Context(), job)
			if !ran || wait != lease || err == nil || !strings.Contains(err.Error(), "oops") || strings.Contains(err.Error(), ".go") {
				t.Errorf("ran %v, wait %v, %v", ran, wait, err)
			}
			n := 0
			rs[1].wants(t, counted(&n), true, time.Minute) // it is due still, and the lease is free
		})
	}
}

// A job that went on after its lease ended takes nothing back from the next holder.
func TestOverrun(t *testing.T) {
	t.Parallel()
	rs, st, c := begun(t, "slow", "next")
	n := 0
	slow := Job{Name: "count", Every: time.Minute, Run: func(ctx context.Context, _ Lease) error {
		c.Advance(lease)
		quick := counted(&n)
		quick.Run = func(context.Context, Lease) error { c.Advance(lease / 2); return nil }
		rs[1].wants(t, quick, true, time.Minute)
		return nil
	}}
	_, wait, err := rs[0].runOnce(t.Context(), slow)
	if err == nil || !strings.Contains(err.Error(), "longer than its lease") || wait != time.Minute {
		t.Errorf("wait %v, %v", wait, err)
	}
	if at, err := st.Read(t.Context()).LeaseRanAt("count"); err != nil || !at.Equal(begin.Add(lease*3/2)) {
		t.Errorf("ran at %v, %v", at, err)
	}
}

// A clock that was set back does not keep a job from running until it catches up.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	rs, _, c := begun(t, "a")
	n := 0
	rs[0].wants(t, counted(&n), true, time.Minute)
	c.Advance(-24 * time.Hour)
	rs[0].wants(t, counted(&n), true, time.Minute)
	rs[0].wants(t, counted(&n), false, time.Minute)
}

func TestStoreClosed(t *testing.T) {
	t.Parallel()
	rs, _, end := open(t, filepath.Join(t.TempDir(), "jeton.db"), clock.System{}, "a")
	end()
	n := 0
	ran, wait, err := rs[0].runOnce(t.Context(), counted(&n))
	if ran || wait != time.Minute || !errors.Is(err, store.ErrClosed) || n != 0 {
		t.Errorf("ran %v, wait %v, %v", ran, wait, err)
	}
}

// In a bubble time passes only while everybody waits.
func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		rs, _, _ := open(t, filepath.Join(dir, "jeton.db"), clock.System{}, "a")
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, nil))
		start := time.Now()
		var minutes, panics, stopped atomic.Int64
		jobs := []Job{
			{Name: "minute", Every: time.Minute, Run: func(context.Context, Lease) error { minutes.Add(1); return nil }},
			{Name: "broken", Every: time.Hour, Run: func(context.Context, Lease) error { panics.Add(1); panic("oops") }},
			{Name: "slow", Every: time.Hour, Run: func(ctx context.Context, _ Lease) error {
				begun := time.Now()
				<-ctx.Done()
				if took := time.Since(begun); stopped.Add(1) == 1 && took != lease-lease/6 {
					t.Errorf("the job was told to stop after %v", took)
				}
				return ctx.Err()
			}},
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			Run(ctx, log, rs[0].audit, "a", jobs)
			close(done)
		}()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if minutes.Load() != 1 || panics.Load() != 1 {
			t.Errorf("%d and %d runs soon after the start", minutes.Load(), panics.Load())
		}
		time.Sleep(time.Hour)
		stop()
		<-done
		if n := minutes.Load(); n < 50 || n > 61 {
			t.Errorf("%d runs in an hour", n)
		}
		if panics.Load() < 50 || stopped.Load() < 30 {
			t.Errorf("failed jobs were tried %d and %d times in an hour", panics.Load(), stopped.Load())
		}
		if took := time.Since(start); took != time.Hour+10*time.Second {
			t.Errorf("Run returned after %v", took)
		}
		if s := out.String(); !strings.Contains(s, "job=broken") || !strings.Contains(s, "panic=oops") || strings.Contains(s, "job=minute") {
			t.Errorf("the log says %s", s)
		}
	})
}

// A job that does not listen holds the shutdown up for a bounded time.
func TestStuckJob(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		rs, _, _ := open(t, filepath.Join(dir, "jeton.db"), clock.System{}, "a")
		release := make(chan struct{})
		jobs := []Job{{Name: "stuck", Every: time.Minute, Run: func(context.Context, Lease) error { <-release; return nil }}}
		var out bytes.Buffer
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			Run(ctx, slog.New(slog.NewTextHandler(&out, nil)), rs[0].audit, "a", jobs)
			close(done)
		}()
		time.Sleep(10 * time.Second)
		stop()
		start := time.Now()
		<-done
		if took := time.Since(start); took != grace || !strings.Contains(out.String(), "still running") {
			t.Errorf("Run returned after %v and said %q", took, out.String())
		}
		close(release)
		synctest.Wait()
	})
}

// A process that stood still for longer than its lease changes nothing after it,
// whatever it was about to do.
func TestStaleLease(t *testing.T) {
	t.Parallel()
	rs, st, c := begun(t, "paused", "next")
	n, acted := 0, false
	paused := Job{Name: "count", Every: time.Minute, Run: func(ctx context.Context, had Lease) error {
		if err := st.Write(ctx, had.Hold); err != nil {
			t.Errorf("a lease that was just taken: %v", err)
		}
		c.Advance(lease + time.Second)
		rs[1].wants(t, counted(&n), true, time.Minute)
		return st.Write(ctx, func(tx *store.Tx) error {
			if err := had.Hold(tx); err != nil {
				return err
			}
			acted = true
			return nil
		})
	}}
	if _, _, err := rs[0].runOnce(t.Context(), paused); !errors.Is(err, store.ErrLeaseLost) || acted || n != 1 {
		t.Errorf("acted %v, the next node ran %d times, %v", acted, n, err)
	}
}
