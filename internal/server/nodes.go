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
	changes, failing := int64(-1), false
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		err := s.pulse(ctx, &changes)
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

// pulse is one look.
func (s *Server) pulse(ctx context.Context, changes *int64) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	p, err := s.store.Read(ctx).Pulse()
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
	if p.Changes == *changes {
		return err
	}
	if err := errors.Join(err, s.manager.Directory.Reload(ctx, s.store), s.ring.Reload(ctx)); err != nil {
		return err
	}
	*changes = p.Changes
	return nil
}
