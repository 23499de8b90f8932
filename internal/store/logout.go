package store

import "time"

// Participation is a client's part in a session: it was answered there, and knows the
// session by a name.
type Participation struct {
	Session []byte
	Client  string
	// Known is the id by which the client knows the session: the session's own, or of one
	// that the same person went on from in the same browser.
	Known   []byte
	Subject string
}

func scanParticipation(row scanner) (p Participation, err error) {
	return p, row.Scan(&p.Session, &p.Client, &p.Known, &p.Subject)
}

// MaxKnown is by how many names a client is told of one session's end: who confirms again
// and again who they are leaves one each time.
const MaxKnown = 50

// Participate notes that a client was answered in a session, which it knows by its id. Of
// more than MaxKnown names one goes that is older.
func (tx *Tx) Participate(session []byte, client, subject string) error {
	n, err := tx.change(`INSERT INTO participations (session, client, known, subject) VALUES (?, ?, ?, ?) ON CONFLICT (session, client, known) DO NOTHING`,
		session, client, session, subject)
	if err != nil || n == 0 {
		return err
	}
	_, err = tx.change(`DELETE FROM participations WHERE session = ? AND client = ? AND known = (SELECT p.known FROM participations p WHERE p.session = ? AND p.client = ? AND p.known <> ? ORDER BY p.known LIMIT 1)
		AND (SELECT count(*) FROM participations c WHERE c.session = ? AND c.client = ?) > ?`,
		session, client, session, client, session, session, client, MaxKnown)
	return err
}

// Participations reads who took part in a session.
func (r Reader) Participations(session []byte) ([]Participation, error) {
	return list(r, scanParticipation, `SELECT session, client, known, subject FROM participations WHERE session = ? ORDER BY client, known`, session)
}

// EndParticipations removes all participations in a session.
func (tx *Tx) EndParticipations(session []byte) error {
	_, err := tx.change(`DELETE FROM participations WHERE session = ?`, session)
	return err
}

// LogoutID names a logout that a client is to be told of: 128 random bits.
type LogoutID [16]byte

// PendingLogout is a session's end of which a client is to be told (OpenID Connect
// Back-Channel Logout §2).
type PendingLogout struct {
	ID        LogoutID
	Client    string
	Subject   string
	Known     []byte // the id by which the client knows the session
	CreatedAt time.Time
	DueAt     time.Time // of the next attempt
	Attempts  int
	Error     string    // of the last attempt
	FailedAt  time.Time // zero: it is still tried
}

const pendingLogoutColumns = `SELECT id, client, subject, known, created_at, due_at, attempts, error, failed_at FROM logouts`

func scanPendingLogout(row scanner) (l PendingLogout, err error) {
	var id []byte
	var created, due, failed int64
	if err := row.Scan(&id, &l.Client, &l.Subject, &l.Known, &created, &due, &l.Attempts, &l.Error, &failed); err != nil {
		return l, err
	}
	copy(l.ID[:], id)
	l.CreatedAt, l.DueAt, l.FailedAt = fromMillis(created), fromMillis(due), fromMillis(failed)
	return l, nil
}

// QueueLogout has a client be told of a logout, from now on.
func (tx *Tx) QueueLogout(l PendingLogout) error {
	_, err := tx.change(`INSERT INTO logouts (id, client, subject, known, created_at, due_at, attempts, error, failed_at) VALUES (?, ?, ?, ?, ?, ?, 0, '', 0)`,
		l.ID[:], l.Client, l.Subject, l.Known, millis(tx.now), millis(tx.now))
	return err
}

// LogoutsDueTo reads up to limit logouts of which a client is to be told by now.
func (r Reader) LogoutsDueTo(client string, now time.Time, limit int) ([]PendingLogout, error) {
	return list(r, scanPendingLogout, pendingLogoutColumns+` WHERE failed_at = 0 AND client = ? AND due_at <= ? ORDER BY due_at LIMIT ?`, client, millis(now), limit)
}

// ClientsWithLogoutsDue reads the clients that are to be told of something by now.
func (r Reader) ClientsWithLogoutsDue(now time.Time) ([]string, error) {
	return list(r, scanOne[string], `SELECT DISTINCT client FROM logouts WHERE failed_at = 0 AND due_at <= ? ORDER BY client`, millis(now))
}

// PendingLogouts reads up to limit logouts that are not delivered, the newest first.
func (r Reader) PendingLogouts(limit int) ([]PendingLogout, error) {
	return list(r, scanPendingLogout, pendingLogoutColumns+` ORDER BY created_at DESC, id LIMIT ?`, limit)
}

// ClaimLogout takes the next attempt at a logout, which nobody else makes until a time.
// won is false where another node was first.
func (tx *Tx) ClaimLogout(l PendingLogout, until time.Time) (won bool, err error) {
	n, err := tx.change(`UPDATE logouts SET attempts = attempts + 1, due_at = ? WHERE id = ? AND attempts = ? AND failed_at = 0`, millis(until), l.ID[:], l.Attempts)
	return n == 1, err
}

// LogoutDelivered removes a logout of which its client was told.
func (tx *Tx) LogoutDelivered(id LogoutID) error {
	_, err := tx.change(`DELETE FROM logouts WHERE id = ?`, id[:])
	return err
}

// LogoutFailed notes what went wrong with an attempt. The next one is due at a time; a
// zero time: there is none.
func (tx *Tx) LogoutFailed(id LogoutID, why string, next time.Time) error {
	failed := int64(0)
	if next.IsZero() {
		failed = millis(tx.now)
	}
	_, err := tx.change(`UPDATE logouts SET error = ?, due_at = ?, failed_at = ? WHERE id = ?`, why, millis(next), failed, id[:])
	return err
}

// failedKept is how long a logout that can't be delivered is shown.
const failedKept = 7 * 24 * time.Hour

// PurgeLogouts removes up to limit logouts that failed long ago.
func (tx *Tx) PurgeLogouts(limit int) (int64, error) {
	return tx.change(`DELETE FROM logouts WHERE id IN (SELECT id FROM logouts WHERE failed_at > 0 AND failed_at < ? LIMIT ?)`, millis(tx.now.Add(-failedKept)), limit)
}
