package replica

import (
	"testing"

	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
)

// What a follower lacks is read from the log once it is there, not again and again until then: a slow disk would be asked
// without end.
func TestLogIsNotReadBeforeItIsDurable(t *testing.T) {
	in := topology.Replica{State: topology.Active, InSync: true}
	shard := func(version uint64, peers ...topology.PeerID) *topology.Shard {
		s := &topology.Shard{UUID: "s", Term: 1, Version: version, Primary: 1, Replicas: map[topology.PeerID]topology.Replica{}}
		for _, p := range peers {
			s.Replicas[p] = in
		}
		return s
	}
	c := newCore(1, 7, order.Stands{}, nil)
	fetches := func() (n int) {
		for _, a := range c.out {
			if a.fetch != nil {
				n++
			}
		}
		c.out = nil
		return n
	}
	c.now = 1
	c.connected(2, 8, true)
	c.show(shard(1, 1), 1)
	c.stored(c.jobs[0].id) // the term; the no-op goes to the disk
	c.show(shard(2, 1, 2), 2)
	if n := fetches(); n != 0 || c.last.Seq != 1 || c.durable != 0 {
		t.Fatalf("%d reads; last %s, durable %d", n, c.last, c.durable)
	}
	f := c.lead.follower(2)
	c.acked(2, &Ack{Term: 1, Session: f.session, Number: f.number, Mismatch: true})
	if n := fetches(); n != 0 {
		t.Fatalf("%d reads of what is not on the disk", n)
	}
	c.stored(c.jobs[0].id)
	if n := fetches(); n != 1 {
		t.Fatalf("%d reads of what is on the disk now", n)
	}
}
