//go:build unix

package pgtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	prefix   = "jeton-pg-"
	lockName = "lock"
)

// takeLock holds a lock on a file until this process ends, however it does.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("pgtest: %w", err), f.Close())
	}
	return f, nil
}

// sweep removes the directories of processes that were killed. One that is younger than
// a minute may be about to be locked, or its server about to end.
func sweep(under string) {
	found, err := filepath.Glob(filepath.Join(under, prefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range found {
		info, err := os.Stat(dir)
		if err != nil || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		if f, err := takeLock(filepath.Join(dir, lockName)); err == nil {
			_ = os.RemoveAll(dir) // the next one tries again
			f.Close()
		}
	}
}
