//go:build e2e

package pgtest

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// child has the process start a server and end without a word of goodbye.
const child = "PGTEST_CHILD"

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// onShared is the shared server: whoever has a database of it keeps it running.
func onShared(t *testing.T, dsn string) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	u, err := url.Parse(dsn)
	if err != nil || shared.server == nil || u.Host != shared.server.Addr() {
		t.Fatalf("%s is not on the shared server: %v", dsn, err)
	}
	return shared.server
}

// Each test has a database of its own, all on one server.
func TestDatabase(t *testing.T) {
	t.Parallel()
	names := make([]string, 5)
	for i := range names {
		names[i] = Name(Database(t))
	}
	seen := map[string]bool{}
	s := onShared(t, Database(t))
	for _, name := range names {
		s.Exec(t, name, "CREATE TABLE mine (n int)")
		seen[name] = true
	}
	if len(seen) != len(names) {
		t.Errorf("the databases are %v", names)
	}
	dsn := ""
	t.Run("dropped", func(t *testing.T) { dsn = Database(t) })
	if n := s.Exec(t, "postgres", "SELECT count(*) FROM pg_database WHERE datname = '"+Name(dsn)+"'"); n != "0" {
		t.Errorf("%s databases of a test that has ended", n)
	}
}

func TestDatabaseSettings(t *testing.T) {
	t.Parallel()
	strict, plain := Database(t, "default_transaction_isolation=serializable"), Database(t)
	s := onShared(t, plain)
	for dsn, want := range map[string]string{strict: "serializable", plain: "read committed"} {
		if got := s.Exec(t, Name(dsn), "SHOW default_transaction_isolation"); got != want {
			t.Errorf("the isolation is %s, want %s", got, want)
		}
	}
	if got := s.Exec(t, Name(plain), "SELECT 'a' < 'B'"); got != "t" {
		t.Error("texts are in the order of their bytes, and a query that relies on it would not be found out")
	}
	if got := s.Exec(t, Name(plain), "SHOW fsync"); got != "off" {
		t.Errorf("fsync is %s", got)
	}
}

// A killed server keeps what it acknowledged, a stopped one too; the address stays.
func TestKillAndRestart(t *testing.T) {
	t.Parallel()
	s := Start(t, Options{Durable: true, Settings: map[string]string{"max_connections": "33"}})
	dsn := s.Database(t)
	db := Name(dsn)
	if got := s.Exec(t, db, "SHOW fsync") + s.Exec(t, db, "SHOW max_connections"); got != "on33" {
		t.Errorf("fsync and max_connections are %s", got)
	}
	s.Exec(t, db, "CREATE TABLE kept (n int)")
	for i, end := range []func(testing.TB){s.Kill, s.Stop, s.Kill, func(testing.TB) {}} {
		s.Exec(t, db, "INSERT INTO kept VALUES (1)")
		pid := s.cmd.Process.Pid
		children, err := childrenOf(pid)
		if err != nil || len(children) < 4 {
			t.Fatalf("the server has the processes %v: %v", children, err)
		}
		end(t)
		if s.running() {
			s.Restart(t)
		} else {
			for _, p := range append(children, pid) {
				if alive(p) {
					t.Errorf("%d: process %d goes on", i, p)
				}
			}
			if _, err := s.exec(db, "SELECT 1"); err == nil {
				t.Errorf("%d: the server still answers", i)
			}
			s.Restart(t)
		}
		if got := s.Exec(t, db, "SELECT count(*) FROM kept"); got != strconv.Itoa(i+1) {
			t.Errorf("%d: %s rows are there", i, got)
		}
	}
	if URL(db, s) != dsn {
		t.Errorf("the URL was %s and is %s", dsn, URL(db, s))
	}
}

// What was acknowledged is on the standby when the primary dies.
func TestStandby(t *testing.T) {
	t.Parallel()
	primary := Start(t, Options{})
	db := Name(primary.Database(t))
	primary.Exec(t, db, "CREATE TABLE kept (n int)")
	standby := primary.Standby(t)
	second := primary.Standby(t)
	for range 20 {
		primary.Exec(t, db, "INSERT INTO kept VALUES (1)")
	}
	if got := second.Exec(t, db, "SELECT pg_is_in_recovery()"); got != "t" {
		t.Error("the standby takes writes")
	}
	primary.Kill(t)
	standby.Promote(t)
	if got := standby.Exec(t, db, "SELECT count(*) FROM kept"); got != "20" {
		t.Errorf("%s of 20 rows are there", got)
	}
	standby.Exec(t, db, "INSERT INTO kept VALUES (1)")
	both := URL(db, primary, standby)
	if u, err := url.Parse(both); err != nil || u.Host != primary.Addr()+","+standby.Addr() {
		t.Errorf("the URL of both is %s: %v", both, err)
	}
}

// A server ends with the process that started it, though that panics or is killed, and
// its directory is removed by a later one.
func TestNothingIsLeft(t *testing.T) {
	if os.Getenv(child) != "" {
		s := Start(t, Options{})
		fmt.Printf("child %d %s\n", s.cmd.Process.Pid, s.dir)
		os.Stdout.Sync()
		if os.Getenv(child) == "kill" {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		go panic("as a test does that is broken")
		select {}
	}
	for _, how := range []string{"panic", "kill"} {
		temp, err := os.MkdirTemp("", "pg")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(temp) })
		if err := os.Chmod(temp, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestNothingIsLeft$")
		cmd.Env = append(os.Environ(), child+"="+how, "TMPDIR="+temp)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		var pid int
		var dir string
		lines := bufio.NewScanner(out)
		for lines.Scan() && dir == "" {
			_, _ = fmt.Sscanf(lines.Text(), "child %d %s", &pid, &dir)
		}
		if err := cmd.Wait(); err == nil || dir == "" {
			t.Fatalf("%s: the child ended with %v, its server is in %q", how, err, dir)
		}
		if err := until("the server is gone", func() (bool, error) { return !alive(pid), nil }); err != nil {
			t.Errorf("%s: %v", how, err)
		}
		sweep(temp)
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("%s: the directory of one that may only just begin is gone: %v", how, err)
		}
		past := time.Now().Add(-time.Hour)
		if err := os.Chtimes(dir, past, past); err != nil {
			t.Fatal(err)
		}
		sweep(temp)
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the directory is still there: %v", how, err)
		}
	}
}

// A directory whose process lives is left alone, however old it is.
func TestSweepLeavesTheLiving(t *testing.T) {
	t.Parallel()
	s := Start(t, Options{})
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(s.dir, past, past); err != nil {
		t.Fatal(err)
	}
	sweep(filepath.Dir(s.dir))
	if got := s.Exec(t, "postgres", "SELECT 1"); got != "1" {
		t.Errorf("the server answers %s", got)
	}
}

// The newest version is taken, by its number; without any, the error says what to do.
func TestBinaries(t *testing.T) {
	under := t.TempDir()
	for _, version := range []string{"9", "15", "17"} {
		bin := filepath.Join(under, version, "bin")
		if err := errors.Join(os.MkdirAll(bin, 0o755), os.WriteFile(filepath.Join(bin, "postgres"), nil, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := binaries(under); err != nil || got != filepath.Join(under, "17", "bin") {
		t.Errorf("found %s: %v", got, err)
	}
	t.Setenv("PATH", filepath.Join(under, "17", "bin"))
	if _, err := binaries(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no initdb") {
		t.Errorf("without initdb: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := binaries(t.TempDir()); err == nil || !strings.Contains(err.Error(), "apt-get install --no-install-recommends postgresql") {
		t.Errorf("without PostgreSQL: %v", err)
	}
}
