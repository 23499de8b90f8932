package mtls_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/oauth/mtls"
)

func certificate(t testing.TB, name string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Unix(2e9, 0)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c
}

func encoded(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func TestParseHeader(t *testing.T) {
	t.Parallel()
	a, b := certificate(t, "a"), certificate(t, "b")
	text, der := encoded(a), base64.StdEncoding.EncodeToString(a.Raw)
	for _, c := range []struct {
		name, value string
		want        string // the names of the certificates; "!": an error
	}{
		{"nginx", url.PathEscape(text), "a"},
		{"escaped by a form's rules", url.QueryEscape(text), "!"},
		{"escaped, plus signs too", strings.ReplaceAll(url.PathEscape(text), "+", "%2B"), "a"},
		{"nginx, older: tabs", strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n\t"), "a"},
		{"spaces", strings.ReplaceAll(text, "\n", " "), "a"},
		{"joined", strings.ReplaceAll(text, "\n", ""), "a"},
		{"HAProxy", der, "a"},
		{"RFC 9440", ":" + der + ":", "a"},
		{"chain", url.PathEscape(text + encoded(b)), "ab"},
		{"mtls.Header", mtls.Header(a), "a"},
		{"empty", "", ""},
		{"blank", "  ", ""},
		{"Apache, without one", "(null)", ""},
		{"HAProxy, without one", "-", ""},
		{"garbage", "evil", "!"},
		{"bad escape", "%zz", "!"},
		{"cut off", text[:len(text)/2], "!"},
		{"another block", strings.ReplaceAll(text, "CERTIFICATE", "PRIVATE KEY"), "!"},
		{"something after it", text + "evil", "!"},
		{"one colon", ":" + der, "!"},
		{"DER with more behind", base64.StdEncoding.EncodeToString(append(a.Raw[:len(a.Raw):len(a.Raw)], 0)), "!"},
		{"long", strings.Repeat("A", mtls.MaxHeader+4), "!"},
		{"too many", strings.Repeat(text, 9), "!"},
	} {
		got, err := mtls.ParseHeader(c.value)
		names := ""
		for _, cert := range got {
			names += cert.Subject.CommonName
		}
		if err != nil {
			names = "!"
		}
		if names != c.want || err != nil && !errors.Is(err, mtls.ErrHeader) {
			t.Errorf("%s: %q, %v", c.name, names, err)
		}
	}
}

// Case 36: a certificate in a header is believed from trusted proxies alone.
func TestCertificates(t *testing.T) {
	t.Parallel()
	direct, sent := certificate(t, "direct"), certificate(t, "sent")
	trusted := mtls.Source{Header: "X-Client-Cert", Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	for _, c := range []struct {
		name   string
		source mtls.Source
		remote string
		tls    bool
		header []string
		want   string
	}{
		{"nothing", mtls.Source{}, "192.0.2.1:1", false, nil, ""},
		{"TLS", mtls.Source{}, "192.0.2.1:1", true, nil, "direct"},
		{"header of nobody", mtls.Source{}, "10.0.0.1:1", false, []string{mtls.Header(sent)}, ""},
		{"header, nobody trusted", mtls.Source{Header: "X-Client-Cert"}, "10.0.0.1:1", false, []string{mtls.Header(sent)}, ""},
		{"header of a stranger", trusted, "192.0.2.1:1", false, []string{mtls.Header(sent)}, ""},
		{"header of a stranger with TLS", trusted, "192.0.2.1:1", true, []string{mtls.Header(sent)}, "direct"},
		{"header of a stranger who says that a proxy forwards", trusted, "192.0.2.1:1", false, []string{mtls.Header(sent)}, ""},
		{"the proxy's", trusted, "10.0.0.1:1", false, []string{mtls.Header(sent)}, "sent"},
		{"the proxy's, IPv4 in IPv6", trusted, "[::ffff:10.0.0.1]:1", false, []string{mtls.Header(sent)}, "sent"},
		{"the proxy's, over TLS with its own", trusted, "10.0.0.1:1", true, []string{mtls.Header(sent)}, "sent"},
		{"the proxy's own alone", trusted, "10.0.0.1:1", true, nil, ""},
		{"the proxy says that there is none", trusted, "10.0.0.1:1", true, []string{""}, ""},
		{"two headers", trusted, "10.0.0.1:1", false, []string{mtls.Header(sent), mtls.Header(direct)}, "!"},
		{"garbage", trusted, "10.0.0.1:1", true, []string{"evil"}, "!"},
		{"no address", trusted, "@", false, []string{mtls.Header(sent)}, ""},
	} {
		r := &http.Request{RemoteAddr: c.remote, Header: http.Header{"X-Client-Cert": c.header, "X-Forwarded-For": {"10.0.0.1"}}}
		if c.tls {
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{direct}}
		}
		got, err := c.source.Certificates(r)
		name := ""
		if err != nil {
			name = "!"
		} else if len(got) > 0 {
			name = got[0].Subject.CommonName
		}
		if name != c.want {
			t.Errorf("%s: %q, %v", c.name, name, err)
		}
	}
}

func TestConfirm(t *testing.T) {
	t.Parallel()
	c := certificate(t, "a")
	if got := mtls.Confirm([]*x509.Certificate{c}).X5TS256; got != mtls.Thumbprint(c) || len(got) != 43 {
		t.Errorf("x5t#S256 is %q", got)
	}
	if got := mtls.Confirm(nil); got.X5TS256 != "" || got.JKT != "" {
		t.Errorf("nothing binds to %v", got)
	}
}

func FuzzParseHeader(f *testing.F) {
	c := certificate(f, "a")
	f.Add(mtls.Header(c))
	f.Add(":" + base64.StdEncoding.EncodeToString(c.Raw) + ":")
	f.Add(strings.ReplaceAll(encoded(c), "\n", "\t"))
	f.Fuzz(func(t *testing.T, s string) {
		got, err := mtls.ParseHeader(s)
		if err != nil && len(got) > 0 {
			t.Fatal("an error, and certificates")
		}
		for _, c := range got {
			if again, err := mtls.ParseHeader(mtls.Header(c)); err != nil || len(again) != 1 || !again[0].Equal(c) {
				t.Fatalf("it does not come back: %v", err)
			}
		}
	})
}
