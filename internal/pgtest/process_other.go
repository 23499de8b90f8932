//go:build unix && !linux

package pgtest

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// attributes have a program run as owner. Only Linux ends it with the one who started
// it: elsewhere a test that is killed leaves its server behind.
func attributes(owner *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: owner, Setpgid: true}
}

func launch(cmd *exec.Cmd, ended chan<- struct{}) error {
	err := cmd.Start()
	if err == nil {
		go func() {
			_ = cmd.Wait() // how it ended says its log
			close(ended)
		}()
	}
	return err
}

func bound(cmd *exec.Cmd) ([]byte, error) { return cmd.CombinedOutput() }

func killFamily(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	out, _ := exec.Command("pgrep", "-P", strconv.Itoa(pid)).Output() // it fails where there is no child
	err := syscall.Kill(pid, syscall.SIGKILL)
	for _, line := range strings.Fields(string(out)) {
		child, cerr := strconv.Atoi(line)
		if cerr == nil {
			cerr = syscall.Kill(child, syscall.SIGKILL)
		}
		if !errors.Is(cerr, syscall.ESRCH) {
			err = errors.Join(err, cerr)
		}
	}
	return err
}
