// Package session keeps people logged in. A session is a row; the browser holds a
// cookie whose hash is the row's id, and a second cookie that binds the
// authorization requests under way to the browser that began them.
package session

import (
	"encoding/base64"
	"strings"
	"time"

	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/store"
)

// Policy bounds a session: it is over when it was not used for Idle, and Absolute
// after the login in any case.
type Policy struct{ Idle, Absolute time.Duration }

// CauseReplaced is why the grants of a session end when another person logs in in
// the same browser.
const CauseReplaced = "another_login"

// Grants ends a session with the grants that live in it.
type Grants interface {
	EndSession(tx *store.Tx, session []byte, cause string) error
}

// Sessions begins, finds and ends sessions.
type Sessions struct {
	grants Grants
	policy Policy
}

// New makes a Sessions.
func New(grants Grants, policy Policy) *Sessions { return &Sessions{grants, policy} }

// Login is a person who just proved who they are, and where.
type Login struct {
	Subject   string
	ACR       string
	AMR       []string
	UserAgent string
	Address   string
}

// maxUserAgent bounds, in bytes, what a session keeps of the browser's name.
const maxUserAgent = 256

// Begin starts a session in a transaction and returns it with the cookie's value.
// Its id is new at every login. What the browser was logged in to before, if
// anything, is given as old: the grants that live there move when the same person
// confirmed who they are, and end when it is somebody else or the session was over.
func (s *Sessions) Begin(tx *store.Tx, old []byte, l Login) (store.Session, secret.Text, error) {
	value := secret.Random()
	session := store.Session{
		ID: rowID(value.Reveal()), Subject: l.Subject, AMR: l.AMR, ACR: l.ACR,
		AuthTime: tx.Now(), SeenAt: tx.Now(), AbsoluteAt: tx.Now().Add(s.policy.Absolute),
		UserAgent: text(l.UserAgent, maxUserAgent), Address: l.Address,
	}
	session.IdleAt = s.idleEnd(tx.Now(), session.AbsoluteAt)
	if err := tx.CreateSession(session); err != nil {
		return store.Session{}, "", err
	}
	if len(old) == 0 {
		return session, value, nil
	}
	if err := tx.LockSession(old); err != nil {
		return session, value, err
	}
	before, err := Current(tx.Reader, old, tx.Now())
	switch {
	case err != nil:
	case before != nil && before.Subject == l.Subject:
		err = tx.MoveSession(old, session.ID)
	default:
		err = s.grants.EndSession(tx, old, CauseReplaced)
	}
	return session, value, err
}

// Current reads the session of that id; nil when there is none, it is over, or its
// person is disabled or cut off.
func Current(r store.Reader, id []byte, now time.Time) (*store.Session, error) {
	if len(id) == 0 {
		return nil, nil
	}
	session, err := r.Session(id, now)
	switch err {
	case nil:
		return &session, nil
	case store.ErrNotFound:
		return nil, nil
	}
	return nil, err
}

// noted is how often, at most, the use of a session is written down; a session of
// minutes is noted more often.
const noted = time.Minute

// Touch notes in a transaction that a session was used, at most once a minute.
func (s *Sessions) Touch(tx *store.Tx, session *store.Session) error {
	if tx.Now().Sub(session.SeenAt) < min(noted, s.policy.Idle/10) {
		return nil
	}
	return tx.TouchSession(session.ID, s.idleEnd(tx.Now(), session.AbsoluteAt))
}

// End ends a session and the grants that live in it.
func (s *Sessions) End(tx *store.Tx, id []byte, cause string) error {
	return s.grants.EndSession(tx, id, cause)
}

func (s *Sessions) idleEnd(now, absolute time.Time) time.Time {
	if idle := now.Add(s.policy.Idle); idle.Before(absolute) {
		return idle
	}
	return absolute
}

// SID names a session in ID tokens (OpenID Connect Front-Channel Logout §3). It is
// the row's id, a hash: it opens nothing.
func SID(id []byte) string { return base64.RawURLEncoding.EncodeToString(id) }

// ParseSID reads what SID writes.
func ParseSID(sid string) (id []byte, ok bool) {
	id, err := base64.RawURLEncoding.Strict().DecodeString(sid)
	return id, err == nil && len(id) == idLength
}

// text is a foreign text cut to limit bytes, fit for the database.
func text(s string, limit int) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s[:min(len(s), limit)], "\x00", ""), "")
}
