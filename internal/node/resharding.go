package node

import (
	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/auth"
	"github.com/sextantdb/sextant/internal/topology"
)

// Resharding is one step of a change of the number of shards.
type Resharding struct {
	Step string // as the API names it: start_resharding, …
	Down bool
	Peer *uint64
	Key  *ShardKey
}

// Reshard refuses every step: this version cannot begin a resharding, so none is ever in progress.
func (n *Node) Reshard(a auth.Access, name string, r Resharding) error {
	info, _, err := n.allowed(a, name, auth.Manage)
	if err != nil {
		return err
	}
	if err := n.standalone(); err != nil {
		return err
	}
	state := n.machine.State()
	own := state.Resolve(name)
	switch {
	case r.Step != "start_resharding":
		return sextant.Errorf(sextant.BadRequest, "resharding is not in progress for collection %s", own)
	case !n.settings.Cluster.ReshardingEnabled:
		return sextant.Errorf(sextant.BadRequest, "resharding is only supported in Qdrant Cloud")
	case r.Key != nil && len(info.OfKey(*r.Key)) == 0:
		return sextant.Errorf(sextant.BadRequest, "sharding key %s does not exist for collection %s", *r.Key, own)
	}
	if r.Peer != nil {
		if _, ok := state.Peers[topology.PeerID(*r.Peer)]; !ok {
			return sextant.Errorf(sextant.BadRequest, "Peer %d does not exist", *r.Peer)
		}
	}
	return sextant.Errorf(sextant.NotImplemented, "start_resharding is not supported by this version")
}
