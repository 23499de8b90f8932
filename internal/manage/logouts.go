package manage

import (
	"context"
	"encoding/base64"
	"time"

	"github.com/jeton-auth/jeton/internal/session"
)

// Logout is a session's end of which a client was not told (yet).
type Logout struct {
	ID        string    `json:"id"`
	Client    string    `json:"client"`
	Subject   string    `json:"subject"` // as the issuer knows them
	SID       string    `json:"sid"`
	EndedAt   time.Time `json:"ended_at"`
	Attempts  int       `json:"attempts"`
	Error     string    `json:"error,omitempty"` // of the last attempt
	NextAt    time.Time `json:"next_at,omitzero"`
	GivenUpAt time.Time `json:"given_up_at,omitzero"`
}

// maxLogouts bounds a list.
const maxLogouts = 1000

// Logouts lists the newest of them.
func (m *Manager) Logouts(ctx context.Context) ([]Logout, error) {
	rows, err := m.Store.Read(ctx).PendingLogouts(maxLogouts)
	all := make([]Logout, len(rows))
	for i, r := range rows {
		all[i] = Logout{
			ID: base64.RawURLEncoding.EncodeToString(r.ID[:]), Client: r.Client, Subject: r.Subject, SID: session.SID(r.Known),
			EndedAt: r.CreatedAt, Attempts: r.Attempts, Error: r.Error, NextAt: r.DueAt, GivenUpAt: r.FailedAt,
		}
	}
	return all, err
}
