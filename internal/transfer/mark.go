package transfer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/jeton-auth/jeton/internal/store"
)

// Mark is a high-water mark: a state in which the database has been, kept outside of it.
// A database that is behind it went back in time.
type Mark struct {
	Incarnation string    `json:"incarnation"`
	Former      []string  `json:"former,omitempty"`
	Head        int64     `json:"head"`
	Alive       time.Time `json:"alive"` // its last sign of life, which only rises
}

// MarkOf is the mark of a state.
func MarkOf(i store.Issuer) Mark {
	return Mark{i.Incarnation, i.Former, i.Head, i.AliveAt.UTC()}
}

func (m Mark) issuer() store.Issuer {
	return store.Issuer{Incarnation: m.Incarnation, Former: m.Former, Head: m.Head, AliveAt: m.Alive}
}

// Beyond says in which way the mark is beyond a state; empty: it is not.
func (m Mark) Beyond(i store.Issuer) string {
	switch {
	case m.Incarnation != i.Incarnation && slices.Contains(i.Former, m.Incarnation):
	case m.Incarnation != i.Incarnation && slices.Contains(m.Former, i.Incarnation):
		return fmt.Sprintf("the high-water mark is of incarnation %s, which came after the database's %s", m.Incarnation, i.Incarnation)
	case m.Incarnation != i.Incarnation:
	case m.Head > i.Head:
		return fmt.Sprintf("the high-water mark stands at revocation %d, the database at %d", m.Head, i.Head)
	case m.Alive.After(i.AliveAt):
		return fmt.Sprintf("the high-water mark was in use at %s, the database last at %s", stamp(m.Alive), stamp(i.AliveAt))
	}
	return ""
}

// Foreign tells that the mark is of another database than the state's.
func (m Mark) Foreign(i store.Issuer) bool {
	return m.Incarnation != i.Incarnation && !slices.Contains(i.Former, m.Incarnation) && !slices.Contains(m.Former, i.Incarnation)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// ReadMark reads a mark from a file; nil: there is no file.
func ReadMark(path string) (*Mark, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("high-water mark: %w", err)
	}
	var m Mark
	if err := json.Unmarshal(text, &m); err != nil || m.Incarnation == "" {
		return nil, fmt.Errorf("high-water mark: %s holds none; if you are sure that the database is the newest, remove it", path)
	}
	return &m, nil
}

// Write puts the mark into a file, in the place of the one before.
func (m Mark) Write(path string) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("high-water mark: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("high-water mark: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}
