package node

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sextantdb/sextant/internal/topology"
)

// latch is closed once, and stays so.
type latch struct {
	once sync.Once
	c    chan struct{}
}

func newLatch() *latch { return &latch{c: make(chan struct{})} }

func (l *latch) close() { l.once.Do(func() { close(l.c) }) }

func (l *latch) closed() bool {
	select {
	case <-l.c:
		return true
	default:
		return false
	}
}

// Ready reports whether the node may get requests: a lone one may as soon as it is open, a peer of a cluster when it has caught up
// with the others, and its replicas that were no good then have been good once. It stays ready until it ends.
func (n *Node) Ready() bool { return n.cluster == nil || n.cluster.ready.closed() }

// AwaitReady is Ready that waits until ctx ends.
func (n *Node) AwaitReady(ctx context.Context) bool {
	if n.cluster != nil {
		select {
		case <-n.cluster.ready.c:
		case <-ctx.Done():
		}
	}
	return n.Ready()
}

const (
	// askTime bounds a round of asking others for their commit index; after askRounds of them without any answer nobody is there.
	askTime, askRounds  = 10 * time.Second, 3
	askPause, longPause = 200 * time.Millisecond, 2 * time.Second // after an answer, after none
)

// becomeReady closes the latch as soon as this node may be asked.
func (c *cluster) becomeReady() {
	life := c.n.life
	if c.o.Bootstrap != "" && topology.NormalURI(c.o.Bootstrap) != topology.NormalURI(c.o.URI) {
		if c.until(life, func() bool { return len(c.n.machine.State().Peers) > 1 }) != nil {
			return
		}
	}
	if !c.reachCommit(life) {
		return
	}
	if alone := len(c.members()) <= 1; !alone {
		var ill map[string]bool // own replicas that were not seen healthy yet
		err := c.until(life, func() bool {
			state := c.n.machine.State()
			if ill == nil {
				ill = map[string]bool{}
				for _, info := range state.Collections {
					for _, s := range info.Shards {
						ill[s.UUID] = true
					}
				}
			}
			for uuid := range ill {
				if c.healthy(state, uuid) {
					delete(ill, uuid)
				}
			}
			return len(ill) == 0 || len(c.members()) <= 1
		})
		if err != nil {
			return
		}
	}
	c.ready.close()
}

// healthy reports whether nothing is wrong with the replica here, also if there is none.
func (c *cluster) healthy(state *topology.State, uuid string) bool {
	s := state.Shard(uuid)
	if s == nil {
		return true
	}
	r, mine := s.Replicas[c.n.peer]
	switch r.State {
	case topology.Active, topology.Listener, topology.Resharding, topology.ReshardingScaleDown, topology.ManualRecovery:
		return true
	}
	return !mine
}

// members are who takes part in consensus, or, if this peer does not, whoever is known.
func (c *cluster) members() (list []topology.PeerID) {
	s := c.member.Status()
	for _, id := range append(slices.Clone(s.Voters), s.Learners...) {
		list = append(list, topology.PeerID(id))
	}
	if slices.Contains(list, c.n.peer) {
		return list
	}
	list = list[:0]
	for id := range c.n.machine.State().Peers {
		list = append(list, id)
	}
	return list
}

// reachCommit returns when what the others had committed is applied here; false: the node ends. If nobody can be asked it is given
// up: that no other peer runs must not keep this one from serving.
func (c *cluster) reachCommit(ctx context.Context) bool {
	goal, silent := uint64(0), 0
	for {
		members := c.members()
		if len(members) <= 1 {
			return true
		}
		commits, pause := c.commits(ctx, members), askPause
		if len(commits) == 0 {
			pause = longPause
			if silent++; silent == askRounds {
				c.n.log.Warn("the node becomes ready without knowing what others have agreed on: none answers")
				return true
			}
		} else {
			silent = 0
		}
		before := goal
		for _, commit := range commits {
			goal = max(goal, commit)
		}
		if goal > 0 && goal == before && len(commits) >= len(members)/2 && c.member.Status().Applied >= goal {
			return true
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return false
		}
	}
}

// commits asks members how far consensus is.
func (c *cluster) commits(ctx context.Context, members []topology.PeerID) (list []uint64) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	enough := max(1, len(members)/2)
	answers := make(chan uint64, len(members)) // 0: none
	asked := 0
	for _, p := range members {
		if p == c.n.peer {
			continue
		}
		asked++
		c.run.Go(func() {
			commit := uint64(0)
			if b, err := c.net.Call(ctx, p, callCommit, nil); err == nil {
				commit, _ = strconv.ParseUint(string(b), 10, 64) // what is no number is no answer
			}
			answers <- commit
		})
	}
	for range asked {
		if commit := <-answers; commit > 0 {
			if list = append(list, commit); len(list) == enough {
				break
			}
		}
	}
	return list
}
