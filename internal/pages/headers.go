package pages

import (
	"net/http"
	"net/netip"
	"regexp"
	"strings"
)

// setHeaders sets what every page needs.
func setHeaders(h http.Header, policy string) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Permissions-Policy", "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), usb=()")
}

func policyOf(p Page) string {
	if form, ok := p.(FormPost); ok {
		return postPolicy(form.Origin)
	}
	if bye, ok := p.(LoggedOut); ok && len(bye.Frames) > 0 {
		return framePolicy(bye.Frames)
	}
	return policy(p.redirectOrigin())
}

// policy is the Content-Security-Policy of a page. Chromium holds form-action
// against the redirects that answer a form too, so a form that ends at a client
// must name the client's origin.
func policy(origin string) string {
	action := "'self'"
	if source := formAction(origin); source != "" {
		action += " " + source
	}
	return "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action " + action + "; frame-ancestors 'none'; base-uri 'none'"
}

// postPolicy is the policy of a page whose form goes to another origin, and there alone. Its
// one script is a file of ours.
func postPolicy(origin string) string {
	action := formAction(origin)
	if action == "" {
		action = "'none'"
	}
	return "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; form-action " + action + "; frame-ancestors 'none'; base-uri 'none'"
}

var (
	// hostSource is a host-source of CSP Level 3 §2.3.1 without a wildcard or path.
	hostSource = regexp.MustCompile(`^(https?)://([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)
	// schemeSource is http, https or a private-use scheme, which has a dot in it
	// (RFC 8252 §7.1).
	schemeSource = regexp.MustCompile(`^(?:https?|[A-Za-z][A-Za-z0-9+-]*\.[A-Za-z0-9+.-]+):$`)
)

// maxOrigin is the longest origin that has a place in the policy: a host name of
// 253 characters, a scheme and a port.
const maxOrigin = 280

// formAction is the source expression for an origin, or "" when the origin is
// not one: nothing else gets into the policy.
func formAction(origin string) string {
	if len(origin) > maxOrigin {
		return ""
	}
	if schemeSource.MatchString(origin) {
		return origin
	}
	m := hostSource.FindStringSubmatch(origin)
	if m == nil {
		return ""
	}
	scheme, host, port := m[1], m[2], m[3]
	if !strings.HasPrefix(host, "[") {
		return origin
	}
	// A source can't name an IPv6 address. Chromium takes any host in its place.
	if _, err := netip.ParseAddr(host[1 : len(host)-1]); err != nil {
		return ""
	}
	return scheme + "://*" + port
}
