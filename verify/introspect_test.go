package verify

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeton-auth/jeton/oauth"
)

const (
	opaqueToken = "opaque-0123456789"
	apiSecret   = "a secret: with+odd/characters%"
)

// activeAs answers that every token is active, with changes.
func activeAs(changes map[string]any) func(url.Values) any {
	return func(url.Values) any {
		m := map[string]any{
			"active": true, "iss": issuerURL, "aud": apiID, "sub": "ada", "client_id": "shop-web",
			"scope": "orders:read", "token_type": "Bearer", "exp": start.Add(time.Minute).Unix(),
		}
		for name, v := range changes {
			if m[name] = v; v == nil {
				delete(m, name)
			}
		}
		return m
	}
}

func TestIntrospectOpaque(t *testing.T) {
	t.Parallel()
	is := newIssuer(es256())
	var form url.Values
	is.introspect = func(f url.Values) any { form = f; return activeAs(nil)(f) }
	v := is.verifier(t, Introspection(apiID, apiSecret))
	p, err := v.Verify(t.Context(), opaqueToken)
	if err != nil {
		t.Fatal(err)
	}
	if p.Subject != "ada" || !p.HasScope("orders:read") || p.KeyID != "" {
		t.Errorf("%+v", p)
	}
	if form.Get("token") != opaqueToken || form.Get("token_type_hint") != "access_token" {
		t.Errorf("form: %v", form)
	}
	if want := url.QueryEscape(apiID) + ":" + url.QueryEscape(apiSecret); is.basic != want {
		t.Errorf("credentials: %s, want %s", is.basic, want)
	}
	// JWTs stay local without ConfirmEach.
	if _, err := v.Verify(t.Context(), es256().token(nil)); err != nil || is.count("/introspect") != 1 {
		t.Errorf("JWT: %v after %d introspections", err, is.count("/introspect"))
	}
}

func TestIntrospectJudges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		changes map[string]any
		says    string // empty: accepted
	}{
		"sound":               {nil, ""},
		"no iss":              {map[string]any{"iss": nil}, ""},
		"no exp":              {map[string]any{"exp": nil}, ""},
		"no token_type":       {map[string]any{"token_type": nil}, ""},
		"a client's own":      {map[string]any{"sub": nil}, ""},
		"inactive":            {map[string]any{"active": false}, "not active"},
		"another issuer":      {map[string]any{"iss": "https://evil.example"}, "another issuer"},
		"another API":         {map[string]any{"aud": "https://other.example.com"}, "another API"},
		"no aud":              {map[string]any{"aud": nil}, "another API"},
		"expired":             {map[string]any{"exp": start.Unix()}, "expired"},
		"not yet":             {map[string]any{"nbf": start.Add(time.Hour).Unix()}, "not valid yet"},
		"a refresh token":     {map[string]any{"token_type": "refresh_token"}, "neither a bearer token"},
		"a DPoP token":        {map[string]any{"token_type": "DPoP"}, "does not name"},
		"bound":               {map[string]any{"cnf": map[string]string{"jkt": "x"}}, "bound to a key"},
		"of nobody":           {map[string]any{"sub": nil, "client_id": nil}, "nobody"},
		"token_type a number": {map[string]any{"token_type": 1}, "neither a bearer token"},
	} {
		is := newIssuer(es256())
		is.introspect = activeAs(c.changes)
		p, err := is.verifier(t, Introspection(apiID, apiSecret)).Verify(t.Context(), opaqueToken)
		if ok := c.says == ""; ok != (err == nil) || ok != (p != nil) || !ok && !refused(err, c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	v := newIssuer(es256()).verifier(t)
	if _, err := v.Verify(t.Context(), opaqueToken); !refused(err, "not a JWS") {
		t.Errorf("opaque without Introspection: %v", err)
	}
}

// Whatever is wrong with the answer, the token is not called invalid.
func TestIntrospectUnavailable(t *testing.T) {
	t.Parallel()
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	for name, h := range map[string]http.HandlerFunc{
		"500":               answer(500, ""),
		"503":               answer(503, `{"active":false}`),
		"401":               answer(401, `{"error":"invalid_client"}`),
		"HTML":              answer(200, "<html>"),
		"empty":             answer(200, ""),
		"no active":         answer(200, `{"sub":"ada"}`),
		"active a string":   answer(200, `{"active":"true"}`),
		"active twice":      answer(200, `{"active":false,"active":true}`),
		"active null":       answer(200, `{"active":null}`),
		"Active in capital": answer(200, `{"Active":true}`),
		"huge":              answer(200, `{"active":true}`+strings.Repeat(" ", maxClaims)),
		"deep":              answer(200, `{"active":true,"x":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+`}`),
		"a redirect":        http.RedirectHandler("/introspect2", http.StatusTemporaryRedirect).ServeHTTP,
	} {
		is := newIssuer(es256())
		is.override["/introspect"] = h
		is.override["/introspect2"] = answer(200, `{"active":true,"sub":"ada","aud":"`+apiID+`"}`)
		v := is.verifier(t, Introspection(apiID, apiSecret, ConfirmEach()))
		for _, token := range []string{opaqueToken, es256().token(nil)} {
			p, err := v.Verify(t.Context(), token)
			if p != nil || !errors.Is(err, ErrUnavailable) || oauth.AsError(err).Code != oauth.TemporarilyUnavailable {
				t.Errorf("%s: %v, %v, want ErrUnavailable", name, p, err)
			}
		}
		if is.count("/introspect2") > 0 {
			t.Errorf("%s: the token and the secret followed a redirect", name)
		}
	}
}

func TestConfirmEach(t *testing.T) {
	t.Parallel()
	is := newIssuer(es256())
	var revoked atomic.Bool
	is.introspect = func(f url.Values) any { return map[string]any{"active": !revoked.Load()} }
	v := is.verifier(t, Introspection(apiID, apiSecret, ConfirmEach()))
	token := es256().token(nil)
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Error(err)
	}
	revoked.Store(true)
	if _, err := v.Verify(t.Context(), token); !refused(err, "not active") {
		t.Errorf("revoked: %v", err)
	}
	// What is locally wrong is not worth a question.
	before := is.count("/introspect")
	for _, a := range attacks(es256()) {
		if isCompact(a.token) {
			v.Verify(t.Context(), a.token)
		}
	}
	v.Verify(t.Context(), es256().token(map[string]any{"exp": 1}))
	if n := is.count("/introspect") - before; n != 0 {
		t.Errorf("%d introspections of invalid tokens", n)
	}
}

func TestIntrospectionCache(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer(es256())
		is.introspect = activeAs(nil)
		v := is.verifier(t, Introspection(apiID, apiSecret, CacheFor(10*time.Second)))
		ask := func(token string, ok bool) {
			t.Helper()
			if _, err := v.Verify(t.Context(), token); (err == nil) != ok {
				t.Errorf("%s: %v", token, err)
			}
		}
		ask(opaqueToken, true)
		is.set(func() { is.introspect = activeAs(map[string]any{"active": false}) })
		time.Sleep(10*time.Second - time.Nanosecond)
		ask(opaqueToken, true)
		ask("another", false)
		time.Sleep(time.Nanosecond)
		ask(opaqueToken, false)
		is.set(func() { is.introspect = activeAs(nil) })
		ask(opaqueToken, true) // a refusal is not kept

		for i := range 2 * maxAnswers {
			ask(fmt.Sprintf("token-%d", i), true)
		}
		if n := len(v.introspect.kept); n > maxAnswers {
			t.Errorf("%d answers are kept", n)
		}
		time.Sleep(10 * time.Second)
		ask("one-more", true)
		if n := len(v.introspect.kept); n != 1 {
			t.Errorf("%d answers are kept after all were over", n)
		}
		is.set(func() { is.introspect = activeAs(map[string]any{"padding": strings.Repeat("x", maxKeptAnswer)}) })
		ask("large", true)
		if n := len(v.introspect.kept); n != 1 {
			t.Error("a large answer is kept")
		}
	})
}

func TestIntrospectionIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer(es256())
		var now, most, served atomic.Int32
		is.override["/introspect"] = func(w http.ResponseWriter, _ *http.Request) {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(2 * time.Second)
			now.Add(-1)
			served.Add(1)
			fmt.Fprintf(w, `{"active":true,"sub":"ada","aud":%q}`, apiID)
		}
		v := is.verifier(t, Introspection(apiID, apiSecret, Parallel(3)))
		var wg sync.WaitGroup
		var ok, unavailable atomic.Int32
		for range 20 {
			wg.Go(func() {
				switch _, err := v.Verify(t.Context(), opaqueToken); {
				case err == nil:
					ok.Add(1)
				case errors.Is(err, ErrUnavailable):
					unavailable.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if most.Load() != 3 {
			t.Errorf("%d at once, want 3", most.Load())
		}
		if ok.Load() != 6 || unavailable.Load() != 14 { // two rounds of two seconds fit into five
			t.Errorf("%d ok and %d unavailable", ok.Load(), unavailable.Load())
		}
	})
}

func TestIntrospectionEndpoint(t *testing.T) {
	t.Parallel()
	is := newIssuer(es256())
	is.override["/.well-known/openid-configuration"] = func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"%s/jwks"}`, issuerURL, issuerURL)
	}
	if _, err := is.try(Introspection(apiID, apiSecret)); err == nil || !strings.Contains(err.Error(), "introspection_endpoint") {
		t.Errorf("no endpoint: %v", err)
	}
	is = newIssuer(es256())
	is.introspect = activeAs(nil)
	if _, err := is.verifier(t, Lazy(), Introspection(apiID, apiSecret)).Verify(t.Context(), opaqueToken); err != nil {
		t.Errorf("lazy: %v", err)
	}
}

// Neither tokens nor the secret reach the log or an error.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	is := newIssuer(es256())
	is.override["/introspect"] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }
	var log bytes.Buffer
	v := is.verifier(t, Introspection(apiID, apiSecret, ConfirmEach()), Logger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	token := es256().token(nil)
	for _, tok := range []string{opaqueToken, token} {
		w := call(v.Require(), "Bearer "+tok)
		_, err := v.Verify(t.Context(), tok)
		all := log.String() + err.Error() + fmt.Sprint(w.Header()) + w.Body.String()
		for _, secret := range []string{tok, apiSecret, url.QueryEscape(apiSecret)} {
			if strings.Contains(all, secret) {
				t.Errorf("%q leaks in %s", secret, all)
			}
		}
		if strings.Contains(w.Body.String(), "401") {
			t.Errorf("the cause goes to the client: %s", w.Body)
		}
		if !strings.Contains(log.String(), "check the id and secret") {
			t.Errorf("the log does not tell what to do: %s", log.String())
		}
	}
}
