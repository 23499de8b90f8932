package grant

import (
	"context"
	"encoding/base64"
	"errors"
	"time"

	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/recent"
	"github.com/jeton-auth/jeton/internal/revoke"
	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// CodeLifetime is how long a code may be redeemed; there is no leeway.
const CodeLifetime = time.Minute

// perClientAndSubject is how many live grants one client may hold for one subject.
const perClientAndSubject = 50

// Why a grant ended, as the row and the log keep it.
const (
	CauseReplayed    = "replayed"
	CauseRevoked     = "revoked"
	CauseLoggedOut   = "logged_out"
	CauseSessionOver = "session_over"
	CauseTooMany     = "too_many_grants"
	CauseWritesLost  = "writes_lost"
)

// Peppers are the random roots in the key ring.
type Peppers interface {
	Pepper() keys.Root
	PepperByID(id int64) (keys.Root, bool)
}

// Leaving is told, in the transaction that ends a session, that it ended.
type Leaving interface {
	SessionEnded(tx *store.Tx, id []byte) error
}

// Grants makes, finds and ends grants.
type Grants struct {
	leaving Leaving
	st      *store.Store
	peppers Peppers
	log     *revoke.Log
	used    *recent.Cache[store.GrantID, store.Grant] // as read or written a moment ago
}

// usedGrants bounds how many grants are remembered: a few megabytes.
const usedGrants = 4096

// New makes a Grants.
func New(st *store.Store, peppers Peppers, log *revoke.Log) *Grants {
	return &Grants{st: st, peppers: peppers, log: log, used: recent.New[store.GrantID, store.Grant](usedGrants)}
}

// Tell has l be told of each session that ends from now on.
func (s *Grants) Tell(l Leaving) { s.leaving = l }

// SessionsEnded tells of sessions that were removed in this transaction.
func (s *Grants) SessionsEnded(tx *store.Tx, ids ...[]byte) error {
	if s.leaving == nil {
		return nil
	}
	for _, id := range ids {
		if err := s.leaving.SessionEnded(tx, id); err != nil {
			return err
		}
	}
	return nil
}

// Handle names a grant in tokens: base64url of its id.
func Handle(id store.GrantID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// ParseHandle reads what Handle writes.
func ParseHandle(s string) (id store.GrantID, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(id) {
		return id, false
	}
	return store.GrantID(b), true
}

// Create adds a grant in a transaction and returns its code. The caller fills in
// Client, Subject, Session (empty when the grant outlives its session), Rev (the
// head read before the person's session was), AbsoluteAt, Code, TokensUntil and Details,
// and User where it was read in this transaction; the rest is set in g. Without Code the
// grant has no code, and nothing but the tokens that go out now. A code lives for
// CodeLifetime, unless Code says until when.
func (s *Grants) Create(tx *store.Tx, g *store.Grant) (code string, err error) {
	pepper := s.peppers.Pepper()
	copy(g.ID[:], secret.Bytes(len(g.ID)))
	g.Secret = secret.Bytes(32)
	g.Pepper = pepper.ID
	g.CreatedAt, g.RotatedAt, g.IdleAt = tx.Now(), tx.Now(), tx.Now()
	if g.Code == nil {
		g.Number = 1
		return "", errors.Join(tx.CreateGrant(*g), s.thin(tx, g, tx.EndOldestWithoutCode))
	}
	if g.Code.ExpiresAt.IsZero() {
		g.Code.ExpiresAt = tx.Now().Add(CodeLifetime)
	}
	g.IdleAt = g.Code.ExpiresAt
	if err := tx.CreateGrant(*g); err != nil {
		return "", err
	}
	if g.User.ID == g.Subject {
		made := *g
		tx.AfterCommit(func() { s.used.Put(g.ID, made, 1) })
	}
	return format(pepper, g, Code, 0), nil
}

// Spend moves a grant from its code to number 1 in a transaction. won is false when it
// was not live or the code was spent. Where the subject then has too many grants at
// this client, the one longest unused ends.
func (s *Grants) Spend(tx *store.Tx, g *store.Grant, idleAt, tokensUntil time.Time) (won bool, err error) {
	if won, err = tx.SpendCode(g, idleAt, tokensUntil); err != nil || !won {
		return won, err
	}
	return won, s.thin(tx, g, tx.EndIdlest)
}

// thin ends the grant longest unused where a subject has too many of its kind at one client.
func (s *Grants) thin(tx *store.Tx, g *store.Grant, end func(subject, client string, keep int, cause string) ([]store.Ended, error)) error {
	ended, err := end(g.Subject, g.Client, perClientAndSubject, CauseTooMany)
	if err != nil {
		return err
	}
	return s.log.Add(tx, CauseTooMany, s.entries(tx, CauseTooMany, ended)...)
}

// Find parses a code or refresh token and reads its grant. ErrForged: it is none
// of ours, or its grant is gone. A grant that is returned may be over: look at
// Live.
func (s *Grants) Find(ctx context.Context, presented string) (Credential, store.Grant, error) {
	c, err := parse(presented)
	if err != nil {
		return c, store.Grant{}, err
	}
	pepper, ok := s.peppers.PepperByID(c.Pepper)
	if !ok || !c.plausible(pepper) {
		return c, store.Grant{}, ErrForged
	}
	g, err := s.st.Read(ctx).Grant(c.ID)
	if errors.Is(err, store.ErrNotFound) {
		return c, g, ErrForged
	}
	if err != nil {
		return c, g, err
	}
	if !c.authentic(pepper, &g) {
		return c, store.Grant{}, ErrForged
	}
	if c.Kind == Refresh && g.Live() {
		s.used.Put(c.ID, g, 1)
	}
	return c, g, nil
}

// Recall is Find from memory, for a grant that was used a moment ago. What it returns
// may be out of date and decides nothing: it serves to sign the tokens of a
// conditional write, which judges by the row. ok is false where nothing is remembered.
func (s *Grants) Recall(presented string) (c Credential, g store.Grant, ok bool) {
	c, err := parse(presented)
	if err != nil {
		return c, g, false
	}
	pepper, ok := s.peppers.PepperByID(c.Pepper)
	if !ok || !c.plausible(pepper) {
		return c, g, false
	}
	g, ok = s.used.Get(c.ID)
	if !ok || !c.authentic(pepper, &g) {
		return c, store.Grant{}, false
	}
	return c, g, true
}

// Moved remembers that a grant now stands at a number.
func (s *Grants) Moved(id store.GrantID, number int64, at, idleAt, tokensUntil time.Time) {
	m, ok := s.used.Get(id)
	if !ok || m.Number >= number {
		return
	}
	m.Code, m.Number, m.RotatedAt, m.IdleAt, m.TokensUntil = nil, number, at, idleAt, tokensUntil
	s.used.Put(id, m, 1)
}

// Forget drops what is remembered of a grant.
func (s *Grants) Forget(id store.GrantID) { s.used.Drop(id) }

// Refresh is the grant's refresh token of a number.
func (s *Grants) Refresh(g *store.Grant, number int64) (string, error) {
	pepper, ok := s.peppers.PepperByID(g.Pepper)
	if !ok || number < 1 || number > maxNumber {
		return "", errors.New("grant: no pepper or number for this refresh token")
	}
	return format(pepper, g, Refresh, number), nil
}

// End ends a grant and revokes its access tokens. It is done when the grant is
// over or gone already.
func (s *Grants) End(tx *store.Tx, id store.GrantID, cause string) error {
	e, err := tx.EndGrant(id, cause)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.log.Add(tx, cause, s.entries(tx, cause, []store.Ended{e})...)
}

// EndSession removes a session and ends the grants that live in it. A session that is
// gone already leaves no entry: anybody may send a cookie.
func (s *Grants) EndSession(tx *store.Tx, session []byte, cause string) error {
	return s.EndSessions(tx, [][]byte{session}, cause)
}

// EndSessions is EndSession for several.
func (s *Grants) EndSessions(tx *store.Tx, sessions [][]byte, cause string) error {
	var told []revoke.Entry
	for _, session := range sessions {
		if err := tx.LockSession(session); err != nil {
			return err // no other node makes a grant in it from now on
		}
		ended, err := tx.EndGrantsOfSession(session, cause)
		if err != nil {
			return err
		}
		told = append(told, s.entries(tx, cause, ended)...)
		switch err := tx.DeleteSession(session); {
		case err == nil:
			told = append(told, revoke.Entry{Kind: feed.Session, Value: base64.RawURLEncoding.EncodeToString(session)})
			if err := s.SessionsEnded(tx, session); err != nil {
				return err
			}
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
	}
	return s.log.Add(tx, cause, told...)
}

// entries tell of the ended grants under which an access token may still be alive. The
// others are for the journal alone.
func (s *Grants) entries(tx *store.Tx, cause string, ended []store.Ended) (told []revoke.Entry) {
	var silent []string
	for _, e := range ended {
		if e.TokensUntil.After(tx.Now().Add(-time.Minute)) {
			told = append(told, revoke.Entry{Kind: feed.Grant, Value: Handle(e.ID)})
		} else {
			silent = append(silent, Handle(e.ID))
		}
	}
	s.log.Ended(tx, cause, silent...)
	return told
}
