package sim

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/sextantdb/sextant/internal/node"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/wal"
)

// checker looks at all replicas after each step. What was seen once is kept: what is committed never changes, on nobody.
type checker struct {
	w      *World
	state  *topology.State // the newest that any node has shown
	shards map[string]*truth
	marks  map[held]*seen
	seed   maphash.Seed
	looks  uint64
}

// truth is what is known of a shard, whoever has it.
type truth struct {
	entries []entry // committed ones, from seq 1
	ids     map[wal.RequestID]order.Seq
	states  map[order.Seq]uint64  // digests of what is applied
	reigns  map[order.Term]holder // whose term it is
	commit  order.Seq             // the highest that any replica has claimed
	visible order.Seq             // what was answered as applied everywhere
	by      string                // who claimed it
}

type entry struct {
	term order.Term
	hash uint64
}

type holder struct {
	machine, life int
}

// held is a replica in one life of its process.
type held struct {
	machine, life int
	shard         string
}

// seen is how far a replica was compared.
type seen struct {
	log, applied, digest order.Seq
	data                 any // the generation
}

func (c *checker) init(w *World) {
	c.w, c.shards, c.marks, c.seed = w, map[string]*truth{}, map[held]*seen{}, maphash.MakeSeed()
}

func (c *checker) truth(shard string) *truth {
	t := c.shards[shard]
	if t == nil {
		t = &truth{ids: map[wal.RequestID]order.Seq{}, states: map[order.Seq]uint64{}, reigns: map[order.Term]holder{}}
		c.shards[shard] = t
	}
	return t
}

// check looks at every replica that runs.
func (c *checker) check() {
	c.looks++
	type one struct {
		p  *Peer
		in node.Inside
	}
	var list []one
	for _, p := range c.w.peers {
		p.tend()
		n := p.node()
		if n == nil {
			continue
		}
		state, replicas := n.Inside()
		if c.state == nil || state.Index > c.state.Index {
			c.state = state
			uuid := ""
			if info := state.Collections[collectionName]; info != nil {
				uuid = info.UUID
			}
			if uuid != c.w.history.uuid {
				c.w.history.renew(uuid)
			}
		}
		for _, r := range replicas {
			list = append(list, one{p, r})
		}
	}
	for _, r := range list {
		c.advance(r.p, r.in)
	}
	for _, r := range list {
		c.stands(r.p, r.in)
	}
}

// advance takes over what a replica says is committed, and what it has applied.
func (c *checker) advance(p *Peer, r node.Inside) {
	w, t := c.w, c.truth(r.Shard)
	at := held{p.i, int(p.life.Load()), r.Shard}
	s := c.marks[at]
	if s == nil {
		s = &seen{data: r.Data}
		c.marks[at] = s
	}
	if s.data != any(r.Data) {
		*s = seen{data: r.Data} // another generation
	}
	last, durable, commit, applied := r.Local.Stands()
	if applied == s.applied && min(commit, durable) <= s.log && c.looks%32 != 0 {
		return
	}
	name := fmt.Sprintf("shard %.8s on machine %d", r.Shard, p.i)
	if applied > commit || commit > last.Seq || durable > last.Seq {
		w.fail("invariant 2: %s: applied %d, commit %d, durable %d, last %s", name, applied, commit, durable, last)
	}
	if applied < s.applied {
		w.fail("invariant 2: %s: applied went back from %d to %d", name, s.applied, applied)
	}
	s.applied = applied
	if upTo := min(commit, durable); upTo > s.log {
		c.compare(name, r, s, t, upTo)
	}
	if commit > t.commit && !p.lost[r.Shard] {
		t.commit, t.by = commit, name
	}
	if applied != s.digest {
		digest, pos := r.Data.Digest()
		s.digest = pos.Seq
		now := maphash.Bytes(c.seed, digest)
		if was, known := t.states[pos.Seq]; known && was != now {
			w.fail("invariants 9, 11: %s: the state at entry %d is not that of another replica, or of earlier", name, pos.Seq)
		}
		t.states[pos.Seq] = now
	}
	if status := r.Local.Status(); status.Office { // looked at often enough to see every reign that commits anything
		me := holder{p.i, int(p.life.Load())}
		if was, known := t.reigns[status.Term]; known && was != me {
			w.fail("invariant 4: %s: term %d is that of machine %d in life %d, and of life %d here", name, status.Term, was.machine, was.life, p.life.Load())
		}
		t.reigns[status.Term] = me
	}
}

// compare reads what is committed on a replica and was not compared yet.
func (c *checker) compare(name string, r node.Inside, s *seen, t *truth, upTo order.Seq) {
	from := max(s.log+1, r.Data.Stands().Base.Seq+1)
	s.log = upTo
	if from > upTo {
		return
	}
	reader, err := r.Data.OpenLog(from)
	if err != nil {
		return // it is being closed, or its log begins later
	}
	defer reader.Close()
	for {
		records, err := reader.Next(upTo, 1<<20)
		if err != nil || len(records) == 0 {
			return // the disk may be failing
		}
		for i := range records {
			c.entry(name, t, &records[i])
		}
	}
}

// entry compares one committed entry with what is known of its seq.
func (c *checker) entry(name string, t *truth, r *wal.Record) {
	var h maphash.Hash
	h.SetSeed(c.seed)
	h.WriteByte(byte(r.Kind))
	fmt.Fprint(&h, r.ID)
	h.Write(r.Body)
	now := entry{r.Term, h.Sum64()}
	for order.Seq(len(t.entries)) < r.Seq {
		t.entries = append(t.entries, entry{})
	}
	known := &t.entries[r.Seq-1]
	if *known == (entry{}) {
		*known = now
		if r.ID != (wal.RequestID{}) {
			if was, twice := t.ids[r.ID]; twice && was != r.Seq {
				c.w.fail("a request was logged twice: %s: %v as entry %d and %d", name, r.ID, was, r.Seq)
			}
			t.ids[r.ID] = r.Seq
		}
		return
	}
	if *known != now {
		c.w.fail("invariant 1: %s: entry %d of term %d is committed, and is another one, of term %d, elsewhere", name, r.Seq, r.Term, known.term)
	}
}

// stands checks that a replica that is in sync holds all that is committed, and shows what was answered as applied.
func (c *checker) stands(p *Peer, r node.Inside) {
	t := c.truth(r.Shard)
	shard := c.state.Shard(r.Shard)
	if shard == nil || t.commit == 0 {
		return
	}
	me := shard.Replicas[p.id]
	if !me.InSync {
		delete(p.lost, r.Shard)
		return
	}
	if p.lost[r.Shard] {
		return
	}
	last, durable, _, applied := r.Local.Stands()
	name := func() string { return fmt.Sprintf("shard %.8s on machine %d", r.Shard, p.i) }
	if durable < t.commit {
		c.w.fail("invariant 5: %s is in sync and holds %d (durable %d); %s had %d committed", name(), last.Seq, durable, t.by, t.commit)
	}
	if s := c.marks[held{p.i, int(p.life.Load()), r.Shard}]; s != nil && s.log < min(t.commit, durable) {
		c.compare(name(), r, s, t, min(t.commit, durable))
	}
	if applied < t.visible && me.State.Readable() && r.Local.Readable() == nil {
		c.w.fail("%s can be read at %d, and %d was answered as applied", name(), applied, t.visible)
	}
}

// settled reports whether nothing is left to do: every node that runs has the same topology, every shard a primary in office,
// every replica in sync has everything, and is active. Without that it says what is missing.
func (c *checker) settled(recovered bool) string {
	for _, p := range c.w.peers {
		n := p.node()
		if n == nil {
			return fmt.Sprintf("machine %d does not run", p.i)
		}
		if state, _ := n.Inside(); state.Index != c.state.Index {
			return fmt.Sprintf("machine %d has topology %d of %d", p.i, state.Index, c.state.Index)
		}
		if !n.Ready() {
			return fmt.Sprintf("machine %d is not ready", p.i)
		}
	}
	for name, info := range c.state.Collections {
		for _, id := range info.ShardIDs() {
			if why := c.shardSettled(info.Shards[id], recovered); why != "" {
				return fmt.Sprintf("shard %d of %s: %s", id, name, why)
			}
		}
	}
	return ""
}

func (c *checker) shardSettled(shard *topology.Shard, recovered bool) string {
	var lasts []order.Seq
	office := false
	for _, id := range shard.Peers() {
		replica := shard.Replicas[id]
		if !replica.InSync || replica.State != topology.Active {
			if recovered {
				return fmt.Sprintf("peer %d is %s", id, replica.State)
			}
			if !replica.InSync {
				continue
			}
		}
		r := c.find(id, shard.UUID)
		if r == nil {
			return fmt.Sprintf("peer %d has no replica", id)
		}
		last, _, commit, applied := r.Local.Stands()
		if last.Seq != commit || commit != applied {
			return fmt.Sprintf("peer %d is at %d of %d of %d", id, applied, commit, last.Seq)
		}
		lasts = append(lasts, applied)
		office = office || id == shard.Primary && r.Local.Status().Office
		if err := r.Local.Readable(); err != nil {
			return fmt.Sprintf("peer %d: %v", id, err)
		}
	}
	if !office {
		return "no primary is in office"
	}
	if len(slices.Compact(lasts)) != 1 {
		return fmt.Sprintf("its replicas are at %v", lasts)
	}
	return ""
}

// find returns a replica that runs.
func (c *checker) find(id topology.PeerID, shard string) *node.Inside {
	for _, p := range c.w.peers {
		if n := p.node(); n != nil && p.id == id {
			_, list := n.Inside()
			for i := range list {
				if list[i].Shard == shard {
					return &list[i]
				}
			}
		}
	}
	return nil
}

// picture tells of all shards, for somebody who has to find out what is wrong.
func (c *checker) picture() string {
	var b strings.Builder
	for name, info := range c.state.Collections {
		for _, id := range info.ShardIDs() {
			s := info.Shards[id]
			fmt.Fprintf(&b, "shard %d of %s, %s: term %d, version %d, primary %d, transfers %+v\n", id, name, s.UUID, s.Term, s.Version, s.Primary, s.Transfers)
			for _, peer := range s.Peers() {
				fmt.Fprintf(&b, "  machine %d, peer %d, %+v", c.w.net.machine(peer), peer, s.Replicas[peer])
				if r := c.find(peer, s.UUID); r != nil {
					fmt.Fprintf(&b, ": %+v, readable: %v", r.Local.Status(), r.Local.Readable())
				}
				b.WriteByte('\n')
			}
		}
	}
	return b.String()
}
