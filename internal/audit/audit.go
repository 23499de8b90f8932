// Package audit records what happened. Every transaction that changes state goes
// through Log.Write and names its event, which is kept in the same transaction:
// either both are there or neither.
package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/store"
)

// Type names what happened.
type Type string

// Events that are kept: every authentication, administration and revocation.
const (
	LoginSucceeded  Type = "login.succeeded"
	LoginFailed     Type = "login.failed"
	LoginLimited    Type = "login.limited"
	DeviceLimited   Type = "device.guesses_limited" // too many wrong user codes from one address
	LoggedOut       Type = "session.ended"
	LogoutTold      Type = "logout.told"     // a client was told of it
	LogoutNotTold   Type = "logout.not_told" // a client could not be told, and is not tried any more
	ConsentGiven    Type = "consent.given"
	ConsentDenied   Type = "consent.denied"
	GrantCreated    Type = "grant.created"
	GrantRevoked    Type = "grant.revoked"
	GrantReplayed   Type = "grant.replayed"
	TokenRevoked    Type = "token.revoked"
	AnswerRepeated  Type = "grant.answer_repeated" // a lost answer was given again, within grace or after
	WritesLost      Type = "store.writes_lost"     // a number above its row: the database lost acknowledged writes
	CutOff          Type = "revocation.cutoff"
	KeyRevoked      Type = "revocation.key"
	ClientPut       Type = "client.put"
	ClientDisabled  Type = "client.disabled"
	ClientEnabled   Type = "client.enabled"
	ClientDeleted   Type = "client.deleted"
	ResourcePut     Type = "resource.put"
	ResourceDeleted Type = "resource.deleted"
	UserCreated     Type = "user.created"
	UserUpdated     Type = "user.updated"
	UserDisabled    Type = "user.disabled"
	UserEnabled     Type = "user.enabled"
	UserDeleted     Type = "user.deleted"
	PasswordSet     Type = "user.password_set"
	KeyCreated      Type = "key.created"
	KeyActivated    Type = "key.activated"
	KeyRetired      Type = "key.retired"
	KeyDeleted      Type = "key.deleted"
	Copied          Type = "store.copied"
	BackedUp        Type = "store.backed_up"
	Restored        Type = "store.restored"
	Recovered       Type = "store.recovered"
	WentBack        Type = "store.went_back" // somebody saw a later state of the database than it has
)

// Routine events are the system's ordinary work. They go to the log at debug
// level and leave no row: rows grow with people and grants, not with tokens.
const (
	FlowBegun      Type = "flow.begun"
	RequestPushed  Type = "request.pushed"
	DeviceBegun    Type = "device.begun"
	DevicePolled   Type = "device.polled"
	CodeRedeemed   Type = "grant.redeemed"
	GrantRotated   Type = "grant.rotated"
	GrantUsed      Type = "grant.used"
	SessionTouched Type = "session.touched"
	AssertionUsed  Type = "client.assertion_used"
	ProofUsed      Type = "client.proof_used"
	Housekeeping   Type = "store.housekeeping"
	Transferred    Type = "store.transferred" // rows were moved as they are, or a command noted how far it is
)

var routine = map[Type]bool{
	FlowBegun: true, RequestPushed: true, DeviceBegun: true, DevicePolled: true, CodeRedeemed: true, GrantRotated: true, GrantUsed: true,
	SessionTouched: true, AssertionUsed: true, ProofUsed: true, Housekeeping: true, Transferred: true,
}

// Critical events call for a person at once.
var critical = map[Type]bool{WritesLost: true, WentBack: true}

// Event is something that happened. Fields that do not apply stay empty. It never
// holds a secret, a token or a code.
type Event struct {
	Type    Type
	Subject string
	Client  string
	Grant   string // handle
	Origin  Origin
	Data    map[string]string // little, and free of secrets
}

// Origin is who asked: the real peer's address, the request's id, and the actor
// where that is not the subject (an operator's command, a job).
type Origin struct {
	Address string
	Request string
	Actor   string
}

// Log writes transactions with their events.
type Log struct {
	st     *store.Store
	log    *slog.Logger
	settle func()
}

// New makes a Log over st that also tells log.
func New(st *store.Store, log *slog.Logger) *Log { return &Log{st: st, log: log} }

// SettleBy has Write call f after each commit and before it returns: what a
// transaction left to be done outside the database is done then. It is to be called
// before the first Write.
func (l *Log) SettleBy(f func()) { l.settle = f }

// Write runs body in a transaction, keeps the event that body returns, and returns
// when both are durable. An event without a type says that nothing was changed.
func (l *Log) Write(ctx context.Context, body func(*store.Tx) (Event, error)) error {
	var event Event
	err := l.st.Write(ctx, func(tx *store.Tx) error {
		var err error
		if event, err = body(tx); err != nil || event.Type == "" {
			return err
		}
		return Append(tx, event)
	})
	if err == nil && l.settle != nil {
		l.settle()
	}
	if err == nil && event.Type != "" {
		l.tell(ctx, event)
	}
	return err
}

// WriteRoutine is Write for a body of one statement whose event, if any, is routine.
func (l *Log) WriteRoutine(ctx context.Context, body func(*store.Tx) (Event, error)) error {
	var event Event
	err := l.st.WriteOne(ctx, func(tx *store.Tx) (err error) {
		if event, err = body(tx); err == nil && event.Type != "" && !routine[event.Type] {
			err = fmt.Errorf("audit: %s is to be kept, and was not", event.Type)
		}
		return err
	})
	if err == nil && l.settle != nil {
		l.settle()
	}
	if err == nil && event.Type != "" {
		l.tell(ctx, event)
	}
	return err
}

// Append keeps an event in a transaction that has more than one.
func Append(tx *store.Tx, e Event) error {
	if routine[e.Type] {
		return nil
	}
	data := ""
	if len(e.Data) > 0 {
		b, err := json.Marshal(e.Data)
		if err != nil {
			return err
		}
		data = string(b)
	}
	return tx.AppendAudit(store.AuditEvent{
		ID: secret.ID(), Type: string(e.Type), Subject: e.Subject, Client: e.Client, Grant: e.Grant,
		Actor: e.Origin.Actor, Address: e.Origin.Address, Request: e.Origin.Request, Data: data,
	})
}

func (l *Log) tell(ctx context.Context, e Event) {
	level := slog.LevelInfo
	switch {
	case routine[e.Type]:
		level = slog.LevelDebug
	case critical[e.Type]:
		level = slog.LevelError
	}
	if !l.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("event", string(e.Type))}
	for _, a := range []slog.Attr{
		slog.String("subject", e.Subject), slog.String("client", e.Client), slog.String("grant", e.Grant),
		slog.String("actor", e.Origin.Actor), slog.String("address", e.Origin.Address), slog.String("request", e.Origin.Request),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	for k, v := range e.Data {
		attrs = append(attrs, slog.String(k, v))
	}
	l.log.LogAttrs(ctx, level, "audit", attrs...)
}
