package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sextantdb/sextant/test/history"
	"github.com/sextantdb/sextant/test/process"
)

// load is several clients that write points of their own through some peers, and read.
type load struct {
	c    *process.Cluster
	name string
	end  chan struct{}
	run  sync.WaitGroup
	book history.Book

	mu      sync.Mutex
	clients []*client
	reads   []error
}

// client writes through one peer.
type client struct {
	peer    int
	acked   int
	stall   time.Duration // the longest time between two acknowledgements
	last    time.Time     // of an acknowledgement
	refused []refusal
}

// refusal is a write that was answered with an error.
type refusal struct {
	status int
	text   string
	took   time.Duration
}

// start begins clients, one that writes and one that reads through each peer that is named.
func start(c *process.Cluster, name string, through []int, timeout time.Duration) *load {
	l := &load{c: c, name: name, end: make(chan struct{})}
	for k, i := range through {
		w := &client{peer: i, last: time.Now()}
		l.clients = append(l.clients, w)
		l.run.Go(func() { l.write(w, k, timeout) })
		l.run.Go(func() { l.read(i) })
	}
	return l
}

func (l *load) ended() bool {
	select {
	case <-l.end:
		return true
	case <-time.After(time.Millisecond):
		return false
	}
}

func (l *load) write(w *client, k int, timeout time.Duration) {
	path := fmt.Sprintf("/collections/%s/points?wait=true&timeout=%d", l.name, int(timeout.Seconds()))
	for n := 1; !l.ended(); n++ {
		id := uint64(k*1000 + n%50)
		l.book.Write(id, int64(n))
		began := time.Now()
		point := map[string]any{"id": id, "vector": []int{n, k}, "payload": map[string]any{"n": n}}
		status, err := l.c.Call(w.peer, "PUT", path, map[string]any{"points": []any{point}}, nil)
		l.mu.Lock()
		if err == nil {
			l.book.End(id, int64(n), history.Acknowledged)
			w.stall, w.last = max(w.stall, time.Since(w.last)), time.Now()
			w.acked++
		} else {
			l.book.End(id, int64(n), history.Unknown)
			w.refused = append(w.refused, refusal{status, err.Error(), time.Since(began)})
		}
		l.mu.Unlock()
	}
}

func (l *load) read(peer int) {
	for !l.ended() {
		if _, err := l.c.Call(peer, "POST", "/collections/"+l.name+"/points/count", map[string]any{"exact": true}, nil); err != nil {
			l.mu.Lock()
			l.reads = append(l.reads, err)
			l.mu.Unlock()
		}
	}
}

// progress waits for more acknowledgements of each client that writes through one of some peers.
func (l *load) progress(t *testing.T, more int, peers ...int) {
	t.Helper()
	l.mu.Lock()
	goal := map[*client]int{}
	for _, w := range l.clients {
		for _, p := range peers {
			if w.peer == p {
				goal[w] = w.acked + more
			}
		}
	}
	l.mu.Unlock()
	process.Until(t, "writes go on", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		for w, n := range goal {
			if w.acked < n {
				return false
			}
		}
		return true
	})
}

// refusedAt waits until a write through a peer was refused that began from now on, and returns how.
func (l *load) refusedAt(t *testing.T, peer int) (r refusal) {
	t.Helper()
	now := time.Now()
	process.Until(t, "a write is refused", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, w := range l.clients {
			if w.peer == peer && len(w.refused) > 0 {
				if r = w.refused[len(w.refused)-1]; time.Since(now) > r.took {
					return true
				}
			}
		}
		return false
	})
	return r
}

// finish ends the clients and checks what they were told against what each of some peers answers. It returns the longest stall
// of a client of these peers.
func (l *load) finish(t *testing.T, alive []int) (stall time.Duration) {
	t.Helper()
	close(l.end)
	l.run.Wait()
	l.c.Alive(t)
	for _, w := range l.clients {
		for _, i := range alive {
			if w.peer == i {
				stall = max(stall, w.stall, time.Since(w.last))
			}
		}
	}
	if len(l.reads) > 0 {
		t.Errorf("%d reads failed, first: %v", len(l.reads), l.reads[0])
	}
	first := same(t, l.c, l.name, alive)
	verdict := l.book.Judge(values(t, first))
	for _, wrong := range verdict.Wrong() {
		t.Error(wrong)
	}
	for _, late := range verdict.Late {
		t.Log("a write came after the end of its request:", late)
	}
	return stall
}

// same checks that peers answer the same content and returns it. It waits: what nobody was told of may take a moment to be
// everywhere.
func same(t *testing.T, c *process.Cluster, name string, peers []int) (first []byte) {
	t.Helper()
	process.Until(t, "all peers answer the same content", func() bool {
		first = nil
		for _, i := range peers {
			got, err := c.Scroll(i, name)
			if err != nil || first != nil && !bytes.Equal(first, got) {
				return false
			}
			first = got
		}
		return true
	})
	return first
}

func values(t *testing.T, scrolled []byte) map[uint64]history.Value {
	t.Helper()
	var content struct {
		Points []struct {
			ID      uint64
			Vector  []float64
			Payload struct{ N int64 }
		}
	}
	if err := json.Unmarshal(scrolled, &content); err != nil {
		t.Fatal(err)
	}
	found := map[uint64]history.Value{}
	for _, p := range content.Points {
		if len(p.Vector) != 2 || int64(p.Vector[0]) != p.Payload.N {
			t.Errorf("point %d has vector %v and payload %d, which were never written together", p.ID, p.Vector, p.Payload.N)
		}
		found[p.ID] = p.Payload.N
	}
	return found
}
