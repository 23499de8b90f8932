package oauth

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func detail(t *testing.T, text string) (d AuthorizationDetail) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return d
}

func TestAuthorizationDetail(t *testing.T) {
	t.Parallel()
	d := detail(t, `{ "type": "account", "locations": ["https://a"], "actions": ["read", "list"], "datatypes": [], "privileges": ["admin"], "identifier": "42", "amount": {"value": 12.50}, "Type": "other" }`)
	want := AuthorizationDetail{
		Type: "account", Locations: []string{"https://a"}, Actions: []string{"read", "list"}, Privileges: []string{"admin"}, Identifier: "42",
		Raw: json.RawMessage(`{"type":"account","locations":["https://a"],"actions":["read","list"],"datatypes":[],"privileges":["admin"],"identifier":"42","amount":{"value":12.50},"Type":"other"}`),
	}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]json.RawMessage{"amount": json.RawMessage(`{"value":12.50}`), "Type": json.RawMessage(`"other"`)}, d.Others()); diff != "" {
		t.Error(diff)
	}
	b, err := json.Marshal([]AuthorizationDetail{d})
	if err != nil || string(b) != "["+string(want.Raw)+"]" {
		t.Errorf("%s %v", b, err)
	}
	for _, bad := range []string{
		`null`, `7`, `"x"`, `[]`, `{}`, `{"type":""}`, `{"type":7}`, `{"type":null}`, `{"Type":"x"}`,
		`{"type":"x","actions":"read"}`, `{"type":"x","locations":[1]}`, `{"type":"x","privileges":null}`,
		`{"type":"x","datatypes":[null]}`, `{"type":"x","identifier":7}`, `{"type":"x","identifier":null}`, `{`,
	} {
		if err := new(AuthorizationDetail).UnmarshalJSON([]byte(bad)); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestDetailWithin(t *testing.T) {
	t.Parallel()
	granted := detail(t, `{"type":"account","locations":["https://a","https://b"],"actions":["read","list"],"identifier":"42","amount":{"value":12,"currency":"EUR"}}`)
	for text, want := range map[string]bool{
		string(granted.Raw): true,
		`{"amount":{"currency":"EUR","value":12},"identifier":"42","actions":["list"],"locations":["https://b"],"type":"account"}`:                    true,
		`{"type":"account","locations":["https://c"],"actions":["read"],"identifier":"42","amount":{"value":12,"currency":"EUR"}}`:                    false,
		`{"type":"account","actions":["read"],"identifier":"42","amount":{"value":12,"currency":"EUR"}}`:                                              false, // anywhere
		`{"type":"account","locations":["https://a"],"actions":[],"identifier":"42","amount":{"value":12,"currency":"EUR"}}`:                          false, // anything
		`{"type":"account","locations":["https://a"],"actions":["write"],"identifier":"42","amount":{"value":12,"currency":"EUR"}}`:                   false,
		`{"type":"account","locations":["https://a"],"actions":["read"],"identifier":"43","amount":{"value":12,"currency":"EUR"}}`:                    false,
		`{"type":"account","locations":["https://a"],"actions":["read"],"amount":{"value":12,"currency":"EUR"}}`:                                      false,
		`{"type":"account","locations":["https://a"],"actions":["read"],"identifier":"42","amount":{"value":13,"currency":"EUR"}}`:                    false,
		`{"type":"account","locations":["https://a"],"actions":["read"],"identifier":"42"}`:                                                           false,
		`{"type":"account","locations":["https://a"],"actions":["read"],"identifier":"42","amount":{"value":12,"currency":"EUR"},"x":true}`:           false,
		`{"type":"other","locations":["https://a"],"actions":["read"],"identifier":"42","amount":{"value":12,"currency":"EUR"}}`:                      false,
		`{"type":"account","locations":["https://a"],"actions":["read"],"privileges":["x"],"identifier":"42","amount":{"value":12,"currency":"EUR"}}`: false,
	} {
		if got := detail(t, text).Within(granted); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// What is within what was granted has no type, place or right of its own.
func FuzzDetailWithin(f *testing.F) {
	granted := `{"type":"account","locations":["https://a"],"actions":["read","list"],"n":1}`
	f.Add(granted)
	f.Add(`{"type":"account","locations":["https://a"],"actions":["read"],"n":1}`)
	f.Add(`{"type":"account","type":"other"}`)
	f.Fuzz(func(t *testing.T, text string) {
		var d, g AuthorizationDetail
		if json.Unmarshal([]byte(granted), &g) != nil || json.Unmarshal([]byte(text), &d) != nil || !d.Within(g) {
			return
		}
		for _, a := range d.Actions {
			if !slices.Contains(g.Actions, a) {
				t.Fatal(a)
			}
		}
		if d.Type != g.Type || len(d.Locations) != 1 || d.Locations[0] != "https://a" || len(d.Privileges) > 0 || len(d.DataTypes) > 0 || d.Identifier != "" {
			t.Fatal(text)
		}
	})
}
