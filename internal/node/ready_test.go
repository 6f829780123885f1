package node

import (
	"testing"

	"github.com/sextantdb/sextant/internal/topology"
)

// A peer that comes back is ready when its replicas are as good as they were, or gone; one that stays ready though a replica is
// lost later was ready before.
func TestReadyWaitsForReplicas(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, w *wire, m []*member) {
		replicated(t, m[0].n, "c", 1, 3)
		for i := range m {
			eventually(t, "everybody is ready", m[i].n.Ready)
		}
		m[2].stop(t)
		upsert(t, m[0].n, "c", 0, 1)
		m[2].start(t, w, 2)
		eventually(t, "the peer that is back knows what has happened", func() bool {
			s := m[2].n.machine.State().Collections["c"].Shards[0].Replicas[m[2].n.peer]
			return s.State == topology.Dead && m[2].n.cluster.caught.Load()
		})
		if m[2].n.Ready() {
			t.Error("ready with a replica that is Dead")
		}
		if !m[0].n.Ready() {
			t.Error("what happens to others makes a peer less ready")
		}
		must(t, m[0].n.DropReplica(t.Context(), all, "c", 0, m[2].n.PeerID(), 0))
		eventually(t, "the peer is ready without it", m[2].n.Ready)
	})
}

// A peer that nobody answers serves what it has.
func TestReadyAlone(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, w *wire, m []*member) {
		replicated(t, m[0].n, "c", 1, 1)
		for _, one := range m {
			one.stop(t)
		}
		m[1].start(t, w, 1)
		eventually(t, "a peer alone is ready", m[1].n.Ready)
	})
}
