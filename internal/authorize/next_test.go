package authorize

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jeton-auth/jeton/internal/login"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestNext(t *testing.T) {
	t.Parallel()
	type (
		req   = store.AuthorizationRequest
		ask   = map[string][]string
		claim = store.ClaimRequest
	)
	ada := &store.Session{Subject: "u_ada", ACR: login.ACRPassword, AuthTime: begin.Add(-time.Minute)}
	none, again, consent, choose := []string{"none"}, []string{"login"}, []string{"consent"}, []string{"select_account"}
	needs := ask{"": {"openid", "email"}, "api": {"read"}}
	names := func(sub string) req {
		return req{Claims: store.ClaimsRequest{IDToken: map[string]*claim{"sub": {Value: sub}}}}
	}
	acr := func(essential bool, values ...any) req {
		return req{Claims: store.ClaimsRequest{IDToken: map[string]*claim{"acr": {Essential: essential, Values: values}}}}
	}
	with := func(r req, prompt []string) req { r.Prompt = prompt; return r }

	tests := []struct {
		name    string
		state   State
		want    Do
		again   bool
		refusal oauth.ErrorCode
		ask     ask
	}{
		{name: "nobody", want: Login},
		{name: "nobody, silently", state: State{Request: &req{Prompt: none}}, refusal: oauth.LoginRequired},
		{name: "nobody, asked to consent", state: State{Request: &req{Prompt: consent}}, want: Login},
		{name: "somebody", state: State{Session: ada}, want: Respond},
		{name: "somebody, silently", state: State{Session: ada, Request: &req{Prompt: none}}, want: Respond},

		{name: "login", state: State{Session: ada, Request: &req{Prompt: again}}, want: Login, again: true},
		{name: "login, done", state: State{Session: ada, Request: &req{Prompt: again}, Proved: true}, want: Respond},
		{name: "select_account", state: State{Session: ada, Request: &req{Prompt: choose}}, want: Login},
		{name: "select_account, done", state: State{Session: ada, Request: &req{Prompt: choose}, Proved: true}, want: Respond},
		{name: "login and select_account", state: State{Session: ada, Request: &req{Prompt: []string{"login", "select_account"}}}, want: Login},

		{name: "young enough", state: State{Session: ada, Request: &req{MaxAge: new(int64(60))}}, want: Respond},
		{name: "too old", state: State{Session: ada, Request: &req{MaxAge: new(int64(59))}}, want: Login, again: true},
		{name: "too old, silently", state: State{Session: ada, Request: &req{MaxAge: new(int64(59)), Prompt: none}}, refusal: oauth.LoginRequired},
		{name: "max_age=0", state: State{Session: ada, Request: &req{MaxAge: new(int64(0))}}, want: Login, again: true},
		{name: "max_age=0, done", state: State{Session: ada, Request: &req{MaxAge: new(int64(0))}, Proved: true}, want: Respond},
		{name: "max_age beyond any duration", state: State{Session: ada, Request: &req{MaxAge: new(int64(9_999_999_999))}}, want: Respond},

		{name: "hint fits", state: State{Session: ada, Request: &req{IDTokenHint: "u_ada"}}, want: Respond},
		{name: "hint of another", state: State{Session: ada, Request: &req{IDTokenHint: "u_bob"}}, want: Login},
		{name: "hint of another, silently", state: State{Session: ada, Request: &req{IDTokenHint: "u_bob", Prompt: none}}, refusal: oauth.LoginRequired},
		{name: "hint of another who did not come", state: State{Session: ada, Request: &req{IDTokenHint: "u_bob"}, Proved: true}, refusal: oauth.LoginRequired},
		{name: "sub fits", state: State{Session: ada, Request: new(names("u_ada"))}, want: Respond},
		{name: "sub of another", state: State{Session: ada, Request: new(names("u_bob"))}, want: Login},
		{name: "sub of another, silently", state: State{Session: ada, Request: new(with(names("u_bob"), none))}, refusal: oauth.LoginRequired},
		{
			name: "sub of another for userinfo", want: Login,
			state: State{Session: ada, Request: &req{Claims: store.ClaimsRequest{UserInfo: map[string]*claim{"sub": {Value: "u_bob"}}}}},
		},

		{name: "acr that is reached", state: State{Session: ada, Request: new(acr(true, "urn:x", login.ACRPassword))}, want: Respond},
		{name: "acr beyond reach, wished for", state: State{Session: ada, Request: new(acr(false, "urn:x"))}, want: Respond},
		{name: "acr beyond reach, essential", state: State{Session: ada, Request: new(acr(true, "urn:x"))}, refusal: oauth.UnmetAuthentication},
		{name: "acr beyond reach, nobody", state: State{Request: new(acr(true, "urn:x"))}, refusal: oauth.UnmetAuthentication},
		{name: "acr of odd types", state: State{Session: ada, Request: new(acr(true, 1.0, []any{"x"}, nil))}, refusal: oauth.UnmetAuthentication},
		{name: "essential acr, any", state: State{Session: ada, Request: new(acr(true))}, want: Respond},
		{name: "acr_values are a wish", state: State{Session: ada, Request: &req{ACRValues: []string{"urn:x"}}}, want: Respond},
		{
			name: "acr to be reached by a login", want: Login, again: true,
			state: State{Session: &store.Session{Subject: "u_ada", ACR: "urn:old"}, Request: new(acr(true, login.ACRPassword))},
		},
		{
			name: "acr to be reached, silently", refusal: oauth.UnmetAuthentication,
			state: State{Session: &store.Session{Subject: "u_ada", ACR: "urn:old"}, Request: new(with(acr(true, login.ACRPassword), none))},
		},

		{name: "consent", state: State{Session: ada, Needs: needs}, want: Consent, ask: needs},
		{name: "consent, silently", state: State{Session: ada, Needs: needs, Request: &req{Prompt: none}}, refusal: oauth.ConsentRequired},
		{name: "consent for what is new", state: State{Session: ada, Needs: needs, Remembered: ask{"": {"email", "openid"}}}, want: Consent, ask: ask{"api": {"read"}}},
		{
			name: "consent for a new scope", want: Consent, ask: ask{"": {"email"}},
			state: State{Session: ada, Needs: needs, Remembered: ask{"": {"openid"}, "api": {"read", "write"}}},
		},
		{name: "consent remembered", state: State{Session: ada, Needs: needs, Remembered: needs}, want: Respond},
		{name: "consent remembered, silently", state: State{Session: ada, Needs: needs, Remembered: needs, Request: &req{Prompt: none}}, want: Respond},
		{name: "consent remembered, asked again", state: State{Session: ada, Needs: needs, Remembered: needs, Request: &req{Prompt: consent}}, want: Consent, ask: needs},
		{name: "consent given", state: State{Session: ada, Needs: needs, Allowed: true}, want: Respond},
		{name: "hint by the client's name", state: State{Session: ada, Name: "pairwise", Request: &req{IDTokenHint: "pairwise"}}, want: Respond},
		{name: "hint by another client's name", state: State{Session: ada, Name: "pairwise", Request: &req{IDTokenHint: "u_ada"}}, want: Login},
		{name: "sub by another client's name", state: State{Session: ada, Name: "pairwise", Request: new(names("u_ada")), Proved: true}, refusal: oauth.LoginRequired},

		{name: "consent given, asked again", state: State{Session: ada, Needs: needs, Allowed: true, Request: &req{Prompt: consent}}, want: Respond},
		{name: "consent does not step over a login", state: State{Needs: needs, Allowed: true}, want: Login},
		{name: "nor over another login", state: State{Session: ada, Needs: needs, Allowed: true, Request: &req{Prompt: again}}, want: Login, again: true},
		{name: "first party, asked to consent", state: State{Session: ada, Request: &req{Prompt: consent}}, want: Respond},
		{name: "an API without scopes", state: State{Session: ada, Needs: ask{"api": nil}, Remembered: ask{"": {"openid"}}}, want: Consent, ask: ask{"api": nil}},
		{name: "an API without scopes, remembered", state: State{Session: ada, Needs: ask{"api": nil}, Remembered: ask{"api": {"read"}}}, want: Respond},
		{name: "login and consent", state: State{Session: ada, Needs: needs, Request: &req{Prompt: []string{"login", "consent"}}}, want: Login, again: true},
	}
	for _, tt := range tests {
		s := tt.state
		s.Now = begin
		if s.Request == nil {
			s.Request = &req{}
		}
		if s.Session != nil && s.Name == "" {
			s.Name = s.Session.Subject
		}
		want := Step{Do: tt.want, Again: tt.again, Ask: tt.ask}
		got := Next(s)
		if got.Do == Refuse {
			if got.Refusal == nil || got.Refusal.Code != tt.refusal || got.Refusal.Description == "" {
				t.Errorf("%s: refused with %v, want %v %q", tt.name, got.Refusal, tt.want, tt.refusal)
			}
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" || tt.refusal != "" {
			t.Errorf("%s: %v, want %v %q: %s", tt.name, got.Do, tt.want, tt.refusal, diff)
		}
	}
}
