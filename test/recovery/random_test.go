package recovery

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	tries = flag.Int("tries", 1, "random stories")
	steps = flag.Int("steps", 40, "of a random story")
)

// clientBook keeps what a client was told: points with ids of its own, and which of them were acknowledged.
type clientBook struct {
	run   sync.WaitGroup
	end   chan struct{}
	mu    sync.Mutex
	acked []int
}

// Transfers are asked for, aborted and restarted at random, replicas dropped and moved, peers killed, started and stopped for a while,
// while clients write. When all is quiet and what is Dead was brought back, every acknowledged point is there, and all tell the same.
func TestRandomStories(t *testing.T) {
	for k := range *tries {
		t.Run(fmt.Sprint(k), func(t *testing.T) { t.Parallel(); random(t, *seed+uint64(k)) })
	}
}

func random(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	s := form(t, 4, noIncoming, noOutgoing, "QDRANT_STAGING_SHARD_TRANSFER_DELAY_SEC=0.05", "QDRANT__CLUSTER__TRANSFER_PROBATION_MS=300", "QDRANT__STORAGE__WAL__WAL_CAPACITY_MB=1",
		"QDRANT__STORAGE__WAL__RETENTION_MB=2", "QDRANT__STORAGE__WAL__ABSENT_RETENTION_MB=2").begin(t, 1, 3)
	t.Logf("seed %d", seed)
	s.upsert(0, 0, 1000, 500)
	b := &clientBook{end: make(chan struct{})}
	for i := range s.N() {
		b.run.Go(func() { b.write(s, i, (i+1)*1_000_000) })
	}
	c := &chance{tale: s, rng: rng, dead: -1}
	for range *steps {
		c.step()
		pausing(time.Duration(rng.IntN(400)) * time.Millisecond)
	}
	if c.dead >= 0 {
		s.Restart(t, c.dead, false)
	}
	close(b.end)
	b.run.Wait()
	for i := range s.N() {
		s.until(look, "it answers", func() bool { _, ok := s.moving(i); return ok })
	}
	s.heal()
	s.end(-1)
	for i := range s.N() { // and nothing else lies around
		s.until(look, fmt.Sprintf("peer %d has one generation of its replica, or nothing", i), func() bool {
			hosts := 0
			if s.state(i, i) != "" {
				hosts = 1
			}
			return len(s.directories(i, "0")) == hosts && len(s.files(i, "g*")) == hosts
		})
	}
	all, err := s.Scroll(0, s.name)
	if err != nil {
		t.Fatal(err)
	}
	var content struct{ Points []struct{ ID int } }
	if err := json.Unmarshal(all, &content); err != nil {
		t.Fatal(err)
	}
	there := map[int]bool{}
	for _, p := range content.Points {
		there[p.ID] = true
	}
	var lost []int
	for id := range 1000 {
		b.acked = append(b.acked, id)
	}
	for _, id := range b.acked {
		if !there[id] {
			lost = append(lost, id)
		}
	}
	if len(lost) > 0 {
		slices.Sort(lost)
		t.Errorf("%d of %d acknowledged points are lost: %v", len(lost), len(b.acked), lost[:min(20, len(lost))])
	}
	t.Logf("%d acknowledged points; %s", len(b.acked), strings.Join(c.told, ", "))
}

func (b *clientBook) write(s *tale, peer, from int) {
	for id := from; ; id++ {
		select {
		case <-b.end:
			return
		case <-time.After(20 * time.Millisecond):
		}
		if _, err := s.Call(peer, "PUT", "/collections/"+s.name+"/points?wait=true&timeout=5", s.points(id, 1), nil); err == nil {
			b.mu.Lock()
			b.acked = append(b.acked, id)
			b.mu.Unlock()
		}
	}
}

// chance decides what happens next. At most one peer of four is away, so that there is always a majority.
type chance struct {
	*tale
	rng  *rand.Rand
	dead int // -1: none
	told []string
}

func (c *chance) step() {
	c.t.Helper()
	asked := c.rng.IntN(c.N())
	if asked == c.dead {
		asked = (asked + 1) % c.N()
	}
	from, to := c.rng.IntN(c.N()), c.rng.IntN(c.N())
	for range 10 { // what is refused teaches little
		if from != to && c.state(asked, from) == "Active" {
			break
		}
		from, to = c.rng.IntN(c.N()), c.rng.IntN(c.N())
	}
	methods := []string{delta, stream, files}
	f := c.by(from, to, methods[c.rng.IntN(3)])
	status := 0
	what := ""
	list, _ := c.moving(asked)
	of := func() fields {
		if len(list) == 0 {
			return f
		}
		m := list[c.rng.IntN(len(list))]
		return fields{"shard_id": m.Shard, "from_peer_id": m.From, "to_peer_id": m.To, "method": f["method"]}
	}
	switch n := c.rng.IntN(20); {
	case n < 8:
		what = "replicate_shard"
		status, _ = c.ask(asked, what, f)
	case n < 10:
		what = "move_shard"
		status, _ = c.ask(asked, what, f)
	case n < 12:
		what = "abort_transfer"
		f = of()
		delete(f, "method")
		status, _ = c.ask(asked, what, f)
	case n < 13:
		what = "restart_transfer"
		status, _ = c.ask(asked, what, of())
	case n < 14:
		what = "drop_replica"
		status, _ = c.ask(asked, what, fields{"shard_id": 0, "peer_id": c.ids[to]})
	case n < 15:
		what = "pause"
		if to != c.dead {
			c.Peer(to).Pause(c.t)
			pausing(time.Duration(c.rng.IntN(1500)) * time.Millisecond)
			c.Peer(to).Resume(c.t)
		}
	case n < 16:
		what = "put into files"
		status, _ = c.post(asked, "/collections/"+c.name+"/snapshots?wait=true", fields{})
	case c.dead < 0:
		what = "kill"
		c.dead = to
		c.Peer(to).Kill()
	default:
		what = "start"
		c.Restart(c.t, c.dead, c.rng.IntN(2) == 0 && c.dead != 0)
		c.dead = -1
	}
	if status != 0 && status != http.StatusOK {
		what += fmt.Sprint(" ", status)
	}
	c.told = append(c.told, what)
}
