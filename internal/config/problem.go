package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing wrong with the configuration.
type Problem struct {
	File    string `json:"file"`             // the file, or the environment variable whose value is at fault
	Line    int    `json:"line,omitempty"`   // from 1; 0 where there is none
	Column  int    `json:"column,omitempty"` // from 1; 0 where there is none
	Path    string `json:"path,omitempty"`   // as in clients[0].auth_method; empty for the file as a whole
	Message string `json:"message"`          // what to write instead; never holds a secret
}

// String writes the problem on one line:
// "jeton.yaml:12:5: clients[0].auth_method: …".
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Column > 0 {
		fmt.Fprintf(&b, ":%d", p.Column)
	}
	b.WriteString(": ")
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Problems is everything wrong with a configuration, in the order of the file.
type Problems []Problem

// Error writes one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// maxProblems bounds what one look at a file reports, maxKept what it keeps until
// the first of them in the file are known.
const (
	maxProblems = 100
	maxKept     = 1000
)

// tidy puts the problems in order and cuts them off; more were not kept at all.
func (ps Problems) tidy(file string, more int) Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if more += len(ps) - maxProblems; more > 0 {
		ps = append(ps[:maxProblems:maxProblems], Problem{File: file, Message: fmt.Sprintf("and %d more problems", more)})
	}
	return ps
}

// place is where a key stands: in the file, or in an environment variable.
type place struct {
	line, column int
	variable     string
}

// add reports a problem with the value at path, once: what follows from a value
// that is wrong already is not worth a line.
func (r *reader) add(path, format string, args ...any) {
	for p := path; p != ""; p = parent(p) {
		if r.bad[p] {
			return
		}
	}
	r.bad[path] = true
	r.addAt(r.place(path), path, format, args...)
}

func (r *reader) addAt(at place, path, format string, args ...any) {
	if r.full() {
		r.dropped++
		return
	}
	p := Problem{r.file, at.line, at.column, path, fmt.Sprintf(format, args...)}
	if at.variable != "" {
		p.File, p.Line, p.Column = at.variable, 0, 0
	}
	r.problems = append(r.problems, p)
}

func (r *reader) full() bool { return len(r.problems) >= maxKept }

// place is where path stands, or the nearest that holds it.
func (r *reader) place(path string) place {
	for {
		if at, ok := r.at[path]; ok {
			return at
		}
		if path == "" {
			return place{line: 1, column: 1}
		}
		path = parent(path)
	}
}

func parent(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
