// Package dn reads distinguished names as text (RFC 4514) and compares them with those
// in certificates, attribute by attribute (RFC 5280 §7.1): a text is never compared with a
// text.
package dn

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxLength bounds a name as text, in octets.
const MaxLength = 2000

// Name is a distinguished name: its relative names, the most significant last, as RFC
// 4514 writes them.
type Name struct{ rdns []rdn }

// rdn is a relative name: a set of attributes, of which there is mostly one.
type rdn []attribute

type attribute struct {
	kind  string // dotted
	value string // folded
}

// kinds are the short names of attributes (RFC 4514 §3, RFC 4519, and what certificates
// of companies and persons hold besides), in capitals.
var kinds = map[string]string{
	"CN": "2.5.4.3", "COMMONNAME": "2.5.4.3", "SN": "2.5.4.4", "SURNAME": "2.5.4.4", "SERIALNUMBER": "2.5.4.5",
	"C": "2.5.4.6", "COUNTRYNAME": "2.5.4.6", "L": "2.5.4.7", "LOCALITYNAME": "2.5.4.7",
	"ST": "2.5.4.8", "S": "2.5.4.8", "STATEORPROVINCENAME": "2.5.4.8", "STREET": "2.5.4.9", "STREETADDRESS": "2.5.4.9",
	"O": "2.5.4.10", "ORGANIZATIONNAME": "2.5.4.10", "OU": "2.5.4.11", "ORGANIZATIONALUNITNAME": "2.5.4.11",
	"T": "2.5.4.12", "TITLE": "2.5.4.12", "BUSINESSCATEGORY": "2.5.4.15", "POSTALCODE": "2.5.4.17",
	"NAME": "2.5.4.41", "GN": "2.5.4.42", "GIVENNAME": "2.5.4.42", "INITIALS": "2.5.4.43", "GENERATIONQUALIFIER": "2.5.4.44",
	"DNQUALIFIER": "2.5.4.46", "PSEUDONYM": "2.5.4.65", "ORGANIZATIONIDENTIFIER": "2.5.4.97",
	"DC": "0.9.2342.19200300.100.1.25", "DOMAINCOMPONENT": "0.9.2342.19200300.100.1.25",
	"UID": "0.9.2342.19200300.100.1.1", "USERID": "0.9.2342.19200300.100.1.1",
	"E": "1.2.840.113549.1.9.1", "EMAILADDRESS": "1.2.840.113549.1.9.1",
	"JURISDICTIONL": "1.3.6.1.4.1.311.60.2.1.1", "JURISDICTIONLOCALITYNAME": "1.3.6.1.4.1.311.60.2.1.1",
	"JURISDICTIONST": "1.3.6.1.4.1.311.60.2.1.2", "JURISDICTIONSTATEORPROVINCENAME": "1.3.6.1.4.1.311.60.2.1.2",
	"JURISDICTIONC": "1.3.6.1.4.1.311.60.2.1.3", "JURISDICTIONCOUNTRYNAME": "1.3.6.1.4.1.311.60.2.1.3",
}

// Parse reads a name as RFC 4514 writes it, such as
//
//	CN=shop,OU=Clients+L=Bern,O=Example\, Inc.,C=CH
//
// and as OpenSSL does: with spaces around = and after a comma, or as /C=CH/O=Example/CN=shop.
func Parse(s string) (Name, error) {
	switch {
	case len(s) > MaxLength:
		return Name{}, fmt.Errorf("has more than %d characters", MaxLength)
	case !utf8.ValidString(s):
		return Name{}, errors.New("is not UTF-8")
	case strings.TrimSpace(s) == "":
		return Name{}, errors.New("is empty")
	}
	p := parser{s: s, sep: ","}
	if s[0] == '/' {
		p.i, p.sep = 1, "/"
	}
	var n Name
	for {
		r, err := p.relative()
		if err != nil {
			return Name{}, err
		}
		n.rdns = append(n.rdns, r)
		if p.i == len(p.s) {
			break
		}
		p.i++ // the separator
	}
	if p.sep == "/" {
		slices.Reverse(n.rdns)
	}
	return n, nil
}

// parser reads a name from s[i:] on.
type parser struct {
	s   string
	i   int
	sep string // between relative names
}

// relative reads up to the next separator, or the end.
func (p *parser) relative() (r rdn, err error) {
	for {
		a, err := p.attribute()
		if err != nil {
			return nil, err
		}
		r = append(r, a)
		if p.i == len(p.s) || p.s[p.i] != '+' {
			slices.SortFunc(r, func(a, b attribute) int {
				return strings.Compare(a.kind+"="+a.value, b.kind+"="+b.value)
			})
			return r, nil
		}
		p.i++
	}
}

func (p *parser) attribute() (attribute, error) {
	name, _, ok := strings.Cut(p.s[p.i:], "=")
	if !ok {
		return attribute{}, fmt.Errorf("has %q where an attribute, as in CN=shop, must stand", p.s[p.i:])
	}
	p.i += len(name) + 1
	kind, ok := kindOf(strings.TrimSpace(name))
	if !ok {
		return attribute{}, fmt.Errorf("has the attribute %q, which is not known: write its OID in dotted form", strings.TrimSpace(name))
	}
	value, err := p.value()
	return attribute{kind, fold(value)}, err
}

// kindOf is the dotted form of an attribute's name.
func kindOf(name string) (string, bool) {
	upper := strings.ToUpper(name)
	if kind, ok := kinds[upper]; ok {
		return kind, true
	}
	dotted := strings.TrimPrefix(upper, "OID.")
	parts := strings.Split(dotted, ".")
	for _, part := range parts {
		if n, err := strconv.ParseUint(part, 10, 31); err != nil || strconv.FormatUint(n, 10) != part {
			return "", false
		}
	}
	return dotted, len(parts) > 1
}

// value reads an attribute's value (RFC 4514 §2.4): with escapes, in quotes, or as # and
// the hexadecimal digits of its encoding.
func (p *parser) value() (string, error) {
	for p.i < len(p.s) && p.s[p.i] == ' ' {
		p.i++
	}
	if p.i < len(p.s) && p.s[p.i] == '#' {
		return p.encoded()
	}
	quoted := p.i < len(p.s) && p.s[p.i] == '"'
	if quoted {
		p.i++
	}
	var b []byte
	end := 0 // of what is no trailing space
	for ; p.i < len(p.s); p.i++ {
		c := p.s[p.i]
		switch {
		case c == '\\':
			escaped, err := p.escaped()
			if err != nil {
				return "", err
			}
			b = append(b, escaped)
			end = len(b)
			continue
		case quoted && c == '"':
			p.i++
			for p.i < len(p.s) && p.s[p.i] == ' ' {
				p.i++
			}
			if p.i < len(p.s) && p.s[p.i] != '+' && !strings.HasPrefix(p.s[p.i:], p.sep) {
				return "", errors.New("has something behind a quoted value")
			}
			return text(b)
		case !quoted && (c == '+' || strings.HasPrefix(p.s[p.i:], p.sep)):
			return text(b[:end])
		case c == 0, !quoted && p.sep == "," && strings.IndexByte(`";<>`, c) >= 0:
			return "", fmt.Errorf(`has the character %q in a value: write \ before it`, c)
		}
		b = append(b, c)
		if c != ' ' {
			end = len(b)
		}
	}
	if quoted {
		return "", errors.New("has a quote that does not end")
	}
	return text(b[:end])
}

func text(b []byte) (string, error) {
	if !utf8.Valid(b) || len(b) == 0 {
		return "", errors.New("has a value that is empty or not UTF-8")
	}
	return string(b), nil
}

// escaped reads what stands behind the backslash at i, and leaves i at its last
// character.
func (p *parser) escaped() (byte, error) {
	rest := p.s[p.i+1:]
	if len(rest) >= 2 {
		if b, err := hex.DecodeString(rest[:2]); err == nil {
			p.i += 2
			return b[0], nil
		}
	}
	if rest == "" || strings.IndexByte(` "#+,;<=>\/`, rest[0]) < 0 {
		return 0, errors.New(`has a \ that escapes nothing`)
	}
	p.i++
	return rest[0], nil
}

// encoded reads # and hexadecimal digits.
func (p *parser) encoded() (string, error) {
	rest := p.s[p.i+1:]
	if n := strings.IndexAny(rest, "+"+p.sep); n >= 0 {
		rest = rest[:n]
	}
	p.i += 1 + len(rest)
	der, err := hex.DecodeString(strings.TrimSpace(rest))
	var value any
	if err == nil {
		var left []byte
		if left, err = asn1.Unmarshal(der, &value); err == nil && len(left) > 0 {
			err = errors.New("more")
		}
	}
	s, ok := value.(string)
	if err != nil || !ok {
		return "", errors.New("has a value after # that encodes no string")
	}
	return text([]byte(s))
}

// fold makes values equal that differ in case or in how many spaces separate words alone
// (RFC 5280 §7.1, RFC 4518 §2.6.1).
func fold(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), " ")) }

// Is tells whether a certificate's subject, in DER (x509.Certificate.RawSubject), is this
// name. People write names in both orders, that of RFC 4514 and that of the certificate;
// either is taken, but for the whole name alone.
func (n Name) Is(subject []byte) bool {
	var seq pkix.RDNSequence
	if left, err := asn1.Unmarshal(subject, &seq); err != nil || len(left) > 0 || len(seq) != len(n.rdns) || len(seq) == 0 {
		return false
	}
	theirs := make([]rdn, len(seq))
	for i, set := range seq {
		for _, a := range set {
			s, ok := a.Value.(string)
			if !ok {
				return false
			}
			theirs[i] = append(theirs[i], attribute{a.Type.String(), fold(s)})
		}
		slices.SortFunc(theirs[i], func(a, b attribute) int {
			return strings.Compare(a.kind+"="+a.value, b.kind+"="+b.value)
		})
	}
	same := func(a, b rdn) bool { return slices.Equal(a, b) }
	if slices.EqualFunc(n.rdns, theirs, same) {
		return true
	}
	slices.Reverse(theirs)
	return slices.EqualFunc(n.rdns, theirs, same)
}
