package revoke

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// Line is a line of a journal: a revocation that was committed, a grant that ended
// without one since none of its tokens was alive, or that the journal was opened.
type Line struct {
	Incarnation string `json:"inc"`
	// N is the number of the revocation; of Opened the head then; of an end without a
	// revocation 0.
	N     int64     `json:"n"`
	Kind  feed.Kind `json:"k"`
	Value string    `json:"v,omitempty"` // plain: what is replayed must be found
	At    int64     `json:"at"`          // Unix milliseconds, by the database's clock
	Until int64     `json:"u,omitempty"` // Unix milliseconds
	Cause string    `json:"cause,omitempty"`
}

// Opened is the kind of the line that a journal is opened with.
const Opened feed.Kind = "opened"

// Journal is an append-only file outside the database, with all that is needed to
// replay what was revoked since a backup. A file that is moved away is followed by a
// new one. It is safe for concurrent use.
type Journal struct {
	path string
	log  *slog.Logger

	mu     sync.Mutex
	lines  []byte // not written yet
	added  uint64
	synced atomic.Uint64

	writing sync.Mutex
	file    *os.File
}

// OpenJournal opens the journal of a log. Until Close all that the log is told goes
// there; Settle makes it durable.
func (l *Log) OpenJournal(path string) (*Journal, error) {
	j := &Journal{path: path, log: l.log}
	if err := j.open(); err != nil {
		return nil, fmt.Errorf("revocation journal: %w", err)
	}
	at, _ := l.Position()
	j.add(Line{Incarnation: at.Incarnation, N: at.N, Kind: Opened, At: l.st.Now().UnixMilli()})
	if err := j.settle(); err != nil {
		return nil, errors.Join(fmt.Errorf("revocation journal: %w", err), j.file.Close())
	}
	l.journal.Store(j)
	return j, nil
}

// open opens the file, after a line that was cut off on a line of its own.
func (j *Journal) open() error {
	f, err := os.OpenFile(j.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	last := []byte{'\n'}
	info, err := f.Stat()
	if err == nil && info.Size() > 0 {
		_, err = f.ReadAt(last, info.Size()-1)
	}
	if err == nil && last[0] != '\n' {
		_, err = f.Write([]byte{'\n'})
	}
	dir, derr := os.Open(filepath.Dir(j.path))
	if derr == nil {
		derr = errors.Join(dir.Sync(), dir.Close())
	}
	if err = errors.Join(err, derr); err != nil {
		return errors.Join(err, f.Close())
	}
	j.file = f
	return nil
}

// add has lines written by the next Settle.
func (j *Journal) add(lines ...Line) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, line := range lines {
		text, err := json.Marshal(line)
		if err != nil {
			j.log.Error("a line of the revocation journal can't be written", slog.Any("error", err))
			continue
		}
		j.lines = append(append(j.lines, text...), '\n')
	}
	j.added++
}

// Settle returns when all that was added before is on the disk. Whoever comes together
// shares one write. Where it fails the revocations stand all the same: the next Settle
// tries again, and the log tells.
func (j *Journal) Settle() {
	if err := j.settle(); err != nil {
		j.log.Error("the revocation journal can't be written: what was revoked is revoked, but a restore with --replay would not know of it", slog.Any("error", err))
	}
}

func (j *Journal) settle() error {
	j.mu.Lock()
	want := j.added
	j.mu.Unlock()
	if j.synced.Load() >= want {
		return nil
	}
	j.writing.Lock()
	defer j.writing.Unlock()
	if j.synced.Load() >= want {
		return nil
	}
	j.mu.Lock()
	lines, upTo := j.lines, j.added
	j.lines = nil
	j.mu.Unlock()
	err := j.write(lines)
	if err != nil {
		j.mu.Lock()
		j.lines = append(lines, j.lines...)
		j.mu.Unlock()
		return err
	}
	j.synced.Store(upTo)
	return nil
}

// write appends to the file, or to a new one where it was moved away.
func (j *Journal) write(lines []byte) error {
	there, err := os.Stat(j.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	mine, merr := j.file.Stat()
	if merr != nil {
		return merr
	}
	if err != nil || !os.SameFile(there, mine) {
		old := j.file
		if err := j.open(); err != nil {
			return err
		}
		if err := old.Close(); err != nil {
			return err
		}
	}
	if _, err := j.file.Write(lines); err != nil {
		return err
	}
	return j.file.Sync()
}

// Close writes what is left and closes the file.
func (j *Journal) Close() error {
	err := j.settle()
	j.writing.Lock()
	defer j.writing.Unlock()
	return errors.Join(err, j.file.Close())
}

// Ended notes in the journal, if there is one, that grants ended of which no revocation
// tells, because none of their tokens is alive.
func (l *Log) Ended(tx *store.Tx, cause string, handles ...string) {
	j := l.journal.Load()
	if j == nil || len(handles) == 0 {
		return
	}
	at, _ := l.Position()
	lines := make([]Line, len(handles))
	for i, h := range handles {
		lines[i] = Line{Incarnation: at.Incarnation, Kind: feed.Grant, Value: h, At: tx.Now().UnixMilli(), Cause: cause}
	}
	tx.AfterCommit(func() { j.add(lines...) })
}

// note puts committed entries into the journal, if there is one.
func (l *Log) note(entries []Entry, rows []store.Revocation) {
	j := l.journal.Load()
	if j == nil {
		return
	}
	at, _ := l.Position()
	lines := make([]Line, len(rows))
	for i, r := range rows {
		lines[i] = Line{at.Incarnation, r.N, r.Kind, entries[i].Value, r.At.UnixMilli(), r.Until.UnixMilli(), r.Cause}
	}
	j.add(lines...)
}

// ErrJournal says that a file is no journal, or was changed.
var ErrJournal = errors.New("revocation journal: a line is not one of a journal")

// maxLine bounds a line: a reason and a name are shorter.
const maxLine = 64 << 10

// ReadJournal calls f with each line. A line that was cut off is left out where the
// journal ends or was opened anew after it: its revocation was never acknowledged.
func ReadJournal(r io.Reader, f func(Line) error) error {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 4096), maxLine)
	cut := 0
	for n := 1; in.Scan(); n++ {
		text := bytes.TrimSpace(in.Bytes())
		if len(text) == 0 {
			continue
		}
		var line Line
		err := json.Unmarshal(text, &line)
		if err == nil && (line.Incarnation == "" || line.Kind == "") {
			err = ErrJournal
		}
		switch {
		case cut > 0 && (err != nil || line.Kind != Opened):
			return fmt.Errorf("%w (line %d)", ErrJournal, cut)
		case err != nil:
			cut = n
			continue
		}
		cut = 0
		if err := f(line); err != nil {
			return err
		}
	}
	return in.Err()
}
