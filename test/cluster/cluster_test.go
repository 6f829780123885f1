// Package cluster holds black-box tests of clusters: real processes which are killed, stopped, cut off and started again under
// the writes of several clients.
//
//	go test ./test/cluster                  one round of everything, stalls are only told
//	go test ./test/cluster -rounds 10 -goals  what `make cluster` runs: stalls are held against the goals
package cluster

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sextantdb/sextant/test/process"
)

var (
	rounds = flag.Int("rounds", 1, "how often everything is tried")
	goals  = flag.Bool("goals", false, "fail when writes stall for longer than they should; for a machine that does nothing else")
	seed   = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the order in which things happen")
)

// recovers tells that a replica that was lost comes back by itself.
const recovers = true

const (
	diedGoal  = 2 * time.Second // the longest stall when a process dies
	hangsGoal = 5 * time.Second // and when one stops without dying
	tolerated = 30 * time.Second
	asked     = 60 * time.Second // how long a client lets the server try
)

// judge holds the longest stall of a client against its goal.
func judge(t *testing.T, stall, goal time.Duration) {
	t.Helper()
	t.Logf("longest stall %v (goal %v)", stall.Round(time.Millisecond), goal)
	if *goals && stall > goal || stall > tolerated {
		t.Errorf("a client waited %v for an acknowledgement", stall)
	}
}

// back waits until a peer that was away is a member again, and until all replicas are active if they become so by themselves.
func back(t *testing.T, c *process.Cluster, name string) {
	t.Helper()
	for i := range c.N() {
		process.Until(t, "all peers follow one leader and know each other", func() bool {
			l := c.Leader(i)
			return l != 0 && l == c.Leader(0) && len(c.View(i).Peers) == c.N()
		})
		if recovers {
			start := time.Now()
			process.Until(t, "all replicas are active", func() bool { n, all := c.Count(i, name, "Active"); return all > 0 && n == all })
			if took := time.Since(start); i == 0 {
				t.Logf("all replicas were active after %v", took.Round(time.Millisecond))
			}
		}
	}
}

// Whoever is lost, no acknowledged write is, and writes go on soon.
func TestLosingAPeer(t *testing.T) {
	for _, n := range []int{3, 5} {
		t.Run(fmt.Sprintf("%d_peers", n), func(t *testing.T) { loseOneAfterAnother(t, n) })
	}
}

func loseOneAfterAnother(t *testing.T, n int) {
	t.Logf("seed %d", *seed)
	rng := rand.New(rand.NewPCG(*seed, uint64(n)))
	all, c := t, (&process.Cluster{}).Form(t, n) // processes live as long as the whole
	leader := func() (i int) {
		process.Until(all, "somebody leads", func() bool { i = c.Number(c.Leader(0)); return i >= 0 })
		return i
	}
	for round := range *rounds {
		for k, lose := range []struct {
			what string
			who  func(t *testing.T, name string) int
			hang bool // instead of dying
		}{
			{"primary", func(t *testing.T, name string) int { return c.Primary(t, 0, name) }, false},
			{"leader", func(*testing.T, string) int { return leader() }, false},
			{"follower", func(*testing.T, string) int { return (leader() + 1 + rng.IntN(n-1)) % n }, false},
			{"primary_that_hangs", func(t *testing.T, name string) int { return c.Primary(t, 0, name) }, true},
			{"leader_that_hangs", func(*testing.T, string) int { return leader() }, true},
		} {
			t.Run(fmt.Sprintf("%d_%s", round, lose.what), func(t *testing.T) {
				name := fmt.Sprintf("c%d-%d", round, k)
				c.Create(t, name, 1+rng.IntN(2), n)
				who, moved := lose.who(t, name), rng.IntN(2) == 0
				rest := c.Others(who)
				l := start(c, name, rest, asked)
				l.progress(t, 20, rest...)
				goal := diedGoal
				if lose.hang {
					goal = hangsGoal
					c.Peer(who).Pause(t)
				} else {
					c.Peer(who).Kill()
				}
				l.progress(t, 100, rest...)
				if lose.hang {
					c.Peer(who).Resume(t)
				} else {
					c.Restart(all, who, moved)
				}
				l.progress(t, 20, rest...)
				judge(t, l.finish(t, rest), goal)
				back(t, c, name)
				same(t, c, name, []int{who, rest[0]})
				c.Must(t, rest[0], "DELETE", "/collections/"+name+"?timeout=60", nil, nil)
			})
			if t.Failed() {
				return
			}
		}
	}
}

// All peers end at once, or some do, and are started in any order, at the same addresses or others: everything is back.
func TestRestartInAnyOrder(t *testing.T) {
	for _, n := range []int{3, 5} {
		t.Run(fmt.Sprintf("%d_peers", n), func(t *testing.T) { restartInAnyOrder(t, n) })
	}
}

func restartInAnyOrder(t *testing.T, n int) {
	t.Logf("seed %d", *seed)
	rng := rand.New(rand.NewPCG(*seed, uint64(n)))
	c := (&process.Cluster{}).Form(t, n)
	everybody := c.Others(-1)
	for round := range 2 * *rounds {
		name := fmt.Sprintf("c%d", round)
		c.Create(t, name, 3, min(n, 2+rng.IntN(n)))
		l := start(c, name, everybody, asked)
		l.progress(t, 20, everybody...)
		l.finish(t, everybody)
		before, err := c.Scroll(0, name)
		if err != nil {
			t.Fatal(err)
		}
		moved := round%2 == 1
		order := rng.Perm(n)
		if rng.IntN(2) == 0 { // a few
			order = order[:1+rng.IntN(n-1)]
		}
		for _, i := range order {
			c.Peer(i).Kill()
		}
		start := time.Now()
		c.RestartAll(t, order, moved)
		for _, i := range everybody {
			process.Until(t, "all data are back", func() bool {
				all, err := c.Scroll(i, name)
				return err == nil && bytes.Equal(all, before)
			})
		}
		t.Logf("round %d: peers %v ended, moved %t: back after %v", round, order, moved, time.Since(start).Round(time.Millisecond))
		back(t, c, name)
		c.Alive(t)
		c.Must(t, 0, "DELETE", "/collections/"+name+"?timeout=60", nil, nil)
	}
}
