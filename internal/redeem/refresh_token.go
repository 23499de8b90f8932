package redeem

import (
	"context"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/grant"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// Refresh redeems refresh tokens (RFC 6749 §6, RFC 9700 §4.14).
type Refresh struct{ *Issuer }

// Name is the grant type's wire word.
func (Refresh) Name() oauth.GrantType { return oauth.RefreshToken }

// verdict is what the numbers say about a refresh token.
type verdict int

const (
	rotate verdict = iota // the current number: the next one goes out
	stay                  // the current number of a client whose tokens do not rotate
	repeat                // the number before: its answer was lost, the same successor goes out
	late                  // an older number, just now: refused, the grant lives
	replay                // an older number: somebody has a copy, the grant ends
	ahead                 // a number never written: the database lost acknowledged writes
)

// judge is the table of TOKENS §2. s is the row's number, n the one presented, served
// how long ago the last rotation was, outages left out.
func judge(s, n int64, rotates, confidential bool, served, grace time.Duration) verdict {
	within := served <= grace
	switch {
	case n > s:
		return ahead
	case n == s && rotates:
		return rotate
	case n == s:
		return stay
	case n == s-1 && (within || confidential):
		return repeat
	case n < s-1 && within:
		return late
	}
	return replay
}

// tries bounds how often a request that lost the race looks again.
const tries = 8

// Redeem rotates a refresh token, or says again what was lost.
func (i Refresh) Redeem(ctx context.Context, r Request) (Issued, error) {
	if !r.Params.Has("refresh_token") {
		return Issued{}, oauth.Refuse(oauth.InvalidRequest, "refresh_token is missing")
	}
	for try := range tries {
		out, again, err := i.once(ctx, r, try == 0)
		if !again {
			return out, err
		}
	}
	return Issued{}, oauth.Refuse(oauth.TemporarilyUnavailable, "too many requests use this refresh token at once: try again")
}

// once reads, judges, signs and writes. again is true when another request changed
// the grant in between, or memory did not suffice. Memory serves for the ordinary
// rotation alone, which the conditional write judges; everything else is decided on
// the row.
func (i Refresh) once(ctx context.Context, r Request, recall bool) (out Issued, again bool, err error) {
	presented := r.Params.Get("refresh_token")
	c, g, recalled := grant.Credential{}, store.Grant{}, false
	if recall {
		c, g, recalled = i.recall(r, presented, grant.Refresh)
	}
	if !recalled {
		if c, g, err = i.find(ctx, r, presented, grant.Refresh, "refresh token"); err != nil {
			return out, false, err
		}
	}
	if refusal := bound(r, &g); refusal != nil {
		return out, false, refusal
	}
	now := i.Store.Now()
	if !g.Live() || !now.Before(g.AbsoluteAt) || !now.Before(g.IdleAt) {
		return out, recalled, notOurs("refresh token")
	}
	policy := r.Client.RefreshToken
	v := judge(g.Number, c.Number, policy.Rotate != spec.RotateNever, r.Client.Confidential(),
		i.Store.Outage.Served(g.RotatedAt, now), policy.Grace.Std())
	if recalled && v != rotate {
		return out, true, nil
	}
	switch v {
	case late:
		return out, false, oauth.Refuse(oauth.InvalidGrant, "the refresh token was replaced a moment ago: use the newest one")
	case replay:
		err := i.end(ctx, r, &g, audit.GrantReplayed, grant.CauseReplayed)
		return out, false, orRefusal(err, "the refresh token was used before: all that its grant gave is revoked")
	case ahead:
		err := i.lost(ctx, r, &g, c.Number)
		return out, false, orRefusal(err, "the refresh token is newer than this server's records: log in again")
	}
	if ok, err := i.consented(ctx, r.Client, &g); err != nil || !ok {
		return out, false, orRefusal(err, "the person no longer allows this client")
	}
	out, expires, err := i.answer(r, &g, "")
	if err != nil {
		return out, false, err
	}
	next := g.Number
	if v == rotate {
		next++
	}
	if out.RefreshToken, err = i.Grants.Refresh(&g, next); err != nil {
		return Issued{}, false, err
	}
	idle, until := idleEnd(r.Client, &g, now), noted(r.Client, expires)
	won, err := i.spend(ctx, r, &g, v, recalled, idle, until)
	if err != nil || !won {
		i.Grants.Forget(g.ID)
		return Issued{}, err == nil, err
	}
	if v == rotate {
		i.Grants.Moved(g.ID, next, now, idle, until)
	}
	return out, false, nil
}

// spend writes what a verdict says, if the grant is as it was read.
func (i Refresh) spend(ctx context.Context, r Request, g *store.Grant, v verdict, recalled bool, idle, until time.Time) (won bool, err error) {
	event, write, change := audit.GrantUsed, i.Audit.WriteRoutine, func(tx *store.Tx) (bool, error) {
		return tx.Touch(g.ID, g.Number, idle, until)
	}
	switch {
	case v == stay && !worthNoting(r.Client, g, idle, until):
		return true, nil
	case v == repeat:
		event, write = audit.AnswerRepeated, i.Audit.Write
	case v == rotate && recalled:
		event, change = audit.GrantRotated, func(tx *store.Tx) (bool, error) { return tx.RotateRecalled(g, idle, until) }
	case v == rotate:
		event, change = audit.GrantRotated, func(tx *store.Tx) (bool, error) { return tx.Rotate(g.ID, g.Number, idle, until) }
	}
	err = write(ctx, func(tx *store.Tx) (e audit.Event, err error) {
		if won, err = change(tx); won {
			e = i.event(r, g, event)
		}
		return e, err
	})
	return won, err
}

// idleEnd is when a grant that is used now ends for want of use.
func idleEnd(c *store.Client, g *store.Grant, now time.Time) time.Time {
	end := now.Add(c.RefreshToken.Idle.Std())
	if end.After(g.AbsoluteAt) {
		return g.AbsoluteAt
	}
	return end
}

// A grant whose tokens do not rotate notes its use at most once in a hundredth of the
// idle time; the end of its access tokens is therefore noted as much ahead.
const notedPerIdle = 100

func slack(c *store.Client) time.Duration {
	if c.RefreshToken.Rotate == spec.RotateNever {
		return c.RefreshToken.Idle.Std() / notedPerIdle
	}
	return 0
}

func noted(c *store.Client, expires time.Time) time.Time { return expires.Add(slack(c)) }

func worthNoting(c *store.Client, g *store.Grant, idle, until time.Time) bool {
	return idle.Sub(g.IdleAt) >= slack(c) || until.Add(-slack(c)).After(g.TokensUntil)
}

func orRefusal(err error, description string) error {
	if err != nil {
		return err
	}
	return oauth.Refuse(oauth.InvalidGrant, "%s", description)
}
