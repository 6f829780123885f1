package node

import (
	"maps"
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/auth"
	"github.com/sextantdb/sextant/internal/topology"
)

// CollectionCluster tells where the shards of a collection are.
func (n *Node) CollectionCluster(a auth.Access, name string) (CollectionCluster, error) {
	c, h, err := n.allowed(a, name, auth.ReadExtra)
	if err != nil {
		return CollectionCluster{}, err
	}
	out := CollectionCluster{PeerID: uint64(n.peer), ShardCount: len(c.Shards)}
	for _, id := range c.ShardIDs() {
		shard := c.Shards[id]
		for _, peer := range slices.Sorted(maps.Keys(shard.Replicas)) {
			if peer != n.peer {
				out.Remote = append(out.Remote, RemoteShard{ID: uint32(id), Key: shard.Key, Peer: uint64(peer), State: string(shard.Replicas[peer].State)})
			} else if s := h.slots()[id]; s != nil {
				word := s.word()
				if n.cluster != nil {
					word = string(shard.Replicas[peer].State)
				}
				out.Local = append(out.Local, LocalShard{ID: uint32(id), Key: shard.Key, Points: s.current().Info().Points, State: word})
			} else if n.cluster != nil {
				out.Local = append(out.Local, LocalShard{ID: uint32(id), Key: shard.Key, State: string(shard.Replicas[peer].State)})
			}
		}
	}
	out.Transfers = n.transfersOf(c)
	return out, nil
}

// word is the state of a replica as the API shows it.
func (s *slot) word() string {
	switch broken, loading := s.state(); {
	case loading:
		return string(topology.ManualRecovery)
	case broken != nil:
		return string(topology.Dead)
	}
	return string(topology.Active)
}

// ChangeCluster is the access check and refusal of everything that needs a cluster. name "" is what no collection owns.
func (n *Node) ChangeCluster(a auth.Access, name string) error {
	err := a.GlobalManage()
	if name != "" {
		_, _, err = n.allowed(a, name, auth.Manage)
	}
	if err != nil {
		return err
	}
	return sextant.Errorf(sextant.Standalone, "Qdrant is running in standalone mode")
}

// ShardKeys lists the shard keys; ok is false with automatic sharding.
func (n *Node) ShardKeys(a auth.Access, name string) (keys []ShardKey, ok bool, err error) {
	c, _, err := n.allowed(a, name, auth.Read)
	if err != nil {
		return nil, false, err
	}
	for _, id := range c.ShardIDs() {
		if key := c.Shards[id].Key; key != nil && !slices.Contains(keys, *key) {
			keys = append(keys, *key)
		}
	}
	method := c.Config.Params.ShardingMethod
	return keys, method != nil && *method == "custom", nil
}

// Optimizations lists builds: all that run and wait, the newest completed ones, and segments without work.
func (n *Node) Optimizations(a auth.Access, name string, completedLimit int) (Optimizations, error) {
	_, h, err := n.allowed(a, name, auth.Read)
	if err != nil {
		return Optimizations{}, err
	}
	return h.c.Optimizations(completedLimit), nil
}

// Memory reports what a collection takes.
func (n *Node) Memory(a auth.Access, name string) (Memory, error) {
	_, h, err := n.allowed(a, name, auth.Read)
	if err != nil {
		return Memory{}, err
	}
	return h.c.Memory(), nil
}

// Collections reports every collection that the caller may see, by name, for telemetry and metrics.
func (n *Node) Collections(a auth.Access) []CollectionReport {
	var out []CollectionReport
	state := n.machine.State()
	for _, name := range n.ListCollections(a) {
		c := state.Collections[name]
		if c == nil {
			continue
		}
		h := (*n.hosted.Load())[c.UUID]
		if h == nil {
			continue
		}
		r := CollectionReport{Name: name, InitTime: h.took, Config: c.Config, SnapshotsCreated: h.created.Load(),
			SnapshotsCreating: int(h.creating.Load()), SnapshotsLoading: int(h.loading.Load())}
		if n.cluster != nil {
			r.Transfers = n.transfersOf(c)
		}
		for _, id := range c.ShardIDs() {
			report := ShardReport{ID: uint32(id), Key: c.Shards[id].Key, Replicas: n.states(c.Shards[id])}
			s := h.slots()[id]
			if s == nil {
				if n.cluster != nil {
					r.Shards = append(r.Shards, report)
				}
				continue
			}
			now := s.current()
			report.State, report.Info, report.Builds = s.word(), now.Info(), now.Optimizations()
			if n.cluster != nil {
				report.State = report.Replicas[uint64(n.peer)]
				stands := n.cluster.replicaSight(name, s, c.Shards[id])
				report.Stands = &stands
			} else {
				report.Replicas = map[uint64]string{uint64(n.peer): report.State}
			}
			broken, loading := s.state()
			if report.Recovery = loading; broken != nil {
				report.Error = broken.Error()
			}
			r.Shards = append(r.Shards, report)
		}
		out = append(out, r)
	}
	return out
}
