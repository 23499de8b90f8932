package server

import (
	"context"
	"sync"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/grant"
	"github.com/jeton-auth/jeton/internal/jobs"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// purge remembers where the walk over the grants goes on.
type purge struct {
	mu   sync.Mutex
	next store.GrantID
}

// batch bounds how many rows one housekeeping transaction touches.
const batch = 500

// jobs are what goes on in the background, each under its lease.
func (s *Server) jobs() []jobs.Job {
	return []jobs.Job{
		{Name: "alive", Every: time.Second, Run: func(ctx context.Context, lease jobs.Lease) error {
			return s.store.Write(ctx, func(tx *store.Tx) error {
				if err := lease.Hold(tx); err != nil {
					return err
				}
				return tx.StillAlive()
			})
		}},
		{Name: "keys", Every: time.Minute, Run: func(ctx context.Context, lease jobs.Lease) error {
			return s.ring.Tick(ctx, lease.Hold)
		}},
		{Name: "expire", Every: 10 * time.Second, Run: func(ctx context.Context, lease jobs.Lease) error {
			return s.expire(ctx, lease.Hold)
		}},
	}
}

// forget drops what is over from this process's memory, until ctx ends.
func (s *Server) forget(ctx context.Context) {
	t := time.NewTicker(10 * time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			s.revoked.Forget(s.store.Now())
		}
	}
}

// expire removes what is over, in small transactions. Each of them begins with also.
func (s *Server) expire(ctx context.Context, also ...func(*store.Tx) error) error {
	housekeep := func(body func(*store.Tx) error) error {
		return s.audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
			event := audit.Event{Type: audit.Housekeeping}
			for _, f := range also {
				if err := f(tx); err != nil {
					return event, err
				}
			}
			return event, body(tx)
		})
	}
	for _, remove := range []func(*store.Tx, int) (int64, error){
		(*store.Tx).PurgeFlows, (*store.Tx).PurgeUnredeemed, s.endSessions, s.endCutOff,
		(*store.Tx).PurgeAttempts, (*store.Tx).PurgeReplays, (*store.Tx).PurgeLogouts, (*store.Tx).PurgePushed, (*store.Tx).PurgeDevices,
	} {
		for full := true; full; {
			err := housekeep(func(tx *store.Tx) error {
				n, err := remove(tx, batch)
				full = n == batch
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	for more := true; more; {
		err := housekeep(func(tx *store.Tx) error {
			n, err := tx.PurgeRevocations(4 * feed.SegmentSize)
			more = n > 0
			return err
		})
		if err != nil {
			return err
		}
	}
	s.purge.mu.Lock()
	defer s.purge.mu.Unlock()
	for range 20 {
		err := housekeep(func(tx *store.Tx) (err error) {
			s.purge.next, err = tx.PurgeGrants(s.purge.next, batch)
			return err
		})
		if err != nil || s.purge.next == (store.GrantID{}) {
			return err
		}
	}
	return nil
}

// endCutOff removes sessions that a cutoff of all ended, of which their clients are to be
// told. The log has the cutoff; it needs no entry of each.
func (s *Server) endCutOff(tx *store.Tx, limit int) (int64, error) {
	ended, err := tx.DeleteSessionsCutOff(limit)
	if err != nil {
		return 0, err
	}
	return int64(len(ended)), s.manager.Grants.SessionsEnded(tx, ended...)
}

// endSessions ends sessions that are over, with the grants that live in them.
func (s *Server) endSessions(tx *store.Tx, limit int) (int64, error) {
	over, err := tx.SessionsOver(tx.Now(), limit)
	if err != nil || len(over) == 0 {
		return 0, err
	}
	return int64(len(over)), s.manager.Grants.EndSessions(tx, over, grant.CauseSessionOver)
}
