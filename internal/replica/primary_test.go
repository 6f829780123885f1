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

// A follower that forgets what it found at a mark, since its process began anew, is asked again at another one: else the receiver
// of a transfer would be under proof for ever.
func TestLostReportMeansAnotherMark(t *testing.T) {
	in := topology.Replica{State: topology.Active, InSync: true}
	v := &topology.Shard{UUID: "s", Term: 1, Version: 1, Primary: 1, Replicas: map[topology.PeerID]topology.Replica{1: in, 2: {State: topology.Partial, InSync: true}},
		Transfers: []topology.Transfer{{ID: 9, Attempt: 1, From: 1, To: 2, Method: topology.WALDelta, Sync: true, Admitted: true}}}
	c := newCore(1, 7, order.Stands{}, nil)
	c.now = 1
	c.connected(2, 8, true)
	c.show(v, 1)
	pump := func() {
		for len(c.jobs) > 0 {
			c.stored(c.jobs[0].id)
		}
		f := c.lead.follower(2)
		c.acked(2, &Ack{Term: 1, Session: f.session, Number: f.number, Match: c.last.Seq, Verified: c.last.Seq, Applied: c.commit, Last: c.last})
		outcomes := []order.Outcome{}
		if c.lead.proof.mark != 0 {
			outcomes = append(outcomes, order.Outcome{Seq: c.lead.proof.mark, Digest: []byte("d")})
		}
		c.reached(c.commit, outcomes, nil)
		c.out = nil
	}
	for range 5 {
		pump()
	}
	first := c.lead.proof.mark
	if first == 0 {
		t.Fatal("no mark")
	}
	for range 10 {
		c.now += c.time.silent / 2
		c.tick()
		pump()
	}
	if c.lead.proof.mark == first {
		t.Fatalf("mark %d is waited for without end", first)
	}
}
