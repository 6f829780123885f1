package node

import (
	"slices"

	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/replica"
	"github.com/sextantdb/sextant/internal/topology"
)

// Inside is a replica of this node with its protocol and its data, for those who look inside: the simulation.
type Inside struct {
	Shard string // uuid
	Local *replica.Local
	Data  *engine.Shard
}

// Inside returns the topology as this node knows it, and the replicas that are open here, by uuid.
func (n *Node) Inside() (*topology.State, []Inside) {
	var list []Inside
	for _, h := range *n.hosted.Load() {
		for _, s := range h.slots() {
			data, ok := s.current().(*engineShard)
			if local := n.cluster.hub.Local(s.uuid); ok && local != nil {
				list = append(list, Inside{Shard: s.uuid, Local: local, Data: data.Shard})
			}
		}
	}
	slices.SortFunc(list, func(a, b Inside) int { return compareText(a.Shard, b.Shard) })
	return n.machine.State(), list
}
