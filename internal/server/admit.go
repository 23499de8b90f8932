package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/transfer"
)

// admit refuses a database on which no server may start: it is not whole, or it went
// back in time, as is known already or the high-water mark says now.
func (s *Server) admit(ctx context.Context) error {
	mark, err := s.mark()
	if err != nil {
		return err
	}
	if mark == nil {
		return transfer.Admit(ctx, s.store)
	}
	issuer, err := s.store.Read(ctx).Issuer()
	switch {
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("the database is empty, but %s says that there was an issuer: restore a backup with jeton restore, or, if a new issuer is to begin here, remove that file", s.opts.Config.HighWater)
	case err != nil:
		return err
	case mark.Foreign(issuer):
		return fmt.Errorf("%s is the high-water mark of another database than this one: mend store or high_water; or, if this database is right, remove that file", s.opts.Config.HighWater)
	}
	if says := mark.Beyond(issuer); says != "" {
		if err := wentBack(ctx, audit.New(s.store, s.log), says, audit.Origin{Actor: "high-water mark"}); err != nil {
			return err
		}
	}
	return transfer.Admit(ctx, s.store)
}

func (s *Server) mark() (*transfer.Mark, error) {
	if s.opts.Config.HighWater == "" {
		return nil, nil
	}
	return transfer.ReadMark(s.opts.Config.HighWater)
}

// wentBack notes that the database went back in time. The next start waits for jeton
// recover; who serves now goes on, since an outage would mend nothing.
func (s *Server) wentBack(ctx context.Context, why string, by audit.Origin) error {
	return wentBack(ctx, s.audit, why, by)
}

func wentBack(ctx context.Context, log *audit.Log, why string, by audit.Origin) error {
	return log.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		_, err := tx.Hold(store.HoldRecover)
		if !errors.Is(err, store.ErrNotFound) {
			return audit.Event{}, err // it is known
		}
		return audit.Event{Type: audit.WentBack, Origin: by, Data: map[string]string{"why": why}}, tx.PutHold(store.HoldRecover, why)
	})
}

const markEvery = time.Second

// keepHighWater writes the high-water mark, each second, until ctx ends.
func (s *Server) keepHighWater(ctx context.Context) {
	if s.opts.Config.HighWater == "" {
		return
	}
	tick := time.NewTicker(markEvery)
	defer tick.Stop()
	for failing := false; ; {
		err := s.raiseMark(ctx)
		if failed := err != nil && ctx.Err() == nil; failed != failing {
			if failing = failed; failing {
				s.log.Error("the high-water mark can't be kept", slog.Any("error", err))
			} else {
				s.log.Info("the high-water mark is kept again")
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// raiseMark puts the mark where the database stands. A mark that is beyond that stays:
// the database went back under the running server.
func (s *Server) raiseMark(ctx context.Context) error {
	issuer, err := s.store.Read(ctx).Issuer()
	if err != nil {
		return err
	}
	mark, err := s.mark()
	if err != nil {
		return err
	}
	if mark != nil {
		if says := mark.Beyond(issuer); says != "" {
			return s.wentBack(ctx, says, audit.Origin{Actor: "high-water mark"})
		}
	}
	return transfer.MarkOf(issuer).Write(s.opts.Config.HighWater)
}

// keepJournal opens the revocation journal, if one is to be kept, and has every
// transaction wait for it.
func (s *Server) keepJournal() (err error) {
	path := s.opts.Config.RevocationJournal
	if path == "" {
		return nil
	}
	if s.journal, err = s.revoked.OpenJournal(path); err == nil {
		s.audit.SettleBy(s.journal.Settle)
	}
	return err
}
