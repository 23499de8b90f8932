package pgtest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// attributes have a program run as owner, and end at once when the thread ends that
// started it. A postmaster ends all its processes at SIGQUIT, and by itself where it
// does not hear of them.
func attributes(owner *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: owner, Pdeathsig: syscall.SIGQUIT, Setpgid: true}
}

// launch starts a program from a thread that lives as long as the program, or the
// process: the kernel looks at the thread.
func launch(cmd *exec.Cmd, ended chan<- struct{}) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended says its log
			close(ended)
		}
	}()
	return <-started
}

// bound runs a program to its end, in the same way.
func bound(cmd *exec.Cmd) ([]byte, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return cmd.CombinedOutput()
}

// killFamily kills a process and its children with SIGKILL, and returns when the
// children are gone. The process stands still meanwhile, so that it makes no new ones.
func killFamily(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	children, err := childrenOf(pid)
	for _, p := range append(children, pid) {
		if kerr := syscall.Kill(p, syscall.SIGKILL); kerr != nil && !errors.Is(kerr, syscall.ESRCH) {
			err = errors.Join(err, fmt.Errorf("pgtest: %w", kerr))
		}
	}
	// A new postmaster waits for none that still has the shared memory.
	return errors.Join(err, until("all that was killed is gone", func() (bool, error) {
		return !slices.ContainsFunc(children, alive), nil
	}))
}

func childrenOf(parent int) ([]int, error) {
	found, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var children []int
	for _, path := range found {
		pid, err := strconv.Atoi(filepath.Base(path))
		if err != nil {
			return nil, err
		}
		if _, its := look(pid); its == parent {
			children = append(children, pid)
		}
	}
	return children, nil
}

// alive tells a process that runs from one that is gone, or only waits to be buried.
func alive(pid int) bool {
	state, _ := look(pid)
	return state != "" && state != "Z" && state != "X"
}

// look reads a process's state and its parent; the state is empty when there is none.
func look(pid int) (state string, parent int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0
	}
	// The name in parentheses may hold anything; behind it stand state and parent.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 2 {
		return "", 0
	}
	parent, _ = strconv.Atoi(fields[1]) // the kernel wrote it
	return fields[0], parent
}
