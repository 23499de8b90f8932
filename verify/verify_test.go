package verify

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jeton-auth/jeton/oauth"
)

// refused tells whether err is invalid_token with a description that holds says.
func refused(err error, says string) bool {
	var e *oauth.Error
	return errors.As(err, &e) && e.Code == oauth.InvalidToken && strings.Contains(e.Description, says) && !errors.Is(err, ErrUnavailable)
}

func TestVerify(t *testing.T) {
	t.Parallel()
	signers := []signer{es256(), es384(), rs256(), ps256(), eddsa()}
	v := newIssuer(signers...).verifier(t)
	for _, s := range signers {
		for range 2 { // the second time the header is known
			p, err := v.Verify(t.Context(), s.token(nil))
			if err != nil {
				t.Fatalf("%s: %v", s.Alg, err)
			}
			if p.Subject != "ada" || p.ClientID != "shop-web" || p.KeyID != s.ID || !p.HasScope("orders:read") || p.Rev != 7 {
				t.Errorf("%s: %+v", s.Alg, p)
			}
		}
	}
}

func TestVerifyRefusesAttacks(t *testing.T) {
	t.Parallel()
	is := newIssuer(es256(), rs256())
	v := is.verifier(t)
	if _, err := v.Verify(t.Context(), es256().token(nil)); err != nil { // the header is known from here on
		t.Fatal(err)
	}
	for name, a := range attacks(es256()) {
		p, err := v.Verify(t.Context(), a.token)
		if p != nil || !refused(err, "") {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	if n := is.count("/jwks"); n > 2 {
		t.Errorf("the attacks made %d fetches of the keys", n)
	}
	if n := len(*v.headers.all.Load()); n > 3 {
		t.Errorf("the attacks left %d headers in memory", n)
	}
}

func TestVerifyClaims(t *testing.T) {
	t.Parallel()
	s := es256()
	v := newIssuer(s).verifier(t)
	at := func(d time.Duration) int64 { return start.Add(d).Unix() } // the clock stands at one second
	for name, c := range map[string]struct {
		changes map[string]any
		says    string // empty: accepted
	}{
		"sound":                      {nil, ""},
		"one aud of many":            {map[string]any{"aud": []string{"https://a.example", apiID}}, ""},
		"no scope":                   {map[string]any{"scope": nil}, ""},
		"other iss":                  {map[string]any{"iss": "https://evil.example"}, "another issuer"},
		"iss with a slash":           {map[string]any{"iss": issuerURL + "/"}, "another issuer"},
		"iss in capitals":            {map[string]any{"iss": "https://ID.example.com"}, "another issuer"},
		"no iss":                     {map[string]any{"iss": nil}, "another issuer"},
		"other aud":                  {map[string]any{"aud": "https://other.example.com"}, "another API"},
		"aud is a prefix":            {map[string]any{"aud": apiID + "/"}, "another API"},
		"aud is the issuer":          {map[string]any{"aud": issuerURL}, "another API"},
		"aud is the client":          {map[string]any{"aud": "shop-web"}, "another API"},
		"empty aud":                  {map[string]any{"aud": []string{}}, "another API"},
		"no aud":                     {map[string]any{"aud": nil}, "another API"},
		"no sub":                     {map[string]any{"sub": nil}, "lacks"},
		"empty sub":                  {map[string]any{"sub": ""}, "lacks"},
		"no client_id":               {map[string]any{"client_id": nil}, "lacks"},
		"no jti":                     {map[string]any{"jti": nil}, "lacks"},
		"no exp":                     {map[string]any{"exp": nil}, "lacks"},
		"no iat":                     {map[string]any{"iat": nil}, "lacks"},
		"exp in a second":            {map[string]any{"exp": at(2 * time.Second)}, ""},
		"exp now":                    {map[string]any{"exp": at(time.Second)}, "expired"},
		"exp long ago":               {map[string]any{"exp": 1}, "expired"},
		"exp a fraction away":        {map[string]any{"exp": float64(at(time.Second)) + 0.9}, "expired"},
		"nbf within leeway":          {map[string]any{"nbf": at(31 * time.Second)}, ""},
		"nbf in the future":          {map[string]any{"nbf": at(32 * time.Second)}, "not valid yet"},
		"iat within leeway":          {map[string]any{"iat": at(31 * time.Second)}, ""},
		"iat in the future":          {map[string]any{"iat": at(32 * time.Second)}, "in the future"},
		"bound to a DPoP key":        {map[string]any{"cnf": map[string]any{"jkt": "x"}}, "bound to a key"},
		"bound to a certificate":     {map[string]any{"cnf": map[string]any{"x5t#S256": "x"}}, "bound to a key"},
		"bound in an unknown way":    {map[string]any{"cnf": map[string]any{}}, "bound to a key"},
		"exp is a string":            {map[string]any{"exp": "9999999999"}, "exp, which is not a number"},
		"a nested thing, nine deep":  {map[string]any{"x": []any{[]any{[]any{[]any{[]any{[]any{[]any{[]any{}}}}}}}}}, "deeper"},
		"a large but sound exp":      {map[string]any{"exp": int64(maxDate)}, ""},
		"another's sub with unicode": {map[string]any{"sub": "ada\u0000é"}, ""},
	} {
		p, err := v.Verify(t.Context(), s.token(c.changes))
		if ok := c.says == ""; ok != (err == nil) || ok != (p != nil) || !ok && !refused(err, c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	twice := s.jws(s.header("at+jwt"), strings.Replace(claims(nil), "{", `{"sub":"admin",`, 1))
	if _, err := v.Verify(t.Context(), twice); !refused(err, "twice") {
		t.Errorf("sub twice: %v", err)
	}
	if _, err := v.Verify(t.Context(), s.jws(s.header("at+jwt"), claims(nil)+"{}")); !refused(err, "JSON") {
		t.Errorf("trailing data: %v", err)
	}
}

func TestLeeway(t *testing.T) {
	t.Parallel()
	s, now := es256(), start
	v := newIssuer(s).verifier(t, Leeway(10*time.Second, 20*time.Second, 60*time.Second), Clock(func() time.Time { return now }))
	for _, c := range []struct {
		claim string
		at    time.Duration
		ok    bool
	}{
		{"exp", -9 * time.Second, true},
		{"exp", -10 * time.Second, false},
		{"nbf", 20 * time.Second, true},
		{"nbf", 21 * time.Second, false},
		{"iat", 60 * time.Second, true},
		{"iat", 61 * time.Second, false},
	} {
		_, err := v.Verify(t.Context(), s.token(map[string]any{c.claim: start.Add(c.at).Unix()}))
		if (err == nil) != c.ok {
			t.Errorf("%s %v from now: %v", c.claim, c.at, err)
		}
	}
	token := s.token(nil)
	for _, c := range []struct {
		now time.Duration
		ok  bool
	}{{0, true}, {5*time.Minute + 9*time.Second, true}, {5*time.Minute + 10*time.Second, false}, {0, true}} {
		now = start.Add(c.now)
		if _, err := v.Verify(t.Context(), token); (err == nil) != c.ok {
			t.Errorf("%v after the start: %v", c.now, err)
		}
	}
}

func TestAlgorithms(t *testing.T) {
	t.Parallel()
	v := newIssuer(es256(), rs256()).verifier(t, Algorithms(oauth.ES256))
	if _, err := v.Verify(t.Context(), es256().token(nil)); err != nil {
		t.Error(err)
	}
	if _, err := v.Verify(t.Context(), rs256().token(nil)); !refused(err, "alg is not accepted") {
		t.Errorf("RS256: %v", err)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	is := newIssuer(es256())
	for name, c := range map[string]struct {
		opts []Option
		says string
	}{
		"empty audience":     {[]Option{Audience("")}, "Audience"},
		"unknown algorithm":  {[]Option{Algorithms("HS256")}, "HS256"},
		"no algorithm":       {[]Option{Algorithms()}, "names none"},
		"leeway too large":   {[]Option{Leeway(61*time.Second, 0, 0)}, "exp is 1m1s"},
		"negative leeway":    {[]Option{Leeway(0, 0, -1)}, "iat is"},
		"keys too short":     {[]Option{KeysMaxAge(time.Second)}, "KeysMaxAge"},
		"no secret":          {[]Option{Introspection("id", "")}, "secret"},
		"cache too long":     {[]Option{Introspection("id", "s", CacheFor(time.Hour))}, "CacheFor"},
		"none at once":       {[]Option{Introspection("id", "s", Parallel(0))}, "Parallel"},
		"metadata of no URL": {[]Option{Metadata(Resource{ID: "orders"})}, "https URL"},
		"metadata over http": {[]Option{Metadata(Resource{ID: "http://api.example.com"})}, "https URL"},
		"a malformed scope":  {[]Option{Metadata(Resource{Scopes: []string{"a b"}})}, "malformed scope"},
	} {
		if v, err := is.try(c.opts...); v != nil || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want an error that says %q", name, err, c.says)
		}
	}
	if _, err := New(context.Background(), issuerURL); err == nil || !strings.Contains(err.Error(), "Audience") {
		t.Errorf("no audience: %v", err)
	}
	for _, bad := range []string{"", "id.example.com", "http://id.example.com", "https://", "https://u:p@id.example.com", "https://id.example.com#f", "https://id.example.com?q", "ftp://localhost", "http://localhost.evil.example", "http://10.0.0.1", "::"} {
		if _, err := New(context.Background(), bad, Audience(apiID), Lazy()); err == nil {
			t.Errorf("the issuer %q is accepted", bad)
		}
	}
	for _, good := range []string{"http://localhost:1", "http://127.0.0.5:1", "http://[::1]:1", "https://id.example.com/tenant"} {
		v, err := New(context.Background(), good, Audience(apiID), Lazy(), HTTPClient(clientOf(is)), Logger(quiet))
		if err != nil {
			t.Errorf("the issuer %q: %v", good, err)
			continue
		}
		v.Close()
	}
}

func TestHeadersAreBounded(t *testing.T) {
	t.Parallel()
	s := es256()
	v := newIssuer(s).verifier(t)
	for i := range 3 * maxHeaders {
		header := s.header("at+jwt") + strings.Repeat(" ", i)
		if _, err := v.Verify(t.Context(), s.jws(header, claims(nil))); err != nil {
			t.Fatal(err)
		}
		if n := len(*v.headers.all.Load()); n > maxHeaders {
			t.Fatalf("%d headers are remembered", n)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	v := newIssuer(es256()).verifier(t, Clock(func() time.Time { return start }))
	p := &Principal{Claims: Claims{Scope: "a b", ACR: "silver", AuthTime: start.Add(-time.Minute).Unix()}}
	for name, c := range map[string]struct {
		needs []Requirement
		want  oauth.ErrorCode
	}{
		"nothing":             {nil, ""},
		"its scopes":          {[]Requirement{Scopes("b", "a")}, ""},
		"one scope too many":  {[]Requirement{Scopes("a", "c")}, oauth.InsufficientScope},
		"in two requirements": {[]Requirement{Scopes("a"), Scopes("c")}, oauth.InsufficientScope},
		"its acr":             {[]Requirement{ACR("gold", "silver")}, ""},
		"a better acr":        {[]Requirement{ACR("gold")}, oauth.InsufficientUserAuth},
		"recent":              {[]Requirement{MaxAge(time.Minute)}, ""},
		"more recent":         {[]Requirement{MaxAge(59 * time.Second)}, oauth.InsufficientUserAuth},
		"the lower of two":    {[]Requirement{MaxAge(59 * time.Second), MaxAge(time.Hour)}, oauth.InsufficientUserAuth},
		"scope before acr":    {[]Requirement{ACR("gold"), Scopes("c")}, oauth.InsufficientScope},
	} {
		err := v.Check(p, c.needs...)
		var e *oauth.Error
		if c.want == "" && err != nil || c.want != "" && (!errors.As(err, &e) || e.Code != c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	unknown := &Principal{}
	if v.Check(unknown, ACR("")) == nil || v.Check(unknown, MaxAge(time.Hour)) == nil || v.Check(unknown) != nil {
		t.Error("an absent acr or auth_time meets a requirement, or no requirement isn't met")
	}
	for _, bad := range []string{"", "a b", `a"b`, "a\\b", "é", "a\n"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("the scope %q is accepted", bad)
				}
			}()
			v.Require(bad)
		}()
	}
}

func TestPrincipalFrom(t *testing.T) {
	t.Parallel()
	if PrincipalFrom(t.Context()) != nil {
		t.Error("a principal out of nowhere")
	}
	p := &Principal{Claims: Claims{Subject: "ada"}}
	if got := PrincipalFrom(NewContext(t.Context(), p)); got != p {
		t.Errorf("got %v", got)
	}
}

// The algorithms that options allow are those that keys can have.
func TestAllAlgs(t *testing.T) {
	t.Parallel()
	var have []oauth.Alg
	for _, s := range []signer{es256(), es384(), eddsa(), ps256(), rs256()} {
		have = append(have, s.Alg)
	}
	if d := cmp.Diff(have, slices.Clone(allAlgs)); d != "" {
		t.Error(d)
	}
}
