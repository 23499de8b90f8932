//go:build faults

package faults

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// wire is the way from a node to its database: a proxy that can be cut, or swallow what
// is sent over it.
type wire struct {
	t      *testing.T
	to     string
	listen net.Listener

	mu    sync.Mutex
	state wireState
	back  chan struct{} // closed when the wire is whole again
	conns map[net.Conn]bool
	done  sync.WaitGroup
}

type wireState int

const (
	whole  wireState = iota
	cut              // connections are closed, new ones as well
	silent           // nothing comes through, and nobody is told
)

// newWire listens on host and leads to an address, until the test ends.
func newWire(t *testing.T, host, to string) *wire {
	t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{t: t, to: to, listen: ln, back: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(w.back)
	w.done.Go(w.accept)
	t.Cleanup(func() {
		ln.Close()
		w.set(cut)
		w.done.Wait()
	})
	return w
}

// through is a database's URL that leads over the wire.
func (w *wire) through(dsn string) string { return through(w.t, dsn, w.listen.Addr().String()) }

// through is a database's URL with other hosts.
func through(t *testing.T, dsn, hosts string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = hosts
	return u.String()
}

func (w *wire) accept() {
	for {
		conn, err := w.listen.Accept()
		if err != nil {
			return
		}
		w.done.Go(func() { w.carry(conn) })
	}
}

// keep notes a connection; false: the wire is cut.
func (w *wire) keep(c net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns[c] = true
	return w.state != cut
}

func (w *wire) drop(c net.Conn) {
	c.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, c)
}

// carry takes a connection to the database and both ways over the wire.
func (w *wire) carry(near net.Conn) {
	defer w.drop(near)
	if !w.keep(near) {
		return
	}
	<-w.open()
	far, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer w.drop(far)
	if !w.keep(far) {
		return
	}
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			defer near.Close()
			defer far.Close()
			w.copy(way[1], way[0])
		})
	}
	both.Wait()
}

func (w *wire) copy(to io.Writer, from io.Reader) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		<-w.open()
		if _, werr := to.Write(b[:n]); err != nil || werr != nil {
			return
		}
	}
}

// open is closed while the wire carries.
func (w *wire) open() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.back
}

// set changes the wire's state.
func (w *wire) set(s wireState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == silent {
		close(w.back)
	}
	w.state = s
	switch s {
	case silent:
		w.back = make(chan struct{})
	case cut:
		for c := range w.conns {
			c.Close()
		}
	}
}
