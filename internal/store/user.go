package store

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/jeton-auth/jeton/internal/secret"
)

// User is a person who can log in.
type User struct {
	ID            string // the subject: random, never reused
	Email         string
	EmailVerified bool
	Name          string
	Claims        map[string]any // further standard claims, as the user's administrator gave them
	Roles         []string
	Groups        []string
	Password      string // PHC string; empty: no password
	Disabled      bool
	Cutoff        int64 // grants and sessions with a lower rev are dead
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// Login folds what a person types as their name to the form under which accounts
// are unique: NFC, case folded, without surrounding space.
func Login(name string) string {
	return cases.Fold().String(norm.NFC.String(strings.TrimSpace(name)))
}

// NewSubject makes a subject. No client id can look like one by accident: an
// access token's sub is one or the other.
func NewSubject() string { return "u_" + secret.ID() }

const userColumns = `SELECT id, email, email_verified, name, claims, roles, groups, password, disabled, cutoff, created_at, updated_at FROM users`

func scanUser(row scanner) (u User, err error) {
	var claims, roles, groups string
	var created, updated int64
	err = row.Scan(&u.ID, &u.Email, &u.EmailVerified, &u.Name, &claims, &roles, &groups, &u.Password, &u.Disabled, &u.Cutoff, &created, &updated)
	if err != nil {
		return u, err
	}
	u.CreatedAt, u.UpdatedAt = fromMillis(created), fromMillis(updated)
	return u, decodeAll(claims, &u.Claims, roles, &u.Roles, groups, &u.Groups)
}

// decodeAll decodes pairs of JSON text and target. Empty text leaves the target.
func decodeAll(pairs ...any) error {
	for i := 0; i < len(pairs); i += 2 {
		text := pairs[i].(string)
		if text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(text), pairs[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// encode is v in JSON; empty text for what is empty.
func encode(v any, empty bool) (string, error) {
	if empty {
		return "", nil
	}
	b, err := json.Marshal(v)
	return string(b), err
}

// User reads one user by subject.
func (r Reader) User(subject string) (User, error) {
	return get(r, scanUser, userColumns+` WHERE id = ?`, subject)
}

// UserByLogin reads the user whose folded e-mail is Login(name). Nobody has a name that
// is no text.
func (r Reader) UserByLogin(name string) (User, error) {
	u, err := get(r, scanUser, userColumns+` WHERE login = ?`, Login(name))
	if errors.Is(err, ErrText) {
		err = ErrNotFound
	}
	return u, err
}

// Users reads up to limit users whose subject sorts after the one given.
func (r Reader) Users(after string, limit int) ([]User, error) {
	return list(r, scanUser, userColumns+` WHERE id > ? ORDER BY id LIMIT ?`, after, limit)
}

func (u User) encoded() (claims, roles, groups string, err error) {
	if claims, err = encode(u.Claims, len(u.Claims) == 0); err != nil {
		return
	}
	if roles, err = encode(u.Roles, len(u.Roles) == 0); err != nil {
		return
	}
	groups, err = encode(u.Groups, len(u.Groups) == 0)
	return
}

// CreateUser adds a user, or returns ErrConflict when the login is taken.
func (tx *Tx) CreateUser(u User) error {
	claims, roles, groups, err := u.encoded()
	if err != nil {
		return err
	}
	_, err = tx.change(`INSERT INTO users (id, login, email, email_verified, name, claims, roles, groups, password, disabled, cutoff, created_at, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?)`,
		u.ID, Login(u.Email), u.Email, u.EmailVerified, u.Name, claims, roles, groups, u.Password, u.Disabled, millis(tx.now), millis(tx.now))
	return err
}

// UpdateUser replaces everything of the user but the subject and the cutoff. UpdatedAt
// rises each time, so that it tells whether something changed.
func (tx *Tx) UpdateUser(u User) error {
	claims, roles, groups, err := u.encoded()
	if err != nil {
		return err
	}
	return tx.one(`UPDATE users SET login = ?, email = ?, email_verified = ?, name = ?, claims = ?, roles = ?, groups = ?, password = ?, disabled = ?,
			updated_at = CASE WHEN updated_at < ? THEN ? ELSE updated_at + 1 END WHERE id = ?`,
		Login(u.Email), u.Email, u.EmailVerified, u.Name, claims, roles, groups, u.Password, u.Disabled, millis(tx.now), millis(tx.now), u.ID)
}

// CutOffUser makes every grant, session and token of the subject with a rev under
// n dead.
func (tx *Tx) CutOffUser(subject string, n int64) error {
	return tx.one(`UPDATE users SET cutoff = CASE WHEN cutoff > ? THEN cutoff ELSE ? END WHERE id = ?`, n, n, subject)
}

// DeleteUser removes a user. Its subject is never used again.
func (tx *Tx) DeleteUser(subject string) error {
	return tx.one(`DELETE FROM users WHERE id = ?`, subject)
}
