package spec

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// responseParameters are the names that an authorization response may add to a
// redirect URI. One that already carries such a name could feed the client an
// answer that the issuer never gave.
var responseParameters = []string{
	"code", "state", "error", "error_description", "error_uri", "iss", "access_token", "id_token",
	"token_type", "expires_in", "session_state", "response", "scope",
}

var logoutParameters = []string{"state"}

// uri reports what is wrong with a redirect URI whose query may not name any of
// reserved.
func (p *problems) uri(field, raw string, confidential bool, reserved []string) {
	u, problem := parseRedirect(raw)
	if problem != "" {
		p.add(field, "%s", problem)
		return
	}
	if privateUse(u) && confidential {
		p.add(field, "the scheme %s is for public clients alone (auth_method: none), since any app on the device can claim it: write an https URI", quote(u.Scheme))
		return
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		p.add(field, "has a malformed query: percent-encode it, and separate parameters with &")
		return
	}
	for _, name := range reserved {
		for key := range query {
			if strings.EqualFold(key, name) {
				p.add(field, "has the parameter %s, which the issuer adds itself: remove it or use another name", name)
				return
			}
		}
	}
}

// parseRedirect holds the rules that need the URI alone. The problem names no
// password that stands in the URI.
func parseRedirect(raw string) (u *url.URL, problem string) {
	switch {
	case raw == "":
		return nil, "is empty: write for instance https://shop.example.com/callback"
	case len(raw) > MaxURI:
		return nil, "is longer than " + strconv.Itoa(MaxURI) + " characters"
	case !visibleASCII(raw) || strings.Contains(raw, `\`):
		return nil, `holds white space, a backslash or a character outside ASCII: percent-encode it, and write the host in its ASCII form`
	case strings.Contains(raw, "*"):
		return nil, "holds a wildcard: write each URI in full"
	case strings.Contains(raw, "#"):
		return nil, "must not have a fragment: remove # and what follows" // RFC 6749 §3.1.2
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, "is not a URI: write for instance https://shop.example.com/callback"
	case u.Scheme == "":
		return nil, "is relative: write it in full, for instance https://shop.example.com/callback"
	case u.User != nil:
		return nil, "must not hold a user name or password: remove what stands before the @"
	case u.Opaque != "":
		return nil, "lacks a slash after the scheme: write for instance https://shop.example.com/callback or com.example.app:/callback"
	case u.Host != "" && !ValidHost(u):
		return nil, "has a malformed host or port: write for instance https://shop.example.com/callback"
	case privateUse(u):
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, "the scheme " + quote(u.Scheme) + " is not allowed: write https, or a private-use scheme with a dot in it, such as com.example.app:/callback" // RFC 8252 §7.1
	case u.Host == "":
		return nil, "has no host: write for instance https://shop.example.com/callback"
	case u.Scheme == "http" && !Loopback(u.Hostname()):
		return nil, "must use https: http is only for localhost, 127.0.0.1 and [::1]"
	}
	if s := u.String(); s != raw {
		return nil, "is not in its plain form: write " + quote(s)
	}
	return u, ""
}

func privateUse(u *url.URL) bool { return strings.Contains(u.Scheme, ".") }

// ValidHost tells whether u's host is a name or an IP address with an optional
// port. Nothing that means something in a header, as ; does in a
// Content-Security-Policy, passes.
func ValidHost(u *url.URL) bool {
	name, port := u.Hostname(), u.Port()
	if port != "" && !validPort(port) || strings.HasSuffix(u.Host, ":") {
		return false
	}
	if strings.HasPrefix(u.Host, "[") {
		a, err := netip.ParseAddr(name)
		return err == nil && a.Is6() && a.Zone() == ""
	}
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_')
	})
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && s == strconv.FormatUint(n, 10)
}

// Loopback tells whether host, without a port or brackets, is localhost or an
// address in 127.0.0.0/8 or ::1. A name that only resolves to one is not.
func Loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && (a.Is4() && a.IsLoopback() || a == netip.IPv6Loopback())
}

// MatchRedirect tells whether the presented redirect URI is a registered one:
// the same string, byte for byte, except that the port of a registered http URI
// on a loopback host may be any (RFC 8252 §7.3) or none. The registered URIs have
// passed Validate.
func MatchRedirect(registered []string, presented string) bool {
	return slices.Contains(registered, presented) ||
		slices.ContainsFunc(registered, func(r string) bool { return sameButPort(r, presented) })
}

// sameButPort never parses the presented URI: what stands before and after the
// port must be the registered bytes, so nothing can hide in it.
func sameButPort(registered, presented string) bool {
	u, problem := parseRedirect(registered)
	if problem != "" || u.Scheme != "http" || !Loopback(u.Hostname()) {
		return false
	}
	before, after, ok := strings.Cut(registered, u.Host)
	if !ok {
		return false
	}
	before += strings.TrimSuffix(u.Host, ":"+u.Port())
	rest, ok := strings.CutPrefix(presented, before)
	if !ok {
		return false
	}
	rest, ok = strings.CutSuffix(rest, after)
	if !ok {
		return false
	}
	port, ok := strings.CutPrefix(rest, ":")
	return rest == "" || ok && validPort(port)
}

// RedirectOrigin is the source expression that lets a Content-Security-Policy's
// form-action follow a redirect to a validated redirect URI: its origin, or the
// scheme alone for a private-use one. It is empty for a URI that is not valid. No
// source can name an IPv6 address (CSP Level 3 §2.3.1): whoever writes the policy
// has to widen that origin's.
func RedirectOrigin(uri string) string {
	u, problem := parseRedirect(uri)
	switch {
	case problem != "":
		return ""
	case privateUse(u):
		return u.Scheme + ":"
	}
	return u.Scheme + "://" + u.Host
}
