package login

import (
	"context"
	"errors"
	"log/slog"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/limit"
	"github.com/jeton-auth/jeton/internal/password"
	"github.com/jeton-auth/jeton/internal/store"
)

// Password lets people in by e-mail address and password.
type Password struct {
	Store  *store.Store
	Audit  *audit.Log
	Hasher *password.Hasher
	Limits *limit.Limiter
	Log    *slog.Logger
}

// Verify judges an attempt and counts its failure. The errors are ErrWrong,
// *LimitedError, password.ErrBusy, which counts for nothing, and failures of ours.
// Reads, work and writes are the same whether the account exists or not.
func (p *Password) Verify(ctx context.Context, a Attempt) (Proof, error) {
	retry, err := p.Limits.Check(ctx, p.Store.Now(), a.account(), a.peer())
	if err != nil {
		return Proof{}, err
	}
	if retry > 0 {
		return Proof{}, &LimitedError{retry}
	}
	user, err := p.Store.Read(ctx).UserByLogin(a.Login)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Proof{}, err
	}
	ok, rehash, err := p.Hasher.Verify(ctx, user.Password, a.Password)
	switch {
	case errors.Is(err, password.ErrBusy):
		return Proof{}, err
	case ctx.Err() != nil:
		return Proof{}, ctx.Err()
	case err != nil:
		p.Log.ErrorContext(ctx, "the password of an account can't be checked: set it anew", slog.String("subject", user.ID), slog.Any("error", err))
	}
	if !ok || user.Disabled {
		return Proof{}, p.failed(ctx, &a, user.ID)
	}
	if rehash {
		user.Password = p.rehash(ctx, user, &a)
	}
	return Proof{User: user, ACR: ACRPassword, AMR: []string{amrPassword}, accept: func(tx *store.Tx) (store.User, error) {
		return p.accept(tx, &user, &a)
	}}, nil
}

// accept looks again: at the limits, since parallel guesses all passed the first
// look, and at the account, which may have changed while the hash was made.
func (p *Password) accept(tx *store.Tx, user *store.User, a *Attempt) (now store.User, err error) {
	retry, err := p.Limits.CheckTx(tx, a.account(), a.peer())
	if err != nil {
		return now, err
	}
	if retry > 0 {
		return now, &LimitedError{retry}
	}
	if err := tx.LockUser(user.ID); err != nil {
		return now, err // whoever cuts the account off waits, and reaches this login
	}
	now, err = tx.User(user.ID)
	if errors.Is(err, store.ErrNotFound) || err == nil && (now.Disabled || now.Password != user.Password) {
		return now, ErrWrong
	}
	if err != nil {
		return now, err
	}
	return now, p.Limits.ForgetTx(tx, a.account())
}

// failed counts a failure and returns ErrWrong. What was typed is kept nowhere: it
// may be a password in the wrong field.
func (p *Password) failed(ctx context.Context, a *Attempt, subject string) error {
	err := p.Audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		e := audit.Event{Type: audit.LoginFailed, Subject: subject, Origin: a.Origin}
		if err := p.Limits.FailTx(tx, a.account(), a.peer()); err != nil {
			return e, err
		}
		// Only the failure that reaches the limit is recorded as such: what is turned
		// away afterwards must not be able to fill the log.
		if retry, err := p.Limits.CheckTx(tx, a.account(), a.peer()); err != nil || retry == 0 {
			return e, err
		}
		return e, audit.Append(tx, audit.Event{Type: audit.LoginLimited, Subject: subject, Origin: a.Origin})
	})
	if err != nil {
		return err
	}
	return ErrWrong
}

// rehash replaces a hash whose costs are no longer the ones in force, and returns
// the one that stands then. It can wait for the next login, so its failure stops
// nobody.
func (p *Password) rehash(ctx context.Context, user store.User, a *Attempt) string {
	phc, err := p.Hasher.Hash(ctx, a.Password)
	if err == nil {
		err = p.Audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
			if err := tx.LockUser(user.ID); err != nil {
				return audit.Event{}, err
			}
			now, err := tx.User(user.ID)
			if err != nil {
				return audit.Event{}, err
			}
			if now.Password != user.Password {
				return audit.Event{}, ErrWrong
			}
			now.Password = phc
			return audit.Event{Type: audit.Housekeeping, Subject: user.ID, Origin: a.Origin}, tx.UpdateUser(now)
		})
	}
	if err != nil {
		p.Log.WarnContext(ctx, "a password hash was not renewed", slog.String("subject", user.ID), slog.Any("error", err))
		return user.Password
	}
	return phc
}
