package authorize

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"slices"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/grant"
	"github.com/jeton-auth/jeton/internal/session"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// settle decides in a transaction and does there what the decision says. Whatever was
// read before is read again: this reading alone counts.
func (p *Pending) settle(ctx context.Context) (out Outcome, err error) {
	// Read before the session is: a cutoff that comes between reaches the grant too.
	head := p.flows.Revoked.Rev()
	err = p.flows.Audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		t := &settling{Flows: p.flows, Pending: *p, tx: tx, head: head}
		if err := t.run(); err != nil {
			return audit.Event{}, err
		}
		out = t.out
		return t.write()
	})
	if err != nil || out.Answer.made == nil {
		return out, err
	}
	return p.withTokens(ctx, out)
}

// settling is one run of the transaction, with a copy of its own of the request: the
// run may have to be repeated.
type settling struct {
	*Flows
	Pending
	tx     *store.Tx
	head   int64
	person store.User // who just logged in; zero: nobody did
	out    Outcome
	events []audit.Event
}

func (t *settling) run() error {
	who, err := t.who()
	if err != nil {
		return err
	}
	step, err := t.decide(t.tx.Reader, who, t.tx.Now())
	if err != nil {
		return err
	}
	t.out.Step, t.out.Session = step, who
	switch step.Do {
	case Login, Consent:
		return t.wait()
	case Refuse:
		t.out.Answer = t.To.refuse(step.Refusal)
		t.note(audit.Housekeeping, "")
		return errors.Join(t.spend(t.tx), t.denyDevice(t.tx))
	}
	if err := t.spend(t.tx); err != nil {
		return err
	}
	if t.allowedBy == who.Subject && !t.Client.FirstParty {
		if err := t.remember(who); err != nil {
			return err
		}
	}
	if err := t.Sessions.Touch(t.tx, who); err != nil {
		return err
	}
	return t.grant(who)
}

// who is logged in: whoever just proved it, in a session that begins here, or whom
// the cookie names.
func (t *settling) who() (*store.Session, error) {
	if t.proof == nil {
		// A logout at the same time ends the grant made here, or comes first.
		if err := t.tx.LockSession(t.visitor.Session); err != nil {
			return nil, err
		}
		return session.Current(t.tx.Reader, t.visitor.Session, t.tx.Now())
	}
	var err error
	if t.person, err = t.proof.Accept(t.tx); err != nil {
		return nil, err
	}
	who, cookie, err := t.Sessions.Begin(t.tx, t.visitor.Session, session.Login{
		Subject: t.proof.User.ID, ACR: t.proof.ACR, AMR: t.proof.AMR,
		UserAgent: t.visitor.UserAgent, Address: t.visitor.Origin.Address,
	})
	if err != nil {
		return nil, err
	}
	t.out.Cookie = cookie
	flow := *t.flow
	flow.Session = who.ID
	t.flow = &flow
	t.note(audit.LoginSucceeded, who.Subject)
	return &who, nil
}

// wait keeps a request that needs the person.
func (t *settling) wait() (err error) {
	switch {
	case t.flow == nil:
		t.flow = newFlow(t.Request, t.visitor.Browser, t.tx.Now())
		t.note(audit.FlowBegun, "")
		err = t.tx.CreateFlow(*t.flow)
	case t.proof != nil:
		err = t.tx.ProveFlow(t.flow.ID, t.flow.Session)
		if errors.Is(err, store.ErrNotFound) {
			err = ErrNoFlow
		}
	}
	if waiting := *t.flow; len(waiting.Browser) > 0 {
		t.tx.AfterCommit(func() { t.Begun.Put(waiting.ID, waiting, 1) })
	}
	next := t.Pending
	next.proof, next.allowedBy = nil, ""
	t.out.Pending = &next
	return err
}

// remember adds what the person allowed to what they allowed before.
func (t *settling) remember(who *store.Session) error {
	before, err := t.tx.Consent(who.Subject, t.Client.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	all := maps.Clone(before.Scopes)
	if all == nil {
		all = map[string][]string{}
	}
	for resource, scopes := range t.needs() {
		kept := slices.Clone(all[resource])
		for _, s := range scopes {
			if !slices.Contains(kept, s) {
				kept = append(kept, s)
			}
		}
		all[resource] = kept
	}
	t.note(audit.ConsentGiven, who.Subject)
	return t.tx.PutConsent(store.Consent{Subject: who.Subject, Client: t.Client.ID, Scopes: all})
}

// grant makes the grant and its code. Without offline_access it lives in the session,
// and no longer.
func (t *settling) grant(who *store.Session) error {
	r := &t.Request
	g := &store.Grant{
		Client: t.Client.ID, Subject: who.Subject, Rev: t.head,
		AbsoluteAt: t.tx.Now().Add(t.Client.RefreshToken.Absolute.Std()),
		Details:    granted(r),
	}
	g.Details.AuthTime, g.Details.ACR, g.Details.AMR, g.Details.SID = who.AuthTime, who.ACR, who.AMR, session.SID(who.ID)
	if gives(r.Type(), wordCode) {
		g.Code = &store.CodeDetails{
			RedirectURI: r.RedirectURI, RedirectURISent: r.RedirectURISent, Challenge: r.Challenge, Nonce: r.Nonce, JKT: r.JKT,
		}
	}
	if gives(r.Type(), wordToken) {
		lifetime, refusal := t.Front.Lifetime(t.Client, &g.Details)
		if refusal != nil {
			return refusal
		}
		g.TokensUntil = t.tx.Now().Add(lifetime)
	}
	if !slices.Contains(r.Scopes, oauth.ScopeOfflineAccess) {
		g.Session = who.ID
		if who.AbsoluteAt.Before(g.AbsoluteAt) {
			g.AbsoluteAt = who.AbsoluteAt
		}
	}
	if t.Client.BackchannelLogoutURI != "" || t.Client.FrontchannelLogoutURI != "" {
		if err := t.tx.Participate(who.ID, t.Client.ID, who.Subject); err != nil {
			return err
		}
	}
	g.User = t.person
	if len(r.Device) > 0 {
		g.Code.ExpiresAt = t.tx.Now().Add(DeviceLifetime)
	}
	code, err := t.Grants.Create(t.tx, g)
	if err != nil {
		return err
	}
	if len(r.Device) > 0 {
		if err := t.approveDevice(g); err != nil {
			return err
		}
		code = "" // the device has one of its own
	}
	t.note(audit.GrantCreated, who.Subject)
	t.events[len(t.events)-1].Grant = grant.Handle(g.ID)
	values := url.Values{}
	if code != "" {
		values.Set("code", code)
	}
	t.out.Answer = t.To.answer(values)
	if givesTokens(r.Type()) {
		t.out.Answer.made = g
	}
	return nil
}

func (t *settling) note(what audit.Type, subject string) {
	t.events = append(t.events, audit.Event{Type: what, Subject: subject, Client: t.Client.ID, Origin: t.visitor.Origin})
}

// write keeps the events; the first one is the transaction's own.
func (t *settling) write() (audit.Event, error) {
	if len(t.events) == 0 {
		return audit.Event{}, nil
	}
	for _, e := range t.events[1:] {
		if err := audit.Append(t.tx, e); err != nil {
			return audit.Event{}, err
		}
	}
	return t.events[0], nil
}
