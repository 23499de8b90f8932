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
		{Name: "alive", Every: time.Second, Run: func(ctx context.Context) error {
			return s.store.Write(ctx, (*store.Tx).Alive)
		}},
		{Name: "keys", Every: time.Minute, Run: s.ring.Tick},
		{Name: "expire", Every: 10 * time.Second, Run: s.expire},
	}
}

// expire removes what is over, in small transactions.
func (s *Server) expire(ctx context.Context) error {
	s.revoked.Forget(s.store.Now())
	for _, remove := range []func(*store.Tx, int) (int64, error){
		(*store.Tx).PurgeFlows, (*store.Tx).PurgeUnredeemed, s.endSessions,
		(*store.Tx).PurgeAttempts,
	} {
		for full := true; full; {
			err := s.housekeep(ctx, func(tx *store.Tx) error {
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
		err := s.housekeep(ctx, func(tx *store.Tx) error {
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
		err := s.housekeep(ctx, func(tx *store.Tx) (err error) {
			s.purge.next, err = tx.PurgeGrants(s.purge.next, batch)
			return err
		})
		if err != nil || s.purge.next == (store.GrantID{}) {
			return err
		}
	}
	return nil
}

// endSessions ends sessions that are over, with the grants that live in them.
func (s *Server) endSessions(tx *store.Tx, limit int) (int64, error) {
	over, err := tx.SessionsOver(tx.Now(), limit)
	for _, id := range over {
		if err = s.manager.Grants.EndSession(tx, id, grant.CauseSessionOver); err != nil {
			break
		}
	}
	return int64(len(over)), err
}

func (s *Server) housekeep(ctx context.Context, body func(*store.Tx) error) error {
	return s.audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		return audit.Event{Type: audit.Housekeeping}, body(tx)
	})
}
