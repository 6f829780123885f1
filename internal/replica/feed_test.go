package replica

import (
	"errors"
	"testing"

	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/wal"
)

// What a receiver could not log, since its disk failed, is taken when it is brought again.
func TestAReceiverTakesAgainWhatItCouldNotLog(t *testing.T) {
	stands := order.Stands{UUID: "s", Last: order.Pos{Seq: 15, Term: 1}, Applied: order.Pos{Seq: 15, Term: 1}, Durable: 15, Commit: 15,
		History: order.History{{Term: 1, First: 1}}}
	c := newCore(2, 1, stands, nil)
	c.show(&topology.Shard{UUID: "s", Term: 1, Version: 3, Primary: 1, Replicas: map[topology.PeerID]topology.Replica{
		1: {State: topology.Active, InSync: true}, 2: {State: topology.Recovery}},
		Transfers: []topology.Transfer{{ID: 9, Attempt: 1, From: 1, To: 2, Method: topology.WALDelta, Sync: true}}}, 1)
	feed := Feed{ID: 9, Attempt: 1, Prev: stands.Last, Records: []wal.Record{{Seq: 16, Term: 1}, {Seq: 17, Term: 1}}}
	for try := range 3 {
		end, err := c.fed(1, feed)
		if err != nil || end != 17 {
			t.Fatalf("try %d: fed up to %d, %v", try, end, err)
		}
		c.failed(errors.New("no space"), stands, nil)
		if c.commit > c.last.Seq {
			t.Fatalf("try %d: entries up to %d are committed, the log ends at %d", try, c.commit, c.last.Seq)
		}
		for _, a := range c.out {
			if a.alarm != "" {
				t.Errorf("try %d: %s", try, a.alarm)
			}
		}
		c.out = nil
	}
}
