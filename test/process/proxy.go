package process

import (
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
)

// Proxy stands before a port, so that a test can cut the link: give peers its URI instead of their own.
type Proxy struct {
	URI string

	listener net.Listener
	target   string
	run      sync.WaitGroup

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
}

// NewProxy passes connections on to a port of 127.0.0.1 until the test ends.
func NewProxy(t testing.TB, port int) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{URI: fmt.Sprintf("http://%s", l.Addr()), listener: l, target: fmt.Sprintf("127.0.0.1:%d", port), conns: map[net.Conn]bool{}}
	p.run.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.Cut(true)
		p.run.Wait()
	})
	return p
}

// Cut breaks all connections and takes no new ones; Cut(false) heals.
func (p *Proxy) Cut(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	if cut {
		for c := range p.conns {
			_ = c.Close()
		}
	}
}

func (p *Proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		p.mu.Lock()
		if p.cut {
			_, _ = in.Close(), out.Close()
		} else {
			p.conns[in], p.conns[out] = true, true
			p.run.Go(func() { p.pass(in, out) })
			p.run.Go(func() { p.pass(out, in) })
		}
		p.mu.Unlock()
	}
}

// pass copies one direction; its end ends both.
func (p *Proxy) pass(from, to net.Conn) {
	_, _ = io.Copy(to, from)
	_, _ = from.Close(), to.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, from)
}

// Pause stops the process where it is (SIGSTOP): its connections stay open and say nothing.
func (s *Server) Pause(t testing.TB) { s.signal(t, syscall.SIGSTOP) }

// Resume lets a stopped process go on.
func (s *Server) Resume(t testing.TB) { s.signal(t, syscall.SIGCONT) }

func (s *Server) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}
