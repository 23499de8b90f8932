//go:build faults

package faults

import (
	"database/sql"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/pgtest"
)

// TestFailover kills the primary with SIGKILL under load and promotes its synchronous
// standby. The nodes know both hosts.
func TestFailover(t *testing.T) {
	primary := pgtest.Start(t, pgtest.Options{})
	dsn := primary.Database(t)
	standby := primary.Standby(t)
	both := pgtest.URL(pgtest.Name(dsn), primary, standby) + "&target_session_attrs=read-write"
	c := startCluster(t, both, both, both)
	l := startLoad(c)
	l.goesOn("the load goes on", 100)
	primary.Kill(t)
	standby.Promote(t)
	l.noticed(t)
	l.check(pgtest.URL(pgtest.Name(dsn), standby))
}

// TestSilentPrimary is the failover of a primary whose machine is gone without a word:
// nothing comes from its address, not even a refusal.
func TestSilentPrimary(t *testing.T) {
	primary := pgtest.Start(t, pgtest.Options{})
	dsn := primary.Database(t)
	standby := primary.Standby(t)
	w := newWire(t, "127.0.0.1", primary.Addr())
	both := through(t, dsn, w.listen.Addr().String()+","+standby.Addr()) + "&target_session_attrs=read-write"
	c := startCluster(t, both, both, both)
	l := startLoad(c)
	l.goesOn("the load goes on", 100)
	w.set(silent)
	primary.Kill(t)
	standby.Promote(t)
	l.goesOn("the load goes on at the new primary", 1000)
	w.set(cut)
	l.noticed(t)
	l.check(pgtest.URL(pgtest.Name(dsn), standby))
}

// TestDatabaseCrash kills the only database twice and starts it again on what it wrote.
func TestDatabaseCrash(t *testing.T) {
	db := pgtest.Start(t, pgtest.Options{})
	dsn := db.Database(t)
	c := startCluster(t, dsn, dsn, dsn)
	l := startLoad(c)
	for range 2 {
		l.goesOn("the load goes on", 100)
		db.Kill(t)
		lasts(t, 2*time.Second)
		db.Restart(t)
	}
	l.noticed(t)
	l.check(dsn)
}

// TestFullDisk fills the disk that the database lives on, under load, and makes room
// again after a while.
func TestFullDisk(t *testing.T) {
	disk, err := os.MkdirTemp("", "jeton-disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(disk) })
	if err := os.Chmod(disk, 0o755); err != nil { // the database runs as another user
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=256m,mode=1777"); err != nil {
		t.Fatalf("a small disk can't be made here: mounting a tmpfs takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("TMPDIR", disk)
	db := pgtest.Start(t, pgtest.Options{Settings: map[string]string{"max_wal_size": "64MB", "min_wal_size": "32MB"}})
	dsn := db.Database(t)
	c := startCluster(t, dsn, dsn, dsn)
	l := startLoad(c)
	l.goesOn("the load goes on", 100)

	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast)
	// Rows that stay where they are can be changed for a while yet, as long as the
	// database's log has files of its own: it is made to go from one to the next, until
	// there is no room for another.
	look, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer look.Close()
	began := time.Now()
	eventually(t, "the database has no room for its log", func() bool {
		fill(t, ballast)
		_, err = look.Exec("SELECT pg_switch_wal()")
		return err != nil
	})
	t.Logf("after %s without room: %v", time.Since(began).Round(time.Millisecond), err)
	eventually(t, "clients notice", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.unknown > 20
	})
	lasts(t, 3*time.Second)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	// PostgreSQL ends where it can't write its log. Then somebody starts it again.
	db.Restart(t)
	l.noticed(t)
	l.check(dsn)
}

// fill writes to a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 4 << 10} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, io.ErrShortWrite) {
			t.Fatalf("the disk can't be filled: %v", err)
		}
	}
}
