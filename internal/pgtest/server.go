package pgtest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Server is one PostgreSQL server. Its methods are for one goroutine at a time.
type Server struct {
	bin   string
	dir   string   // of its own, with all that it writes
	lock  *os.File // held for as long as this process has the directory
	owner *syscall.Credential
	port  int
	names int // of the standbys made from it

	cmd   *exec.Cmd // the postmaster; nil: it does not run
	ended chan struct{}
}

// patience is how long a server may take to start, recovery included, or to stop.
const patience = time.Minute

// ours are the settings of every server.
var ours = map[string]string{
	"max_connections":            "200",
	"shared_buffers":             "64MB",
	"dynamic_shared_memory_type": "mmap", // within the directory: one that is killed leaves nothing elsewhere
	"wal_level":                  "replica",
	"max_wal_senders":            "10",
	"max_replication_slots":      "10",
	"timezone":                   "UTC",
}

// careless are the settings of a server that need not survive its machine.
var careless = map[string]string{"fsync": "off", "full_page_writes": "off"}

// newServer makes a directory with an empty cluster.
func newServer(o Options) (_ *Server, err error) {
	s, err := newDirectory()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.remove())
		}
	}()
	secret := filepath.Join(s.dir, "password")
	if err := s.write(secret, password()+"\n"); err != nil {
		return nil, err
	}
	if err := s.run("initdb", "-D", s.data(), "-U", superuser, "--no-sync", "--auth=scram-sha-256", "--pwfile="+secret, "--encoding=UTF8", "--locale=C"); err != nil {
		return nil, err
	}
	settings := maps.Clone(ours)
	if !o.Durable {
		maps.Copy(settings, careless)
	}
	maps.Copy(settings, o.Settings)
	return s, s.configure("postgresql.conf", settings)
}

// newDirectory makes a server's directory, and finds its programs and its user.
func newDirectory() (_ *Server, err error) {
	s := &Server{}
	if s.bin, err = binaries(debian); err != nil {
		return nil, err
	}
	if os.Getuid() == 0 {
		// PostgreSQL refuses to run as root.
		if s.owner, err = credential(superuser); err != nil {
			return nil, err
		}
	}
	sweep(os.TempDir())
	if s.dir, err = os.MkdirTemp("", prefix); err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	if s.lock, err = takeLock(filepath.Join(s.dir, lockName)); err == nil {
		err = s.own(s.dir)
	}
	if err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

func credential(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("pgtest: PostgreSQL does not run as root, and the user that would run it is not there: %w. Debian's package postgresql makes it", err)
	}
	uid, uerr := strconv.ParseUint(u.Uid, 10, 32)
	gid, gerr := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(uerr, gerr); err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func (s *Server) data() string               { return filepath.Join(s.dir, "data") }
func (s *Server) logFile() string            { return filepath.Join(s.dir, "log") }
func (s *Server) pidFile() string            { return filepath.Join(s.data(), "postmaster.pid") }
func (s *Server) tool(program string) string { return filepath.Join(s.bin, program) }
func (s *Server) running() bool              { return s.cmd != nil }

// own gives a file to the user that the server runs as.
func (s *Server) own(path string) error {
	if s.owner == nil {
		return nil
	}
	return os.Chown(path, int(s.owner.Uid), int(s.owner.Gid))
}

func (s *Server) write(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	return s.own(path)
}

// configure adds settings at the end of a configuration file, where they win.
func (s *Server) configure(name string, settings map[string]string) error {
	path := filepath.Join(s.data(), name)
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		text = fmt.Appendf(text, "%s = '%s'\n", key, strings.ReplaceAll(settings[key], "'", "''"))
	}
	return s.write(path, string(text))
}

// run runs one of PostgreSQL's programs as the server's user.
func (s *Server) run(program string, args ...string) error {
	cmd := exec.Command(s.tool(program), args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PGPASSWORD="+password())
	cmd.SysProcAttr = attributes(s.owner)
	if out, err := bound(cmd); err != nil {
		return fmt.Errorf("pgtest: %s: %w\n%s", program, err, out)
	}
	return nil
}

// begin starts the server for the first time, until the test ends.
func (s *Server) begin(t testing.TB) *Server {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of PostgreSQL on %s ends:\n%s", s.Addr(), s.logTail())
		}
		if err := s.remove(); err != nil {
			t.Error(err)
		}
	})
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// start starts the postmaster and waits until it takes connections. The first time
// it finds a port; later it keeps it.
func (s *Server) start() error {
	if s.port != 0 {
		return s.startOn(s.port)
	}
	var err error
	for range 5 {
		port, perr := freePort()
		if perr != nil {
			return perr
		}
		if err = s.startOn(port); err == nil {
			s.port = port
			return nil
		}
		// Somebody may have taken the port in between.
		if !strings.Contains(s.logTail(), "could not bind") {
			break
		}
	}
	return err
}

// freePort finds a loopback port that nobody listens on, below those that the system
// gives to outgoing connections: it must still be free after a restart.
func freePort() (int, error) {
	for range 100 {
		port := 15000 + rand.IntN(15000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("pgtest: no port was free")
}

func (s *Server) startOn(port int) error {
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(s.tool("postgres"), "-D", s.data(), "-p", strconv.Itoa(port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="+s.dir)
	cmd.Dir = s.dir
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH")}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = attributes(s.owner)
	ended := make(chan struct{})
	if err := launch(cmd, ended); err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	s.cmd, s.ended = cmd, ended
	err = until("PostgreSQL takes connections", func() (bool, error) {
		select {
		case <-ended:
			return false, errors.New("pgtest: PostgreSQL did not start")
		default:
			return s.ready(), nil
		}
	})
	if err != nil {
		return fmt.Errorf("%w; its log ends:\n%s", errors.Join(err, s.signal(syscall.SIGQUIT)), s.logTail())
	}
	return nil
}

// ready reads postmaster.pid as pg_ctl does: the process in the first line, its status
// in the eighth.
func (s *Server) ready() bool {
	text, err := os.ReadFile(s.pidFile())
	lines := strings.Split(string(text), "\n")
	if err != nil || len(lines) < 8 || lines[0] != strconv.Itoa(s.cmd.Process.Pid) {
		return false
	}
	status := strings.TrimSpace(lines[7])
	return status == "ready" || status == "standby"
}

// until waits for what is told of as what.
func until(what string, is func() (bool, error)) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok, err := is(); ok || err != nil {
			return err
		}
	}
	return fmt.Errorf("pgtest: after %s it is not yet so that %s", patience, what)
}

// signal sends the postmaster a signal that ends it, and waits for its end.
func (s *Server) signal(sig syscall.Signal) error {
	if !s.running() {
		return nil
	}
	// It fails where the process ended by itself.
	_ = s.cmd.Process.Signal(sig)
	select {
	case <-s.ended:
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("pgtest: PostgreSQL did not end within %s of signal %d", patience, sig), s.kill())
	}
	s.cmd = nil
	return nil
}

// Stop ends the server as an administrator does: transactions are rolled back,
// connections cut, all is written.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if err := s.signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
}

// Kill ends the postmaster and all its processes with SIGKILL.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if !s.running() {
		t.Fatal("pgtest: there is nothing to kill")
	}
	if err := s.kill(); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) kill() error {
	err := killFamily(s.cmd.Process.Pid)
	<-s.ended
	s.cmd = nil
	return err
}

// Restart starts a server that was stopped or killed, or stops it first. The address
// stays.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := errors.Join(s.signal(syscall.SIGINT), s.start()); err != nil {
		t.Fatal(err)
	}
}

// Standby makes a copy of the server that follows it, and has every commit wait until
// the copy has it on its disk too.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	s.names++
	name := fmt.Sprintf("standby_%d", s.names)
	standby, err := newDirectory()
	if err != nil {
		t.Fatal(err)
	}
	primary := fmt.Sprintf("host=127.0.0.1 port=%d user=%s password=%s application_name=%s", s.port, superuser, password(), name)
	err = errors.Join(
		standby.run("pg_basebackup", "-D", standby.data(), "-d", primary, "-R", "-X", "stream", "-C", "-S", name, "-c", "fast", "--no-sync"),
		// It waits for nobody once it is promoted.
		standby.configure("postgresql.auto.conf", map[string]string{"synchronous_standby_names": ""}))
	if err != nil {
		t.Fatal(errors.Join(err, standby.remove()))
	}
	standby.begin(t)
	s.Exec(t, "postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'")
	s.Exec(t, "postgres", "SELECT pg_reload_conf()")
	err = until("the standby is synchronous", func() (bool, error) {
		state, err := s.exec("postgres", "SELECT sync_state FROM pg_stat_replication WHERE application_name = '"+name+"' AND state = 'streaming'")
		return state == "sync" || state == "potential", err
	})
	if err != nil {
		t.Fatal(err)
	}
	return standby
}

// Promote makes a standby a primary, and returns when it takes writes.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	if promoted := s.Exec(t, "postgres", fmt.Sprintf("SELECT pg_promote(true, %d)", int(patience.Seconds()))); promoted != "t" {
		t.Fatalf("pgtest: the standby was not promoted: %s", promoted)
	}
}

// remove ends the server and removes its directory.
func (s *Server) remove() error {
	err := s.signal(syscall.SIGQUIT)
	s.forgetMemory()
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// forgetMemory gives back the few bytes of shared memory by which a postmaster knows
// another on the same directory, where one was killed that would have done it.
func (s *Server) forgetMemory() {
	text, err := os.ReadFile(s.pidFile())
	if err != nil {
		return
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < 7 {
		return
	}
	if key := strings.Fields(lines[6]); len(key) == 2 {
		_ = exec.Command("ipcrm", "-m", key[1]).Run() // they cost nobody anything
	}
}

// logTail is the end of the server's log.
func (s *Server) logTail() string {
	text, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	lines := strings.SplitAfter(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "")
}
