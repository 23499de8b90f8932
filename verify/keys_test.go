package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/jwks"
)

// In these tests time is that of a synctest bubble: it passes only when all wait.

func TestRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer(es256())
		is.cache = "public, max-age=120"
		v := is.verifier(t)
		old, next := es256().token(nil), other().token(nil)
		expect := func(when, token string, ok bool) {
			t.Helper()
			if _, err := v.Verify(t.Context(), token); (err == nil) != ok {
				t.Errorf("%s: %v", when, err)
			}
		}
		expect("the first key", old, true)
		is.publish(es256(), other())
		time.Sleep(120 * time.Second)
		before := is.count("/jwks")
		expect("a key added since", next, true)
		if is.count("/jwks") != before {
			t.Error("a published key was fetched on demand")
		}
		is.publish(other())
		expect("the old key just after its removal", old, true)
		time.Sleep(120 * time.Second)
		expect("the old key past the bound", old, false)
		expect("the new key", next, true)
		is.publish() // all keys taken back
		time.Sleep(120 * time.Second)
		expect("the new key after all were removed", next, false)
		if n := is.count("/.well-known/openid-configuration"); n != 1 {
			t.Errorf("%d discoveries", n)
		}
	})
}

func TestUnknownKid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer(es256())
		v := is.verifier(t)
		time.Sleep(unknownEvery)
		is.publish(es256(), other())
		if _, err := v.Verify(t.Context(), other().token(nil)); err != nil {
			t.Errorf("a new key is not fetched on demand: %v", err)
		}
		before := is.count("/jwks")
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				header := fmt.Sprintf(`{"alg":"ES256","kid":"made-up-%d","typ":"at+jwt"}`, i)
				time.Sleep(time.Duration(i) * 20 * time.Millisecond) // 20 seconds in all
				if _, err := v.Verify(t.Context(), es256().jws(header, claims(nil))); !refused(err, "does not publish") {
					t.Errorf("made-up kid: %v", err)
				}
			})
		}
		wg.Wait()
		if n := is.count("/jwks") - before; n < 1 || n > 2 {
			t.Errorf("a flood of unknown kids in 20 seconds made %d fetches", n)
		}
	})
}

func TestUnknownKidWhileTheIssuerIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer(es256())
		v := is.verifier(t)
		time.Sleep(unknownEvery)
		is.set(func() { is.down = true })
		for range 3 { // the second and third stand on the first one's outcome
			_, err := v.Verify(t.Context(), other().token(nil))
			if e := oauth.AsError(err); !errors.Is(err, ErrUnavailable) || e.Code != oauth.TemporarilyUnavailable {
				t.Errorf("unknown kid: %v, want ErrUnavailable", err)
			}
		}
		if _, err := v.Verify(t.Context(), es256().token(nil)); err != nil {
			t.Errorf("a known key: %v", err)
		}
		is.set(func() { is.down = false })
		is.publish(es256(), other())
		time.Sleep(unknownEvery)
		if _, err := v.Verify(t.Context(), other().token(nil)); err != nil {
			t.Errorf("after the outage: %v", err)
		}
	})
}

func TestKeysMaxAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer(es256())
		v := is.verifier(t, KeysMaxAge(2*time.Hour))
		is.set(func() { is.down = true })
		token := es256().token(nil)
		time.Sleep(2*time.Hour - time.Second)
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Errorf("within the bound: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := v.Verify(t.Context(), token); !errors.Is(err, ErrUnavailable) {
			t.Errorf("past the bound: %v, want ErrUnavailable", err)
		}
		is.set(func() { is.down = false })
		time.Sleep(maxBackoff)
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Errorf("after the outage: %v", err)
		}
	})
}

func TestGarbageKeepsTheKnownKeys(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"HTML": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>maintenance</html>") },
		"500":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"404":  http.NotFound,
		"huge": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"keys":[]}`, strings.Repeat(" ", jwks.MaxSize))
		},
		"private": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[{"kty":"oct","k":"AA"}]}`) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://id.example.com/elsewhere", http.StatusFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				is := newIssuer(es256())
				v := is.verifier(t)
				is.set(func() { is.override["/jwks"] = answer })
				time.Sleep(10 * time.Minute)
				if _, err := v.Verify(t.Context(), es256().token(nil)); err != nil {
					t.Error(err)
				}
				if is.count("/elsewhere") > 0 {
					t.Error("a redirect was followed")
				}
				if n := is.count("/jwks"); n < 5 || n > 25 {
					t.Errorf("%d fetches in ten minutes", n)
				}
				// Where the keys are is learned anew, in case they moved.
				if is.count("/.well-known/openid-configuration") < 2 {
					t.Error("no new discovery")
				}
			})
		})
	}
}

func TestLazy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer(es256())
		is.down = true
		if v, err := is.try(); v != nil || err == nil || !strings.Contains(err.Error(), "can't be used") {
			t.Errorf("without Lazy: %v", err)
		}
		v := is.verifier(t, Lazy())
		token := es256().token(nil)
		for range 50 {
			if _, err := v.Verify(t.Context(), token); !errors.Is(err, ErrUnavailable) {
				t.Fatalf("before the issuer is up: %v", err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		is.set(func() { is.down = false })
		time.Sleep(missingEvery)
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Errorf("a second after the issuer is up: %v", err)
		}
	})
}

// A caller that gives up doesn't end the fetch for the others.
func TestSlowIssuer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer(es256())
		is.override["/.well-known/openid-configuration"] = func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(3 * time.Second)
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"%s/jwks"}`, issuerURL, issuerURL)
		}
		v := is.verifier(t, Lazy())
		token := es256().token(nil)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if _, err := v.Verify(ctx, token); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("impatient: %v", err)
				}
			})
			wg.Go(func() {
				if _, err := v.Verify(t.Context(), token); err != nil {
					t.Errorf("patient: %v", err)
				}
			})
		}
		wg.Wait()
		if n := is.count("/jwks"); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}

func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer(es256())
		v := is.verifier(t)
		v.Close()
		v.Close()
		before := is.count("/jwks")
		time.Sleep(24 * time.Hour)
		if is.count("/jwks") != before {
			t.Error("fetches after Close")
		}
		if _, err := v.Verify(t.Context(), es256().token(nil)); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a day after Close: %v", err)
		}
	})
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	const oidc, rfc8414 = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"
	doc := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }
	}
	good := `{"issuer":"https://id.example.com","jwks_uri":"https://id.example.com/jwks"}`
	for name, c := range map[string]struct {
		oidc, rfc8414 http.HandlerFunc
		says          string // empty: found
	}{
		"OpenID Connect alone":  {doc(good), nil, ""},
		"RFC 8414 alone":        {http.NotFound, doc(good), ""},
		"a page for every path": {doc("<html>"), doc(good), ""},
		"neither":               {http.NotFound, http.NotFound, "answers 404"},
		"garbage":               {doc("<html>"), doc("{"), "JSON"},
		"another issuer":        {doc(strings.Replace(good, "id.", "evil.", 1)), nil, `not exactly "https://id.example.com"`},
		"a slash too many":      {doc(strings.Replace(good, `.com"`, `.com/"`, 1)), nil, "not exactly"},
		"no issuer":             {doc(`{"jwks_uri":"https://id.example.com/jwks"}`), nil, "not exactly"},
		"issuer twice":          {doc(strings.Replace(good, "{", `{"issuer":"https://evil.example",`, 1)), nil, "twice"},
		"no keys":               {doc(`{"issuer":"https://id.example.com"}`), nil, "jwks_uri"},
		"keys over http":        {doc(strings.Replace(good, "https://id.example.com/jwks", "http://id.example.com/jwks", 1)), nil, "not https"},
		"keys on the loopback":  {doc(strings.Replace(good, "https://id.example.com/jwks", "http://127.0.0.1/jwks", 1)), nil, "not https"},
		"keys in a file":        {doc(strings.Replace(good, "https://id.example.com/jwks", "file:///etc/passwd", 1)), nil, "not an absolute https"},
		"huge":                  {doc(good + strings.Repeat(" ", jwks.MaxSize)), nil, "octets"},
		"a redirect":            {http.RedirectHandler("/other", http.StatusFound).ServeHTTP, nil, "redirects are not followed"},
	} {
		is := newIssuer(es256())
		is.override[oidc], is.override["/other"] = c.oidc, doc(good)
		if c.rfc8414 != nil {
			is.override[rfc8414] = c.rfc8414
		}
		v, err := is.try()
		if c.says == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			v.Close()
		} else if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want an error that says %q", name, err, c.says)
		}
	}
	none := newIssuer()
	if _, err := none.try(); !errors.Is(err, jwks.ErrNoKey) {
		t.Errorf("an issuer without keys: %v", err)
	}
}

// The two paths of an issuer that has a path itself.
func TestDiscoveryPaths(t *testing.T) {
	t.Parallel()
	for _, base := range []string{issuerURL + "/tenant", issuerURL + "/tenant/"} {
		for _, at := range []string{"/tenant/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/tenant"} {
			is := newIssuer(es256())
			is.url = base
			is.override[at] = func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"https://keys.example.com/jwks"}`, base)
			}
			if v, err := is.try(); err != nil {
				t.Errorf("%s at %s: %v", base, at, err)
			} else {
				v.Close()
			}
		}
	}
}

func TestRefreshAfter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cache, age string
		want       time.Duration
	}{
		{"", "", defaultRefresh},
		{"max-age=600", "", 10 * time.Minute},
		{"public, Max-Age=600, must-revalidate", "", 10 * time.Minute},
		{`max-age="600"`, "", 10 * time.Minute},
		{"max-age=600", "300", 5 * time.Minute},
		{"max-age=600", "9999", minRefresh},
		{"max-age=600", "-9999999999", 10 * time.Minute},
		{"max-age=0", "", minRefresh},
		{"max-age=-5", "", minRefresh},
		{"max-age=31536000", "", maxRefresh},
		{"max-age=99999999999999999999", "", defaultRefresh},
		{"max-age=soon", "", defaultRefresh},
		{"no-store", "", minRefresh},
		{"max-age=600, no-cache", "", minRefresh},
		{"s-maxage=600", "", defaultRefresh},
	} {
		h := http.Header{}
		h.Set("Cache-Control", c.cache)
		h.Set("Age", c.age)
		if got := refreshAfter(h); got != c.want {
			t.Errorf("Cache-Control: %s, Age: %s: %v, want %v", c.cache, c.age, got, c.want)
		}
	}
	for range 1000 {
		if d := early(time.Minute); d > time.Minute || d < 54*time.Second {
			t.Fatalf("early(1m) is %v", d)
		}
	}
}

// Over a real network: loopback http is allowed, TLS is verified, and an endless answer ends at the bound.
func TestOverTheNetwork(t *testing.T) {
	t.Parallel()
	is := newIssuer(es256())
	plain := httptest.NewServer(is)
	t.Cleanup(plain.Close)
	is.url = plain.URL
	v, err := New(t.Context(), plain.URL, Audience(apiID), Logger(quiet), Clock(func() time.Time { return start }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	if _, err := v.Verify(t.Context(), es256().token(map[string]any{"iss": plain.URL})); err != nil {
		t.Error(err)
	}

	secure := httptest.NewUnstartedServer(is)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	is.set(func() { is.url = secure.URL })
	if _, err := New(t.Context(), secure.URL, Audience(apiID), Logger(quiet)); err == nil {
		t.Error("a certificate that nobody vouches for is accepted")
	}
	v, err = New(t.Context(), secure.URL, Audience(apiID), Logger(quiet), HTTPClient(secure.Client()))
	if err != nil {
		t.Fatal(err)
	}
	v.Close()

	is.set(func() {
		is.url = plain.URL
		is.override["/jwks"] = func(w http.ResponseWriter, _ *http.Request) {
			for range 2 * jwks.MaxSize / 1024 {
				fmt.Fprint(w, strings.Repeat(" ", 1024))
				w.(http.Flusher).Flush()
			}
		}
	})
	if _, err := New(t.Context(), plain.URL, Audience(apiID), Logger(quiet)); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("an endless document: %v", err)
	}
}
