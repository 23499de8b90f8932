package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a server that was started here.
type process struct {
	cmd    *exec.Cmd
	began  time.Time
	log    string
	exited chan struct{}
}

// launch starts a program; what it prints goes to the file log.
func launch(ctx context.Context, log string, env []string, program string, args ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "JETON_") // it would override the configuration
	}), env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = patience
	p := &process{cmd: cmd, began: time.Now(), log: log, exited: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = cmd.Wait() // how it ended is read from the state
		close(p.exited)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// ready waits until a GET of path is answered 200 and tells how long after the start
// that was.
func (p *process) ready(addr, path string) (time.Duration, error) {
	request := get(addr, path, "")
	for time.Since(p.began) < patience {
		select {
		case <-p.exited:
			return 0, p.failure("ended before it was ready")
		case <-time.After(time.Millisecond):
		}
		c, err := dial(addr, time.Now().Add(time.Second))
		if err != nil {
			continue
		}
		_, err = c.ok(request)
		took := time.Since(p.began)
		_ = c.close()
		if err == nil {
			return took, nil
		}
	}
	return 0, p.failure("is not ready after %s", patience)
}

// stop ends the process in good order.
func (p *process) stop() error {
	if p == nil {
		return nil
	}
	err := p.cmd.Process.Signal(syscall.SIGTERM)
	if errors.Is(err, os.ErrProcessDone) {
		return p.failure("had ended already")
	}
	select {
	case <-p.exited:
	case <-time.After(patience):
		return errors.Join(p.failure("did not end on SIGTERM"), p.cmd.Process.Kill())
	}
	if code := p.cmd.ProcessState.ExitCode(); code > 0 {
		return p.failure("ended with code %d", code)
	}
	return err
}

// failure tells what happened with the end of what the process printed.
func (p *process) failure(format string, args ...any) error {
	text, _ := os.ReadFile(p.log)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	lines = lines[max(0, len(lines)-5):]
	return fmt.Errorf("%s %s; it printed:\n%s", p.cmd.Path, fmt.Sprintf(format, args...), strings.Join(lines, "\n"))
}

// freeAddress finds a loopback port where nothing listens.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// limits are the servers that the product is measured beside.
type limits map[string]*bound

type bound struct {
	*process
	addr string
}

// startLimits starts one process for each limit: bare, and with one and two
// signatures.
func startLimits(ctx context.Context, program, dir string) (limits, error) {
	all := limits{}
	for signs, name := range []string{bare, bareSign, bareSigns} {
		addr, err := freeAddress()
		if err != nil {
			return all, err
		}
		p, err := launch(ctx, dir+"/limit.log", nil, program, "-listen", addr, "-signs", strconv.Itoa(signs))
		if err != nil {
			return all, err
		}
		all[name] = &bound{p, addr}
		if _, err := p.ready(addr, "/"); err != nil {
			return all, err
		}
	}
	return all, nil
}

func (l limits) stop() {
	for _, b := range l {
		_ = b.process.stop() // they end by the signal, which is no news
	}
}
