package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jeton-auth/jeton/internal/revoke"
)

// pulseEvery is how often a node looks at what others did. It is one row.
const pulseEvery = 50 * time.Millisecond

// followNodes follows what other nodes write: revocations, clients, resources and
// keys. A wake-up by the database could make it faster; nothing depends on it.
func (s *Server) followNodes(ctx context.Context) {
	if !s.store.Shared() {
		return
	}
	t := time.NewTicker(pulseEvery)
	defer t.Stop()
	seen, failing := seen{changes: -1}, false
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		err := s.pulse(ctx, &seen)
		if failed := err != nil && ctx.Err() == nil; failed != failing {
			failing = failed
			if failing {
				s.log.Error("this node can't follow the others: the database does not answer", slog.Any("error", err))
			} else {
				s.log.Info("this node follows the others again")
			}
		}
	}
}

// seen is what memory has followed: changes by anybody, and those by this node.
type seen struct {
	changes int64
	noted   uint64
}

// pulse is one look.
func (s *Server) pulse(ctx context.Context, had *seen) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	noted := s.store.Noted()
	p, err := s.store.Look(ctx).Pulse()
	if err != nil {
		return err
	}
	if at, _ := s.revoked.Position(); at.Incarnation != p.Incarnation {
		return errors.New("the database is another one than at the start: restart this node")
	}
	if p.Head > s.revoked.Head() {
		err = s.revoked.Follow(ctx)
		if errors.Is(err, revoke.ErrLeftBehind) {
			s.feed.Restart()
			err = nil
		}
	}
	if now := (seen{p.Changes, noted}); err == nil && now != *had {
		if err = errors.Join(s.manager.Directory.Reload(ctx, s.store), s.ring.Reload(ctx)); err == nil {
			*had = now
		}
	}
	if err == nil {
		s.revoked.Settle(p.Head)
	}
	return err
}
