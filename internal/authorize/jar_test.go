package authorize

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/clientkeys"
	"github.com/jeton-auth/jeton/internal/fetch"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

// outside are the parameters beside a request object.
func outside(client, object string, pairs ...string) web.Params {
	v := url.Values{"client_id": {client}, "request": {object}}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return web.NewParams(v)
}

func code(err error) oauth.ErrorCode {
	var refusal *oauth.Error
	if errors.As(err, &refusal) && refusal.Cause == nil {
		return refusal.Code
	}
	return ""
}

// Case 9: what stands outside the object is ignored, and what stands in it is taken in
// its JSON forms.
func TestRequestObject(t *testing.T) {
	t.Parallel()
	f := openSigning(t)
	object := f.object("signer", "scope", "openid email orders:read", "max_age", 3600, "resource", []string{orders, vault},
		"claims", map[string]any{"id_token": map[string]any{"auth_time": nil}}, "prompt", "login", "unheard_of", []int{1}, "login_hint", "ada")
	parsed, err := f.take(t.Context(), outside("signer", object,
		"state", "outside", "nonce", "n-outside", "redirect_uri", "https://evil.example/", "scope", "vault:open", "prompt", "none",
		"code_challenge", "x", "code_challenge_method", "plain", "max_age", "nonsense"))
	if err != nil {
		t.Fatal(err)
	}
	want := store.AuthorizationRequest{
		Client: "signer", RedirectURI: callback, RedirectURISent: true, ResponseType: "code", ResponseMode: "query", State: "inside", Nonce: "n-inside", Challenge: challenge,
		Scopes: []string{"openid", "email"}, ResourceAsked: true,
		Resources: []store.GrantedResource{{ID: orders, Scopes: []string{"orders:read"}}, {ID: vault, Scopes: []string{"orders:read"}}},
		Prompt:    []string{"login"}, MaxAge: new(int64(3600)), LoginHint: "ada", ACRValues: []string{},
		Claims: store.ClaimsRequest{IDToken: map[string]*store.ClaimRequest{"auth_time": nil}}, Signed: true,
	}
	if diff := cmp.Diff(want, parsed.Request); diff != "" {
		t.Error(diff)
	}
	// What is not inside is not there, whatever stands outside.
	parsed, err = f.take(t.Context(), outside("signer", f.object("signer", "state", nil, "nonce", nil), "state", "outside", "nonce", "outside"))
	if err != nil || parsed.Request.State != "" || parsed.Request.Nonce != "" {
		t.Errorf("%v %+v", err, parsed.Request)
	}
	parsed, err = f.take(t.Context(), outside("signer", f.object("signer", "code_challenge", nil, "code_challenge_method", nil), "code_challenge", challenge, "code_challenge_method", "S256"))
	if code(err) != oauth.InvalidRequest || parsed.To == nil {
		t.Errorf("PKCE from outside: %v", err)
	}
}

func TestRequestObjectsOfEachAlgorithm(t *testing.T) {
	t.Parallel()
	f := openSigning(t)
	for _, client := range []string{"signer", "bank"} {
		for _, alg := range []oauth.Alg{oauth.ES256, oauth.ES384, oauth.EdDSA, oauth.RS256, oauth.PS256} {
			_, err := f.unpack(t.Context(), outside(client, sign(t, alg, "JWT", f.claims(client))), via{pushed: true})
			allowed := client == "signer" || slices.Contains([]oauth.Alg{oauth.PS256, oauth.ES256, oauth.EdDSA}, alg)
			if allowed != (err == nil) || err != nil && err.Code != oauth.InvalidRequestObject {
				t.Errorf("%s by %s: %v", alg, client, err)
			}
		}
	}
}

func segment(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func TestBadRequestObjects(t *testing.T) {
	t.Parallel()
	f := openSigning(t)
	now := f.clock.Now().Unix()
	const bad = oauth.InvalidRequestObject
	good := f.object("signer")
	parts := strings.Split(good, ".")
	signed := func(pairs ...any) string { return f.object("signer", pairs...) }
	raw := func(payload string) string { return sign(t, oauth.ES256, oauth.TypRequestObject, []byte(payload)) }
	typ := func(typ string) string { return sign(t, oauth.ES256, typ, f.claims("signer")) }
	tests := map[string]struct {
		object string
		want   oauth.ErrorCode
	}{
		"as it should be":        {good, ""},
		"without typ":            {typ(""), ""},
		"typ JWT":                {typ("jwt"), ""},
		"typ in full":            {typ("application/oauth-authz-req+jwt"), ""},
		"an access token":        {typ(oauth.TypAccessToken), bad},
		"a DPoP proof":           {typ(oauth.TypDPoP), bad},
		"a logout token":         {typ(oauth.TypLogoutToken), bad},
		"strange typ":            {typ("x;y=\""), bad},
		"none":                   {segment(`{"alg":"none"}`) + "." + segment(string(f.claims("signer"))) + ".", oauth.RequestNotSupported},
		"None":                   {segment(`{"alg":"None"}`) + "." + segment(string(f.claims("signer"))) + ".", oauth.RequestNotSupported},
		"none with a signature":  {segment(`{"alg":"none"}`) + "." + parts[1] + "." + parts[2], oauth.RequestNotSupported},
		"HS256":                  {segment(`{"alg":"HS256"}`) + "." + parts[1] + "." + parts[2], bad},
		"no signature":           {parts[0] + "." + parts[1] + ".", bad},
		"another's signature":    {signBy(t, clientKeys()[strange], oauth.ES256, "", f.claims("signer")), bad},
		"payload changed":        {parts[0] + "." + segment(string(f.claims("signer", "state", "other"))) + "." + parts[2], bad},
		"encrypted":              {segment(`{"alg":"RSA-OAEP","enc":"A256GCM"}`) + ".a.b.c.d", bad},
		"no JWS":                 {"eyJ", bad},
		"dots":                   {strings.Repeat(".", 10_000), bad},
		"critical extension":     {segment(`{"alg":"ES256","crit":["x"],"x":1}`) + "." + parts[1] + "." + parts[2], bad},
		"another client":         {signed("client_id", "bank"), bad},
		"no client_id":           {signed("client_id", nil), ""},
		"another iss":            {signed("iss", "bank"), bad},
		"no iss":                 {signed("iss", nil), ""},
		"sub like an assertion":  {signed("sub", "signer"), bad},
		"another aud":            {signed("aud", "https://other.example.com"), bad},
		"aud by prefix":          {signed("aud", issuer+"/"), bad},
		"several aud":            {signed("aud", []string{"https://other.example.com", issuer}), ""},
		"no aud":                 {signed("aud", nil), ""},
		"aud of a strange type":  {signed("aud", 7), bad},
		"expired":                {signed("exp", now), bad},
		"expires soon":           {signed("exp", now+1), ""},
		"no exp, no nbf":         {signed("exp", nil, "nbf", nil), ""},
		"exp as text":            {signed("exp", "soon"), bad},
		"nbf 10 s ahead":         {signed("nbf", now+10), ""},
		"nbf 61 s ahead":         {signed("nbf", now+61), bad},
		"iat 10 s ahead":         {signed("iat", now+10), ""},
		"iat 61 s ahead":         {signed("iat", now+61), bad},
		"nbf long past":          {signed("nbf", now-7200), ""},
		"nested request":         {signed("request", good), bad},
		"nested request_uri":     {signed("request_uri", "urn:example:x"), bad},
		"registration":           {signed("registration", map[string]any{}), oauth.RegistrationNotSupp},
		"state of another type":  {signed("state", 7), bad},
		"scope as a list":        {signed("scope", []string{"openid"}), bad},
		"scope null":             {raw(strings.Replace(string(f.claims("signer")), `"scope":"openid"`, `"scope":null`, 1)), bad},
		"claims as text":         {signed("claims", `{}`), bad},
		"max_age as text":        {signed("max_age", "10"), ""},
		"max_age with fraction":  {signed("max_age", 1.5), bad},
		"max_age true":           {signed("max_age", true), bad},
		"resource of numbers":    {signed("resource", []int{1}), bad},
		"one resource":           {signed("resource", orders), ""},
		"a NUL":                  {signed("state", "a\x00b"), bad},
		"a member twice":         {raw(strings.Replace(string(f.claims("signer")), "{", `{"state":"first",`, 1)), bad},
		"deep":                   {raw(`{"x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`), bad},
		"no object":              {raw(`[]`), bad},
		"not JSON":               {raw(`{`), bad},
		"huge":                   {signed("x", strings.Repeat("x", 40_000)), bad},
		"redirect URI not known": {signed("redirect_uri", "https://evil.example/"), oauth.InvalidRequest},
		"no redirect URI":        {signed("redirect_uri", nil), oauth.InvalidRequest},
		"wrong PKCE":             {signed("code_challenge_method", "plain"), oauth.InvalidRequest},
		"wrong scope":            {signed("scope", "openid foreign:read"), oauth.InvalidScope},
	}
	for name, tt := range tests {
		for _, pushed := range []bool{false, true} {
			_, err := f.read(t.Context(), outside("signer", tt.object), via{pushed: pushed})
			if (err == nil) != (tt.want == "") || code(err) != tt.want {
				t.Errorf("%s: %v, want %q", name, err, tt.want)
			}
		}
	}
}

// FAPI 2.0 Message Signing §5.3.1 demands more, and takes nothing unsigned.
func TestStrictRequestObjects(t *testing.T) {
	t.Parallel()
	f := openSigning(t)
	now := f.clock.Now().Unix()
	const bad = oauth.InvalidRequestObject
	push := func(p web.Params) error {
		client, _ := f.Directory.Client("strict")
		_, err := f.Push(t.Context(), PushRequest{Client: client, Params: p})
		return err
	}
	for name, tt := range map[string]struct {
		pairs []any
		want  oauth.ErrorCode
	}{
		"as it should be":   {nil, ""},
		"no iss":            {[]any{"iss", nil}, bad},
		"no aud":            {[]any{"aud", nil}, bad},
		"several aud":       {[]any{"aud", []string{"https://other.example.com", issuer}}, ""},
		"no exp":            {[]any{"exp", nil}, bad},
		"no nbf":            {[]any{"nbf", nil}, bad},
		"nbf 8 s ahead":     {[]any{"nbf", now + 8}, ""},
		"nbf 59 min past":   {[]any{"nbf", now - 59*60, "exp", now + 50}, ""},
		"nbf 61 min past":   {[]any{"nbf", now - 61*60, "exp", now + 50}, bad},
		"an hour":           {[]any{"exp", now + 3600}, ""},
		"an hour and a bit": {[]any{"exp", now + 3601}, bad},
		"no redirect URI":   {[]any{"redirect_uri", nil}, oauth.InvalidRequest},
		"no state":          {[]any{"state", nil}, ""},
		"no nonce":          {[]any{"nonce", nil}, ""},
	} {
		if err := push(outside("strict", f.object("strict", tt.pairs...))); (err == nil) != (tt.want == "") || code(err) != tt.want {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	none := segment(`{"alg":"none"}`) + "." + segment(string(f.claims("strict"))) + "."
	if err := push(outside("strict", none)); code(err) != bad {
		t.Errorf("none: %v", err)
	}
	if err := push(outside("strict", sign(t, oauth.RS256, "", f.claims("strict")))); code(err) != bad {
		t.Errorf("RS256: %v", err)
	}
	if err := push(request("client_id", "strict")); code(err) != oauth.InvalidRequest {
		t.Errorf("unsigned parameters: %v", err)
	}
	if err := push(outside("strict", f.object("bank"))); code(err) != bad {
		t.Errorf("another client's object: %v", err)
	}
}

// The client hears of a bad object at an address that it registered, and that the
// parameters outside name or that is its only one. What the object says counts for
// nothing.
func TestWhoHearsOfABadObject(t *testing.T) {
	t.Parallel()
	f := openSigning(t)
	f.client("two", f.spec("signer"), func(c *store.Client) { c.RedirectURIs = append(c.RedirectURIs, "https://shop.example.com/other") })
	broken := f.object("signer") + "A"
	inside := segment(`{"alg":"none"}`) + "." + segment(string(f.claims("two"))) + "."
	for name, tt := range map[string]struct {
		params web.Params
		want   oauth.ErrorCode
		at     string // empty: a page
	}{
		"named outside":         {outside("signer", broken, "redirect_uri", callback, "state", "o"), oauth.InvalidRequestObject, callback},
		"the only one":          {outside("signer", broken), oauth.InvalidRequestObject, callback},
		"named wrongly":         {outside("signer", broken, "redirect_uri", "https://evil.example/"), oauth.InvalidRequestObject, ""},
		"named inside alone":    {outside("two", inside), oauth.RequestNotSupported, ""},
		"unsigned":              {outside("two", inside, "redirect_uri", callback), oauth.RequestNotSupported, callback},
		"of a client off":       {outside("off", broken), oauth.UnauthorizedClient, ""},
		"of nobody":             {outside("nobody", broken), oauth.InvalidClient, ""},
		"without keys":          {outside("shop", broken, "redirect_uri", callback), oauth.RequestNotSupported, callback},
		"by reference, no keys": {web.NewParams(url.Values{"client_id": {"shop"}, "request_uri": {"https://shop.example.com/o"}}), oauth.RequestURINotSupported, callback},
		"none registered":       {web.NewParams(url.Values{"client_id": {"signer"}, "request_uri": {"https://shop.example.com/o"}}), oauth.RequestURINotSupported, callback},
		"both at once":          {outside("signer", f.object("signer"), "request_uri", "https://shop.example.com/o"), oauth.InvalidRequest, callback},
		"response type differs": {outside("signer", f.object("signer"), "response_type", "none", "redirect_uri", callback), oauth.InvalidRequest, callback},
	} {
		out, err := f.Begin(t.Context(), tt.params, f.browser().visitor())
		if tt.at == "" {
			if code(err) != tt.want {
				t.Errorf("%s: %v %s", name, err, out.Answer.Location())
			}
			continue
		}
		u, perr := url.Parse(out.Answer.Location())
		if err != nil || perr != nil || !strings.HasPrefix(out.Answer.Location(), tt.at+"?") || u.Query().Get("error") != string(tt.want) || u.Query().Get("iss") != issuer {
			t.Errorf("%s: %v %s", name, err, out.Answer.Location())
		}
	}
}

// By reference: what is registered is fetched, without its fragment, and nothing else.
func TestRequestObjectByReference(t *testing.T) {
	t.Parallel()
	f := openSigning(t)
	var asked atomic.Int64
	body, status := "", http.StatusOK
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if strings.HasPrefix(r.URL.Path, "/moved") {
			http.Redirect(w, r, "/object", http.StatusFound)
			return
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(host.Close)
	out, err := fetch.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.Out, f.Signed = out, clientkeys.New(out, f.clock)
	f.client("far", f.spec("signer"), func(c *store.Client) {
		c.RequestURIs = []string{host.URL + "/object#v1", host.URL + "/moved", "http://10.0.0.1/object"}
	})
	good := f.object("far")
	none := segment(`{"alg":"none"}`) + "." + segment(string(f.claims("far"))) + "."
	for _, tt := range []struct {
		name, uri, body string
		status          int
		want            oauth.ErrorCode
		fetches         int64
	}{
		{"registered", host.URL + "/object", good + "\n", 200, "", 1},
		{"another version", host.URL + "/object#v2", good, 200, "", 1},
		{"not registered", host.URL + "/other", good, 200, oauth.InvalidRequestURI, 0},
		{"with a query", host.URL + "/object?x=1", good, 200, oauth.InvalidRequestURI, 0},
		{"a private address", "http://10.0.0.1/object", good, 200, oauth.InvalidRequestURI, 0},
		{"redirected", host.URL + "/moved", good, 200, oauth.InvalidRequestURI, 1},
		{"gone", host.URL + "/object", good, 404, oauth.InvalidRequestURI, 1},
		{"empty", host.URL + "/object", "", 200, oauth.InvalidRequestObject, 1},
		{"too big", host.URL + "/object", strings.Repeat("x", fetch.MaxSize+1), 200, oauth.InvalidRequestURI, 1},
		{"unsigned", host.URL + "/object", none, 200, oauth.RequestURINotSupported, 1},
		{"another client's", host.URL + "/object", f.object("signer"), 200, oauth.InvalidRequestObject, 1},
	} {
		asked.Store(0)
		body, status = tt.body, tt.status
		parsed, err := f.take(t.Context(), web.NewParams(url.Values{"client_id": {"far"}, "request_uri": {tt.uri}, "redirect_uri": {callback}}))
		var refusal *oauth.Error
		if errors.As(err, &refusal) != (tt.want != "") || refusal != nil && refusal.Code != tt.want || asked.Load() != tt.fetches {
			t.Errorf("%s: %v after %d fetches, want %q after %d", tt.name, err, asked.Load(), tt.want, tt.fetches)
		}
		if parsed.To == nil {
			t.Errorf("%s: the client does not hear of it", tt.name)
		}
	}
	// It is not fetched for a push, which carries its object.
	asked.Store(0)
	client, _ := f.Directory.Client("far")
	_, err = f.Push(t.Context(), PushRequest{Client: client, Params: web.NewParams(url.Values{"request_uri": {host.URL + "/object"}}), Origin: audit.Origin{}})
	if code(err) != oauth.InvalidRequest || asked.Load() != 0 {
		t.Errorf("pushed by reference: %v", err)
	}
}

// No object gets past the checks: what comes out has the client's own redirect URI and
// nothing that the client may not have.
func FuzzRequestObject(f *testing.F) {
	fix := openSigning(f)
	f.Add(fix.claims("signer"))
	f.Add(fix.claims("signer", "resource", []string{orders}, "max_age", 7, "claims", map[string]any{"id_token": nil}))
	f.Add([]byte(`{"client_id":"signer","redirect_uri":["x"],"scope":"openid","aud":[],"exp":1e300}`))
	f.Add([]byte(`{"request":"","aud":"` + issuer + `","state":"\ud800"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		client, _ := fix.Directory.Client("signer")
		o := object{client: client, issuer: issuer, now: begin}
		params, refusal := o.read(clientkeys.Signed{Payload: payload})
		if refusal != nil {
			if refusal.Code != oauth.InvalidRequestObject && refusal.Code != oauth.InvalidRequest || refusal.Cause != nil {
				t.Fatalf("%v", refusal)
			}
			return
		}
		parsed, refusal := fix.parse(params, via{signed: true})
		if params.Get("client_id") != "signer" || params.Has("request") || params.Has("request_uri") {
			t.Fatalf("%v", params.Values())
		}
		if parsed.To != nil && parsed.Request.RedirectURI != callback {
			t.Fatalf("an answer to %q", parsed.Request.RedirectURI)
		}
		if refusal != nil {
			return
		}
		for _, api := range parsed.Request.Resources {
			if !slices.Contains(client.Resources, api.ID) {
				t.Fatalf("resource %q", api.ID)
			}
		}
	})
}

// Whatever the query is, who must push is refused otherwise, who must sign too, and no
// address but a registered one is answered to.
func FuzzRequest(f *testing.F) {
	fix := openSigning(f)
	f.Add(params("client_id", "signer").Encode())
	f.Add(params("client_id", "bank", "request_uri", fix.pushedURI("bank")).Encode())
	f.Add(params("client_id", "strict", "request_uri", oauth.RequestURIPrefix).Encode())
	f.Add(outside("signer", fix.object("signer"), "redirect_uri", callback).Values().Encode())
	f.Add("client_id=signer&request_uri=https://evil.example/&request=a.b.c")
	f.Add(params("client_id", "signer", "authorization_details", `[{"type":"account","locations":["x"]}]`, "resource", orders).Encode())
	f.Fuzz(func(t *testing.T, query string) {
		params, refusal := web.Query(&http.Request{URL: &url.URL{RawQuery: query}})
		if refusal != nil {
			return
		}
		parsed, err := fix.take(t.Context(), params)
		if err != nil && code(err) == "" {
			t.Fatal(err)
		}
		if parsed.To != nil && parsed.Request.RedirectURI != "" && !slices.Contains(parsed.Client.RedirectURIs, parsed.Request.RedirectURI) && parsed.Client.ID != "many" {
			t.Fatalf("an answer to %q", parsed.Request.RedirectURI)
		}
		if err != nil {
			return
		}
		if c := parsed.Client; c.RequirePAR && len(parsed.Request.Pushed) == 0 || c.RequireSignedRequest {
			t.Fatalf("%s was let through with %q", c.ID, query)
		}
	})
}

// What a header says of itself is read within bounds, whatever it is.
func FuzzUnverifiedObject(f *testing.F) {
	fix := openSigning(f)
	client, _ := fix.Directory.Client("signer")
	f.Add(fix.object("signer"))
	f.Add(segment(`{"alg":"none"}`) + "..")
	f.Add("....")
	f.Fuzz(func(t *testing.T, text string) {
		_, refusal := fix.unpack(t.Context(), outside("signer", text), via{})
		if text != "" && refusal == nil {
			if _, err := fix.Signed.Verify(t.Context(), client, text, client.Profile.SigningAlgs()); err != nil {
				t.Fatalf("taken, though %v", err)
			}
		}
	})
}
