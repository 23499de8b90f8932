package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// ErrUnavailable tells that a token could be judged neither valid nor invalid,
// because the issuer could not be asked. Errors that wrap it are *oauth.Error
// with the code temporarily_unavailable; retry later, with the same token.
var ErrUnavailable = errors.New("the issuer could not be asked")

// outbound makes the requests to the issuer: over TLS but for a loopback issuer,
// without redirects, with bounded time and answers.
type outbound struct {
	client   *http.Client
	own      bool // the client is no one else's
	loopback bool
}

func newOutbound(client *http.Client, loopback bool) outbound {
	o := outbound{own: client == nil, loopback: loopback}
	o.client = new(http.Client)
	if client != nil {
		*o.client = *client
	} else {
		o.client.Transport = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    5 * time.Second,
			ResponseHeaderTimeout:  5 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			IdleConnTimeout:        90 * time.Second,
			MaxIdleConnsPerHost:    32,
		}
	}
	o.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return o
}

// do sends a request and reads the answer's body, of limit octets at most. Every
// status but 200 is a statusError.
func (o outbound) do(req *http.Request, limit int64) ([]byte, http.Header, error) {
	if err := o.check(req.URL); err != nil {
		return nil, nil, err
	}
	resp, err := o.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, nil, statusError{req.URL.Redacted(), resp.StatusCode}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, nil, err
	}
	if int64(len(body)) > limit {
		return nil, nil, fmt.Errorf("%s answers more than %d octets", req.URL.Redacted(), limit)
	}
	return body, resp.Header, nil
}

// get is do for a document. exact asks caches on the way for what the issuer says now.
func (o outbound) get(ctx context.Context, url, accept string, limit int64, exact bool) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", accept)
	if exact {
		req.Header.Set("Cache-Control", "no-cache")
	}
	return o.do(req, limit)
}

type statusError struct {
	url    string
	status int
}

func (e statusError) Error() string {
	s := fmt.Sprintf("%s answers %d instead of 200", e.url, e.status)
	if e.status >= 300 && e.status < 400 {
		s += " (redirects are not followed)"
	}
	return s
}

// check refuses an address that is not https, unless both it and the issuer are
// on the loopback.
func (o outbound) check(u *url.URL) error {
	switch {
	case u.Host == "" || u.User != nil || u.Fragment != "":
		return fmt.Errorf("%q is not an absolute https address without user and fragment", u.Redacted())
	case u.Scheme == "https", u.Scheme == "http" && o.loopback && isLoopback(u):
		return nil
	}
	return fmt.Errorf("%q is not https", u.Redacted())
}

func isLoopback(u *url.URL) bool {
	host := u.Hostname()
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
