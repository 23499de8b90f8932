package e2e

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// call is a system call in a trace of strace -f -y. begin and end are the numbers of
// the lines on which it began and returned: other threads' calls may lie between.
type call struct {
	name, file, data string
	begin, end       int
	ok               bool
}

var (
	lineForm   = regexp.MustCompile(`^(\d+) +(.*)$`)
	callForm   = regexp.MustCompile(`^(\w+)\(\d+<([^>]*)>(?:, "((?:[^"\\]|\\.)*)")?`)
	resumeForm = regexp.MustCompile(`^<\.\.\. (\w+) resumed>(?:"((?:[^"\\]|\\.)*)")?`)
	resultForm = regexp.MustCompile(`\) += (-?\d+)[^=]*$`)
)

// parseTrace reads a trace. Calls without a file, and what is no call, are left out.
func parseTrace(r io.Reader) ([]call, error) {
	var calls []call
	waiting := map[string]int{} // thread → index of a call that has not returned
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		m := lineForm.FindStringSubmatch(lines.Text())
		if m == nil {
			return nil, fmt.Errorf("line %d is no line of strace -f: %s", n, lines.Text())
		}
		thread, text := m[1], m[2]
		result := resultForm.FindStringSubmatch(text)
		ok := result != nil && result[1] != "" && result[1][0] != '-'
		if m := resumeForm.FindStringSubmatch(text); m != nil {
			k, found := waiting[thread]
			if !found {
				continue
			}
			delete(waiting, thread)
			c := &calls[k]
			c.end, c.ok = n, ok
			if c.data == "" { // a read shows its data when it returns
				c.data = m[2]
			}
			continue
		}
		m = callForm.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		c := call{name: m[1], file: m[2], data: m[3], begin: n, end: n, ok: ok}
		if strings.HasSuffix(text, "<unfinished ...>") {
			c.end, waiting[thread] = 0, len(calls)
		}
		calls = append(calls, c)
	}
	// What never returned says nothing.
	return slices.DeleteFunc(calls, func(c call) bool { return c.end == 0 }), lines.Err()
}

func (c call) onLog() bool  { return strings.HasSuffix(c.file, "-wal") }
func (c call) writes() bool { return c.ok && strings.Contains(c.name, "write") }
func (c call) syncs() bool  { return c.ok && (c.name == "fsync" || c.name == "fdatasync") }

// requestForm is how a request to an endpoint that writes begins. The HTTP server
// reads the first byte of the next request on a connection in advance.
var requestForm = regexp.MustCompile(`^P?OST (/\S*) HTTP/1`)

// ack is an answer 200 to a request that writes.
type ack struct {
	path    string
	line    int
	durable bool
}

// acknowledgements finds the answers 200 to POST requests. One is durable when,
// between the reading of its request and the writing of its answer, the write-ahead
// log was written to and then synced, and the sync had returned.
func acknowledgements(calls []call) []ack {
	type asked struct {
		path string
		line int
	}
	requests := map[string]asked{} // by connection
	var acks []ack
	for k, c := range calls {
		if !c.ok || !strings.HasPrefix(c.file, "socket:") {
			continue
		}
		if m := requestForm.FindStringSubmatch(c.data); m != nil && c.name == "read" {
			requests[c.file] = asked{m[1], c.end}
			continue
		}
		if !c.writes() || !strings.HasPrefix(c.data, "HTTP/1.1 200") {
			continue
		}
		if r, ok := requests[c.file]; ok {
			delete(requests, c.file)
			acks = append(acks, ack{r.path, c.begin, synced(calls[:k], r.line, c.begin)})
		}
	}
	return acks
}

// synced tells whether a write to the log and a sync after it lie between two lines.
func synced(calls []call, after, before int) bool {
	sync := 0 // the last line on which a sync began that returned in time
	for _, c := range slices.Backward(calls) {
		switch {
		case c.begin <= after:
			return false
		case !c.onLog():
		case c.syncs() && c.end < before:
			sync = max(sync, c.begin)
		case c.writes() && c.end < sync:
			return true
		}
	}
	return false
}
