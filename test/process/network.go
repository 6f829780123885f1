package process

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Network is what peers talk over. Peers are numbered from 0.
type Network interface {
	// Place says where peer i runs: its address for peers, options for its start, and settings.
	Place(i int) (uri string, o Options)
	// Lose has everything lost that one peer sends to another, without an error at either end, or no more.
	Lose(from, to int, lost bool)
	// Slow has what a peer sends come late. It returns false when this network cannot.
	Slow(from int, slow bool) bool
	// Started tells which process a peer is now.
	Started(i int, s *Server)
}

// late is how much later things come from a slow peer over proxies.
const late = 150 * time.Millisecond

// proxied is a network on 127.0.0.1: a proxy stands before each peer. What a peer sends on a connection is known by the process
// that opened it, and lost by not being passed on: like a packet, it comes when the link is healed and the connection still is.
type proxied struct {
	t     testing.TB
	run   sync.WaitGroup
	ports []int // of the peers

	listeners []net.Listener

	mu    sync.Mutex
	moved *sync.Cond
	pids  []int
	lost  map[[2]int]bool
	slow  map[int]bool
	conns map[net.Conn]bool
	ended bool
}

// Proxied makes a network of n peers on 127.0.0.1. It skips the test where the far end of a connection cannot be known.
func Proxied(t testing.TB, n int) Network {
	t.Helper()
	if _, err := os.Stat("/proc/net/tcp"); err != nil {
		t.Skip("links between processes can be cut on Linux only")
	}
	w := &proxied{t: t, ports: make([]int, n), pids: make([]int, n), listeners: make([]net.Listener, n),
		lost: map[[2]int]bool{}, slow: map[int]bool{}, conns: map[net.Conn]bool{}}
	w.moved = sync.NewCond(&w.mu)
	for i := range n {
		w.ports[i] = FreePort(t)
		var err error
		if w.listeners[i], err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", FreePort(t))); err != nil {
			t.Fatal(err)
		}
		w.run.Go(func() { w.accept(i) })
	}
	t.Cleanup(w.close)
	return w
}

func (w *proxied) close() {
	w.mu.Lock()
	w.ended = true
	for c := range w.conns {
		_ = c.Close()
	}
	w.moved.Broadcast()
	w.mu.Unlock()
	for _, l := range w.listeners {
		_ = l.Close()
	}
	w.run.Wait()
}

func (w *proxied) Place(i int) (string, Options) {
	return "http://" + w.listeners[i].Addr().String(), Options{Env: []string{"QDRANT__SERVICE__HOST=127.0.0.1", fmt.Sprintf("QDRANT__CLUSTER__P2P__PORT=%d", w.ports[i])}}
}

func (w *proxied) Lose(from, to int, lost bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost[[2]int{from, to}] = lost
	w.moved.Broadcast()
}

func (w *proxied) Slow(from int, slow bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slow[from] = slow
	return true
}

func (w *proxied) Started(i int, s *Server) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pids[i] = s.PID()
}

func (w *proxied) accept(to int) {
	for {
		in, err := w.listeners[to].Accept()
		if err != nil {
			return
		}
		w.run.Go(func() { w.connect(in, to) })
	}
}

// connect passes a connection on in both directions.
func (w *proxied) connect(in net.Conn, to int) {
	from := w.opener(in)
	if from < 0 || !w.keep(in) { // its process is no more, or it is nobody that we know
		_ = in.Close()
		return
	}
	w.passable(from, to)
	out, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", w.ports[to]))
	if err != nil || !w.keep(out) {
		w.end(in)
		return
	}
	w.run.Go(func() { w.pass(in, out, from, to) })
	w.pass(out, in, to, from)
}

func (w *proxied) keep(c net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.conns[c] = true
	}
	return !w.ended
}

func (w *proxied) end(c net.Conn) {
	_ = c.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, c)
}

// passable waits until a link is whole and returns how late what passes it is.
func (w *proxied) passable(from, to int) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.lost[[2]int{from, to}] && !w.ended {
		w.moved.Wait()
	}
	if w.slow[from] {
		return late
	}
	return 0
}

// pass copies one direction; its end ends both.
func (w *proxied) pass(a, b net.Conn, from, to int) {
	type piece struct {
		b  []byte
		at time.Time
	}
	pieces := make(chan piece, 256)
	w.run.Go(func() {
		defer close(pieces)
		for {
			buffer := make([]byte, 32<<10)
			n, err := a.Read(buffer)
			if n > 0 {
				pieces <- piece{buffer[:n], time.Now()}
			}
			if err != nil {
				return
			}
		}
	})
	for p := range pieces {
		if wait := w.passable(from, to) - time.Since(p.at); wait > 0 {
			time.Sleep(wait)
			w.passable(from, to)
		}
		if _, err := b.Write(p.b); err != nil {
			break
		}
	}
	w.passable(from, to) // the end is a message too
	w.end(a)
	w.end(b)
	for range pieces { // until the reader has seen the end
	}
}

// opener finds the peer whose process opened a connection: its socket has this port as the near end.
func (w *proxied) opener(c net.Conn) int {
	port, proxy := c.RemoteAddr().(*net.TCPAddr).Port, c.LocalAddr().(*net.TCPAddr).Port
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return -1
	}
	near, far := fmt.Appendf(nil, "0100007F:%04X", port), fmt.Appendf(nil, "0100007F:%04X", proxy)
	for line := range bytes.Lines(table) {
		f := bytes.Fields(line)
		if len(f) < 10 || !bytes.Equal(f[1], near) || !bytes.Equal(f[2], far) {
			continue
		}
		w.mu.Lock()
		pids := append([]int(nil), w.pids...)
		w.mu.Unlock()
		for i, pid := range pids {
			if pid != 0 && holds(pid, "socket:["+string(f[9])+"]") {
				return i
			}
		}
	}
	return -1
}

func holds(pid int, socket string) bool {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd/"
	list, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, f := range list {
		if to, err := os.Readlink(dir + f.Name()); err == nil && strings.EqualFold(to, socket) {
			return true
		}
	}
	return false
}
