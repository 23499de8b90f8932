package dn_test

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"

	"github.com/jeton-auth/jeton/internal/dn"
)

// subject encodes a name; sets are separated by nil types.
func subject(t testing.TB, rdns ...[]pkix.AttributeTypeAndValue) []byte {
	t.Helper()
	var seq pkix.RDNSequence
	for _, r := range rdns {
		seq = append(seq, r)
	}
	der, err := asn1.Marshal(seq)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func one(value string, oid ...int) []pkix.AttributeTypeAndValue {
	return []pkix.AttributeTypeAndValue{{Type: oid, Value: value}}
}

func TestNames(t *testing.T) {
	t.Parallel()
	country, org, unit, name := one("CH", 2, 5, 4, 6), one("Example, Inc.", 2, 5, 4, 10), one("Clients", 2, 5, 4, 11), one("shop", 2, 5, 4, 3)
	plain := subject(t, country, org, unit, name)
	multi := subject(t, country, append(one("shop", 2, 5, 4, 3), one("Bern", 2, 5, 4, 7)...))
	odd := subject(t, one("PSDCH-X-1", 2, 5, 4, 97), one("a/b=c+d", 2, 5, 4, 3))
	twice := subject(t, one("Clients", 2, 5, 4, 11), one("Clients", 2, 5, 4, 11), name)
	greek := subject(t, one("Λουκάς", 2, 5, 4, 3))
	for _, c := range []struct {
		text string
		der  []byte
		is   bool
	}{
		{`CN=shop,OU=Clients,O=Example\, Inc.,C=CH`, plain, true},
		{`CN=shop, OU=Clients, O=Example\, Inc., C=CH`, plain, true},
		{`cn=shop,ou=Clients,o=Example\, Inc.,c=CH`, plain, true},
		{`CN=shop,OU=Clients,O="Example, Inc.",C=CH`, plain, true},
		{`CN=shop,OU=Clients,O=Example\2C Inc.,C=CH`, plain, true},
		{`2.5.4.3=shop,OID.2.5.4.11=Clients,O=Example\, Inc.,C=CH`, plain, true},
		{`CN=#0c0473686f70,OU=Clients,O=Example\, Inc.,C=CH`, plain, true},
		{`CN=SHOP,OU=clients,O=example\,  inc.,C=ch`, plain, true},
		{`C = CH, O = "Example, Inc.", OU = Clients, CN = shop`, plain, true}, // openssl x509 -subject
		{`/C=CH/O=Example, Inc./OU=Clients/CN=shop`, plain, true},             // -nameopt compat
		{`CN=shop,OU=Clients,C=CH,O=Example\, Inc.`, plain, false},
		{`CN=shop,OU=Clients,O=Example\, Inc.`, plain, false},
		{`CN=shop,OU=Clients,O=Example\, Inc.,C=CH,DC=x`, plain, false},
		{`CN=shop2,OU=Clients,O=Example\, Inc.,C=CH`, plain, false},
		{`O=shop,OU=Clients,O=Example\, Inc.,C=CH`, plain, false},
		{`CN=shop\,OU\=Clients,O=Example\, Inc.,C=CH`, plain, false},
		{`CN=shop`, plain, false},
		{`CN=shop+L=Bern,C=CH`, multi, true},
		{`L=Bern+CN=shop,C=CH`, multi, true},
		{`CN=shop,L=Bern,C=CH`, multi, false},
		{`CN=shop,C=CH`, multi, false},
		{`CN=a/b\=c\+d,organizationIdentifier=PSDCH-X-1`, odd, true},
		{`CN=a/b=c\+d,2.5.4.97=PSDCH-X-1`, odd, true},
		{`/organizationIdentifier=PSDCH-X-1/CN=a\/b=c\+d`, odd, true},
		{`CN=shop,OU=Clients,OU=Clients`, twice, true},
		{`CN=shop,OU=Clients`, twice, false},
		{`CN=λουκάς`, greek, true},
		{`CN=\ce\9b\CE\BF\CF\85\CE\BA\CE\AC\CF\82`, greek, true},
	} {
		n, err := dn.Parse(c.text)
		if err != nil {
			t.Errorf("%s: it %v", c.text, err)
			continue
		}
		if n.Is(c.der) != c.is {
			t.Errorf("%s: Is says %t", c.text, !c.is)
		}
	}
}

func TestTrailingOctetsAreNoName(t *testing.T) {
	t.Parallel()
	n, err := dn.Parse("CN=shop")
	if err != nil {
		t.Fatal(err)
	}
	good := subject(t, one("shop", 2, 5, 4, 3))
	if !n.Is(good) {
		t.Error("the name is not itself")
	}
	for name, der := range map[string][]byte{
		"trailing octets": append(good[:len(good):len(good)], 0), "nothing": nil, "an empty name": {0x30, 0}, "garbage": []byte("CN=shop"),
		"a number": subject(t, []pkix.AttributeTypeAndValue{{Type: []int{2, 5, 4, 3}, Value: 7}}),
	} {
		if n.Is(der) {
			t.Errorf("%s is the name", name)
		}
	}
	if (dn.Name{}).Is(subject(t)) {
		t.Error("the zero name is the empty one")
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", " ", "shop", "CN", "CN=", "CN=shop,", "CN=shop,,C=CH", "=shop", "XX=shop", "2=x", "2.5.04.3=x", "2.5.=x",
		`CN=shop\`, `CN=a\z`, `CN="shop`, `CN="shop"x`, `CN=a;b`, `CN=a<b`, "CN=#", "CN=#zz", "CN=#0201", "CN=#020107", "CN=#0c0473686f7000",
		`CN=\ff`, "CN=a\x00", "C N=shop", ",CN=shop", "CN=\xff", "CN=a+", "CN=a++L=b", strings.Repeat("CN=a,", 1000) + "CN=a",
	} {
		if n, err := dn.Parse(text); err == nil {
			t.Errorf("%q is taken as %v", text, n)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`CN=shop,OU="a,b"+L=\c3\a9,2.5.4.97=#0c0141`)
	f.Add("/C=CH/CN=a+O=b")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := dn.Parse(s)
		if err == nil && n.Is(nil) {
			t.Fatal("nothing is a name")
		}
	})
}
