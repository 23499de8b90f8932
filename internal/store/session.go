package store

import "time"

// Session is one login of a person in one browser. Its id is a hash of the
// cookie's secret, so the table opens no session.
type Session struct {
	ID         []byte
	Subject    string
	AMR        []string
	ACR        string
	AuthTime   time.Time
	SeenAt     time.Time
	IdleAt     time.Time
	AbsoluteAt time.Time
	UserAgent  string
	Address    string
	Rev        int64 // head when it began
}

const sessionColumns = `SELECT s.id, s.subject, s.amr, s.acr, s.auth_time, s.seen_at, s.idle_at, s.absolute_at, s.user_agent, s.address, s.rev FROM sessions s`

func scanSession(row scanner) (s Session, err error) {
	var amr string
	var auth, seen, idle, absolute int64
	if err := row.Scan(&s.ID, &s.Subject, &amr, &s.ACR, &auth, &seen, &idle, &absolute, &s.UserAgent, &s.Address, &s.Rev); err != nil {
		return s, err
	}
	s.AuthTime, s.SeenAt, s.IdleAt, s.AbsoluteAt = fromMillis(auth), fromMillis(seen), fromMillis(idle), fromMillis(absolute)
	return s, decodeAll(amr, &s.AMR)
}

// Session reads a session that is neither over nor cut off, of a user who is not
// disabled.
func (r Reader) Session(id []byte, now time.Time) (Session, error) {
	return get(r, scanSession, sessionColumns+` JOIN users u ON u.id = s.subject CROSS JOIN issuer i
		WHERE s.id = ? AND s.idle_at > ? AND s.absolute_at > ? AND u.disabled = 0 AND s.rev >= u.cutoff AND s.rev >= i.cutoff`,
		id, millis(now), millis(now))
}

// CreateSession adds a session that begins now.
func (tx *Tx) CreateSession(s Session) error {
	amr, err := encode(s.AMR, len(s.AMR) == 0)
	if err != nil {
		return err
	}
	_, err = tx.change(`INSERT INTO sessions (id, subject, amr, acr, auth_time, seen_at, idle_at, absolute_at, user_agent, address, rev)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT head FROM issuer))`,
		s.ID, s.Subject, amr, s.ACR, millis(s.AuthTime), millis(tx.now), millis(s.IdleAt), millis(s.AbsoluteAt), s.UserAgent, s.Address)
	return err
}

// TouchSession notes that a session was used now and moves its idle end.
func (tx *Tx) TouchSession(id []byte, idleAt time.Time) error {
	_, err := tx.change(`UPDATE sessions SET seen_at = ?, idle_at = ? WHERE id = ?`, millis(tx.now), millis(idleAt), id)
	return err
}

// MoveSession gives the grants that live in one session, and the clients that took part
// in it, to another: the same
// person confirmed who they are, and a session's id is new at every login.
func (tx *Tx) MoveSession(from, to []byte) error {
	if _, err := tx.change(`UPDATE grants SET session = ? WHERE session = ? AND length(session) > 0`, to, notNil(from)); err != nil {
		return err
	}
	if _, err := tx.change(`UPDATE participations SET session = ? WHERE session = ?`, to, from); err != nil {
		return err
	}
	_, err := tx.change(`DELETE FROM sessions WHERE id = ?`, from)
	return err
}

// DeleteSession removes a session; ErrNotFound when it is gone already.
func (tx *Tx) DeleteSession(id []byte) error {
	return tx.one(`DELETE FROM sessions WHERE id = ?`, id)
}

// DeleteSessionsOf removes all sessions of a subject and tells their ids.
func (tx *Tx) DeleteSessionsOf(subject string) ([][]byte, error) {
	return list(tx.Reader, scanOne[[]byte], `DELETE FROM sessions WHERE subject = ? RETURNING id`, subject)
}

// DeleteSessionsCutOff removes up to limit sessions that began before a cutoff of all and
// tells their ids.
func (tx *Tx) DeleteSessionsCutOff(limit int) ([][]byte, error) {
	return list(tx.Reader, scanOne[[]byte], `DELETE FROM sessions WHERE id IN (
		SELECT id FROM sessions WHERE rev < (SELECT cutoff FROM issuer) LIMIT ?) RETURNING id`, limit)
}

// SessionsOver reads up to limit ids of sessions that are over.
func (r Reader) SessionsOver(now time.Time, limit int) ([][]byte, error) {
	return list(r, scanOne[[]byte], `SELECT id FROM sessions WHERE idle_at <= ? LIMIT ?`, millis(now), limit)
}
