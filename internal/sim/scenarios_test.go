package sim

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"testing"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/config"
	"github.com/sextantdb/sextant/internal/node"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/vfs"
)

// scenario is a script over a cluster with one shard that is on all machines, while some clients work. At its end everything must
// be well again by itself, equal, and explain what clients have heard.
type scenario struct {
	name     string
	machines int
	play     func(s *stage)
	settings func(c *config.Config) // nil: as always
}

// stage is a world with words for scripts.
type stage struct {
	*World
	t *testing.T
}

// shard is what consensus says of the shard.
func (s *stage) shard() *topology.Shard { return s.checker.state.Collections[collectionName].Shards[0] }

// primary returns the machine that leads, and the others.
func (s *stage) roles() (primary *Peer, others []*Peer) {
	for _, p := range s.peers {
		if p.id == s.shard().Primary {
			primary = p
		} else {
			others = append(others, p)
		}
	}
	return primary, others
}

// at returns where the replica of a machine stands.
func (s *stage) at(p *Peer) (last, durable, commit, applied order.Seq) {
	r := s.checker.find(p.id, s.shard().UUID)
	if r == nil {
		return 0, 0, 0, 0
	}
	pos, durable, commit, applied := r.Local.Stands()
	return pos.Seq, durable, commit, applied
}

// write begins an upsert through a machine, which goes on; the channel tells what became of it.
func (s *stage) write(p *Peer, timeout time.Duration) <-chan operation {
	of, v := s.history.pick(s.rand.IntN(64))
	o := operation{Client: 50 + int(v%40), Kind: upsert, Key: of.keys[0], V: v, Tag: of.tags[0], Wait: true}
	told := make(chan operation, 1)
	go func() { told <- s.operate(context.Background(), p, o, of, timeout) }()
	return told
}

// must waits for the end of a write, which must have been done.
func (s *stage) must(what string, told <-chan operation) operation {
	var o operation
	s.await(time.Minute, what, func() bool {
		select {
		case o = <-told:
			return true
		default:
			return false
		}
	})
	if o.Outcome != done {
		s.t.Errorf("%s: %s", what, o)
	}
	return o
}

// back starts a machine after a while.
func (s *stage) back(p *Peer, after time.Duration) {
	s.in(after, fmt.Sprintf("machine %d is back", p.i), func() {
		if !p.up() {
			p.start()
		}
	})
}

// isolate cuts a machine off from all others, or heals that.
func (s *stage) isolate(p *Peer, on bool) {
	s.net.change(func() {
		for _, o := range s.peers {
			if o != p {
				s.net.link(p.i, o.i).cut, s.net.link(o.i, p.i).cut = on, on
			}
		}
	})
}

// killAt has the primary lose its power when a write has come so far, then come back.
func killAt(far func(s *stage, before order.Seq, primary *Peer, others []*Peer) bool) func(s *stage) {
	return func(s *stage) {
		s.history.stop() // the script's write alone
		s.await(time.Minute, "the clients end", s.history.idle)
		s.sleep(time.Second)
		primary, others := s.roles()
		before, _, _, _ := s.at(primary)
		told := s.write(others[0], 20*time.Second)
		s.await(5*time.Second, "the write has come so far", func() bool { return far(s, before, primary, others) })
		primary.drop(true)
		s.back(primary, 5*time.Second)
		s.must("the write is done by the next primary", told)
	}
}

// transferTo loses a follower until writes go on without it, and has it come back until its transfer is listed.
func (s *stage) transferTo() (sender, receiver *Peer) {
	_, others := s.roles()
	receiver = others[0]
	receiver.drop(false)
	s.await(time.Minute, "it leaves the set", func() bool { return !s.shard().Replicas[receiver.id].InSync })
	s.sleep(3 * time.Second)
	receiver.start()
	s.await(time.Minute, "its transfer begins", func() bool { return len(s.shard().Transfers) > 0 })
	for _, p := range s.peers {
		if p.id == s.shard().Transfers[0].From {
			sender = p
		}
	}
	return sender, receiver
}

// killIn loses a machine when a transfer has come to a line, and has it come back.
func killIn(line string, who func(s *stage, sender, receiver *Peer) *Peer) func(s *stage) {
	return func(s *stage) {
		sender, receiver := s.transferTo()
		if line == "admitted" {
			s.await(time.Minute, "it is admitted", func() bool {
				return slices.ContainsFunc(s.shard().Transfers, func(t topology.Transfer) bool { return t.Admitted })
			})
		}
		if p := who(s, sender, receiver); p != nil {
			p.drop(true)
			s.back(p, 4*time.Second)
		}
		s.sleep(6 * time.Second)
	}
}

func sendersOf(_ *stage, sender, _ *Peer) *Peer     { return sender }
func receiversOf(_ *stage, _, receiver *Peer) *Peer { return receiver }
func primariesOf(s *stage, _, _ *Peer) *Peer {
	primary, _ := s.roles()
	return primary
}

func leadersOf(s *stage, _, _ *Peer) *Peer {
	for _, p := range s.peers {
		if n := p.node(); n != nil {
			if c, err := n.Cluster(all); err == nil && c.Leader == uint64(p.id) {
				return p
			}
		}
	}
	return nil
}

// everyone loses power and comes back in some order, perhaps elsewhere.
func everyone(power, moves bool, order ...int) func(s *stage) {
	return func(s *stage) {
		for _, p := range s.peers {
			p.drop(power)
			if moves {
				p.move++
				p.uri = address(p.i, p.move)
			}
		}
		for k, i := range order {
			s.back(s.peers[i], time.Duration(k)*700*time.Millisecond+time.Millisecond)
		}
		s.sleep(10 * time.Second)
	}
}

func (s *stage) api(what string, f func(ctx context.Context, n *node.Node) error) error {
	var err error
	p := s.peers[s.rand.IntN(len(s.peers))]
	if n := p.node(); n != nil {
		s.do(what, func() { err = f(context.Background(), n) })
	}
	s.trace("%s: %v", what, err)
	return err
}

var scenarios = []scenario{
	{name: "primary killed before it appends", machines: 3, play: killAt(func(*stage, order.Seq, *Peer, []*Peer) bool { return true })},
	{name: "primary killed after it logged", machines: 3, play: killAt(func(s *stage, before order.Seq, p *Peer, _ []*Peer) bool {
		last, _, _, _ := s.at(p)
		return last > before
	})},
	{name: "primary killed after its append", machines: 3, play: killAt(func(s *stage, before order.Seq, p *Peer, _ []*Peer) bool {
		_, durable, _, _ := s.at(p)
		return durable > before
	})},
	{name: "primary killed after one follower's append", machines: 3, play: killAt(func(s *stage, before order.Seq, _ *Peer, others []*Peer) bool {
		return slices.ContainsFunc(others, func(o *Peer) bool { _, durable, _, _ := s.at(o); return durable > before })
	})},
	{name: "primary killed after all appends", machines: 3, play: killAt(func(s *stage, before order.Seq, p *Peer, others []*Peer) bool {
		return !slices.ContainsFunc(append(others, p), func(o *Peer) bool { _, durable, _, _ := s.at(o); return durable <= before })
	})},
	{name: "primary killed after commit, before the answer", machines: 3, play: killAt(func(s *stage, before order.Seq, p *Peer, _ []*Peer) bool {
		_, _, commit, _ := s.at(p)
		return commit > before
	})},
	{name: "new primary killed while it takes over", machines: 4, play: func(s *stage) {
		first, _ := s.roles()
		first.drop(true)
		s.await(time.Minute, "another is named", func() bool { return s.shard().Primary != first.id })
		second, _ := s.roles()
		second.drop(true)
		s.back(first, 8*time.Second)
		s.back(second, 11*time.Second)
		s.sleep(12 * time.Second)
	}},
	{name: "two restarts of the primary in a row", machines: 3, play: func(s *stage) {
		primary, _ := s.roles()
		for range 3 {
			primary.drop(true)
			primary.start()
			s.sleep(s.span(10*time.Millisecond, 400*time.Millisecond))
		}
	}},
	{name: "old primary cut off, clients on both sides", machines: 3, play: func(s *stage) {
		primary, others := s.roles()
		s.isolate(primary, true)
		inside := s.write(primary, 15*time.Second)
		s.must("a write on the side of the majority", s.write(others[0], 20*time.Second))
		s.sleep(15 * time.Second)
		if o := <-inside; o.Outcome == done {
			s.t.Errorf("a minority acknowledged: %s", o)
		}
		s.isolate(primary, false)
	}},
	{name: "follower slower than the limit, then back with old messages", machines: 3, play: func(s *stage) {
		primary, others := s.roles()
		if leadersOf(s, nil, nil) == others[0] { // who cannot reach the leader can have nobody removed
			others[0] = others[1]
		}
		s.laneTime = time.Minute // its connection holds
		s.net.change(func() { s.net.link(primary.i, others[0].i).cut = true })
		s.await(time.Minute, "it leaves the set", func() bool { return !s.shard().Replicas[others[0].id].InSync })
		s.sleep(10 * time.Second)
		s.net.change(func() { s.net.link(primary.i, others[0].i).cut = false })
	}},
	{name: "all lose power and come back, 0 1 2", machines: 3, play: everyone(true, false, 0, 1, 2)},
	{name: "all lose power and come back, 2 0 1", machines: 3, play: everyone(true, false, 2, 0, 1)},
	{name: "all lose power and come back, 1 2 0", machines: 3, play: everyone(true, false, 1, 2, 0)},
	{name: "all lose their processes and come back elsewhere", machines: 3, play: everyone(false, true, 2, 1, 0)},
	{name: "one comes back elsewhere", machines: 3, play: func(s *stage) {
		p := s.peers[1+s.rand.IntN(2)]
		p.drop(true)
		p.move++
		p.uri = address(p.i, p.move)
		s.sleep(5 * time.Second)
		p.start()
	}},
	{name: "all restart right after a quiet write, then are read", machines: 3, play: func(s *stage) {
		s.rest()
		o := s.must("the write", s.write(s.peers[0], 20*time.Second))
		for _, p := range s.peers {
			p.drop(true)
		}
		for _, p := range s.peers {
			p.start()
		}
		for range 60 {
			s.sleep(200 * time.Millisecond)
			for _, p := range s.peers {
				if n := p.node(); n != nil {
					s.do("read", func() {
						got, err := look(context.Background(), n, o.Key, node.ReadOptions{Timeout: 5 * time.Second})
						if err == nil && got.V != o.V {
							s.fail("machine %d shows %+v, and %s", p.i, got, o)
						}
					})
				}
			}
		}
	}},
	{name: "files of a replica are lost", machines: 3, play: func(s *stage) {
		_, others := s.roles()
		p := others[0]
		p.drop(false)
		p.lost = map[string]bool{s.shard().UUID: true}
		if err := p.wipe("collections"); err != nil {
			s.t.Error(err)
		}
		p.start()
		s.sleep(10 * time.Second)
	}},
	{name: "power lost in the middle of many writes", machines: 3, play: func(s *stage) {
		for i := range 6 {
			p := s.peers[i%3]
			for range 5 {
				s.write(s.peers[s.rand.IntN(3)], 5*time.Second)
			}
			s.sleep(s.span(time.Millisecond, 5*time.Millisecond))
			p.drop(true)
			s.back(p, time.Second)
			s.sleep(5 * time.Second)
		}
	}},
	{name: "disk full on a follower", machines: 3, play: func(s *stage) {
		_, others := s.roles()
		d := others[0].disk
		d.fill(100)
		s.sleep(10 * time.Second)
		d.fill(-1)
	}},
	{name: "disk full on the primary", machines: 3, play: func(s *stage) {
		primary, _ := s.roles()
		d := primary.disk
		d.fill(100)
		s.sleep(10 * time.Second)
		d.fill(-1)
	}},
	{name: "slow disk on the primary", machines: 3, play: func(s *stage) {
		primary, _ := s.roles()
		primary.disk.ail(2*time.Second, 0)
		s.sleep(15 * time.Second)
		primary.disk.ail(0, 0)
	}},
	{name: "two machines, one is lost", machines: 2, play: func(s *stage) {
		primary, others := s.roles()
		primary.drop(true)
		o := <-s.after(s.write(others[0], 8*time.Second))
		if o.Outcome == done {
			s.t.Errorf("one of two acknowledged without the other: %s", o)
		}
		primary.start()
		s.sleep(5 * time.Second)
		s.must("a write when both are back", s.write(others[0], 20*time.Second))
	}},
	{name: "two machines, the follower is lost for long", machines: 2, play: func(s *stage) {
		_, others := s.roles()
		others[0].drop(true)
		s.sleep(20 * time.Second)
		others[0].start()
	}},
	{name: "collection made anew while a machine is away", machines: 3, play: func(s *stage) {
		s.peers[2].drop(true)
		s.sleep(time.Second)
		s.ask("drop the collection", func(ctx context.Context, n *node.Node) error {
			_, err := n.DeleteCollection(ctx, all, collectionName, 20*time.Second)
			return err
		})
		s.create(1, 2)
		s.sleep(2 * time.Second)
		s.peers[2].start()
	}},
	{name: "collection made anew during a transfer", machines: 3, play: func(s *stage) {
		s.transferTo()
		s.renewCollection()
	}},
	{name: "replica dropped while its machine is away", machines: 3, play: func(s *stage) {
		_, others := s.roles()
		p := others[1]
		p.drop(true)
		s.await(time.Minute, "it leaves the set", func() bool { return !s.shard().Replicas[p.id].InSync })
		s.ask("drop the replica", func(ctx context.Context, n *node.Node) error {
			return n.DropReplica(ctx, all, collectionName, 0, uint64(p.id), 10*time.Second)
		})
		p.start()
		s.sleep(5 * time.Second)
		if list, err := p.disk.List("/data/collections/" + s.checker.state.Collections[collectionName].UUID); err == nil && len(list) > 0 {
			s.t.Errorf("its files are still there: %v", list)
		}
	}},
	{name: "receiver killed when its transfer begins", machines: 3, play: killIn("begun", receiversOf)},
	{name: "sender killed when a transfer begins", machines: 4, play: killIn("begun", sendersOf)},
	{name: "primary killed when a transfer begins", machines: 4, play: killIn("begun", primariesOf)},
	{name: "leader of consensus killed when a transfer begins", machines: 4, play: killIn("begun", leadersOf)},
	{name: "receiver killed when it is admitted", machines: 3, play: killIn("admitted", receiversOf)},
	{name: "sender killed when the receiver is admitted", machines: 4, play: killIn("admitted", sendersOf)},
	{name: "primary killed when the receiver is admitted", machines: 4, play: killIn("admitted", primariesOf)},
	{name: "leader of consensus killed when the receiver is admitted", machines: 4, play: killIn("admitted", leadersOf)},
	{name: "abort when a transfer begins, and again", machines: 3, play: func(s *stage) {
		for range 3 {
			s.await(time.Minute, "nothing is under way", func() bool { return len(s.shard().Transfers) == 0 })
			s.transferTo()
			t := s.shard().Transfers[0]
			_ = s.api("abort", func(ctx context.Context, n *node.Node) error {
				return n.AbortTransfer(ctx, all, collectionName, node.Transfer{From: uint64(t.From), To: uint64(t.To)}, 10*time.Second)
			})
			s.sleep(3 * time.Second)
		}
	}},
	{name: "abort crosses the end of a transfer", machines: 3, play: func(s *stage) {
		s.transferTo()
		t := s.shard().Transfers[0]
		s.await(time.Minute, "it is admitted", func() bool {
			return slices.ContainsFunc(s.shard().Transfers, func(t topology.Transfer) bool { return t.Admitted })
		})
		s.sleep(950 * time.Millisecond)
		_ = s.api("abort", func(ctx context.Context, n *node.Node) error {
			return n.AbortTransfer(ctx, all, collectionName, node.Transfer{From: uint64(t.From), To: uint64(t.To)}, 10*time.Second)
		})
	}},
	{name: "a move to the primary's machine is refused, one between followers is done", machines: 4, play: func(s *stage) {
		primary, others := s.roles()
		s.ask("drop a replica", func(ctx context.Context, n *node.Node) error {
			return n.DropReplica(ctx, all, collectionName, 0, uint64(others[2].id), 10*time.Second)
		})
		move := func(from, to *Peer) error {
			return s.api("move", func(ctx context.Context, n *node.Node) error {
				return n.StartTransfer(ctx, all, collectionName, node.Transfer{From: uint64(from.id), To: uint64(to.id)}, 10*time.Second)
			})
		}
		_ = move(others[0], primary)
		s.sleep(10 * time.Second)
		if err := move(others[1], others[2]); err != nil {
			s.t.Error(err)
		}
		s.sleep(10 * time.Second)
	}},
	{name: "a second transfer to the same receiver", machines: 4, play: func(s *stage) {
		_, receiver := s.transferTo()
		primary, _ := s.roles()
		_ = s.api("a second one", func(ctx context.Context, n *node.Node) error {
			return n.StartTransfer(ctx, all, collectionName, node.Transfer{From: uint64(primary.id), To: uint64(receiver.id), Sync: true, Method: topology.StreamRecords}, 10*time.Second)
		})
	}},
	{name: "one that was brought back is the next sender", machines: 3, play: func(s *stage) {
		_, receiver := s.transferTo()
		s.await(time.Minute, "it is back", func() bool { return s.shard().Replicas[receiver.id].State == topology.Active })
		for _, p := range s.peers {
			if p != receiver {
				p.drop(true)
				s.await(time.Minute, "it leaves the set", func() bool { return !s.shard().Replicas[p.id].InSync })
				p.start()
				s.await(time.Minute, "it is back", func() bool { return s.shard().Replicas[p.id].State == topology.Active })
			}
		}
	}},
	{name: "a disk of a while ago", machines: 3, play: func(s *stage) {
		_, others := s.roles()
		s.putBack(others[0], func() {})
	}},
	{name: "a disk of a while ago on the primary", machines: 3, play: func(s *stage) {
		p, _ := s.roles()
		s.putBack(p, func() {
			s.await(time.Minute, "another one leads", func() bool { return s.shard().Primary != p.id })
		})
	}},
	{name: "the log is cut while a replica is away", machines: 3, settings: forgetful, play: func(s *stage) {
		_, others := s.roles()
		p := others[0]
		p.drop(true)
		s.await(time.Minute, "it leaves the set", func() bool { return !s.shard().Replicas[p.id].InSync })
		s.ballast(4)
		p.start()
		s.await(time.Minute, "the transfer goes on by another method", func() bool {
			return slices.ContainsFunc(s.shard().Transfers, func(t topology.Transfer) bool { return t.Method == topology.StreamRecords })
		})
	}},
	{name: "the log is cut while it is sent", machines: 3, settings: forgetful, play: func(s *stage) {
		sender, _ := s.transferTo()
		sender.disk.ail(20*time.Millisecond, 0)
		s.ballast(4)
		s.sleep(10 * time.Second)
	}},
	{name: "an image of consensus comes to the receiver during a transfer", machines: 3, settings: compacting, play: deafDuring(receiversOf)},
	{name: "an image of consensus comes to the sender during a transfer", machines: 4, settings: compacting, play: deafDuring(sendersOf)},
	{name: "an image of consensus comes to the primary during a transfer", machines: 4, settings: compacting, play: deafDuring(primariesOf)},
	{name: "replica dropped and added again, and its machine restarts", machines: 3, play: func(s *stage) {
		primary, others := s.roles()
		p := others[0]
		for range 3 {
			s.ask("drop the replica", func(ctx context.Context, n *node.Node) error {
				return n.DropReplica(ctx, all, collectionName, 0, uint64(p.id), 10*time.Second)
			})
			s.ask("replicate", func(ctx context.Context, n *node.Node) error {
				return n.StartTransfer(ctx, all, collectionName, node.Transfer{From: uint64(primary.id), To: uint64(p.id), Sync: true}, 10*time.Second)
			})
			s.sleep(s.span(time.Millisecond, 1500*time.Millisecond))
			p.drop(true)
			s.sleep(time.Second)
			p.start()
			s.await(time.Minute, "it is whole", func() bool { return s.shard().Replicas[p.id].State == topology.Active })
			primary, _ = s.roles()
			if primary == p {
				break
			}
		}
	}},
	{name: "abort when the receiver is admitted", machines: 3, play: func(s *stage) {
		for range 3 {
			s.await(time.Minute, "nothing is under way", func() bool { return len(s.shard().Transfers) == 0 })
			s.transferTo()
			s.await(time.Minute, "it is admitted", func() bool {
				return slices.ContainsFunc(s.shard().Transfers, func(t topology.Transfer) bool { return t.Admitted })
			})
			s.abort()
			s.sleep(3 * time.Second)
		}
	}},
	{name: "abort at any moment of a copy, and again", machines: 3, play: func(s *stage) {
		for _, after := range []time.Duration{0, 1, 2, 4, 8, 16, 32, 64} {
			_, others := s.roles()
			p := others[0]
			p.drop(false)
			p.lost = map[string]bool{s.shard().UUID: true}
			if err := p.wipe("collections"); err != nil {
				s.t.Error(err)
			}
			p.start()
			s.await(time.Minute, "it is copied", func() bool {
				return slices.ContainsFunc(s.shard().Transfers, func(t topology.Transfer) bool { return t.Method == topology.StreamRecords })
			})
			s.sleep(after * time.Millisecond)
			s.abort()
			s.await(time.Minute, "it is whole", func() bool { return s.shard().Replicas[p.id].State == topology.Active && len(s.shard().Transfers) == 0 })
		}
	}},
	{name: "a snapshot is copied, its receiver loses power on the way", machines: 3, play: func(s *stage) {
		primary, others := s.roles()
		p := others[0]
		s.ask("drop the replica", func(ctx context.Context, n *node.Node) error {
			return n.DropReplica(ctx, all, collectionName, 0, uint64(p.id), 10*time.Second)
		})
		s.ask("replicate", func(ctx context.Context, n *node.Node) error {
			return n.StartTransfer(ctx, all, collectionName, node.Transfer{From: uint64(primary.id), To: uint64(p.id), Sync: true, Method: topology.SnapshotMethod}, 10*time.Second)
		})
		s.sleep(s.span(time.Millisecond, 40*time.Millisecond))
		p.drop(true)
		s.back(p, time.Second)
		s.sleep(10 * time.Second)
		if s.shard().Replicas[p.id].State != topology.Active && len(s.shard().Transfers) == 0 {
			s.ask("replicate again", func(ctx context.Context, n *node.Node) error {
				return n.StartTransfer(ctx, all, collectionName, node.Transfer{From: uint64(primary.id), To: uint64(p.id), Sync: true, Method: topology.SnapshotMethod}, 10*time.Second)
			})
		}
	}},
}

// forgetful are settings under which the log keeps nothing for those who are away.
func forgetful(c *config.Config) {
	c.Storage.WAL.RetentionMB, c.Storage.WAL.AbsentRetentionMB = 0, 0
}

// compacting are settings under which a member that misses some entries of consensus gets an image.
func compacting(c *config.Config) { c.Cluster.Consensus.CompactWALEntries = 4 }

// copied returns a disk with the same files.
func copied(m *vfs.Mem) (*vfs.Mem, error) {
	to := &vfs.Mem{}
	var tree func(dir string) error
	tree = func(dir string) error {
		list, err := m.List(dir)
		if err != nil {
			return err
		}
		if err := to.MkdirAll(dir); err != nil {
			return err
		}
		for _, f := range list {
			name := path.Join(dir, f.Name)
			if f.Dir {
				err = tree(name)
			} else {
				var b []byte
				if b, err = vfs.ReadFile(m, name); err == nil {
					err = vfs.WriteAtomic(to, name, b)
				}
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return to, tree("/data")
}

// putBack has a machine that works lose its disk and go on with a copy of a while ago; meanwhile comes between.
func (s *stage) putBack(p *Peer, meanwhile func()) {
	p.drop(false)
	old, err := copied(p.mem)
	if err != nil {
		s.t.Fatal(err)
	}
	p.start()
	s.await(time.Minute, "it is back", func() bool { return s.shard().Replicas[p.id].State == topology.Active })
	s.sleep(5 * time.Second)
	p.drop(true)
	p.mem, p.lost = old, map[string]bool{s.shard().UUID: true}
	meanwhile()
	p.start()
	s.sleep(10 * time.Second)
}

// ballast writes many bytes, in points that nobody looks at, and has them put into files.
func (s *stage) ballast(megabytes int) {
	for k := range 4 * megabytes {
		s.ask("write much", func(ctx context.Context, n *node.Node) error {
			payload := fmt.Appendf(nil, `{"ballast":"%s"}`, bytes.Repeat([]byte{'x'}, 1<<18))
			_, err := n.Update(ctx, all, collectionName, sextant.Upsert{Points: []sextant.Point{{ID: sextant.NumID(uint64(1000000 + k)), Payload: payload,
				Vectors: []sextant.NamedVector{{Vector: sextant.Vector{Values: []float32{1, 2}}}}}}}, node.WriteOptions{Wait: true})
			return err
		})
	}
	s.ask("a snapshot", func(ctx context.Context, n *node.Node) error {
		_, err := n.CreateSnapshot(ctx, all, collectionName, nil)
		return err
	})
}

// abort ends the transfer that is listed.
func (s *stage) abort() {
	if list := s.shard().Transfers; len(list) > 0 {
		_ = s.api("abort", func(ctx context.Context, n *node.Node) error {
			return n.AbortTransfer(ctx, all, collectionName, node.Transfer{From: uint64(list[0].From), To: uint64(list[0].To)}, 10*time.Second)
		})
	}
}

// deafDuring has a machine hear nothing of consensus while a transfer begins, and much is agreed on meanwhile.
func deafDuring(who func(s *stage, sender, receiver *Peer) *Peer) func(s *stage) {
	return func(s *stage) {
		sender, receiver := s.transferTo()
		p := who(s, sender, receiver)
		mute := func(on bool) {
			s.net.change(func() {
				for _, o := range s.peers {
					s.net.link(o.i, p.i).mute = on
				}
			})
		}
		mute(true)
		for k := range 12 {
			s.ask("something else is agreed on", func(ctx context.Context, n *node.Node) error {
				return n.SetMetadata(ctx, all, fmt.Sprint("key", k), []byte("1"), false)
			})
		}
		s.sleep(2 * time.Second)
		mute(false)
		s.sleep(5 * time.Second)
	}
}

// after returns the channel once something is in it.
func (s *stage) after(c <-chan operation) <-chan operation {
	s.await(time.Minute, "an answer", func() bool { return len(c) > 0 })
	return c
}

// The stories that were to be told from the start, each while clients work.
func TestScenarios(t *testing.T) {
	if *seedFlag != 0 {
		t.Skip("-seed asks for one story")
	}
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			out := run(t, Options{Seed: hash(1, sc.name, 0), Machines: sc.machines, Settings: sc.settings}, func(w *World) {
				s := &stage{World: w, t: t}
				w.assemble()
				w.create(1, uint32(sc.machines))
				w.clients(2)
				w.sleep(time.Duration(rand.New(rand.NewPCG(w.seed, 3)).Int64N(int64(2*time.Second))) + 2*time.Second)
				sc.play(s)
				w.heal()
				w.clients(2)
				w.sleep(3 * time.Second)
				w.rest()
				w.finish(true)
			})
			if out.Err != nil {
				t.Error(told(out, 25))
			}
		})
	}
}
