package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/jeton-auth/jeton/oauth"
)

func TestDecodeClaims(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		doc  string
		want Claims
	}{
		{`{}`, Claims{}},
		{" \t\r\n{ } \n", Claims{}},
		{`{"iss":"i","sub":"s","aud":"a","exp":1795000000,"nbf":1,"iat":2,"jti":"j","client_id":"c","scope":"a b",
		   "auth_time":3,"acr":"2","amr":["pwd","otp"],"rev":0,"nonce":"n","sid":"x","roles":["r"],"groups":["g","h"],
		   "cnf":{"jkt":"t","x5t#S256":"u","future":[1]}}`, Claims{
			Issuer: "i", Subject: "s", Audience: []string{"a"}, Expiry: 1795000000, NotBefore: 1, IssuedAt: 2,
			ID: "j", ClientID: "c", Scope: "a b", AuthTime: 3, ACR: "2", AMR: []string{"pwd", "otp"}, HasRev: true,
			Nonce: "n", SessionID: "x", Roles: []string{"r"}, Groups: []string{"g", "h"},
			Confirmation: &oauth.Confirmation{JKT: "t", X5TS256: "u"},
		}},
		{`{"aud":[]}`, Claims{Audience: []string{}}},
		{`{"aud":["a","b"]}`, Claims{Audience: []string{"a", "b"}}},
		{`{"cnf":{"kid":"k"}}`, Claims{Confirmation: &oauth.Confirmation{}}},
		{`{"rev":9007199254740991}`, Claims{Rev: 1<<53 - 1, HasRev: true}},
		{`{"exp":1795000000.999,"nbf":1.5e2,"iat":-0}`, Claims{Expiry: 1795000000, NotBefore: 150}},
		{`{"exp":253402300799}`, Claims{Expiry: 253402300799}},
		{`{"\u0073ub":"\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t"}`, Claims{Subject: "é😀\"\\/\b\f\n\r\t"}},
		{`{"sub":"é😀"}`, Claims{Subject: "é😀"}},
		{`{"SUB":"other case","Iss":"is another name"}`, Claims{}},
		{`{"roles":[{"value":"scim"}],"groups":{"a":1}}`, Claims{}},
		{`{"roles":"one","groups":null}`, Claims{Roles: []string{"one"}}},
		{`{"x":[[[[[[[]]]]]]]}`, Claims{}},
		{`{"a":{"x":1},"b":{"x":1},"x":[{"x":1},{"x":1}]}`, Claims{}},
		{`{"x":[true,false,null,-1.5E+10,0,"",{}]}`, Claims{}},
	} {
		got, err := DecodeClaims([]byte(c.doc))
		if err != nil {
			t.Errorf("%s: %v", c.doc, err)
			continue
		}
		if d := cmp.Diff(&c.want, got, cmpopts.IgnoreUnexported(Claims{})); d != "" {
			t.Errorf("%s:\n%s", c.doc, d)
		}
	}
}

func TestDecodeClaimsRefuses(t *testing.T) {
	t.Parallel()
	many := func(n int, tail string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"m%d":%d,`, i, i)
		}
		return "{" + b.String() + tail + "}"
	}
	if _, err := DecodeClaims([]byte(many(2000, `"z":1`))); err != nil {
		t.Errorf("2000 different members: %v", err)
	}
	for name, c := range map[string]struct{ doc, says string }{
		"nothing":                     {``, "JSON"},
		"white space":                 {`  `, "JSON"},
		"an array":                    {`[]`, "JSON"},
		"a string":                    {`"x"`, "JSON"},
		"null":                        {`null`, "JSON"},
		"cut off":                     {`{"a":1`, "JSON"},
		"cut in a string":             {`{"a`, "JSON"},
		"cut in an escape":            {`{"a\`, "JSON"},
		"cut in a \\u":                {`{"a\u00`, "JSON"},
		"trailing object":             {`{}{}`, "JSON"},
		"trailing NUL":                {"{}\x00", "JSON"},
		"a byte order mark":           {"\ufeff{}", "JSON"},
		"a comma too many":            {`{"a":1,}`, "JSON"},
		"a comma first":               {`{,"a":1}`, "JSON"},
		"a comma missing":             {`{"a":1 "b":2}`, "JSON"},
		"two commas":                  {`{"a":[1,,2]}`, "JSON"},
		"a comma too many in a list":  {`{"a":[1,]}`, "JSON"},
		"brackets crossed":            {`{"a":[1}]`, "JSON"},
		"a name without quotes":       {`{a:1}`, "JSON"},
		"single quotes":               {`{'a':1}`, "JSON"},
		"no colon":                    {`{"a" 1}`, "JSON"},
		"no value":                    {`{"a":}`, "JSON"},
		"a comment":                   {`{/**/}`, "JSON"},
		"a bare word":                 {`{"a":nul}`, "JSON"},
		"a capital word":              {`{"a":True}`, "JSON"},
		"NaN":                         {`{"a":NaN}`, "JSON"},
		"Infinity":                    {`{"a":-Infinity}`, "JSON"},
		"leading zero":                {`{"a":01}`, "JSON"},
		"leading plus":                {`{"a":+1}`, "JSON"},
		"leading point":               {`{"a":.5}`, "JSON"},
		"trailing point":              {`{"a":1.}`, "JSON"},
		"minus alone":                 {`{"a":-}`, "JSON"},
		"exponent without digits":     {`{"a":1e}`, "JSON"},
		"hexadecimal":                 {`{"a":0x1}`, "JSON"},
		"a control character":         {"{\"a\":\"\n\"}", "JSON"},
		"one after an escape":         {"{\"a\":\"\\n\n\"}", "JSON"},
		"an unknown escape":           {`{"a":"\x41"}`, "JSON"},
		"bad hexadecimal":             {`{"a":"\u00g0"}`, "JSON"},
		"signed hexadecimal":          {`{"a":"\u+041"}`, "JSON"},
		"invalid UTF-8":               {"{\"a\":\"\xff\"}", "Unicode"},
		"invalid UTF-8 and an escape": {"{\"a\":\"\xff\\n\"}", "Unicode"},
		"an overlong form":            {"{\"a\":\"\xc0\xaf\"}", "Unicode"},
		"a lone high surrogate":       {`{"a":"\ud800"}`, "Unicode"},
		"a high one before a letter":  {`{"a":"\ud800\u0041"}`, "Unicode"},
		"a lone low surrogate":        {`{"a":"\udc00"}`, "Unicode"},
		"too large a number":          {`{"a":1e999}`, "range"},
		"too long a number":           {`{"a":` + strings.Repeat("9", 400) + `}`, "range"},
		"nine levels":                 {`{"x":` + strings.Repeat("[", 8) + strings.Repeat("]", 8) + `}`, "deeper"},
		"10,000 levels":               {`{"x":` + strings.Repeat(`{"x":`, 10000), "deeper"},
		"a member twice":              {`{"sub":"a","sub":"b"}`, "twice"},
		"a member twice, alike":       {`{"sub":"a","sub":"a"}`, "twice"},
		"a member twice, escaped":     {`{"sub":"a","s\u0075b":"b"}`, "twice"},
		"an unknown member twice":     {`{"x":1,"y":2,"x":3}`, "twice"},
		"the empty name twice":        {`{"":1,"":2}`, "twice"},
		"twice deep inside":           {`{"x":[{"y":{"z":1,"z":2}}]}`, "twice"},
		"twice in cnf":                {`{"cnf":{"jkt":"a","jkt":"b"}}`, "twice"},
		"twice among 2000":            {many(2000, `"m7":0`), "twice"},
		"64 KiB":                      {`{"a":"` + strings.Repeat("x", 64<<10) + `"}`, "octets"},
		"iss is a number":             {`{"iss":1}`, "iss, which is not a string"},
		"sub is null":                 {`{"sub":null}`, "sub, which is not a string"},
		"scope is a list":             {`{"scope":["a"]}`, "scope, which is not a string"},
		"aud is a number":             {`{"aud":1}`, "aud, which is not"},
		"aud holds a number":          {`{"aud":["a",1]}`, "aud, which is not"},
		"aud is null":                 {`{"aud":null}`, "aud, which is not"},
		"exp is a string":             {`{"exp":"1795000000"}`, "exp, which is not a number"},
		"exp is true":                 {`{"exp":true}`, "exp, which is not a number"},
		"exp is negative":             {`{"exp":-1}`, "range"},
		"exp is far away":             {`{"exp":253402300800}`, "range"},
		"exp would overflow":          {`{"exp":9223372036854775808}`, "range"},
		"exp is 1e300":                {`{"exp":1e300}`, "range"},
		"rev is negative":             {`{"rev":-1}`, "range"},
		"rev is fractional":           {`{"rev":1.5}`, "range"},
		"rev is over 2^53":            {`{"rev":9007199254740993}`, "range"},
		"rev is a string":             {`{"rev":"1"}`, "rev, which is not a number"},
		"cnf is a string":             {`{"cnf":"x"}`, "cnf, which is not an object"},
		"jkt is a number":             {`{"cnf":{"jkt":1}}`, "jkt, which is not a string"},
		"amr is an object":            {`{"amr":{}}`, "amr, which is not"},
	} {
		got, err := DecodeClaims([]byte(c.doc))
		var e *oauth.Error
		if got != nil || !errors.As(err, &e) || e.Code != oauth.InvalidToken || !strings.Contains(e.Description, c.says) {
			t.Errorf("%s: %v, want a refusal that says %q", name, err, c.says)
		}
	}
}

func TestClaimsRaw(t *testing.T) {
	t.Parallel()
	c := must(DecodeClaims([]byte(`{"a": {"b" : [1, "x"]} ,"sub":"s","t\u0065nant":"n"}`)))
	for name, want := range map[string]string{"a": `{"b" : [1, "x"]}`, "sub": `"s"`, "tenant": `"n"`} {
		if got, ok := c.Raw(name); !ok || string(got) != want {
			t.Errorf("%s: %s, %v", name, got, ok)
		}
	}
	if got, ok := c.Raw("b"); ok {
		t.Errorf("a nested member is found as a claim: %s", got)
	}
	if _, ok := (&Claims{Subject: "made by hand"}).Raw("sub"); ok {
		t.Error("claims without a payload have a raw claim")
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	c := Claims{Scope: "openid  orders:read orders:read-all"}
	if d := cmp.Diff([]string{"openid", "orders:read", "orders:read-all"}, c.Scopes()); d != "" {
		t.Error(d)
	}
	for scope, want := range map[string]bool{
		"openid": true, "orders:read": true, "orders:read-all": true,
		"": false, "orders": false, "orders:read-": false, "openid orders:read": false, "OPENID": false,
	} {
		if c.HasScope(scope) != want {
			t.Errorf("HasScope(%q) = %v", scope, !want)
		}
	}
	if (&Claims{}).HasScope("") || len((&Claims{}).Scopes()) != 0 {
		t.Error("no scope is a scope")
	}
}

// What DecodeClaims accepts means the same to encoding/json.
func FuzzDecodeClaims(f *testing.F) {
	for _, doc := range []string{
		`{}`, claims(nil), `{"aud":["a","b"],"exp":1.5,"cnf":{"jkt":"x","y":[{}]}}`, `{"sub":"\u00e9\ud83d\ude00","a\u0062":1e3}`,
		`{"a":1,"a":2}`, `{"rev":9007199254740993}`, `{"x":[[[[[[[[]]]]]]]]}`, "{\"a\":\"\xff\"}", `{"a":"\ud800"}`, `{"roles":["a"],"groups":"g"}`,
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		c, err := DecodeClaims(doc)
		if err != nil {
			return
		}
		var m map[string]any
		if err := json.Unmarshal(doc, &m); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", doc, err)
		}
		for name, got := range map[string]string{
			"iss": c.Issuer, "sub": c.Subject, "jti": c.ID, "client_id": c.ClientID,
			"scope": c.Scope, "acr": c.ACR, "nonce": c.Nonce, "sid": c.SessionID,
		} {
			if want, _ := m[name].(string); got != want {
				t.Fatalf("%s of %q is %q, not %q", name, doc, want, got)
			}
		}
		for name, got := range map[string]int64{
			"exp": c.Expiry, "nbf": c.NotBefore, "iat": c.IssuedAt, "auth_time": c.AuthTime, "rev": c.Rev,
		} {
			if want, _ := m[name].(float64); float64(got) != math.Floor(want) {
				t.Fatalf("%s of %q is %v, not %v", name, doc, want, got)
			}
		}
		for name, got := range map[string][]string{"aud": c.Audience, "amr": c.AMR, "roles": c.Roles, "groups": c.Groups} {
			var want []string
			switch v := m[name].(type) {
			case string:
				want = []string{v}
			case []any:
				for _, e := range v {
					if s, ok := e.(string); ok {
						want = append(want, s)
					}
				}
				if len(want) != len(v) { // roles and groups of another shape
					want = nil
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("%s of %q is %q, not %q", name, doc, want, got)
			}
		}
		if _, ok := m["rev"]; ok != c.HasRev {
			t.Fatalf("HasRev of %q is %v", doc, c.HasRev)
		}
		cnf, bound := m["cnf"].(map[string]any)
		if bound != (c.Confirmation != nil) || bound && cnf["jkt"] != nil && cnf["jkt"] != c.Confirmation.JKT {
			t.Fatalf("cnf of %q is %v, not %v", doc, cnf, c.Confirmation)
		}
		for name, want := range m {
			raw, ok := c.Raw(name)
			var got any
			if !ok || json.Unmarshal(raw, &got) != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("Raw(%q) of %q is %s, not %v", name, doc, raw, want)
			}
		}
	})
}
