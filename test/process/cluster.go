package process

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// Cluster is several peers that run as processes. What asks and tells may be called from any goroutine, also while a peer is
// started again.
type Cluster struct {
	Net     Network // nil: peers talk directly, on 127.0.0.1
	Env     []string
	Dirs    []string      // of peers, if not temporary ones
	Timeout time.Duration // how long a request may take; 0: a minute
	Logs    string        // a directory for what processes print; empty: none
	peers   []atomic.Pointer[Server]
	uris    []string
	p2p     []int
	http    *http.Client
	lives   int
}

// Patience is how long Until waits; machines that run tests may be busy.
const Patience = 60 * time.Second

// ClusterOf are peers that were started otherwise.
func ClusterOf(list ...*Server) *Cluster {
	c := &Cluster{peers: make([]atomic.Pointer[Server], len(list)), http: &http.Client{Timeout: 60 * time.Second}}
	for i, s := range list {
		c.peers[i].Store(s)
	}
	return c
}

// Until polls for a condition.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(Patience); !ok(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("not within %v: %s", Patience, what)
		}
	}
}

// Form starts n peers that find each other through the first one.
func (c *Cluster) Form(t testing.TB, n int) *Cluster {
	t.Helper()
	c.peers, c.uris, c.p2p = make([]atomic.Pointer[Server], n), make([]string, n), make([]int, n)
	c.http = &http.Client{Timeout: cmp.Or(c.Timeout, time.Minute), Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	t.Cleanup(c.http.CloseIdleConnections)
	for i := range n {
		c.move(t, i)
	}
	for i := range n {
		var o Options
		if c.Dirs != nil {
			o.Dir = c.Dirs[i]
		}
		c.start(t, i, o)
		if i == 0 {
			Until(t, "the first peer leads", func() bool { return c.Leader(0) != 0 })
		}
	}
	for i := range n {
		Until(t, "all peers know each other and somebody leads", func() bool { return c.Leader(i) != 0 && len(c.View(i).Peers) == n })
	}
	return c
}

// move gives a peer an address.
func (c *Cluster) move(t testing.TB, i int) {
	if c.Net != nil {
		c.uris[i], _ = c.Net.Place(i)
		return
	}
	c.p2p[i] = FreePort(t)
	c.uris[i] = fmt.Sprintf("http://127.0.0.1:%d", c.p2p[i])
}

func (c *Cluster) start(t testing.TB, i int, o Options) {
	t.Helper()
	o.Env = append([]string{"QDRANT__CLUSTER__ENABLED=true", "QDRANT__LOG_LEVEL=WARN"}, c.Env...)
	if c.Net != nil {
		_, place := c.Net.Place(i)
		o.Host, o.Wrap, o.Env = place.Host, place.Wrap, append(o.Env, place.Env...)
		if place.Port != 0 {
			o.Port = place.Port
		}
	} else {
		o.Env = append(o.Env, "QDRANT__SERVICE__HOST=127.0.0.1", fmt.Sprintf("QDRANT__CLUSTER__P2P__PORT=%d", c.p2p[i]))
	}
	o.Args = []string{"--uri", c.uris[i]}
	if i > 0 {
		o.Args = append(o.Args, "--bootstrap", c.uris[0])
	}
	if c.Logs != "" {
		c.lives++
		o.Log = filepath.Join(c.Logs, fmt.Sprintf("peer%d-%03d.log", i, c.lives))
	}
	s := Spawn(t, o)
	if c.Net != nil {
		c.Net.Started(i, s)
	}
	c.peers[i].Store(s)
}

// N is the number of peers.
func (c *Cluster) N() int { return len(c.peers) }

// URI is where other peers reach one.
func (c *Cluster) URI(i int) string { return c.uris[i] }

// Adopt makes a process that was started otherwise a peer.
func (c *Cluster) Adopt(i int, s *Server) { c.peers[i].Store(s) }

// Peer is the present process of a peer.
func (c *Cluster) Peer(i int) *Server { return c.peers[i].Load() }

// Restart starts a peer that ended, over the same directory, at the same address or another.
func (c *Cluster) Restart(t testing.TB, i int, moved bool) {
	t.Helper()
	c.RestartAll(t, []int{i}, moved)
}

// RestartAll does so with several peers in this order. Where the first one is now is known to all of them.
func (c *Cluster) RestartAll(t testing.TB, order []int, moved bool) {
	t.Helper()
	moved = moved && c.Net == nil
	for _, i := range order {
		if moved {
			c.move(t, i)
		}
	}
	for _, i := range order {
		old := c.Peer(i)
		old.heir.Store(true)
		o := Options{Dir: old.Dir, Port: old.Port}
		if moved {
			o.Port = 0
		}
		c.start(t, i, o)
	}
}

// Alive fails the test if a process ended by itself.
func (c *Cluster) Alive(t testing.TB) {
	t.Helper()
	for i := range c.peers {
		if s := c.Peer(i); s.Crashed() {
			t.Fatalf("peer %d ended by itself:\n%s", i, tail(s.Log(), 8000))
		}
	}
}

// Call asks a peer. The status is 0 if there was no answer.
func (c *Cluster) Call(i int, method, path string, body, result any) (status int, err error) {
	return c.call(i, method, path, nil, body, result)
}

// Linearizable is Call of a read that sees every write that was acknowledged before.
func (c *Cluster) Linearizable(i int, method, path string, body, result any) (status int, err error) {
	return c.call(i, method, path, http.Header{"X-Sextant-Read": {"linearizable"}}, body, result)
}

func (c *Cluster) call(i int, method, path string, header http.Header, body, result any) (status int, err error) {
	var b []byte
	if body != nil {
		if b, err = json.Marshal(body); err != nil {
			return 0, err
		}
	}
	req, err := http.NewRequest(method, c.Peer(i).URL+path, bytes.NewReader(b))
	if err != nil {
		return 0, err
	}
	if header != nil {
		req.Header = header
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if b, err = io.ReadAll(resp.Body); err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, fmt.Errorf("%s %s on peer %d: %d %.1000s", method, path, i, resp.StatusCode, b)
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

// Must is Call that fails the test.
func (c *Cluster) Must(t testing.TB, i int, method, path string, body, result any) {
	t.Helper()
	if _, err := c.Call(i, method, path, body, result); err != nil {
		t.Fatal(err)
	}
}

// View is what a peer says of the cluster; the zero value when it does not answer.
type View struct {
	Peer  uint64 `json:"peer_id"`
	Peers map[string]struct{ URI string }
	Raft  struct{ Leader *uint64 } `json:"raft_info"`
}

// View asks a peer.
func (c *Cluster) View(i int) (v View) {
	_, _ = c.Call(i, "GET", "/cluster", nil, &v)
	return v
}

// Leader returns the id of the leader of consensus as a peer sees it; 0: none.
func (c *Cluster) Leader(i int) uint64 {
	if l := c.View(i).Raft.Leader; l != nil {
		return *l
	}
	return 0
}

// Number returns which peer has an id; -1: none that answers.
func (c *Cluster) Number(id uint64) int {
	for i := range c.peers {
		if id != 0 && c.View(i).Peer == id {
			return i
		}
	}
	return -1
}

// Replica is one of a shard.
type Replica struct {
	Peer    uint64 `json:"peer_id"`
	State   string
	Primary bool
	InSync  bool `json:"in_sync"`
	Last    uint64
	Applied uint64
	Alarms  uint64
}

// Shard is a shard with all its replicas.
type Shard struct {
	ID       uint32
	Replicas []Replica
}

// Shards returns the shards of a collection as a peer sees them; none when it does not answer.
func (c *Cluster) Shards(i int, collection string) []Shard { return c.AllShards(i)[collection] }

// AllShards returns the shards of all collections.
func (c *Cluster) AllShards(i int) map[string][]Shard {
	var v struct {
		Collections map[string]struct{ Shards []Shard }
	}
	_, _ = c.Call(i, "GET", "/cluster/telemetry?timeout=1", nil, &v)
	all := map[string][]Shard{}
	for name, collection := range v.Collections {
		all[name] = collection.Shards
	}
	return all
}

// Primary returns the peer that orders the writes of the first shard, as peer i sees it.
func (c *Cluster) Primary(t testing.TB, i int, collection string) (found int) {
	t.Helper()
	Until(t, "the primary is known", func() bool {
		for _, s := range c.Shards(i, collection) {
			for _, r := range s.Replicas {
				if found = c.Number(r.Peer); s.ID == 0 && r.Primary && found >= 0 {
					return true
				}
			}
		}
		return false
	})
	return found
}

// Setup is what a peer says of the replicas and transfers of a collection.
type Setup struct {
	Peer   uint64   `json:"peer_id"`
	Local  []Hosted `json:"local_shards"`
	Remote []Hosted `json:"remote_shards"`
	Moving []Moving `json:"shard_transfers"`
}

// Hosted is a replica on a peer.
type Hosted struct {
	Shard uint32 `json:"shard_id"`
	Peer  uint64 `json:"peer_id"` // 0: the one that was asked
	State string
}

// Moving is a transfer.
type Moving struct {
	Shard    uint32 `json:"shard_id"`
	From, To uint64
	Sync     bool
	Method   string
	Comment  string
}

// Setup asks a peer.
func (c *Cluster) Setup(i int, collection string) (v Setup, err error) {
	_, err = c.Call(i, "GET", "/collections/"+collection+"/cluster", nil, &v)
	for k := range v.Local {
		v.Local[k].Peer = v.Peer
	}
	return v, err
}

// Count returns how many replicas are in a state, as a peer sees them, and how many there are.
func (c *Cluster) Count(i int, collection, state string) (n, all int) {
	v, _ := c.Setup(i, collection)
	for _, s := range append(v.Local, v.Remote...) {
		if s.State == state {
			n++
		}
	}
	return n, len(v.Local) + len(v.Remote)
}

// Create makes a collection of vectors with two numbers and waits until all peers see all replicas active.
func (c *Cluster) Create(t testing.TB, name string, shards, factor int) {
	t.Helper()
	c.Must(t, 0, "PUT", "/collections/"+name+"?timeout=60", map[string]any{"vectors": map[string]any{"size": 2, "distance": "Dot"},
		"shard_number": shards, "replication_factor": factor}, nil)
	for i := range c.peers {
		Until(t, "all replicas are active", func() bool { n, _ := c.Count(i, name, "Active"); return n == shards*factor })
	}
}

// Scroll returns everything in a collection as a peer tells it.
func (c *Cluster) Scroll(i int, collection string) (all json.RawMessage, err error) {
	_, err = c.Call(i, "POST", "/collections/"+collection+"/points/scroll", map[string]any{"limit": 999999999, "with_vectors": true, "with_payload": true}, &all)
	return all, err
}

// Others returns all peers but one.
func (c *Cluster) Others(not int) (list []int) {
	for i := range c.peers {
		if i != not {
			list = append(list, i)
		}
	}
	return list
}
