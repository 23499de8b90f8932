package authorize

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth"
)

// openDetails is open, with a third party that may ask for details of two types.
func openDetails(t testing.TB) *fixture {
	t.Helper()
	f := open(t)
	for id, resources := range map[string][]string{"third": {orders, vault}, "one": {orders}} {
		f.client(id, f.spec(id), func(c *store.Client) {
			c.AuthorizationDetailsTypes, c.Resources, c.FirstParty = []string{"account", "payment"}, resources, false
		})
	}
	return f
}

func TestDetails(t *testing.T) {
	t.Parallel()
	f := openDetails(t)
	type granted = store.GrantedResource
	at := func(locations ...string) string {
		b, err := json.Marshal([]any{map[string]any{"type": "account", "locations": locations}})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for name, tt := range map[string]struct {
		pairs []string
		want  oauth.ErrorCode
		apis  []granted
	}{
		"beside scopes":                  {[]string{"client_id", "third", "scope", "openid vault:open", "authorization_details", `[{"type":"account"}]`}, "", []granted{{ID: vault, Scopes: []string{"vault:open"}}}},
		"of an API":                      {[]string{"client_id", "third", "authorization_details", at(orders)}, "", []granted{{ID: orders}}},
		"of two, one with scopes":        {[]string{"client_id", "third", "scope", "vault:open", "authorization_details", at(orders, vault)}, "", []granted{{ID: orders}, {ID: vault, Scopes: []string{"vault:open"}}}},
		"alone, at a location":           {[]string{"client_id", "third", "scope", "", "authorization_details", at(orders, "https://elsewhere.example")}, "", []granted{{ID: orders}}},
		"alone, at the only API":         {[]string{"client_id", "one", "scope", "", "authorization_details", `[{"type":"payment"}]`}, "", []granted{{ID: orders}}},
		"alone, at any API":              {[]string{"client_id", "third", "scope", "", "authorization_details", `[{"type":"payment"}]`}, oauth.InvalidScope, nil},
		"at an API that was not named":   {[]string{"client_id", "third", "resource", vault, "authorization_details", at(orders)}, "", []granted{{ID: vault}}},
		"at an API of others":            {[]string{"client_id", "third", "authorization_details", at(foreign)}, "", nil},
		"of a type not registered":       {[]string{"client_id", "third", "authorization_details", `[{"type":"tax"}]`}, oauth.InvalidAuthzDetails, nil},
		"of a client that registered no": {[]string{"client_id", "shop", "authorization_details", `[{"type":"account"}]`}, oauth.InvalidAuthzDetails, nil},
		"not JSON":                       {[]string{"client_id", "third", "authorization_details", `[`}, oauth.InvalidAuthzDetails, nil},
		"an object":                      {[]string{"client_id", "third", "authorization_details", `{"type":"account"}`}, oauth.InvalidAuthzDetails, nil},
	} {
		parsed, refusal := f.Parse(request(tt.pairs...))
		switch {
		case tt.want != "":
			if refusal == nil || refusal.Code != tt.want || parsed.To == nil {
				t.Errorf("%s: %v", name, refusal)
			}
		case refusal != nil:
			t.Errorf("%s: %v", name, refusal)
		default:
			if diff := cmp.Diff(tt.apis, parsed.Request.Resources); diff != "" || len(parsed.Request.Details) != 1 {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
}

// Details are allowed for one request; what was allowed before does not cover them.
func TestDetailsAreAskedForEachTime(t *testing.T) {
	t.Parallel()
	f := openDetails(t)
	b := f.browser()
	pairs := []string{"client_id", "third", "authorization_details", `[{"type":"account","actions":["read"]}]`}
	for range 2 {
		out := b.begin(pairs...)
		if out.Step.Do == Login {
			out = b.login("ada", out.Pending)
		}
		f.wantDo(out, Consent)
		f.wantError(b.begin(append(pairs, "prompt", "none")...), oauth.ConsentRequired)
		out, err := b.open(out.Pending.ID()).Allow(t.Context(), "u_ada")
		g := f.code(b.took(out, err))
		if d := g.Details.AuthorizationDetails; len(d) != 1 || string(d[0].Raw) != `{"type":"account","actions":["read"]}` || d[0].Type != "account" {
			t.Errorf("%+v", d)
		}
	}
	// Nor does the consent to one request let another go through.
	f.wantDo(b.begin("client_id", "third", "authorization_details", `[{"type":"account","actions":["write"]}]`), Consent)
	f.code(b.begin("client_id", "third"))
}
