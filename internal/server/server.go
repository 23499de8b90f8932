// Package server builds the issuer: everything that it is made of stands in one
// visible list, in the order in which it depends on each other.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jeton-auth/jeton/internal/adminapi"
	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/authorize"
	"github.com/jeton-auth/jeton/internal/backchannel"
	"github.com/jeton-auth/jeton/internal/clientauth"
	"github.com/jeton-auth/jeton/internal/clientkeys"
	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/config"
	"github.com/jeton-auth/jeton/internal/directory"
	"github.com/jeton-auth/jeton/internal/endpoints"
	"github.com/jeton-auth/jeton/internal/feed"
	"github.com/jeton-auth/jeton/internal/fetch"
	"github.com/jeton-auth/jeton/internal/grant"
	"github.com/jeton-auth/jeton/internal/i18n"
	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/limit"
	"github.com/jeton-auth/jeton/internal/login"
	"github.com/jeton-auth/jeton/internal/logout"
	"github.com/jeton-auth/jeton/internal/manage"
	"github.com/jeton-auth/jeton/internal/pages"
	"github.com/jeton-auth/jeton/internal/password"
	"github.com/jeton-auth/jeton/internal/proof"
	"github.com/jeton-auth/jeton/internal/recent"
	"github.com/jeton-auth/jeton/internal/redeem"
	"github.com/jeton-auth/jeton/internal/revoke"
	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/session"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/subject"
	"github.com/jeton-auth/jeton/internal/tokens"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

// Options are what a server is made with. Config is required; Clock and Log have
// defaults.
type Options struct {
	Config *config.Config
	Clock  clock.Clock
	Log    *slog.Logger
	// Reload reads the configuration anew; nil: it never changes.
	Reload func() (*config.Config, error)
	// Hasher replaces the one that Config describes: a measurement leaves the cost
	// of hashing out.
	Hasher *password.Hasher
}

// Server is an issuer. Open makes one; Run serves it; Close ends it.
type Server struct {
	opts    Options
	log     *slog.Logger
	engine  store.Engine
	store   *store.Store
	audit   *audit.Log
	ring    *keys.Ring
	revoked *revoke.Log
	feed    *feed.Feed
	manager *manage.Manager
	limits  *limit.Limiter
	public  http.Handler
	admin   http.Handler
	purge   purge
	serving bool // Run began: what is closed is more than a command's store
	journal *revoke.Journal
	out     *fetch.Client    // to what clients registered
	signed  *clientkeys.Keys // checks what they signed
	told    *backchannel.Queue

	certificate atomic.Pointer[tls.Certificate]
}

// begunFlows bounds how many logins under way are remembered: a megabyte or two.
const begunFlows = 1024

// Open opens the store, makes what is missing, applies the configuration and builds
// the handlers. Nothing listens yet.
func Open(ctx context.Context, o Options) (_ *Server, err error) {
	steady := clock.NewSteady(clock.System{})
	if o.Log == nil {
		o.Log = slog.Default()
	}
	c := o.Config
	s := &Server{opts: o, log: o.Log}
	var dsn string
	s.engine, dsn = engine(c.Store)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if _, embedded := s.engine.(store.SingleWriter); embedded && s.opts.Clock == nil {
		s.opts.Clock = steady // of a shared database time is its own
	}
	if s.store, err = store.Open(ctx, s.engine, dsn, s.opts.Clock, o.Log); err != nil {
		return nil, err
	}
	if err = s.admit(ctx); err != nil {
		return nil, err
	}
	if err = s.begin(ctx, steady); err != nil {
		return nil, err
	}
	s.audit = audit.New(s.store, o.Log)
	if s.revoked, err = revoke.Open(ctx, s.store, o.Log); err != nil {
		return nil, err
	}
	if err = s.keepJournal(); err != nil {
		return nil, err
	}
	if c.Introspection.Mode == config.Bounded {
		s.revoked.Within(c.Introspection.Within.Std())
	}
	dir, err := directory.Open(ctx, s.store, spec.Builtin(c.Issuer)...)
	if err != nil {
		return nil, err
	}
	if s.ring, err = keys.Open(ctx, s.audit, s.store, c.KeyEncryptionKey, keyPolicy(c)); err != nil {
		return nil, err
	}
	hasher := o.Hasher
	if hasher == nil {
		p := c.Password
		hasher = password.New(password.Params{Memory: uint32(p.Memory), Iterations: uint32(p.Iterations), Parallelism: uint8(p.Parallelism)}, p.Concurrency, p.Queue)
	}
	page, err := pages.New(pages.Brand{Name: c.Brand.Name, Base: prefix(c.Issuer)})
	if err != nil {
		return nil, err
	}
	s.feed = feed.New(c.Issuer, s.store, s.revoked, s.ring, o.Log)
	grants := grant.New(s.store, s.ring, s.revoked)
	names, err := subject.New(s.ring)
	if err != nil {
		return nil, err
	}
	minter := tokens.NewMinter(c.Issuer, s.ring)
	reader := tokens.NewReader(c.Issuer, s.ring, s.revoked)
	revoker := tokens.NewRevoker(s.store, s.audit, dir, grants, s.revoked)
	s.limits = limit.New(s.audit, s.store)
	s.manager = &manage.Manager{
		Store: s.store, Audit: s.audit, Directory: dir, Ring: s.ring, Revoked: s.revoked, Grants: grants, Reader: reader, Revoker: revoker, Names: names,
		Hasher: hasher, Log: o.Log, Product: c.Brand.Name, Issuer: c.Issuer, Profile: c.Profile, Certificates: c.Certificates(),
	}
	if err = s.manager.Apply(ctx, c); err != nil {
		return nil, err
	}
	if s.out, err = fetch.New(c.Outbound.Allow, c.Outbound.CA); err != nil {
		return nil, err
	}
	s.signed = clientkeys.New(s.out, s.store)
	methods, err := s.methods()
	if err != nil {
		return nil, err
	}
	clients := clientauth.New(dir, methods...)
	s.warnOfProxy(dir)
	s.told = backchannel.New(backchannel.Needs{
		Store: s.store, Audit: s.audit, Directory: dir, Names: names, Minter: minter, Out: s.out, Log: o.Log,
	})
	grants.Tell(s.told)
	issuer := &redeem.Issuer{Names: names, Store: s.store, Audit: s.audit, Directory: dir, Grants: grants, Minter: minter}
	dispatcher := redeem.NewDispatcher(redeem.Code{Issuer: issuer}, redeem.Refresh{Issuer: issuer}, redeem.ClientCredentials{Issuer: issuer},
		redeem.Device{Issuer: issuer, Key: authorize.DeviceKey})

	door := endpoints.Door{Log: o.Log, Peers: web.NewPeers(trusted(c)), Base: c.Issuer, Shown: shown(c), Proofs: &proof.Proofs{Store: s.store, Audit: s.audit, Roots: s.ring, RequireNonce: c.DPoP.RequireNonce}}
	s.admin = adminapi.Handler(s.manager, o.Log)
	sessions := session.New(grants, session.Policy{Idle: c.Sessions.Idle.Std(), Absolute: c.Sessions.Absolute.Std()})
	flows := &authorize.Flows{
		Parser: authorize.Parser{Issuer: c.Issuer, Directory: dir, Hints: reader, Front: issuer, Names: names},
		Store:  s.store, Audit: s.audit, Revoked: s.revoked, Grants: grants, Sessions: sessions, Signed: s.signed, Out: s.out, Minter: minter, Limits: s.limits, Log: o.Log, Sectors: authorize.NewSectors(),
	}
	if !s.store.Shared() { // another node may change a flow
		flows.Begun = recent.New[store.FlowID, store.Flow](begunFlows)
	}
	routes, err := endpoints.Routes(prefix(c.Issuer), endpoints.All{
		Metadata: &endpoints.Metadata{
			Issuer: c.Issuer, Directory: dir, Redeem: dispatcher, Methods: clients.Methods(),
			ACRs: login.ACRs(), UILocales: locales(), Profile: c.Profile, Certificates: c.Certificates(),
		},
		JWKS:       &endpoints.JWKS{Ring: s.ring},
		Token:      &endpoints.Token{Door: door, Clients: clients, Redeem: dispatcher, Revoked: s.revoked},
		PAR:        &endpoints.PAR{Door: door, Clients: clients, Flows: flows},
		Device:     &endpoints.DeviceAuthorization{Door: door, Clients: clients, Flows: flows},
		Revoke:     &endpoints.Revoke{Door: door, Clients: clients, Store: s.store, Audit: s.audit, Grants: grants, Reader: reader, Revoker: revoker},
		Introspect: &endpoints.Introspect{Door: door, Clients: clients, Store: s.store, Grants: grants, Reader: reader, Minter: minter, Names: names},
		Revocations: &endpoints.Revocations{
			Door: door, Issuer: c.Issuer, Clients: clients, Directory: dir, Store: s.store, Reader: reader, Feed: s.feed,
			WentBack: s.wentBack,
		},
		UserInfo: &endpoints.UserInfo{Door: door, Issuer: c.Issuer, Store: s.store, Directory: dir, Reader: reader, Minter: minter, Names: names},
		Browser: &endpoints.Browser{
			Door: door, Issuer: c.Issuer, Store: s.store, Pages: page, Flows: flows,
			Cookies:  session.Cookies{Secure: strings.HasPrefix(c.Issuer, "https:")},
			Password: &login.Password{Store: s.store, Audit: s.audit, Hasher: hasher, Limits: s.limits, Log: o.Log},
			Logouts:  &logout.Logouts{Store: s.store, Audit: s.audit, Directory: dir, Sessions: sessions, Hints: reader, Names: names, Issuer: c.Issuer},
		},
		Ready: s.store.Ping,
	})
	if err != nil {
		return nil, err
	}
	s.public = s.outer(routes)
	return s, nil
}

// begin makes the issuer's row on the first start. On later ones time goes on from
// the last sign of life at least: a machine's clock that was set back meanwhile
// brings nothing back to life.
func (s *Server) begin(ctx context.Context, steady *clock.Steady) error {
	issuer, err := s.store.Read(ctx).Issuer()
	if errors.Is(err, store.ErrNotFound) {
		return s.store.Write(ctx, func(tx *store.Tx) error { return tx.CreateIssuer(5 * time.Minute) })
	}
	if err != nil {
		return err
	}
	if behind := issuer.AliveAt.Sub(steady.Now()); behind > time.Minute && s.opts.Clock == clock.Clock(steady) {
		s.log.Warn("the clock of this machine stands before the time at which this database was last in use; that time is taken to be right. Correct the machine's clock",
			slog.Duration("behind", behind))
	}
	steady.NotBefore(issuer.AliveAt)
	return nil
}

// serveFromNow notes that requests are answered from now on: the time since the last
// sign of life was an outage. A command that only opens the store changes neither.
func (s *Server) serveFromNow(ctx context.Context) error {
	s.serving = true
	return s.store.Write(ctx, (*store.Tx).Resume)
}

// Handler serves the issuer's public endpoints.
func (s *Server) Handler() http.Handler { return s.public }

// Admin serves the commands.
func (s *Server) Admin() http.Handler { return s.admin }

// Close closes the store. Requests must have ended.
func (s *Server) Close() error {
	var err error
	if s.store != nil {
		if s.serving {
			// A database that is away takes no sign of life: the last one was a second ago.
			if err = s.store.Write(context.Background(), (*store.Tx).Alive); errors.Is(err, store.ErrUnavailable) {
				s.log.Warn("the database does not answer at the end: no sign of life was left there", slog.Any("error", err))
				err = nil
			}
		}
		err = errors.Join(err, s.store.Close())
		s.store = nil
	}
	if s.journal != nil {
		err = errors.Join(err, s.journal.Close())
		s.journal = nil
	}
	return errors.Join(err, closeEngine(s.engine))
}

// prefix is the path under which the issuer lies.
func prefix(issuer string) string {
	_, rest, _ := strings.Cut(issuer, "://")
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[i:]
	}
	return ""
}

// keyPolicy has the algorithms that everybody may use; Apply adds those that are asked
// for.
func keyPolicy(c *config.Config) keys.Policy {
	return keys.Policy{Algs: []oauth.Alg{oauth.RS256, oauth.ES256}, Rotate: c.Keys.Rotate.Std(), PublishBefore: c.Keys.PublishBefore.Std(), RetireAfter: c.Keys.RetireAfter.Std()}
}

func locales() []string {
	var all []string
	for _, l := range i18n.Languages() {
		all = append(all, string(l))
	}
	return all
}

// holder names this process among the nodes.
func holder() string { return secret.ID() }
