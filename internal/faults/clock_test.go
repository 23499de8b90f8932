//go:build faults

package faults

import (
	"bytes"
	"debug/elf"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/pgtest"
)

// TestStepClock sets one node's clock two minutes ahead under load, then two minutes
// back, while it runs. Only this process sees it: the code with which the kernel has it
// read the time (its vDSO) is replaced in its memory by one that adds as much to the
// time of day. The clock that never goes back is left alone, as a step leaves it.
//
// Nothing that counts may come from that clock: codes are judged, tokens dated and
// leases held by the database's.
func TestStepClock(t *testing.T) {
	db := pgtest.Start(t, pgtest.Options{})
	dsn := db.Database(t)
	c := startCluster(t, dsn, dsn, dsn)
	l := startLoad(c)
	l.goesOn("the load goes on", 100)
	odd := c.nodes[0]
	for _, step := range []time.Duration{2 * time.Minute, -2 * time.Minute} {
		odd.step(step)
		if seen := odd.wallClock(); (time.Until(seen) - step).Abs() > 10*time.Second {
			t.Fatalf("a clock that was stepped by %s shows %s: the fault was not made", step, seen)
		}
		for end := time.Now().Add(6 * time.Second); time.Now().Before(end); {
			// What the node itself dates, the others take, and the reverse.
			code, err := l.person.code(odd, shop)
			if err != nil {
				t.Fatal(err)
			}
			got := c.nodes[1].redeem(shop, code)
			if got.outcome != done {
				t.Fatalf("a code of a node with another clock is answered with %s", got)
			}
			if code, err = l.person.code(c.nodes[2], shop); err != nil {
				t.Fatal(err)
			}
			mine := odd.redeem(shop, code)
			if mine.outcome != done {
				t.Fatalf("a node with another clock answers a fresh code with %s", mine)
			}
			if off := time.Since(issuedAt(t, mine.Access)); off.Abs() > 5*time.Second {
				t.Errorf("a node whose clock was stepped by %s dates tokens %s off", step, off)
			}
			for _, n := range c.nodes {
				for _, token := range []string{got.Access, mine.Access} {
					if in := n.introspect(token); !in.Active {
						t.Errorf("%s: a fresh token is not active: %s", n.name, in)
					}
				}
			}
			for _, a := range []answer{got, mine} { // so that none of the load's has to go
				if in := odd.revoke(shop, a.Refresh); in.outcome != done {
					t.Errorf("a node with another clock answers a revocation with %s", in)
				}
			}
		}
		l.goesOn("the load goes on", 50)
	}
	l.check(dsn)
}

// wallClock is the time that a node's answers bear.
func (n *node) wallClock() time.Time {
	n.t.Helper()
	resp, err := n.http.Get(n.url + "/livez")
	if err != nil {
		n.t.Fatal(err)
	}
	resp.Body.Close()
	at, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		n.t.Fatal(err)
	}
	return at
}

// issuedAt reads the iat of a JWT.
func issuedAt(t *testing.T, token string) time.Time {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatal("a token is no JWT")
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		IAT int64 `json:"iat"`
	}
	if err := json.Unmarshal(b, &claims); err != nil {
		t.Fatal(err)
	}
	return time.Unix(claims.IAT, 0)
}

// stepped is machine code for x86-64: clock_gettime as a system call, and so many
// seconds more where the time of day was asked for.
func stepped(by time.Duration) []byte {
	code := []byte{
		0xb8, 0xe4, 0, 0, 0, // mov $228, %eax    clock_gettime
		0x0f, 0x05, // syscall
		0x85, 0xff, // test %edi, %edi    CLOCK_REALTIME is 0
		0x75, 0x07, // jne over the next
		0x48, 0x81, 0x06, // addq $seconds, (%rsi)
	}
	code = binary.LittleEndian.AppendUint32(code, uint32(int32(by/time.Second)))
	return append(code, 0xc3) // ret
}

// step sets the node's clock off by so much from the machine's.
func (n *node) step(by time.Duration) {
	n.t.Helper()
	pid := n.cmd.Process.Pid
	start, size, err := vdso(pid)
	if err == nil {
		var at uint64
		if at, err = clockGettime(start, size); err == nil {
			eventually(n.t, "no thread is reading the clock", func() bool {
				n.signal(syscall.SIGSTOP)
				defer n.signal(syscall.SIGCONT)
				var counters []uint64
				eventually(n.t, "the process stands still", func() bool {
					counters, err = standing(pid)
					return counters != nil || err != nil
				})
				for _, pc := range counters {
					if pc >= start && pc < start+size {
						return false
					}
				}
				if err == nil {
					err = poke(pid, start+at, stepped(by))
				}
				return true
			})
		}
	}
	if err != nil {
		n.t.Fatalf("the clock of one process can't be set here: it takes Linux on x86-64, and the right to write to another process's memory: %v", err)
	}
}

// vdso finds where the kernel put its code in a process.
func vdso(pid int) (start, size uint64, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(maps)) {
		if strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			var end uint64
			_, err := fmt.Sscanf(line, "%x-%x", &start, &end)
			return start, end - start, err
		}
	}
	return 0, 0, errors.New("the process has no vDSO")
}

// clockGettime finds the offset of the function in that code, which is the same in all
// processes: it is read from this one's own.
func clockGettime(_, size uint64) (uint64, error) {
	start, _, err := vdso(os.Getpid())
	if err != nil {
		return 0, err
	}
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		return 0, err
	}
	defer mem.Close()
	image := make([]byte, size)
	if _, err := mem.ReadAt(image, int64(start)); err != nil {
		return 0, err
	}
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return 0, err
	}
	if f.Machine != elf.EM_X86_64 {
		return 0, fmt.Errorf("the machine is %s", f.Machine)
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return 0, err
	}
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" {
			return s.Value, nil
		}
	}
	return 0, errors.New("the vDSO has no clock_gettime")
}

// standing gives the program counters of a process's threads; nil while one still runs.
func standing(pid int) (counters []uint64, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil {
		return nil, err
	}
	for _, thread := range threads {
		text, err := os.ReadFile(thread + "/syscall")
		if err != nil {
			return nil, err
		}
		fields := strings.Fields(string(text))
		if fields[0] == "running" {
			return nil, nil
		}
		pc, err := strconv.ParseUint(strings.TrimPrefix(fields[len(fields)-1], "0x"), 16, 64)
		if err != nil {
			return nil, err
		}
		counters = append(counters, pc)
	}
	return counters, nil
}

func poke(pid int, at uint64, code []byte) error {
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer mem.Close()
	_, err = mem.WriteAt(code, int64(at))
	return err
}
