package peer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/network"
	"github.com/sextantdb/sextant/internal/topology"
)

// witness is a Handler that echoes calls and notes everything else.
type witness struct {
	mu       sync.Mutex
	messages [][]byte
	events   []bool
	life     uint64
}

func (w *witness) Call(ctx context.Context, from topology.PeerID, method string, body []byte) ([]byte, error) {
	switch method {
	case "fail":
		return nil, sextant.Errorf(sextant.NotFound, "no %s here", body)
	case "wait":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return append([]byte(method+":"), body...), nil
}

func (w *witness) Receive(_ topology.PeerID, _ network.Lane, m []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.messages = append(w.messages, bytes.Clone(m))
}

func (w *witness) Connected(_ topology.PeerID, life uint64, lane network.Lane, up bool) {
	if lane != network.Replication {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events, w.life = append(w.events, up), life
}

func (w *witness) received() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.messages)
}

// isUp: the own lane is open, to a process of that life.
func (w *witness) isUp(life uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.events) > 0 && w.events[len(w.events)-1] && w.life == life
}

func start(t *testing.T, id topology.PeerID, life uint64, cluster, at string) (*Network, *witness, string) {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	n, w := New(Options{Self: network.Identity{Peer: id, Life: life}}), &witness{}
	n.SetCluster(cluster)
	n.Serve(l, w)
	t.Cleanup(func() { _ = n.Close() })
	return n, w, "http://" + l.Addr().String() + "/"
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

const anywhere = "127.0.0.1:0"

func TestCalls(t *testing.T) {
	a, _, _ := start(t, 1, 10, "c", anywhere)
	_, _, uri := start(t, 2, 20, "c", anywhere)
	a.SetPeers(map[topology.PeerID]string{2: uri})
	got, err := a.Call(t.Context(), 2, "echo", []byte("x"))
	if err != nil || string(got) != "echo:x" {
		t.Fatalf("%q, %v", got, err)
	}
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	if got, err = a.Call(t.Context(), 2, "echo", large); err != nil || len(got) != len(large)+5 {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if _, err = a.Call(t.Context(), 2, "fail", []byte("thing")); sextant.KindOf(err) != sextant.NotFound || !strings.Contains(err.Error(), "no thing here") {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err = a.Call(short, 2, "wait", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}

func TestNobodyThere(t *testing.T) {
	a, _, _ := start(t, 1, 10, "c", anywhere)
	b, _, uri := start(t, 2, 20, "c", anywhere)
	_ = b.Close()
	a.SetPeers(map[topology.PeerID]string{2: uri})
	began := time.Now()
	for _, to := range []topology.PeerID{2, 3} {
		if _, err := a.Call(t.Context(), to, "echo", nil); !errors.Is(err, network.ErrUnreachable) {
			t.Fatalf("peer %d: %v", to, err)
		}
	}
	if took := time.Since(began); took > time.Second {
		t.Fatalf("a refused connection was noticed after %s", took)
	}
	eventually(t, "the failure is shown", func() bool { return a.Failures()[uri].Count > 0 })
}

func TestStrangers(t *testing.T) {
	a, _, _ := start(t, 1, 10, "c", anywhere)
	_, _, other := start(t, 2, 20, "d", anywhere)
	_, _, three := start(t, 3, 30, "c", anywhere)
	_, _, twin := start(t, 1, 11, "c", anywhere)
	a.SetPeers(map[topology.PeerID]string{2: other, 4: three})
	for to, want := range map[topology.PeerID]string{2: "of cluster d", 4: "this is peer 3, not peer 4"} {
		if _, err := a.Call(t.Context(), to, "echo", nil); !errors.Is(err, network.ErrUnreachable) || !strings.Contains(err.Error(), want) {
			t.Errorf("peer %d: %v", to, err)
		}
	}
	if _, err := a.CallAt(t.Context(), twin, "echo", nil); !errors.Is(err, network.ErrUnreachable) || !strings.Contains(err.Error(), "two processes have the peer id 1") {
		t.Error(err)
	}
	eventually(t, "lanes are refused by name", func() bool {
		return strings.Contains(a.Failures()[other].Latest, "of cluster d") && strings.Contains(a.Failures()[three].Latest, "not peer 4")
	})
}

func TestLaneOrder(t *testing.T) {
	a, wa, _ := start(t, 1, 10, "c", anywhere)
	_, wb, uri := start(t, 2, 20, "c", anywhere)
	a.SetPeers(map[topology.PeerID]string{2: uri})
	eventually(t, "up", func() bool { return wa.isUp(20) })
	const count = 5000
	for i := range count {
		m := make([]byte, 8+i%300)
		binary.BigEndian.PutUint64(m, uint64(i))
		a.Send(2, network.Replication, m)
	}
	eventually(t, "everything arrives", func() bool { return wb.received() >= count })
	for i, m := range wb.messages {
		if binary.BigEndian.Uint64(m) != uint64(i) || len(m) != 8+i%300 {
			t.Fatalf("message %d is number %d of %d bytes", i, binary.BigEndian.Uint64(m), len(m))
		}
	}
}

// A peer that comes back, there or elsewhere, is a new connection; ups and downs alternate.
func TestComesBack(t *testing.T) {
	a, wa, _ := start(t, 1, 10, "c", anywhere)
	b, _, uri := start(t, 2, 20, "c", anywhere)
	a.SetPeers(map[topology.PeerID]string{2: uri})
	eventually(t, "up", func() bool { return wa.isUp(20) })
	_ = b.Close()
	eventually(t, "down", func() bool { return !wa.isUp(20) })
	_, _, _ = start(t, 2, 21, "c", strings.Trim(strings.TrimPrefix(uri, "http:"), "/"))
	eventually(t, "up with the new life", func() bool { return wa.isUp(21) })
	_, _, elsewhere := start(t, 2, 22, "c", anywhere)
	a.SetPeers(map[topology.PeerID]string{2: elsewhere}) // the old one still answers
	eventually(t, "up at the new address", func() bool { return wa.isUp(22) })
	wa.mu.Lock()
	defer wa.mu.Unlock()
	for i, up := range wa.events {
		if up != (i%2 == 0) {
			t.Fatalf("events: %v", wa.events)
		}
	}
}

// More than a lane holds gives the connection up, instead of waiting or of leaving something out.
func TestOverflow(t *testing.T) {
	a, wa, _ := start(t, 1, 10, "c", anywhere)
	_, _, uri := start(t, 2, 20, "c", anywhere)
	a.SetPeers(map[topology.PeerID]string{2: uri})
	eventually(t, "up", func() bool { return wa.isUp(20) })
	a.Send(2, network.Replication, make([]byte, laneBytes+1))
	eventually(t, "renewed", func() bool {
		wa.mu.Lock()
		defer wa.mu.Unlock()
		return len(wa.events) >= 3 && wa.events[len(wa.events)-1]
	})
}

// A peer that calls has the connections to it tried at once, whatever they are doing at that moment.
func TestHurryWhileConnecting(t *testing.T) {
	a, wa, _ := start(t, 1, 11, "c", "127.0.0.1:0")
	b, _, uri := start(t, 2, 22, "c", "127.0.0.1:0")
	at := strings.TrimSuffix(strings.TrimPrefix(uri, "http://"), "/")
	a.SetPeers(map[topology.PeerID]string{2: uri})
	end := make(chan struct{})
	var run sync.WaitGroup
	for range 4 {
		run.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
					a.poke(2)
					_, _ = a.Call(t.Context(), 2, "echo", nil)
				}
			}
		})
	}
	for life := uint64(23); life < 28; life++ {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		b, _, _ = start(t, 2, life, "c", at)
		for range 20 { // new connections
			a.SetPeers(nil)
			a.SetPeers(map[topology.PeerID]string{2: uri})
			_, _ = a.Call(t.Context(), 2, "echo", nil)
		}
		eventually(t, "the peer is reached", func() bool { return wa.isUp(life) })
	}
	close(end)
	run.Wait()
}
