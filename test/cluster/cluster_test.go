// Package cluster holds black-box tests of clusters: real processes on 127.0.0.1, which are killed, stopped and started again
// under the writes of several clients.
package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sextantdb/sextant/test/process"
)

// peers is one cluster.
type peers struct {
	list []*process.Server
	p2p  []int
}

func uri(port int) string { return fmt.Sprintf("http://127.0.0.1:%d", port) }

// form starts n peers that find each other through the first one.
func form(t *testing.T, n int, env ...string) *peers {
	t.Helper()
	c := &peers{list: make([]*process.Server, n), p2p: make([]int, n)}
	for i := range n {
		c.p2p[i] = process.FreePort(t)
		c.start(t, i, process.Options{Env: env})
		if i == 0 {
			until(t, "the first peer leads", func() bool { return c.leader(0) != 0 })
		}
	}
	first := c.leader(0)
	for i := range n {
		until(t, "all peers know each other and the first leads", func() bool { return c.leader(i) == first && len(c.known(i)) == n })
	}
	return c
}

func (c *peers) start(t *testing.T, i int, o process.Options) {
	t.Helper()
	o.Env = append([]string{"QDRANT__CLUSTER__ENABLED=true", "QDRANT__LOG_LEVEL=WARN", fmt.Sprintf("QDRANT__CLUSTER__P2P__PORT=%d", c.p2p[i])}, o.Env...)
	o.Args = []string{"--uri", uri(c.p2p[i])}
	if i > 0 {
		o.Args = append(o.Args, "--bootstrap", uri(c.p2p[0]))
	}
	c.list[i] = process.Spawn(t, o)
}

// restart starts a peer that ended, over the same directory.
func (c *peers) restart(t *testing.T, i int, moved bool) {
	t.Helper()
	o := process.Options{Dir: c.list[i].Dir, Port: c.list[i].Port}
	if moved {
		c.p2p[i], o.Port = process.FreePort(t), 0
	}
	c.start(t, i, o)
}

const patience = 30 * time.Second

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(patience); !ok(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

var client = &http.Client{Timeout: 15 * time.Second}

func (c *peers) ask(i int, method, path string, body, result any) (status int, err error) {
	var b []byte
	if body != nil {
		if b, err = json.Marshal(body); err != nil {
			return 0, err
		}
	}
	req, err := http.NewRequest(method, c.list[i].URL+path, bytes.NewReader(b))
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if b, err = io.ReadAll(resp.Body); err != nil {
		return resp.StatusCode, err
	}
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, fmt.Errorf("%s %s on peer %d: %d %s", method, path, i, resp.StatusCode, b)
	}
	var envelope struct{ Result json.RawMessage }
	if err := json.Unmarshal(b, &envelope); err != nil {
		return resp.StatusCode, err
	}
	if result != nil {
		return resp.StatusCode, json.Unmarshal(envelope.Result, result)
	}
	return resp.StatusCode, nil
}

func (c *peers) must(t *testing.T, i int, method, path string, body, result any) {
	t.Helper()
	if _, err := c.ask(i, method, path, body, result); err != nil {
		t.Fatal(err)
	}
}

type clusterView struct {
	Peer  uint64 `json:"peer_id"`
	Peers map[string]struct{ URI string }
	Raft  struct{ Leader *uint64 } `json:"raft_info"`
}

func (c *peers) view(i int) (v clusterView) {
	_, _ = c.ask(i, "GET", "/cluster", nil, &v) // the zero value when it does not answer
	return v
}

func (c *peers) leader(i int) uint64 {
	if l := c.view(i).Raft.Leader; l != nil {
		return *l
	}
	return 0
}

func (c *peers) known(i int) map[string]struct{ URI string } { return c.view(i).Peers }

type replicas struct {
	Collections map[string]struct {
		Shards []struct {
			ID       uint32
			Replicas []struct {
				Peer    uint64 `json:"peer_id"`
				State   string
				Primary bool
				InSync  bool `json:"in_sync"`
			}
		}
	}
}

// primary returns the peer that orders the writes of the first shard, as peer i sees it.
func (c *peers) primary(t *testing.T, i int, collection string) int {
	t.Helper()
	var v replicas
	c.must(t, i, "GET", "/cluster/telemetry?timeout=2", nil, &v)
	for _, r := range v.Collections[collection].Shards[0].Replicas {
		for k := range c.list {
			if r.Primary && c.view(k).Peer == r.Peer {
				return k
			}
		}
	}
	t.Fatal("no primary")
	return -1
}

func (c *peers) create(t *testing.T, name string, shards, factor int) {
	t.Helper()
	c.must(t, 0, "PUT", "/collections/"+name, map[string]any{"vectors": map[string]any{"size": 2, "distance": "Dot"},
		"shard_number": shards, "replication_factor": factor}, nil)
	for i := range c.list {
		until(t, "all replicas are active", func() bool { return c.states(i, name, "Active") == shards*factor })
	}
}

// states counts the replicas in a state as a peer sees them.
func (c *peers) states(i int, name, state string) (n int) {
	var v struct {
		Local  []struct{ State string } `json:"local_shards"`
		Remote []struct{ State string } `json:"remote_shards"`
	}
	_, _ = c.ask(i, "GET", "/collections/"+name+"/cluster", nil, &v) // none when it does not answer
	for _, s := range append(v.Local, v.Remote...) {
		if s.State == state {
			n++
		}
	}
	return n
}

// load is several clients that write points of their own through some peers, and read.
type load struct {
	c     *peers
	name  string
	end   chan struct{}
	run   sync.WaitGroup
	mu    sync.Mutex
	acked map[uint64]int // the value that was acknowledged last, by point
	tried map[uint64]int
	stall time.Duration // the longest time between two acknowledgements of a client
	reads []error
	count int
}

func (c *peers) load(name string, through []int) *load {
	l := &load{c: c, name: name, end: make(chan struct{}), acked: map[uint64]int{}, tried: map[uint64]int{}}
	for k, i := range through {
		l.run.Go(func() { l.write(k, i) })
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

func (l *load) write(client, peer int) {
	last := time.Now()
	for n := 1; !l.ended(); n++ {
		id := uint64(client*1000 + n%50)
		l.mu.Lock()
		l.tried[id] = n
		l.mu.Unlock()
		point := map[string]any{"id": id, "vector": []int{n, client}, "payload": map[string]any{"n": n}}
		_, err := l.c.ask(peer, "PUT", "/collections/"+l.name+"/points?wait=true", map[string]any{"points": []any{point}}, nil)
		l.mu.Lock()
		if err == nil {
			l.acked[id] = n
			l.stall = max(l.stall, time.Since(last))
			last = time.Now()
			l.count++
		}
		l.mu.Unlock()
	}
}

func (l *load) read(peer int) {
	for !l.ended() {
		if _, err := l.c.ask(peer, "POST", "/collections/"+l.name+"/points/count", map[string]any{"exact": true}, nil); err != nil {
			l.mu.Lock()
			l.reads = append(l.reads, err)
			l.mu.Unlock()
		}
	}
}

// progress waits for more acknowledgements of each kind of client.
func (l *load) progress(t *testing.T, more int) {
	t.Helper()
	now := func() int { l.mu.Lock(); defer l.mu.Unlock(); return l.count }
	goal := now() + more
	until(t, "writes go on", func() bool { return now() >= goal })
}

// finish ends the clients and checks what they were told: against a peer, and peers against each other.
func (l *load) finish(t *testing.T, stall time.Duration, alive []int) {
	t.Helper()
	close(l.end)
	l.run.Wait()
	if l.stall > stall {
		t.Errorf("a client waited %v for an acknowledgement, more than %v", l.stall, stall)
	}
	t.Logf("%d writes acknowledged, longest stall %v", l.count, l.stall)
	if len(l.reads) > 0 {
		t.Errorf("%d reads failed, first: %v", len(l.reads), l.reads[0])
	}
	var first []byte
	for _, i := range alive {
		got := l.c.scroll(t, i, l.name)
		if first == nil {
			first = got
		}
		if !bytes.Equal(first, got) {
			t.Errorf("peer %d answers another content:\n%.2000s\n%.2000s", i, first, got)
		}
	}
	var content struct {
		Points []struct {
			ID      uint64
			Payload struct{ N int }
		}
	}
	if err := json.Unmarshal(first, &content); err != nil {
		t.Fatal(err)
	}
	found := map[uint64]int{}
	for _, p := range content.Points {
		found[p.ID] = p.Payload.N
	}
	for id, n := range l.acked {
		if got := found[id]; got != n && got != l.tried[id] {
			t.Errorf("point %d is %d, %d was acknowledged, %d was tried last", id, got, n, l.tried[id])
		}
	}
}

func (c *peers) scroll(t *testing.T, i int, name string) []byte {
	t.Helper()
	var all json.RawMessage
	c.must(t, i, "POST", "/collections/"+name+"/points/scroll", map[string]any{"limit": 999999999, "with_vectors": true, "with_payload": true}, &all)
	return all
}

// others returns all peers but one.
func (c *peers) others(not int) (list []int) {
	for i := range c.list {
		if i != not {
			list = append(list, i)
		}
	}
	return list
}

func TestLosingAPeer(t *testing.T) {
	all := t // processes live as long as it
	c := form(t, 3)
	leader := func(t *testing.T) int {
		l := c.leader(0)
		return slices.IndexFunc([]int{0, 1, 2}, func(i int) bool { return c.view(i).Peer == l })
	}
	for round, lose := range []struct {
		what string
		who  func(t *testing.T) int
		stop bool // it hangs instead of dying
	}{
		{"primary", func(t *testing.T) int { return c.primary(t, 0, "c1") }, false},
		{"leader", leader, false},
		{"a follower", func(t *testing.T) int { return (leader(t) + 1) % 3 }, false},
		{"primary that hangs", func(t *testing.T) int { return c.primary(t, 0, "c4") }, true},
	} {
		t.Run(strings.ReplaceAll(lose.what, " ", "_"), func(t *testing.T) {
			name := fmt.Sprintf("c%d", round+1)
			c.create(t, name, 1, 3)
			who := lose.who(t)
			l := c.load(name, c.others(who))
			l.progress(t, 50)
			limit := 2 * time.Second
			if lose.stop {
				limit = 5 * time.Second
				if err := syscall.Kill(c.list[who].PID(), syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
			} else {
				c.list[who].Kill()
			}
			l.progress(t, 200)
			l.finish(t, limit, c.others(who))
			if lose.stop {
				if err := syscall.Kill(c.list[who].PID(), syscall.SIGCONT); err != nil {
					t.Fatal(err)
				}
			} else {
				c.restart(all, who, round%2 == 1)
			}
			until(t, "the peer is back", func() bool {
				l := c.leader(who)
				return l != 0 && l == c.leader((who+1)%3) && len(c.known(who)) == 3
			})
			until(t, "the peer that is back answers the same", func() bool {
				return bytes.Equal(c.scroll(t, who, name), c.scroll(t, (who+1)%3, name))
			})
		})
	}
}

func TestRestartOfAll(t *testing.T) {
	c := form(t, 3)
	c.create(t, "c", 3, 2)
	l := c.load("c", []int{0, 1, 2})
	l.progress(t, 100)
	l.finish(t, patience, []int{0, 1, 2})
	before := c.scroll(t, 0, "c")
	for _, moved := range []bool{false, true} {
		for _, s := range c.list {
			s.Kill()
		}
		for _, i := range []int{2, 0, 1} {
			c.restart(t, i, moved && i != 0)
		}
		for i := range c.list {
			until(t, "all are back", func() bool { return c.leader(i) != 0 && len(c.known(i)) == 3 })
			until(t, "all data are back", func() bool {
				var all json.RawMessage
				_, err := c.ask(i, "POST", "/collections/c/points/scroll", map[string]any{"limit": 999999999, "with_vectors": true, "with_payload": true}, &all)
				return err == nil && bytes.Equal(all, before)
			})
		}
	}
}
