package authorize

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/grant"
	"github.com/jeton-auth/jeton/internal/login"
	"github.com/jeton-auth/jeton/internal/session"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// browser is a visitor with a memory of its own.
type browser struct {
	*fixture
	cookies []string
}

func (f *fixture) browser() *browser {
	b := &browser{fixture: f}
	w := httptest.NewRecorder()
	session.Cookies{}.NewBrowser().Set(w)
	for _, c := range w.Result().Cookies() {
		b.cookies = append(b.cookies, c.Name+"="+c.Value)
	}
	return b
}

func (b *browser) visitor() Visitor {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", strings.Join(b.cookies, "; "))
	jar := session.Cookies{}.Read(r)
	return Visitor{Jar: jar, Browser: jar.Browser(), UserAgent: "test", Origin: audit.Origin{Address: "198.51.100.7", Request: "r"}}
}

// took keeps the session that an outcome began.
func (b *browser) took(out Outcome, err error) Outcome {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	if out.Cookie != "" {
		b.cookies = append([]string{"jeton=" + out.Cookie.Reveal()}, b.cookies...)
	}
	return out
}

func (b *browser) begin(pairs ...string) Outcome {
	b.t.Helper()
	return b.took(b.Begin(b.t.Context(), request(pairs...), b.visitor()))
}

func (b *browser) open(id string) *Pending {
	b.t.Helper()
	p, err := b.Open(b.t.Context(), id, b.visitor())
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

func (b *browser) proof(name string) login.Proof {
	b.t.Helper()
	proof, err := b.password.Verify(b.t.Context(), login.Attempt{Login: name + "@example.com", Password: adas, Peer: netip.MustParseAddr("198.51.100.7")})
	if err != nil {
		b.t.Fatal(err)
	}
	return proof
}

func (b *browser) login(name string, p *Pending) Outcome {
	b.t.Helper()
	return b.took(b.open(p.ID()).LoggedIn(b.t.Context(), b.proof(name)))
}

// code is the answer's code and the grant behind it.
func (f *fixture) code(out Outcome) store.Grant {
	f.t.Helper()
	u, err := url.Parse(out.Answer.Location())
	if err != nil || out.Step.Do != Respond || u.Query().Get("iss") != issuer || u.Query().Get("state") != "s t&te" {
		f.t.Fatalf("%v %v %s", err, out.Step, out.Answer.Location())
	}
	c, g, err := f.Grants.Find(f.t.Context(), u.Query().Get("code"))
	if err != nil || c.Kind != grant.Code {
		f.t.Fatal(err)
	}
	return g
}

func (f *fixture) wantDo(out Outcome, want Do) {
	f.t.Helper()
	if out.Step.Do != want || (out.Pending == nil) != (want == Respond || want == Refuse) || (out.Answer.Location() == "") != (out.Pending != nil) {
		f.t.Fatalf("%v (%v), want %v", out.Step.Do, out.Step.Refusal, want)
	}
}

func (f *fixture) wantError(out Outcome, want oauth.ErrorCode) {
	f.t.Helper()
	u, err := url.Parse(out.Answer.Location())
	if err != nil || u.Query().Get("error") != string(want) || u.Query().Get("iss") != issuer || u.Query().Get("code") != "" {
		f.t.Fatalf("%s, want %s", out.Answer.Location(), want)
	}
}

func (f *fixture) grants() int64 {
	f.t.Helper()
	n, err := f.Store.Read(f.t.Context()).CountGrants()
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

func (f *fixture) events() string {
	f.t.Helper()
	all, err := f.Store.Read(f.t.Context()).AuditEvents(time.Time{}, 1000)
	if err != nil {
		f.t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range all {
		b.WriteString(e.Type + " " + e.Subject + " " + e.Client + " " + e.Address + "\n")
	}
	return b.String()
}

func TestLoginThenSSO(t *testing.T) {
	t.Parallel()
	f := open(t)
	b := f.browser()
	out := b.begin("scope", "openid email orders:read", "nonce", "n", "claims", `{"userinfo":{"email":null}}`)
	f.wantDo(out, Login)
	out = b.login("ada", out.Pending)
	g := f.code(out)
	who := out.Session
	want := store.GrantDetails{
		Scopes:    []string{"openid", "email"},
		Resources: []store.GrantedResource{{ID: orders, Scopes: []string{"orders:read"}}, {ID: vault, Scopes: []string{"orders:read"}}},
		Claims:    store.ClaimsRequest{UserInfo: map[string]*store.ClaimRequest{"email": nil}},
		AuthTime:  begin, ACR: login.ACRPassword, AMR: []string{"pwd"}, SID: session.SID(who.ID),
	}
	if diff := cmp.Diff(want, g.Details, cmp.Comparer(time.Time.Equal)); diff != "" {
		t.Error(diff)
	}
	if g.Subject != "u_ada" || g.Client != "shop" || !g.Live() || string(g.Session) != string(who.ID) || !g.AbsoluteAt.Equal(who.AbsoluteAt) {
		t.Errorf("%+v", g)
	}
	if c := g.Code; c.RedirectURI != callback || !c.RedirectURISent || c.Challenge != challenge || c.Nonce != "n" || !c.ExpiresAt.Equal(begin.Add(time.Minute)) {
		t.Errorf("%+v", c)
	}
	// Another client, straight away; offline_access outlives the session.
	f.clock.Advance(2 * time.Minute)
	g = f.code(b.begin("scope", "openid offline_access"))
	if len(g.Session) != 0 || !g.Details.AuthTime.Equal(begin) || !g.AbsoluteAt.Equal(f.clock.Now().Add(2160*time.Hour)) {
		t.Errorf("%+v", g)
	}
	if got := f.events(); !strings.Contains(got, "login.succeeded u_ada shop 198.51.100.7\n") || strings.Count(got, "grant.created u_ada shop") != 2 {
		t.Error(got)
	}
	if s, err := session.Current(f.Store.Read(t.Context()), who.ID, f.clock.Now()); err != nil || !s.SeenAt.Equal(f.clock.Now()) {
		t.Error("the session's use was not noted")
	}
}

func TestPrompts(t *testing.T) {
	t.Parallel()
	f := open(t)
	b := f.browser()
	f.wantError(b.begin("prompt", "none"), oauth.LoginRequired)
	f.code(b.login("ada", b.begin().Pending))
	f.code(b.begin("prompt", "none"))

	// prompt=login: SSO does not answer, whatever the session; a login does, once.
	out := b.begin("prompt", "login")
	f.wantDo(out, Login)
	if !out.Step.Again {
		t.Error("the person is not asked to confirm who they are")
	}
	again, err := b.open(out.Pending.ID()).Look(t.Context())
	f.wantDo(b.took(again, err), Login)
	f.code(b.login("ada", out.Pending))
	f.wantDo(b.begin("prompt", "login"), Login)

	f.clock.Advance(time.Minute)
	out = b.begin("max_age", "30")
	f.wantDo(out, Login)
	g := f.code(b.login("ada", out.Pending))
	if !g.Details.AuthTime.Equal(f.clock.Now()) {
		t.Error("auth_time is not the new login's")
	}

	out = b.begin("id_token_hint", "hint:u_bob")
	f.wantDo(out, Login)
	f.wantError(b.login("ada", out.Pending), oauth.LoginRequired)
	if _, err := b.Open(t.Context(), out.Pending.ID(), b.visitor()); !errors.Is(err, ErrNoFlow) {
		t.Error("a refused request goes on")
	}
}

func TestConsent(t *testing.T) {
	t.Parallel()
	f := open(t)
	b := f.browser()
	third := []string{"client_id", "third", "scope", "openid orders:write"}
	out := b.begin(third...)
	f.wantDo(out, Login)

	// Case 49: no step can be skipped.
	early, err := b.open(out.Pending.ID()).Allow(t.Context(), "u_ada")
	f.wantDo(b.took(early, err), Login)
	early, err = b.open(out.Pending.ID()).Allow(t.Context(), "")
	f.wantDo(b.took(early, err), Login)

	out = b.login("ada", out.Pending)
	f.wantDo(out, Consent)
	if diff := cmp.Diff(map[string][]string{"": {"openid"}, orders: {"orders:write"}}, out.Step.Ask); diff != "" {
		t.Error(diff)
	}
	f.wantError(b.begin(append(third, "prompt", "none")...), oauth.ConsentRequired)
	if f.grants() != 0 {
		t.Fatal("a grant without consent")
	}
	// Shown to somebody else, or to nobody: it does not count.
	for _, subject := range []string{"u_bob", ""} {
		out, err := b.open(out.Pending.ID()).Allow(t.Context(), subject)
		f.wantDo(b.took(out, err), Consent)
	}
	id := out.Pending.ID()
	out, err = b.open(id).Allow(t.Context(), "u_ada")
	f.code(b.took(out, err))

	f.code(b.begin(append(third, "prompt", "none")...))
	out = b.begin("client_id", "third", "scope", "openid email offline_access orders:write", "claims", `{"id_token":{"email":null}}`)
	f.wantDo(out, Consent)
	if diff := cmp.Diff(map[string][]string{"": {"email", "offline_access"}}, out.Step.Ask); diff != "" {
		t.Errorf("asked again for what was allowed before: %s", diff)
	}
	out, err = b.open(out.Pending.ID()).Deny(t.Context())
	f.wantError(b.took(out, err), oauth.AccessDenied)
	f.wantDo(b.begin("client_id", "third", "scope", "openid", "prompt", "consent"), Consent)
	f.wantDo(b.begin("client_id", "third", "scope", "openid", "claims", `{"userinfo":{"email":null}}`), Consent)

	kept, err := f.Store.Read(t.Context()).Consent("u_ada", "third")
	if diff := cmp.Diff(map[string][]string{"": {"openid"}, orders: {"orders:write"}}, kept.Scopes); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if got := f.events(); !strings.Contains(got, "consent.given u_ada third") || !strings.Contains(got, "consent.denied u_ada third") {
		t.Error(got)
	}
}

// Case 11 and TOKENS §9: a flow belongs to the browser that began it.
func TestFlowOfAnotherBrowser(t *testing.T) {
	t.Parallel()
	f := open(t)
	attacker, victim := f.browser(), f.browser()
	out := attacker.begin()
	f.code(victim.login("ada", victim.begin().Pending))
	for _, id := range []string{out.Pending.ID(), "", "AAAA", strings.Repeat("A", 22), out.Pending.ID() + "A", out.Pending.ID()[:21] + "!"} {
		if _, err := victim.Open(t.Context(), id, victim.visitor()); !errors.Is(err, ErrNoFlow) {
			t.Errorf("%q: %v", id, err)
		}
		if _, err := victim.Claim(t.Context(), id, victim.visitor()); !errors.Is(err, ErrNoFlow) {
			t.Errorf("claim of %q: %v", id, err)
		}
	}
	without := victim.visitor()
	without.Jar = session.Jar{}
	if _, err := victim.Open(t.Context(), out.Pending.ID(), without); !errors.Is(err, ErrNoFlow) {
		t.Error("without a cookie:", err)
	}
	f.wantDo(attacker.took(attacker.open(out.Pending.ID()).Look(t.Context())), Login)
	f.clock.Advance(Lifetime)
	if _, err := attacker.Open(t.Context(), out.Pending.ID(), attacker.visitor()); !errors.Is(err, ErrNoFlow) {
		t.Error("a flow outlives its time:", err)
	}
}

func TestPost(t *testing.T) {
	t.Parallel()
	f := open(t)
	post := func() *Pending {
		t.Helper()
		out, err := f.Post(t.Context(), request(), audit.Origin{})
		if err != nil {
			t.Fatal(err)
		}
		return out.Pending
	}
	one, two := f.browser(), f.browser()
	p := post()
	if _, err := one.Open(t.Context(), p.ID(), one.visitor()); !errors.Is(err, ErrNoFlow) {
		t.Error("opened before it was claimed:", err)
	}
	claimed, err := one.Claim(t.Context(), p.ID(), one.visitor())
	if err != nil {
		t.Fatal(err)
	}
	f.wantDo(one.took(claimed.Look(t.Context())), Login)
	if _, err := one.Claim(t.Context(), p.ID(), one.visitor()); err != nil {
		t.Error("the page can't be loaded again:", err)
	}
	if _, err := two.Claim(t.Context(), p.ID(), two.visitor()); !errors.Is(err, ErrNoFlow) {
		t.Error("claimed twice:", err)
	}
	f.clock.Advance(Lifetime - time.Second)
	f.code(one.login("ada", claimed))

	p = post()
	f.clock.Advance(time.Minute)
	if _, err := one.Claim(t.Context(), p.ID(), one.visitor()); !errors.Is(err, ErrNoFlow) {
		t.Error("claimed too late:", err)
	}
	out, err := f.Post(t.Context(), request("scope", "nothing"), audit.Origin{})
	f.wantError(one.took(out, err), oauth.InvalidScope)
	if _, err := f.Post(t.Context(), request("redirect_uri", "https://evil.example/"), audit.Origin{}); !isRefusal(err) {
		t.Error(err)
	}

	p = post()
	claimed, err = one.Claim(t.Context(), p.ID(), one.visitor())
	if err != nil {
		t.Fatal(err)
	}
	f.code(one.took(claimed.Look(t.Context())))
}

func isRefusal(err error) bool {
	var e *oauth.Error
	return errors.As(err, &e)
}

// Responding consumes the flow in the transaction that creates the grant.
func TestParallelAnswersGiveOneGrant(t *testing.T) {
	t.Parallel()
	f := open(t)
	b := f.browser()
	waiting := b.begin("client_id", "third")
	out := b.login("ada", waiting.Pending)
	f.wantDo(out, Consent)
	var won, lost atomic.Int64
	var wg sync.WaitGroup
	tabs := make([]*Pending, 100)
	for i := range tabs {
		tabs[i] = b.open(out.Pending.ID())
	}
	for i, p := range tabs {
		wg.Go(func() {
			var err error
			if i%2 == 0 {
				_, err = p.Allow(context.Background(), "u_ada")
			} else {
				_, err = p.Look(context.Background())
			}
			switch {
			case err == nil && i%2 == 0:
				won.Add(1)
			case err == nil, errors.Is(err, ErrNoFlow):
				lost.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || lost.Load() != 99 || f.grants() != 1 {
		t.Errorf("%d won, %d lost, %d grants", won.Load(), lost.Load(), f.grants())
	}
}

// Two requests in one browser are apart, and a login in one goes on in the other.
func TestTwoTabs(t *testing.T) {
	t.Parallel()
	f := open(t)
	b := f.browser()
	one, two := b.begin("scope", "openid"), b.begin("scope", "openid email")
	if g := f.code(b.login("ada", two.Pending)); len(g.Details.Scopes) != 2 {
		t.Error(g.Details.Scopes)
	}
	if g := f.code(b.took(b.open(one.Pending.ID()).Look(t.Context()))); len(g.Details.Scopes) != 1 {
		t.Error(g.Details.Scopes)
	}
}

// Case 39.
func TestAnotherPersonInheritsNothing(t *testing.T) {
	t.Parallel()
	f := open(t)
	b := f.browser()
	ada := f.code(b.login("ada", b.begin().Pending))
	out := b.begin("prompt", "select_account")
	if out.Step.Again {
		t.Error("who is to choose an account can't")
	}
	bob := f.code(b.login("bob", out.Pending))
	if bob.Subject != "u_bob" {
		t.Fatal(bob.Subject)
	}
	if g, err := f.Store.Read(t.Context()).Grant(ada.ID); err != nil || g.Live() {
		t.Errorf("Ada's grant is alive in Bob's browser: %v", err)
	}
}
