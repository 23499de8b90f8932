package store

import "time"

// AuditEvent is one row of the audit log.
type AuditEvent struct {
	ID      string
	At      time.Time
	Type    string
	Subject string
	Client  string
	Grant   string
	Actor   string
	Address string
	Request string // request id
	Data    string // JSON object
}

// AppendAudit adds an event at the transaction's time. Its row is written when the body
// has ended.
func (tx *Tx) AppendAudit(e AuditEvent) error {
	row := []any{e.ID, millis(tx.now), e.Type, e.Subject, e.Client, e.Grant, e.Actor, e.Address, e.Request, e.Data}
	if err := good(row); err != nil {
		return err
	}
	tx.events = append(tx.events, row)
	return nil
}

// AuditEvents reads up to limit events since a time, oldest first.
func (r Reader) AuditEvents(since time.Time, limit int) ([]AuditEvent, error) {
	return list(r, func(row scanner) (e AuditEvent, err error) {
		var at int64
		err = row.Scan(&e.ID, &at, &e.Type, &e.Subject, &e.Client, &e.Grant, &e.Actor, &e.Address, &e.Request, &e.Data)
		e.At = fromMillis(at)
		return e, err
	}, `SELECT id, at, type, subject, client, grant_, actor, address, request, data FROM audit WHERE at >= ? ORDER BY at, id LIMIT ?`, millis(since), limit)
}
