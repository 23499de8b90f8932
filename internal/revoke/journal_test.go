package revoke_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jeton-auth/jeton/internal/revoke"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth/feed"
)

func readLines(t testing.TB, path string) (lines []revoke.Line) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = revoke.ReadJournal(bytes.NewReader(b), func(l revoke.Line) error {
			lines = append(lines, l)
			return nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// What is committed is in the journal once it has settled, and nothing else; a file that
// was moved away is followed by a new one.
func TestJournal(t *testing.T) {
	t.Parallel()
	st, _ := open(t)
	l := load(t, st)
	path := filepath.Join(t.TempDir(), "journal")
	j, err := l.OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	inside := func(body func(*store.Tx) error) error {
		err := st.Write(t.Context(), body)
		j.Settle()
		return err
	}
	add := func(entries ...revoke.Entry) {
		t.Helper()
		if err := inside(func(tx *store.Tx) error { return l.Add(tx, "why", entries...) }); err != nil {
			t.Fatal(err)
		}
	}
	add(revoke.Entry{Kind: feed.Token, Value: "g.1"}, revoke.Entry{Kind: feed.Subject, Value: "u_1"})
	failed := errors.New("no")
	err = inside(func(tx *store.Tx) error {
		l.Ended(tx, "why", "lost")
		return errors.Join(l.Add(tx, "why", revoke.Entry{Kind: feed.Grant, Value: "lost"}), failed)
	})
	if !errors.Is(err, failed) {
		t.Fatal(err)
	}
	if err := inside(func(tx *store.Tx) error { l.Ended(tx, "late", "quiet"); return nil }); err != nil {
		t.Fatal(err)
	}
	got := readLines(t, path)
	if len(got) != 4 || got[0].Kind != revoke.Opened || got[1].N != 1 || got[1].Value != "g.1" || got[2].N != 2 || got[2].Value != "u_1" ||
		got[3].N != 0 || got[3].Value != "quiet" || got[3].Cause != "late" {
		t.Errorf("the journal has %+v", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the journal has the mode %v: %v", info.Mode(), err)
	}

	old := path + ".1"
	if err := os.Rename(path, old); err != nil {
		t.Fatal(err)
	}
	add(revoke.Entry{Kind: feed.All, Value: ""})
	if got := readLines(t, path); len(got) != 1 || got[0].N != 3 || len(readLines(t, old)) != 4 {
		t.Errorf("after it was moved away the journal has %+v", got)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	// A line that a crash cut off, and the next start.
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(`{"inc":"abc","n":4,"k":"gr`)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if j, err = l.OpenJournal(path); err != nil {
		t.Fatal(err)
	}
	add(revoke.Entry{Kind: feed.Key, Value: "k"})
	if got := readLines(t, path); len(got) != 3 || got[1].Kind != revoke.Opened || got[1].N != 3 || got[2].N != 4 {
		t.Errorf("after a line that was cut off the journal has %+v", got)
	}

	// Many at once share the disk, and none is lost.
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { add(revoke.Entry{Kind: feed.Token, Value: "t"}) })
	}
	wg.Wait()
	if got := readLines(t, path); len(got) != 53 {
		t.Errorf("of 50 more the journal has %d", len(got)-3)
	}

	// What can't be written is written later.
	if err := os.Rename(path, old); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	add(revoke.Entry{Kind: feed.Token, Value: "while it can't"})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	add(revoke.Entry{Kind: feed.Token, Value: "when it can"})
	if got := readLines(t, path); len(got) != 2 || got[0].Value != "while it can't" {
		t.Errorf("what could not be written at first: %+v", got)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestReadJournalRefuses(t *testing.T) {
	t.Parallel()
	const line = `{"inc":"a","n":1,"k":"grant","v":"x","at":1}` + "\n"
	for _, text := range []string{line + "x\n" + line, "{}\n" + line, strings.Repeat("x", 1<<17)} {
		if err := revoke.ReadJournal(strings.NewReader(text), func(revoke.Line) error { return nil }); err == nil {
			t.Errorf("%.80q was read", text)
		}
	}
}
