package replica

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant/internal/topology"
)

// court is the world of an accuser: who is silent since when, what others hear, and what was proposed.
type court struct {
	mu       sync.Mutex
	state    *topology.State
	silent   map[topology.PeerID]time.Time
	others   map[topology.PeerID]bool // what a second peer says that it hears
	mute     bool                     // second peers do not answer
	asked    int
	proposed []topology.Command
	deaf     bool // consensus does nothing
}

// newCourt has shards on three of so many peers, all led by peer 2; this is peer 1.
func newCourt(t *testing.T, peers, shards int) (*court, *Accuser) {
	c := &court{state: &topology.State{Peers: map[topology.PeerID]topology.Peer{}}, silent: map[topology.PeerID]time.Time{}, others: map[topology.PeerID]bool{}}
	for p := range peers {
		id := topology.PeerID(p + 1)
		var err error
		if c.state, err = c.state.Apply(c.state.Index+1, topology.Command{AddPeer: &topology.AddPeer{ID: id, URI: fmt.Sprintf("http://127.0.0.1:%d/", 1000+p)}}); err != nil {
			t.Fatal(err)
		}
	}
	info := topology.Collection{UUID: "c", Shards: map[topology.ShardID]*topology.Shard{}}
	for i := range shards {
		s := &topology.Shard{UUID: fmt.Sprintf("shard-%d", i), Term: 1, Version: 1, Primary: 2, Replicas: map[topology.PeerID]topology.Replica{}}
		for p := range min(peers, 3) {
			s.Replicas[topology.PeerID(p+1)] = topology.Replica{State: topology.Active, InSync: true}
		}
		info.Shards[topology.ShardID(i)] = s
	}
	var err error
	if c.state, err = c.state.Apply(c.state.Index+1, topology.Command{Create: &topology.CreateCollection{Name: "c", Collection: info}}); err != nil {
		t.Fatal(err)
	}
	a := NewAccuser(AccuserOptions{Self: 1, Proposer: c, Silence: c.silence,
		State: func() *topology.State {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.state
		},
		Alive: func(p topology.PeerID) bool { return c.silence(p) < deafAfter },
		Hears: func(ctx context.Context, asked, about topology.PeerID) (bool, error) {
			c.mu.Lock()
			c.asked++
			mute, hears := c.mute, c.others[about]
			c.mu.Unlock()
			if mute {
				<-ctx.Done()
				return false, ctx.Err()
			}
			return hears, nil
		}})
	return c, a
}

func (c *court) silence(p topology.PeerID) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if since, ok := c.silent[p]; ok {
		return deafAfter + time.Since(since)
	}
	return 0
}

func (c *court) kill(p topology.PeerID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silent[p] = time.Now()
}

func (c *court) heal(p topology.PeerID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.silent, p)
}

func (c *court) Propose(ctx context.Context, command topology.Command) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proposed = append(c.proposed, command)
	if c.deaf {
		return errors.New("no leader")
	}
	next, err := c.state.Apply(c.state.Index+1, command)
	if err == nil {
		c.state = next
	}
	return err
}

func (c *court) proposals() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.proposed)
}

func (c *court) shard(i int) *topology.Shard {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.Shard(fmt.Sprintf("shard-%d", i))
}

// Somebody waits for a dead primary: it is replaced within a moment, that shard alone.
func TestADeadPrimaryIsReplacedWhenSomebodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a := newCourt(t, 3, 2)
		defer a.Close()
		c.kill(2)
		a.Suspect("shard-0", 2)
		time.Sleep(downTime + 100*time.Millisecond)
		s := c.shard(0)
		if s.Primary == 2 || s.Term != 2 || s.Replicas[2].State != topology.Dead || c.proposals() != 1 || c.shard(1).Primary != 2 {
			t.Errorf("%+v after %d proposals", s, c.proposals())
		}
	})
}

// Nobody waits: all primaries of a dead peer move with one command, to more than one heir, in less than five seconds.
func TestAllPrimariesOfADeadPeerMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a := newCourt(t, 3, 300)
		defer a.Close()
		time.Sleep(10 * time.Second)
		if c.proposals() > 0 || c.asked > 0 {
			t.Fatal("a healthy peer is accused")
		}
		c.kill(2)
		time.Sleep(5 * time.Second)
		heirs := map[topology.PeerID]int{}
		for i := range 300 {
			heirs[c.shard(i).Primary]++
		}
		if c.proposals() != 1 || heirs[2] > 0 || heirs[1] < 50 || heirs[3] < 50 {
			t.Errorf("%d proposals, primaries %v", c.proposals(), heirs)
		}
	})
}

func TestOneOpinionIsNotEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, hinder := range map[string]func(c *court){
			"a second peer hears it":        func(c *court) { c.others[2] = true },
			"nobody else can be asked":      func(c *court) { c.kill(3) },
			"the second peer has no answer": func(c *court) { c.mute = true },
		} {
			c, a := newCourt(t, 3, 1)
			hinder(c)
			c.kill(2)
			a.Suspect("shard-0", 2)
			time.Sleep(10 * time.Second)
			if c.proposals() > 0 {
				t.Errorf("%s: %+v", name, c.proposed)
			}
			a.Close()
		}
	})
}

// In a cluster of two nobody else can be asked.
func TestInAClusterOfTwoTheOwnOpinionIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a := newCourt(t, 2, 1)
		defer a.Close()
		c.kill(2)
		a.Suspect("shard-0", 2)
		time.Sleep(time.Second)
		if c.shard(0).Primary != 1 {
			t.Error(c.shard(0))
		}
	})
}

// A peer that comes back in time is left alone, and so is one that no live replica could follow.
func TestWhoIsNotAccused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a := newCourt(t, 4, 1)
		defer a.Close()
		for range 5 {
			c.kill(2)
			a.Suspect("shard-0", 2)
			time.Sleep(downTime / 2)
			c.heal(2)
			time.Sleep(downTime)
		}
		if c.proposals() > 0 {
			t.Fatalf("%+v", c.proposed)
		}
		s := c.shard(0)
		s.Replicas[1] = topology.Replica{State: topology.Dead}
		s.Replicas[3] = topology.Replica{State: topology.Dead}
		c.kill(2)
		a.Suspect("shard-0", 2)
		time.Sleep(10 * time.Second)
		if c.proposals() > 0 || c.asked > 0 {
			t.Errorf("%+v after %d questions", c.proposed, c.asked)
		}
	})
}

// It is repeated with the numbers of the day until the topology shows the effect.
func TestAnAccusationIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a := newCourt(t, 3, 1)
		defer a.Close()
		c.deaf = true
		c.kill(2)
		a.Suspect("shard-0", 2)
		time.Sleep(time.Second)
		if c.proposals() < 2 {
			t.Fatal(c.proposals())
		}
		c.mu.Lock()
		c.deaf = false
		c.mu.Unlock()
		time.Sleep(time.Second)
		n := c.proposals()
		if c.shard(0).Primary == 2 {
			t.Fatal(c.shard(0))
		}
		time.Sleep(10 * time.Second)
		if c.proposals() != n {
			t.Error("it goes on after the effect")
		}
	})
}

// An heir is active, if one is.
func TestHeir(t *testing.T) {
	a := &Accuser{o: AccuserOptions{Self: 1, Alive: func(p topology.PeerID) bool { return p != 9 }}}
	s := &topology.Shard{UUID: "x", Primary: 2, Replicas: map[topology.PeerID]topology.Replica{
		2: {State: topology.Active, InSync: true}, 3: {State: topology.Listener, InSync: true}, 4: {State: topology.Active, InSync: true},
		5: {State: topology.Active}, 9: {State: topology.Active, InSync: true}}}
	if got := a.heir(s, 2); got != 4 {
		t.Error(got)
	}
	delete(s.Replicas, 4)
	if got := a.heir(s, 2); got != 3 {
		t.Error(got)
	}
	delete(s.Replicas, 3)
	if got := a.heir(s, 2); got != 0 {
		t.Error(got)
	}
}
