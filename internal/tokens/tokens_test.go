package tokens

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/revoke"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/store/sqlite"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/feed"
)

const issuer = "https://id.example.com"

var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func open(t testing.TB) (*Minter, *Reader, *keys.Ring) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	engine := &sqlite.Engine{}
	st, err := store.Open(t.Context(), engine, filepath.Join(t.TempDir(), "jeton.db"), clock.NewManual(begin), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(st.Close(), engine.Close()); err != nil {
			t.Error(err)
		}
	})
	if err := st.Write(t.Context(), func(tx *store.Tx) error { return tx.CreateIssuer(time.Hour) }); err != nil {
		t.Fatal(err)
	}
	ring, err := keys.Open(t.Context(), audit.New(st, log), st, bytes.Repeat([]byte{1, 2}, 16), keys.Policy{
		Algs: []oauth.Alg{oauth.ES256, oauth.EdDSA}, Rotate: 90 * 24 * time.Hour, PublishBefore: 24 * time.Hour, RetireAfter: 48 * time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	revoked, err := revoke.Open(t.Context(), st, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return NewMinter(issuer, ring), NewReader(issuer, ring, revoked), ring
}

func access(format spec.Format) Access {
	return Access{
		Subject: "u_ada", ClientID: "shop", Audience: []string{"https://api.example.com"}, Scopes: []string{"a:b", "c"},
		Handle: "handle", Rev: 7, AuthTime: begin, AMR: []string{"pwd"}, Roles: []string{"quo\"ted", "é"},
		Format: format, Alg: oauth.ES256, Lifetime: 5 * time.Minute,
	}
}

func TestBothFormatsSayTheSame(t *testing.T) {
	t.Parallel()
	m, r, _ := open(t)
	for _, format := range []spec.Format{spec.FormatJWT, spec.FormatOpaque} {
		token, expires, err := m.Access(begin, access(format))
		if err != nil || !expires.Equal(begin.Add(5*time.Minute)) {
			t.Fatal(err, expires)
		}
		for range 2 { // the second time from memory
			got, err := r.Access(token, begin)
			if err != nil {
				t.Fatalf("%s: %v", format, err)
			}
			if got.Subject != "u_ada" || got.ClientID != "shop" || !got.For("https://api.example.com") || got.For(issuer) ||
				got.Scope != "a:b c" || got.Rev != 7 || feed.Handle(got.ID) != "handle" || got.Roles[0] != "quo\"ted" || got.Roles[1] != "é" {
				t.Errorf("%s: %+v", format, got.Claims)
			}
			var answer map[string]any
			if err := json.Unmarshal(got.Introspection(), &answer); err != nil || answer["active"] != true || answer["iss"] != issuer {
				t.Errorf("%s: introspection %s: %v", format, got.Introspection(), err)
			}
		}
		for _, at := range []time.Duration{5 * time.Minute, time.Hour} {
			if _, err := r.Access(token, begin.Add(at)); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: after %s: %v", format, at, err)
			}
		}
	}
}

// A token of another issuer with the same keys is refused, sealed or signed.
func TestOtherIssuer(t *testing.T) {
	t.Parallel()
	_, r, ring := open(t)
	other := NewMinter("https://other.example.com", ring)
	for _, format := range []spec.Format{spec.FormatJWT, spec.FormatOpaque} {
		token, _, err := other.Access(begin, access(format))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Access(token, begin); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", format, err)
		}
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	m, _, _ := open(t)
	long := access(spec.FormatJWT)
	long.Lifetime = MaxLifetime + time.Second
	large := access(spec.FormatOpaque)
	large.Groups = []string{strings.Repeat("x", maxOpaque)}
	missing := access(spec.FormatJWT)
	missing.Alg = oauth.PS256
	unknown := access("paper")
	for name, a := range map[string]Access{"a lifetime over 24 h": long, "an opaque token over 4 KiB": large, "no key": missing, "no such format": unknown} {
		if token, _, err := m.Access(begin, a); err == nil {
			t.Errorf("%s: %d bytes were made", name, len(token))
		}
	}
}

// at_hash of OpenID Connect Core, Appendix A.3, and what no user's claim replaces.
func TestIDToken(t *testing.T) {
	t.Parallel()
	if got := halfHash(oauth.RS256, "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"); got != "77QmUPtjPfzWtF2AnpK9RQ" {
		t.Errorf("at_hash = %s", got)
	}
	m, r, _ := open(t)
	token, err := m.ID(begin, ID{
		Subject: "u_ada", ClientID: "shop", SID: "s", Alg: oauth.EdDSA,
		Claims: map[string]any{"sub": "eve", "aud": "evil", "exp": 1, "name": "Ada"},
	})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil || !strings.Contains(string(payload), `"name":"Ada"`) || strings.Contains(string(payload), "ev") {
		t.Errorf("claims %s, %v", payload, err)
	}
	sub, sid, client, err := r.Subject(token)
	if err != nil || sub != "u_ada" || sid != "s" || client != "shop" {
		t.Errorf("Subject = %q, %q, %q, %v", sub, sid, client, err)
	}
	if _, err := r.Access(token, begin); !errors.Is(err, ErrInvalid) {
		t.Errorf("an ID token passes as an access token: %v", err)
	}
	at, _, err := m.Access(begin, access(spec.FormatJWT))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := r.Subject(at); !errors.Is(err, ErrHint) {
		t.Errorf("an access token passes as a hint: %v", err)
	}
}

// What is appended is the JSON that encoding/json would read back.
func FuzzString(f *testing.F) {
	for _, s := range []string{"", "a", `q"`, "é", "\x00", "\u2028", "\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		if err := json.Unmarshal(appendString(nil, s), &got); err != nil || got != strings.ToValidUTF8(s, "\ufffd") && got != s {
			var want string
			quoted, _ := json.Marshal(s)
			if json.Unmarshal(quoted, &want) != nil || got != want {
				t.Errorf("%q came back as %q: %v", s, got, err)
			}
		}
	})
}

// Whatever comes in, reading ends without a panic, and nothing that was not made here
// is taken.
func FuzzAccess(f *testing.F) {
	m, r, _ := open(f)
	made := map[string]bool{}
	for _, format := range []spec.Format{spec.FormatJWT, spec.FormatOpaque} {
		token, _, err := m.Access(begin, access(format))
		if err != nil {
			f.Fatal(err)
		}
		made[token] = true
		f.Add(token)
		f.Add(token[:len(token)-1])
		f.Add(token + "A")
	}
	f.Add("jta_")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := r.Access(token, begin); err == nil && !made[token] && LooksOpaque(token) {
			t.Errorf("%q was not made here", token)
		}
	})
}
