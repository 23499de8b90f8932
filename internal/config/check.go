package config

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/jeton-auth/jeton/internal/spec"
)

// fill gives every absent key its default.
func (c *Config) fill() {
	u, err := url.Parse(c.Issuer)
	if c.Listen == "" {
		c.Listen = "127.0.0.1:8443"
		if err == nil && spec.Loopback(u.Hostname()) && u.Port() != "" {
			host := u.Hostname()
			if host == "localhost" {
				host = "127.0.0.1"
			}
			c.Listen = net.JoinHostPort(host, u.Port())
		}
	}
	c.Profile = cmp.Or(c.Profile, spec.ProfileOIDC)
	c.Introspection.Mode = cmp.Or(c.Introspection.Mode, Confirmed)
	c.Introspection.Within = cmp.Or(c.Introspection.Within, spec.Duration(2*time.Second))
	c.Brand.Name = cmp.Or(c.Brand.Name, "Jeton")
	if c.Sessions.Absolute == 0 {
		c.Sessions.Absolute = max(days(7), c.Sessions.Idle)
	}
	if c.Sessions.Idle == 0 {
		c.Sessions.Idle = min(spec.Duration(8*time.Hour), c.Sessions.Absolute)
	}
	c.Keys.Rotate = cmp.Or(c.Keys.Rotate, days(90))
	c.Keys.PublishBefore = cmp.Or(c.Keys.PublishBefore, days(1))
	c.Keys.RetireAfter = cmp.Or(c.Keys.RetireAfter, days(2))
	c.Password.Memory = cmp.Or(c.Password.Memory, 19456)
	c.Password.Iterations = cmp.Or(c.Password.Iterations, 2)
	c.Password.Parallelism = cmp.Or(c.Password.Parallelism, 1)
	c.Password.Concurrency = cmp.Or(c.Password.Concurrency, runtime.GOMAXPROCS(0))
	c.Password.Queue = cmp.Or(c.Password.Queue, 64)
	c.Log.Format = cmp.Or(c.Log.Format, "json")
	c.Log.Level = cmp.Or(c.Log.Level, "info")
	for i := range c.Resources {
		c.Resources[i].Resource = c.Resources[i].WithDefaults()
	}
	known := c.SpecResources()
	for i := range c.Clients {
		if slices.Contains(spec.Profiles, c.Profile) {
			c.Clients[i].Profile = cmp.Or(c.Clients[i].Profile, c.Profile)
		}
		c.Clients[i].Client = c.Clients[i].WithDefaults().InferResources(known)
	}
}

func days(n int) spec.Duration { return spec.Duration(n) * spec.Duration(24*time.Hour) }

// check reports what the types alone do not show, in the order of the file's
// documentation.
func (r *reader) check(c *Config) {
	r.checkIssuer(c)
	r.checkListen(c.Listen)
	r.checkStore(c)
	r.checkKey(c)
	r.checkFile("high_water", &c.HighWater)
	r.checkFile("revocation_journal", &c.RevocationJournal)
	r.oneOf("profile", string(c.Profile), words(spec.Profiles)...)
	r.checkOutbound(c.Outbound)
	r.oneOf("introspection.mode", c.Introspection.Mode, Confirmed, Bounded)
	r.between("introspection.within", c.Introspection.Within, spec.Duration(100*time.Millisecond), spec.Duration(time.Minute))
	if len(c.Brand.Name) > spec.MaxName || !printable(c.Brand.Name) {
		r.add("brand.name", "must be plain text of at most %d bytes", spec.MaxName)
	}
	r.checkTimes(c)
	r.checkPassword(c.Password)
	r.oneOf("log.format", c.Log.Format, "json", "text")
	r.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	r.checkResources(c)
	r.checkClients(c)
	r.checkUsers(c.Users)
}

var issuerPath = regexp.MustCompile(`^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$`)

func (r *reader) checkIssuer(c *Config) {
	const path = "issuer"
	u, err := url.Parse(c.Issuer)
	switch {
	case c.Issuer == "":
		r.add(path, "is required: write for instance https://id.example.com")
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		r.add(path, "must be an https URL: write for instance https://id.example.com")
	case u.User != nil:
		r.add(path, "must not hold a user name or password: remove what stands before the @")
	case strings.ContainsAny(c.Issuer, "?#"):
		r.add(path, "must not have a query or fragment: write for instance https://%s", u.Host) // OpenID Connect Discovery §3
	case strings.HasSuffix(c.Issuer, "/"):
		r.add(path, "ends in a slash: write %s", quote(strings.TrimRight(c.Issuer, "/")))
	case !spec.ValidHost(u):
		r.add(path, "has a malformed host or port: write for instance https://id.example.com")
	case u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80":
		r.add(path, "names the default port: remove :%s", u.Port())
	case !issuerPath.MatchString(u.EscapedPath()):
		r.add(path, "has a path with other characters than letters, digits, - . _ ~: write for instance https://id.example.com/auth")
	case c.Issuer != u.Scheme+"://"+strings.ToLower(u.Host)+u.Path:
		r.add(path, "must be written with scheme and host in lower case: write %s", quote(u.Scheme+"://"+strings.ToLower(u.Host)+u.Path))
	case u.Scheme == "http" && !spec.Loopback(u.Hostname()):
		r.add(path, "must use https: http is only for localhost, 127.0.0.1 and [::1]")
	case u.Scheme == "http" && c.TLS != nil:
		r.add(path, "must use https, since tls is set")
	}
	r.checkTransport(c, u)
}

func (r *reader) checkListen(s string) {
	host, port, err := net.SplitHostPort(s)
	_, notNumber := strconv.ParseUint(port, 10, 16)
	_, notAddress := netip.ParseAddr(host)
	if err != nil || notNumber != nil || host != "" && notAddress != nil && !hostName.MatchString(host) {
		r.add("listen", "must be an address and a port: write for instance 127.0.0.1:8443")
	}
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)

// checkStore leaves an absolute path in c.Store where the file has a relative one, and
// the URL where it names what holds one: there may be a password in it.
func (r *reader) checkStore(c *Config) {
	if name, ok := strings.CutPrefix(c.Store, "env:"); ok {
		c.Store, _ = r.env(name)
		if c.Store == "" {
			r.add("store", "the environment variable %s is not set or empty: set it", quote(name))
			return
		}
	} else if file, ok := strings.CutPrefix(c.Store, "file:"); ok {
		if c.Store = strings.TrimSpace(r.secretFile(file, "store")); c.Store == "" {
			return
		}
	}
	path, ok := strings.CutPrefix(c.Store, "sqlite:")
	switch {
	case c.Store == "":
		r.add("store", "is required: write sqlite:PATH, for instance sqlite:/var/lib/jeton/jeton.db, or postgres://…")
	case strings.HasPrefix(c.Store, "postgres://") || strings.HasPrefix(c.Store, "postgresql://"):
		if host, _, _ := strings.Cut(strings.SplitN(c.Store, "://", 2)[1], "?"); host == "" || !printable(c.Store) {
			r.add("store", "is not a URL that PostgreSQL's clients understand: write for instance postgres://jeton@db.example.com:5432/jeton?sslmode=verify-full")
		}
	case !ok:
		r.add("store", "must be sqlite:PATH, for instance sqlite:/var/lib/jeton/jeton.db, or postgres://…")
	case path == "" || !printable(path) || strings.ContainsAny(path, "?#%") || strings.HasPrefix(path, ":"):
		r.add("store", "must name a file: write for instance sqlite:/var/lib/jeton/jeton.db, without options")
	default:
		c.Store = "sqlite:" + r.resolve(path)
	}
}

// checkFile leaves the absolute path of a file that is written, if one is named.
func (r *reader) checkFile(key string, path *string) {
	switch {
	case *path == "":
	case !printable(*path) || strings.HasSuffix(*path, "/"):
		r.add(key, "must name a file: write for instance /var/lib/jeton-state/%s", strings.ReplaceAll(key, "_", "-"))
	default:
		*path = r.resolve(*path)
	}
}

func (r *reader) checkTimes(c *Config) {
	year := days(365)
	r.between("sessions.absolute", c.Sessions.Absolute, spec.Duration(time.Second), year)
	r.between("sessions.idle", c.Sessions.Idle, spec.Duration(time.Second), year)
	if c.Sessions.Idle > c.Sessions.Absolute {
		r.add("sessions.idle", "%s is longer than sessions.absolute (%s): write at most that", c.Sessions.Idle, c.Sessions.Absolute)
	}
	hour := spec.Duration(time.Hour)
	r.between("keys.rotate", c.Keys.Rotate, 2*hour, 10*year)
	r.between("keys.publish_before", c.Keys.PublishBefore, hour/4, year)
	if c.Keys.PublishBefore >= c.Keys.Rotate {
		r.add("keys.publish_before", "%s is not shorter than keys.rotate (%s): write less", c.Keys.PublishBefore, c.Keys.Rotate)
	}
	// A token may be verified until the last moment of its life, and a little more.
	r.between("keys.retire_after", c.Keys.RetireAfter, spec.MaxLifetime+hour, year)
}

// owasp are equally strong parameters of argon2id
// (https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html).
var owasp = []Password{
	{Memory: 47104, Iterations: 1},
	{Memory: 19456, Iterations: 2},
	{Memory: 12288, Iterations: 3},
	{Memory: 9216, Iterations: 4},
	{Memory: 7168, Iterations: 5},
}

func (r *reader) checkPassword(p Password) {
	r.count("password.memory", p.Memory, 7168, 1<<20)
	r.count("password.iterations", p.Iterations, 1, 100)
	r.count("password.parallelism", p.Parallelism, 1, 255)
	r.count("password.concurrency", p.Concurrency, 1, 1024)
	r.count("password.queue", p.Queue, 1, 100_000)
	enough := func(o Password) bool { return p.Memory >= o.Memory && p.Iterations >= o.Iterations }
	if !slices.ContainsFunc(owasp, enough) {
		var choices []string
		for _, o := range owasp {
			choices = append(choices, fmt.Sprintf("%d with %d", o.Memory, o.Iterations))
		}
		r.add("password.memory", "%d KiB with %d iterations is weaker than OWASP's minimum: write at least %s", p.Memory, p.Iterations, either(choices))
	}
}

func (r *reader) checkResources(c *Config) {
	first := map[string]int{}
	for i, res := range c.Resources {
		path := fmt.Sprintf("resources[%d]", i)
		for _, p := range res.Validate() {
			r.add(join(path, p.Field), "%s", p.Message)
		}
		if c.Issuer != "" && (res.ID == c.Issuer || strings.HasPrefix(res.ID, c.Issuer+"/")) {
			r.add(path+".id", "belongs to the issuer itself: write the identifier of your API")
		}
		r.twice(first, res.ID, i, path+".id", "resources")
		if res.IntrospectionSecret != "" {
			r.strong(path+".introspection_secret", res.IntrospectionSecret)
		}
	}
}

// twice reports an id that an earlier entry of the list has.
func (r *reader) twice(first map[string]int, id string, i int, path, list string) {
	if id == "" {
		return
	}
	if j, taken := first[id]; taken {
		r.add(path, "is the same as that of %s[%d]: choose another", list, j)
		return
	}
	first[id] = i
}

func (r *reader) oneOf(path, value string, supported ...string) {
	if !slices.Contains(supported, value) {
		r.add(path, "%s is not supported: write %s", quote(value), either(supported))
	}
}

// either writes "a, b or c".
func either(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

func (r *reader) between(path string, d, least, most spec.Duration) {
	if d < least || d > most {
		r.add(path, "%s is out of bounds: write %s to %s", d, least, most)
	}
}

func (r *reader) count(path string, n, least, most int) {
	if n < least || n > most {
		r.add(path, "%d is out of bounds: write %d to %d", n, least, most)
	}
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) })
}

// quote writes a foreign value on one line, cut where it is long.
func quote(s string) string {
	if len(s) > 200 {
		return fmt.Sprintf("%.200q…", s)
	}
	return fmt.Sprintf("%q", s)
}
