//go:build e2e

package e2e

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// strace is a command line that traces what the durability of a server consists of.
// The traced process is the direct child (-D), so that signals reach it.
func strace(t *testing.T, output string) []string {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("strace is missing: run make need, or apt-get install strace")
	}
	return []string{
		"strace", "-D", "-f", "-y", "-s", "64", "--seccomp-bpf", "-o", output,
		"-e", "trace=read,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,fsync,fdatasync",
	}
}

// trace waits for the end of a trace and reads it.
func trace(t *testing.T, path string) []call {
	t.Helper()
	eventually(t, "strace writes its last line", func() bool {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		last := strings.TrimSpace(string(text))
		last = last[strings.LastIndexByte(last, '\n')+1:]
		return strings.Contains(last, "+++ exited with") || strings.Contains(last, "+++ killed by")
	})
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	calls, err := parseTrace(file)
	if err != nil {
		t.Fatal(err)
	}
	return calls
}

// TestSyncedBeforeAcknowledged counts in a trace of system calls: between the last
// write of each group and its acknowledgement lies a sync of the write-ahead log, first
// for requests one after the other, then for many at once.
func TestSyncedBeforeAcknowledged(t *testing.T) {
	t.Parallel()
	const alone, workers, each = 30, 40, 5
	output := filepath.Join(t.TempDir(), "trace")
	i := start(t, func(i *issuer, _ *string) { i.wrap = strace(t, output) })
	all := i.chains(workers)
	for range alone {
		c := all[0]
		c.take(t, c.now(), i.rotate(c.app, c.now()).want(200, "").refresh())
	}
	i.get("/livez?parallel")
	var group sync.WaitGroup
	for _, c := range all {
		group.Go(func() {
			for range each {
				if running, _ := i.refreshOnce(c); !running {
					t.Error("the server is gone")
				}
			}
		})
	}
	group.Wait()
	for _, c := range all[:4] {
		i.post("/revoke", c.as, "token", c.now()).want(200, "")
	}
	i.stop()

	calls := trace(t, output)
	acks := map[string]int{}
	for _, a := range acknowledgements(calls) {
		acks[a.path]++
		if !a.durable {
			t.Errorf("line %d of the trace: an answer of %s goes out before the log is synced", a.line, a.path)
		}
	}
	if got, want := acks["/token"], workers+alone+workers*each; got != want {
		t.Errorf("the trace shows %d answers of /token, want %d", got, want)
	}
	if got, want := acks["/revoke"], 4; got != want {
		t.Errorf("the trace shows %d answers of /revoke, want %d", got, want)
	}
	single, many := syncs(calls)
	t.Logf("%d syncs for %d rotations in parallel", many, workers*each)
	if single < alone {
		t.Errorf("%d syncs for %d rotations one after the other", single, alone)
	}
	if many >= workers*each {
		t.Errorf("%d syncs for %d rotations in parallel: writes that wait together are to share one", many, workers*each)
	}

	// The same trace without its syncs: the test would see it.
	var without []call
	for _, c := range calls {
		if !c.syncs() {
			without = append(without, c)
		}
	}
	for _, a := range acknowledgements(without) {
		if a.durable {
			t.Errorf("line %d of the trace counts as durable without a sync", a.line)
		}
	}
}

// syncs counts those of the log, before and after the mark of the parallel part.
func syncs(calls []call) (before, after int) {
	count := &before
	for _, c := range calls {
		switch {
		case strings.HasPrefix(c.data, "GET /livez?parallel"), strings.HasPrefix(c.data, "ET /livez?parallel"):
			count = &after
		case c.syncs() && c.onLog():
			*count++
		}
	}
	return before, after
}

// TestUnsyncedIsNoticed runs the same check over a server that commits with
// synchronous=NORMAL, as a wrong setting would make Jeton do, and with FULL.
func TestUnsyncedIsNoticed(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"FULL", "NORMAL", "OFF"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			const requests = 10
			dir := t.TempDir()
			output := filepath.Join(dir, "trace")
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			line := append(strace(t, output), self)
			cmd := exec.Command(line[0], line[1:]...)
			cmd.Env = append(os.Environ(), ledgerVariable+"="+filepath.Join(dir, "ledger.db"), synchronousVariable+"="+mode)
			cmd.Stderr = os.Stderr
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill()
			addr, err := bufio.NewReader(stdout).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			web := &http.Client{Timeout: time.Minute}
			address := "http://" + strings.TrimSpace(addr)
			for range requests {
				resp, err := web.Post(address+"/entry", "text/plain", nil)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
			}
			// When the same connection answers once more, the last write has returned.
			resp, err := web.Get(address)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			web.CloseIdleConnections()
			_ = cmd.Process.Signal(syscall.SIGKILL)
			_ = cmd.Wait()
			acks := acknowledgements(trace(t, output))
			if len(acks) != requests {
				t.Fatalf("the trace shows %d answers, want %d", len(acks), requests)
			}
			for _, a := range acks {
				if a.durable != (mode == "FULL") {
					t.Errorf("synchronous=%s: the answer on line %d counts as durable: %v", mode, a.line, a.durable)
				}
			}
		})
	}
}
