// Package authorize is the authorization endpoint without its HTTP. A request is
// parsed and checked, then Next decides, again after each step: a login, a consent
// page, an answer. A request that has to wait for the person is a stored flow, bound
// to the browser that began it. Responding consumes the flow in the transaction that
// creates the grant.
package authorize

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/clientkeys"
	"github.com/jeton-auth/jeton/internal/fetch"
	"github.com/jeton-auth/jeton/internal/grant"
	"github.com/jeton-auth/jeton/internal/limit"
	"github.com/jeton-auth/jeton/internal/login"
	"github.com/jeton-auth/jeton/internal/recent"
	"github.com/jeton-auth/jeton/internal/revoke"
	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/session"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/tokens"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

// Lifetime is how long a person may take to answer. A posted request waits
// claimWithin for its browser to come back with a cookie.
const (
	Lifetime    = 30 * time.Minute
	claimWithin = time.Minute
)

// NewSectors makes the memory of Flows.Sectors.
func NewSectors() *recent.Cache[string, Listed] { return recent.New[string, Listed](listsKept) }

// ErrNoFlow says that this browser has no such flow: it is over, was answered
// already, or began in another browser.
var ErrNoFlow = errors.New("authorize: no such request in this browser")

// Flows takes authorization requests from step to step.
type Flows struct {
	Parser
	Store    *store.Store
	Audit    *audit.Log
	Revoked  *revoke.Log
	Grants   *grant.Grants
	Sessions *session.Sessions
	Signed   *clientkeys.Keys // checks request objects
	Minter   *tokens.Minter   // signs responses
	Out      *fetch.Client    // gets them from where they stand
	Limits   *limit.Limiter   // bounds guesses at devices' codes
	Log      *slog.Logger
	// Sectors remembers which lists of sectors were looked at.
	Sectors *recent.Cache[string, Listed]
	// Begun remembers flows that wait, so that the steps after the first need not read
	// them. Memory shows pages; whether a flow is still there is judged by the
	// transaction that consumes it. nil: they are read.
	Begun *recent.Cache[store.FlowID, store.Flow]
}

// Visitor is the browser that asks.
type Visitor struct {
	session.Jar
	// Browser is the hash of the secret to which a new flow is bound.
	Browser   []byte
	UserAgent string
	Origin    audit.Origin
}

// Outcome is how a request stands. Either it was answered, and Answer goes to the
// client; or it is stored, and Pending waits for Step.
type Outcome struct {
	Step    Step
	Answer  Answer
	Pending *Pending
	// Session is who is logged in; nil: nobody.
	Session *store.Session
	// Cookie is the value for a session that just began; empty: none did.
	Cookie secret.Text
}

// Begin checks a request and takes it as far as it goes without the person. An
// *oauth.Error is a refusal for a page of ours: there is no verified place to send
// it to.
func (f *Flows) Begin(ctx context.Context, params web.Params, v Visitor) (Outcome, error) {
	parsed, err := f.take(ctx, params)
	if err != nil {
		return refused(parsed, err)
	}
	p := &Pending{Parsed: parsed, flows: f, visitor: v}
	return p.Look(ctx)
}

// Post checks a request and stores it for the browser that comes back for it
// (Claim). The browser's cookies are not looked at: with a form that another site
// posts, none are sent.
func (f *Flows) Post(ctx context.Context, params web.Params, origin audit.Origin) (Outcome, error) {
	parsed, err := f.take(ctx, params)
	if err != nil {
		return refused(parsed, err)
	}
	p := &Pending{Parsed: parsed, flows: f, flow: newFlow(parsed.Request, nil, f.Store.Now())}
	err = f.Audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		return audit.Event{Type: audit.FlowBegun, Client: parsed.Client.ID, Origin: origin}, tx.CreateFlow(*p.flow)
	})
	return Outcome{Step: Step{Do: Login}, Pending: p}, err
}

// Claim binds a posted request to the browser that comes back for it first. The same
// browser may come again.
func (f *Flows) Claim(ctx context.Context, id string, v Visitor) (*Pending, error) {
	flow, err := f.find(ctx, id)
	if err != nil {
		return nil, err
	}
	if len(flow.Browser) > 0 {
		return f.open(flow, v)
	}
	if !f.Store.Now().Before(flow.CreatedAt.Add(claimWithin)) {
		return nil, ErrNoFlow
	}
	err = f.Audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		won, err := tx.ClaimFlow(flow.ID, v.Browser, tx.Now().Add(Lifetime))
		if err == nil && !won {
			err = ErrNoFlow
		}
		return audit.Event{Type: audit.FlowBegun, Client: flow.Request.Client, Origin: v.Origin}, err
	})
	if err != nil {
		return nil, err
	}
	return f.pending(flow, v)
}

// Open takes up a stored request in the browser that began it. ErrNoFlow: this one
// did not, or it is over.
func (f *Flows) Open(ctx context.Context, id string, v Visitor) (*Pending, error) {
	flow, err := f.find(ctx, id)
	if err != nil {
		return nil, err
	}
	return f.open(flow, v)
}

func (f *Flows) open(flow store.Flow, v Visitor) (*Pending, error) {
	if !v.Holds(flow.Browser) {
		return nil, ErrNoFlow
	}
	return f.pending(flow, v)
}

func (f *Flows) find(ctx context.Context, id string) (store.Flow, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(id)
	if err != nil || len(raw) != len(store.FlowID{}) {
		return store.Flow{}, ErrNoFlow
	}
	if flow, ok := f.Begun.Get(store.FlowID(raw)); ok && f.Store.Now().Before(flow.ExpiresAt) {
		return flow, nil
	}
	flow, err := f.Store.Read(ctx).Flow(store.FlowID(raw), f.Store.Now())
	if errors.Is(err, store.ErrNotFound) {
		return store.Flow{}, ErrNoFlow
	}
	return flow, err
}

func (f *Flows) pending(flow store.Flow, v Visitor) (*Pending, error) {
	parsed, err := f.again(flow.Request)
	if err != nil {
		return nil, err
	}
	return &Pending{Parsed: parsed, flows: f, visitor: v, flow: &flow}, nil
}

// again verifies client and redirect URI of a stored request anew, and that it came as the
// client must ask: they may have changed since.
func (f *Flows) again(r store.AuthorizationRequest) (Parsed, error) {
	client, ok := f.Directory.Client(r.Client)
	if !ok {
		return Parsed{}, oauth.Refuse(oauth.InvalidClient, "the client is no longer registered here")
	}
	if len(r.Device) > 0 {
		to, refusal := toDevice(client)
		if refusal != nil {
			return Parsed{}, refusal
		}
		return Parsed{Request: r, Client: client, To: to}, nil
	}
	to, refusal := returnAddress(f.Issuer, client, r.RedirectURI, r.Type(), r.ResponseMode, r.State)
	if refusal != nil {
		return Parsed{}, refusal
	}
	if !client.MayRespond(r.Type()) {
		return Parsed{}, oauth.Refuse(oauth.UnauthorizedClient, "this client may not ask for this response_type any more")
	}
	s := &parsing{Parser: f.Parser, Parsed: Parsed{Request: r, Client: client, To: to}, via: via{pushed: len(r.Pushed) > 0, signed: r.Signed}}
	for _, check := range []func() *oauth.Error{s.came, s.challenged} {
		if refusal := check(); refusal != nil {
			return s.Parsed, refusal
		}
	}
	return s.Parsed, nil
}

func newFlow(r store.AuthorizationRequest, browser []byte, now time.Time) *store.Flow {
	flow := &store.Flow{Browser: browser, Request: r, ExpiresAt: now.Add(Lifetime)}
	if len(browser) == 0 {
		flow.ExpiresAt = now.Add(claimWithin)
	}
	copy(flow.ID[:], secret.Bytes(len(flow.ID)))
	return flow
}

// Pending is a request that was taken up by its browser. Each of its methods is one
// step, after which the request is answered or waits again.
type Pending struct {
	Parsed
	flows     *Flows
	visitor   Visitor
	flow      *store.Flow  // nil: not stored (yet)
	proof     *login.Proof // the person logged in
	allowedBy string       // the person who allowed it; empty: nobody
}

// ID names the request in URLs and forms. It is no secret: without the browser's
// cookie it opens nothing.
func (p *Pending) ID() string { return base64.RawURLEncoding.EncodeToString(p.flow.ID[:]) }

// Look takes the request on as far as it goes by now, without anything that the
// person did.
func (p *Pending) Look(ctx context.Context) (Outcome, error) {
	r, now := p.flows.Store.Read(ctx), p.flows.Store.Now()
	who, err := session.Current(r, p.visitor.Session, now)
	if err != nil {
		return Outcome{}, err
	}
	step, err := p.decide(r, who, now)
	if err != nil {
		return Outcome{}, err
	}
	// What only shows a page, or refuses what was never stored, writes nothing.
	switch {
	case step.Do == Refuse && p.flow == nil && len(p.Request.Pushed) == 0:
		return Outcome{Step: step, Answer: p.To.refuse(step.Refusal)}, nil
	case (step.Do == Login || step.Do == Consent) && p.flow != nil:
		return Outcome{Step: step, Pending: p, Session: who}, nil
	}
	return p.settle(ctx)
}

// LoggedIn goes on with a person who proved who they are: the session begins, and
// where nothing else is to be asked, the client is answered in the same transaction.
func (p *Pending) LoggedIn(ctx context.Context, proof login.Proof) (Outcome, error) {
	p.proof = &proof
	return p.settle(ctx)
}

// Allow goes on with a person who allowed the client what the page showed. It counts
// only if that person is still the one who is logged in.
func (p *Pending) Allow(ctx context.Context, subject string) (Outcome, error) {
	p.allowedBy = subject
	return p.settle(ctx)
}

// Deny ends the request because the person said no.
func (p *Pending) Deny(ctx context.Context) (Outcome, error) {
	refusal := oauth.Refuse(oauth.AccessDenied, "the person did not allow it")
	err := p.flows.Audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		e := audit.Event{Type: audit.ConsentDenied, Client: p.Client.ID, Origin: p.visitor.Origin}
		who, err := session.Current(tx.Reader, p.visitor.Session, tx.Now())
		if err != nil {
			return e, err
		}
		if who != nil {
			e.Subject = who.Subject
		}
		return e, errors.Join(p.spend(tx), p.denyDevice(tx))
	})
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Step: Step{Do: Refuse, Refusal: refusal}, Answer: p.To.refuse(refusal)}, nil
}

// decide reads what Next needs.
func (p *Pending) decide(r store.Reader, who *store.Session, now time.Time) (Step, error) {
	s := State{Request: &p.Request, Now: now, Session: who, Proved: p.proved(who)}
	if who != nil {
		s.Name = p.flows.Names.For(p.Client, who.Subject)
	}
	if s.Device = len(p.Request.Device) > 0; who != nil && (s.Device || !p.Client.FirstParty) {
		s.Needs, s.Details = p.needs(), len(p.Request.Details) > 0
		consent, err := r.Consent(who.Subject, p.Client.ID)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return Step{}, err
		}
		s.Remembered = consent.Scopes
		s.Allowed = p.allowedBy == who.Subject
	}
	return Next(s), nil
}

// proved tells whether the person logged in for this very request, in the session
// that is theirs now.
func (p *Pending) proved(who *store.Session) bool {
	return who != nil && p.flow != nil && len(p.flow.Session) > 0 && bytes.Equal(p.flow.Session, who.ID)
}

func (f *Flows) consume(tx *store.Tx, id store.FlowID) error {
	tx.AfterCommit(func() { f.Begun.Drop(id) })
	err := tx.ConsumeFlow(id)
	if errors.Is(err, store.ErrNotFound) {
		return ErrNoFlow
	}
	return err
}
