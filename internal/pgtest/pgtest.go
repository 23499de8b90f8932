// Package pgtest starts PostgreSQL servers for tests: the real thing, from the
// machine's packages, each in a temporary directory and on a loopback port of its
// own. It knows nothing of the clusters that the system runs. No server outlives the
// test's process, however that ends.
//
// Most tests want Database: an empty database on a server that all tests of a
// process share. A test that stops its server, kills it or gives it a standby takes
// one of its own from Start.
package pgtest

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Options of a server.
type Options struct {
	// Durable has commits reach the disk, which costs time. Without it a server keeps
	// what it acknowledged when it is killed, but not when the machine is.
	Durable bool
	// Settings are lines of postgresql.conf; they win over ours.
	Settings map[string]string
}

// superuser is the role that tests connect as, and password its password: other
// users of the machine reach the port as well.
const superuser = "postgres"

var password = sync.OnceValue(func() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
})

// shared is the server that Database uses. It runs while anybody uses it.
var shared struct {
	sync.Mutex
	users  int
	server *Server
}

var databases atomic.Int64

// Main runs a package's tests and keeps the shared server until the last has ended,
// where it would otherwise stop whenever nobody uses it.
func Main(m *testing.M) int {
	acquire()
	defer release()
	return m.Run()
}

func acquire() {
	shared.Lock()
	defer shared.Unlock()
	shared.users++
}

func release() {
	shared.Lock()
	defer shared.Unlock()
	shared.users--
	if shared.users == 0 && shared.server != nil {
		if err := shared.server.remove(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		shared.server = nil
	}
}

// Database makes an empty database on the shared server and gives its URL. It is
// gone when the test ends. Settings such as default_transaction_isolation=serializable
// hold in this database alone.
func Database(t testing.TB, settings ...string) string {
	t.Helper()
	acquire()
	t.Cleanup(release)
	shared.Lock()
	var err error
	if shared.server == nil {
		shared.server, err = newServer(Options{Settings: map[string]string{"max_connections": "400"}})
		if err == nil {
			err = shared.server.start()
		}
		if err != nil && shared.server != nil {
			err = errors.Join(err, shared.server.remove())
			shared.server = nil
		}
	}
	s := shared.server
	shared.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	return s.Database(t, settings...)
}

// Start starts a server of the test's own. It ends with the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := newServer(o)
	if err != nil {
		t.Fatal(err)
	}
	return s.begin(t)
}

// Database makes an empty database and gives its URL. It is dropped when the test
// ends, if the server still runs then.
func (s *Server) Database(t testing.TB, settings ...string) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	// The order of texts is a language's, as in most installations, and not the bytes'.
	s.Exec(t, "postgres", "CREATE DATABASE "+name+" TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'")
	for _, setting := range settings {
		key, value, found := strings.Cut(setting, "=")
		if !found {
			t.Fatalf("pgtest: %q is not a setting like default_transaction_isolation=serializable", setting)
		}
		s.Exec(t, "postgres", "ALTER DATABASE "+name+" SET "+key+" = '"+value+"'")
	}
	t.Cleanup(func() {
		if s.running() {
			if _, err := s.exec("postgres", "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
				t.Error(err)
			}
		}
	})
	return URL(name, s)
}

// URL is a database's on one server, or on several of which one takes writes.
func URL(database string, servers ...*Server) string {
	hosts := make([]string, len(servers))
	for i, s := range servers {
		hosts[i] = s.Addr()
	}
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(superuser, password()),
		Host: strings.Join(hosts, ","), Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Name is the database's name in a URL.
func Name(dsn string) string {
	_, path, _ := strings.Cut(strings.TrimPrefix(dsn, "postgres://"), "/")
	name, _, _ := strings.Cut(path, "?")
	return name
}

// Addr is the server's address, which never changes.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", fmt.Sprint(s.port)) }

// Exec runs SQL with psql and gives what it printed: a row a line, with | between the
// columns.
func (s *Server) Exec(t testing.TB, database, sql string) string {
	t.Helper()
	out, err := s.exec(database, sql)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s *Server) exec(database, sql string) (string, error) {
	cmd := exec.Command(s.tool("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", URL(database, s), "-c", sql)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("pgtest: %s: %w: %s", sql, err, errs.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// lacking says what to do where there is no PostgreSQL.
const lacking = "pgtest: these tests need PostgreSQL 15 or later, and no server programs are in PATH or under %s. On Debian run scripts/need.sh, or as root: apt-get install --no-install-recommends postgresql"

// debian is where Debian's packages keep the programs of each version.
const debian = "/usr/lib/postgresql"

// binaries is the directory of the newest server's programs.
func binaries(under string) (string, error) {
	found, err := filepath.Glob(filepath.Join(under, "*", "bin", "postgres"))
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
	}
	path, err := exec.LookPath("postgres")
	if err != nil {
		return "", fmt.Errorf(lacking, under)
	}
	// Its neighbours may not be in PATH.
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", fmt.Errorf("pgtest: %w", err)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(path), "initdb")); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("pgtest: there is no initdb beside %s", path)
	}
	return filepath.Dir(path), nil
}

// version is the number in …/15/bin/postgres.
func version(path string) (n int) {
	_, _ = fmt.Sscan(filepath.Base(filepath.Dir(filepath.Dir(path))), &n)
	return n
}
