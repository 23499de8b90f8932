package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of processor time in /proc: USER_HZ is 100 on every Linux.
const tick = 10 * time.Millisecond

// cpu is the processor time that a process has used; pid may be "self".
func cpu(pid string) (time.Duration, error) {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold anything; utime and stime are the 12th and
	// 13th field after it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%s/stat is %q", pid, stat)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

// machine is the time that all processors were busy, and that a hypervisor kept.
func machine() (busy, stolen time.Duration, err error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 {
		return 0, 0, fmt.Errorf("/proc/stat begins %q", line)
	}
	for i, field := range fields[1:9] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, 0, err
		}
		switch i {
		case 0, 1, 2, 5, 6: // user, nice, system, irq, softirq
			busy += time.Duration(n) * tick
		case 7:
			stolen += time.Duration(n) * tick
		}
	}
	return busy, stolen, nil
}

// memory is what a process holds now and held at most, in MiB.
func memory(pid int) (now, peak float64, err error) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		var into *float64
		switch name {
		case "VmRSS":
			into = &now
		case "VmHWM":
			into = &peak
		default:
			continue
		}
		kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		if err != nil {
			return 0, 0, err
		}
		*into = kib / 1024
	}
	return now, peak, nil
}

// noise is how much of the processors went to neither load nor server in the rounds
// that count.
type noise struct {
	capacity, others, stolen time.Duration
	worst                    float64
}

func (n *noise) add(r reading) {
	n.capacity += r.capacity
	n.others += r.others
	n.stolen += r.stolen
	n.worst = max(n.worst, float64(r.others+r.stolen)/float64(r.capacity))
}

// calm bounds the share of others up to which a run is worth quoting.
const calm = .05

func (n *noise) String() string {
	if n.capacity == 0 {
		return ""
	}
	share := func(d time.Duration) string {
		return strconv.FormatFloat(100*float64(d)/float64(n.capacity), 'f', 1, 64) + " %"
	}
	s := fmt.Sprintf("Other processes took %s of the processors in these rounds, the hypervisor %s; in the worst round %s together.",
		share(n.others), share(n.stolen), percent(n.worst))
	if float64(n.others+n.stolen) > calm*float64(n.capacity) {
		s += " That is too much: repeat the run on a quiet machine before you quote it."
	}
	return s
}
