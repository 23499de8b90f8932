// Package fetch makes the server's requests to addresses that clients registered. It is
// the only way out: what it reaches is a public address, or one in a network that the
// operator allows, judged after the name was resolved, for the very connection that is
// then used (OWASP SSRF Prevention). It follows no redirect, uses no proxy, and bounds
// time and size.
package fetch

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

// Bounds of one exchange.
const (
	Timeout = 5 * time.Second
	MaxSize = 256 << 10 // octets of an answer
	header  = 16 << 10
)

// ErrRefused says that an address may not be reached from here.
var ErrRefused = errors.New("fetch: the address is not public, and outbound.allow does not name its network")

// Client makes requests. The zero value is of no use: make it with New.
type Client struct {
	http   *http.Client
	dialer net.Dialer
	allow  []netip.Prefix
}

// New makes a Client that also reaches the networks in allow, and trusts the PEM
// certificates in ca besides the system's.
func New(allow []netip.Prefix, ca []byte) (*Client, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if len(ca) > 0 && !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("fetch: there is no certificate in the file")
	}
	c := &Client{allow: allow}
	c.dialer = net.Dialer{Timeout: Timeout, Control: c.control}
	c.http = &http.Client{
		Timeout:       Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: c.dialer.DialContext, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: Timeout, ResponseHeaderTimeout: Timeout, MaxResponseHeaderBytes: header,
			MaxIdleConns: 64, MaxConnsPerHost: 8, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
		},
	}
	return c, nil
}

// control judges the address that a name was resolved to, right before the connection
// to it: a name that answers differently the second time gains nothing.
func (c *Client) control(_, address string, _ syscall.RawConn) error {
	host, err := netip.ParseAddrPort(address)
	if err != nil || !c.reaches(host.Addr().Unmap()) {
		return ErrRefused
	}
	return nil
}

// Networks that net/netip has no word for, or that lead to an IPv4 address which it
// does not see (RFC 6890).
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),   // shared address space
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarking
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, broadcast
	netip.MustParsePrefix("2001::/23"),       // protocol assignments, Teredo
	netip.MustParsePrefix("2001:db8::/32"),   // documentation
	netip.MustParsePrefix("2002::/16"),       // 6to4
	netip.MustParsePrefix("3fff::/20"),       // documentation
}

// unicast is all of IPv6 that is given out (RFC 4291 §2.4). Outside of it are NAT64 and
// other forms of IPv4 addresses, site-local addresses, and what nobody has.
var unicast = netip.MustParsePrefix("2000::/3")

func (c *Client) reaches(a netip.Addr) bool {
	for _, p := range c.allow {
		if p.Contains(a) {
			return true
		}
	}
	if a.Zone() != "" || !a.IsGlobalUnicast() || a.IsPrivate() || a.Is6() && !unicast.Contains(a) {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// Answer is what came back.
type Answer struct {
	Status      int
	ContentType string
	Body        []byte
	// MaxAge is how long the answer says it may be kept; zero: it does not say.
	MaxAge time.Duration
}

// Get fetches a document; any status but 200 is an error.
func (c *Client) Get(ctx context.Context, address, accept string) (Answer, error) {
	a, err := c.do(ctx, http.MethodGet, address, nil, http.Header{"Accept": {accept}})
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("fetch: the answer is %d, not 200", a.Status)
	}
	return a, err
}

// PostForm sends a form. Every status is an answer.
func (c *Client) PostForm(ctx context.Context, address string, form url.Values) (Answer, error) {
	return c.do(ctx, http.MethodPost, address, []byte(form.Encode()), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
}

func (c *Client) do(ctx context.Context, method, address string, body []byte, h http.Header) (Answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return Answer{}, errors.New("fetch: the address is no URL")
	}
	if r.URL.User != nil || r.URL.Scheme != "https" && !c.plain(r.URL) {
		return Answer{}, errors.New("fetch: the address is not an https URL")
	}
	h.Set("User-Agent", "jeton")
	r.Header = h
	resp, err := c.http.Do(r)
	if err != nil {
		return Answer{}, fmt.Errorf("fetch: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, MaxSize+1))
	switch {
	case err != nil:
		return Answer{}, fmt.Errorf("fetch: %w", err)
	case len(b) > MaxSize:
		return Answer{}, fmt.Errorf("fetch: the answer has more than %d octets", MaxSize)
	}
	return Answer{Status: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), Body: b, MaxAge: maxAge(resp.Header)}, nil
}

// plain tells whether a URL may be plain http: on this machine, and allowed there.
func (c *Client) plain(u *url.URL) bool {
	host := u.Hostname()
	if host == "localhost" {
		host = "127.0.0.1"
	}
	a, err := netip.ParseAddr(host)
	return u.Scheme == "http" && err == nil && a.IsLoopback() && c.reaches(a)
}
