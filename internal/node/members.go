package node

import (
	"context"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/auth"
	"github.com/sextantdb/sextant/internal/config"
	"github.com/sextantdb/sextant/internal/network"
	"github.com/sextantdb/sextant/internal/topology"
)

// SendFailure is what is wrong with an address of another peer.
type SendFailure = network.Failure

// ClusterInfo is what this node knows of the cluster.
type ClusterInfo struct {
	Enabled                       bool
	PeerID                        uint64
	Peers                         map[uint64]string // addresses
	Term, Commit, Pending, Leader uint64            // Leader 0: unknown
	Role                          string            // "" before the first tick
	Voter                         bool
	Ready                         bool
	Versions                      map[uint64]string // of the program, by peer, as far as they told
	Updated                       time.Time
	Stopped                       bool   // this peer was removed
	Err                           string // why consensus stands still
	Failures                      map[string]network.Failure
}

// standalone refuses what needs a cluster.
func (n *Node) standalone() error {
	if n.cluster != nil {
		return nil
	}
	return sextant.Errorf(sextant.Standalone, "Qdrant is running in standalone mode")
}

// Cluster describes the cluster as this node sees it.
func (n *Node) Cluster(a auth.Access) (ClusterInfo, error) {
	if err := a.GlobalRead(); err != nil {
		return ClusterInfo{}, err
	}
	c := n.cluster
	if c == nil {
		return ClusterInfo{}, nil
	}
	s, state := c.member.Status(), n.machine.State()
	info := ClusterInfo{Enabled: true, PeerID: uint64(n.peer), Peers: map[uint64]string{}, Versions: map[uint64]string{}, Ready: n.Ready(), Term: s.Term, Commit: s.Commit, Pending: s.Pending,
		Leader: s.Leader, Role: s.Role, Voter: s.Voter, Updated: s.Updated, Stopped: s.Removed, Failures: c.net.Failures()}
	if s.Err != nil {
		info.Err = s.Err.Error()
	}
	for id, p := range state.Peers {
		info.Peers[uint64(id)] = p.URI
		if p.Version != "" {
			info.Versions[uint64(id)] = p.Version
		}
	}
	if len(info.Peers) == 0 || s.Removed {
		info.Peers = map[uint64]string{uint64(n.peer): topology.NormalURI(c.o.URI)}
	}
	return info, nil
}

// RemovePeer takes a peer out of the cluster; without force it must hold no replica. An unknown one is no error.
func (n *Node) RemovePeer(ctx context.Context, a auth.Access, id uint64, force bool, timeout time.Duration) error {
	if err := a.GlobalManage(); err != nil {
		return err
	}
	if err := n.standalone(); err != nil {
		return err
	}
	state := n.machine.State()
	if _, known := state.Peers[topology.PeerID(id)]; !known && !state.Holds(topology.PeerID(id)) {
		return nil
	}
	if len(state.Peers) == 1 && topology.PeerID(id) == n.peer {
		return sextant.Errorf(sextant.BadRequest, "Cannot remove peer %d, it is the only one", id)
	}
	return n.changing(ctx, "Remove peer", timeout, func(ctx context.Context) error {
		return n.cluster.member.RemovePeer(ctx, id, topology.Command{RemovePeer: &topology.RemovePeer{ID: topology.PeerID(id), Force: force}}.Encode())
	})
}

// RecoverConsensus asks the leader for its whole state.
func (n *Node) RecoverConsensus(a auth.Access) error {
	if err := a.GlobalManage(); err != nil {
		return err
	}
	if err := n.standalone(); err != nil {
		return err
	}
	n.cluster.member.RecoverImage()
	return nil
}

// MetadataKeys lists the keys of values that users keep in consensus, sorted.
func (n *Node) MetadataKeys(a auth.Access) ([]string, error) {
	if err := a.GlobalRead(); err != nil {
		return nil, err
	}
	if err := n.standalone(); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(n.machine.State().Metadata)), nil
}

// Metadata returns the value of a key; null if there is none.
func (n *Node) Metadata(a auth.Access, key string) (json.RawMessage, error) {
	if err := a.GlobalRead(); err != nil {
		return nil, err
	}
	if err := n.standalone(); err != nil {
		return nil, err
	}
	if v, ok := n.machine.State().Metadata[key]; ok {
		return v, nil
	}
	return json.RawMessage("null"), nil
}

// SetMetadata keeps a value under a key; nil removes it. Without wait it returns at once.
func (n *Node) SetMetadata(ctx context.Context, a auth.Access, key string, value json.RawMessage, wait bool) error {
	if err := a.GlobalManage(); err != nil {
		return err
	}
	if err := n.standalone(); err != nil {
		return err
	}
	command := topology.Command{Metadata: &topology.SetMetadata{Key: key, Value: value}}
	if !wait {
		n.Go("set metadata", func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, metaTimeout)
			defer cancel()
			return n.cluster.Propose(ctx, command)
		})
		return nil
	}
	return n.changing(ctx, "Set metadata", 0, func(ctx context.Context) error { return n.cluster.Propose(ctx, command) })
}

// CreateShardKey is the request for a shard key.
type CreateShardKey struct {
	Key            ShardKey
	Shards, Factor *uint32
	Placement      []uint64 // nil: anywhere
	InitialState   *string  // nil: the request waits until they are Active
}

// CreateShardKey makes a shard key with its shards.
func (n *Node) CreateShardKey(ctx context.Context, a auth.Access, name string, k CreateShardKey, timeout time.Duration) error {
	info, _, err := n.allowed(a, name, auth.Manage)
	if err != nil {
		return err
	}
	if err := n.standalone(); err != nil {
		return err
	}
	own, _, err := n.machine.State().Collection(name)
	if err != nil {
		return err
	}
	if !info.Custom() {
		return sextant.Errorf(sextant.BadRequest, "Shard Key cannot be created with Auto sharding method")
	}
	if k.Placement != nil && len(k.Placement) == 0 {
		return sextant.Errorf(sextant.BadRequest, "Sharding key %s placement cannot be empty. If you want to use random placement, do not specify placement", k.Key)
	}
	state, initial, factor := n.machine.State(), topology.Initializing, info.Config.Params.ReplicationFactor
	if s := k.InitialState; s != nil {
		if initial = topology.ReplicaState(*s); initial != topology.Active && initial != topology.Partial {
			return sextant.Errorf(sextant.BadRequest, "Initial state cannot be %s, only Active or Partial are allowed", *s)
		}
		factor = 1
	}
	where := slices.Sorted(maps.Keys(state.Peers))
	if k.Placement != nil {
		where = nil
		for _, p := range k.Placement {
			if _, ok := state.Peers[topology.PeerID(p)]; !ok {
				return sextant.Errorf(sextant.BadRequest, "Peer %d does not exist", p)
			}
			where = append(where, topology.PeerID(p))
		}
	}
	count := max(info.Config.Params.ShardNumber, 1)
	if k.Shards != nil {
		count = *k.Shards
	}
	if k.Factor != nil {
		factor = *k.Factor
	}
	command := &topology.CreateKey{Collection: own, UUID: info.UUID, Key: k.Key}
	for _, peers := range topology.Deal(int(count), int(max(factor, 1)), where, n.chance()) {
		command.Shards = append(command.Shards, topology.NewShard(n.newUUID(), peers, initial))
	}
	return n.changing(ctx, "Create shard key", timeout, func(ctx context.Context) error {
		if err := n.propose(ctx, topology.Command{CreateKey: command}); err != nil {
			return err
		}
		if initial == topology.Initializing {
			n.cluster.settled(ctx, info.UUID)
		}
		n.cluster.spread(ctx)
		return nil
	})
}

// DropShardKey removes a shard key with its shards and their points.
func (n *Node) DropShardKey(ctx context.Context, a auth.Access, name string, key ShardKey, timeout time.Duration) error {
	info, _, err := n.allowed(a, name, auth.Manage)
	if err != nil {
		return err
	}
	if err := n.standalone(); err != nil {
		return err
	}
	own, _, err := n.machine.State().Collection(name)
	if err != nil {
		return err
	}
	return n.changing(ctx, "Drop shard key", timeout, func(ctx context.Context) error {
		return n.propose(ctx, topology.Command{DropKey: &topology.DropKey{Collection: own, UUID: info.UUID, Key: key}})
	})
}

// chance is where random choices of this node come from.
func (n *Node) chance() *rand.Rand {
	if seed := n.opts.Cluster.Seed; seed != 0 {
		return rand.New(rand.NewPCG(seed, n.cluster.numbers.Add(1)))
	}
	return rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
}

// newUUID names something new.
func (n *Node) newUUID() string {
	if n.opts.Cluster.Seed == 0 {
		return uuid.NewString()
	}
	r := n.chance()
	var b [16]byte
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return uuid.UUID(b).String()
}

// settled waits until no replica of a collection is about to be made; ctx may end before.
func (c *cluster) settled(ctx context.Context, id string) {
	err := c.until(ctx, func() bool {
		for _, info := range c.n.machine.State().Collections {
			if info.UUID != id {
				continue
			}
			for _, shard := range info.Shards {
				for _, r := range shard.Replicas {
					if r.State == topology.Initializing {
						return false
					}
				}
			}
		}
		return true
	})
	if err != nil {
		c.n.log.Warn("some replicas of a new collection are not active yet", "collection", id, "err", err)
	}
}

// shard returns a shard of a collection by its number.
func (n *Node) shard(name string, id uint32) (*topology.Shard, error) {
	own, info, err := n.machine.State().Collection(name)
	if err != nil {
		return nil, err
	}
	s := info.Shards[topology.ShardID(id)]
	if s == nil {
		return nil, sextant.Errorf(sextant.BadRequest, "Shard %d of %s does not exist", id, own)
	}
	return s, nil
}

// DropReplica removes a replica. The last one that is whole stays.
func (n *Node) DropReplica(ctx context.Context, a auth.Access, name string, shard uint32, peer uint64, timeout time.Duration) error {
	s, err := n.forTransfer(a, name, shard, peer)
	if err != nil {
		return err
	}
	return n.changing(ctx, "Drop replica", timeout, func(ctx context.Context) error {
		return n.propose(ctx, topology.Command{DropReplica: &topology.DropReplica{Shard: s.UUID, Peer: topology.PeerID(peer)}})
	})
}

// forTransfer checks what all operations on replicas have in common.
func (n *Node) forTransfer(a auth.Access, name string, shard uint32, peers ...uint64) (*topology.Shard, error) {
	if _, _, err := n.allowed(a, name, auth.Manage); err != nil {
		return nil, err
	}
	if err := n.standalone(); err != nil {
		return nil, err
	}
	s, err := n.shard(name, shard)
	if err != nil {
		return nil, err
	}
	for _, p := range peers {
		if _, ok := n.machine.State().Peers[topology.PeerID(p)]; !ok {
			return nil, sextant.Errorf(sextant.BadRequest, "Peer %d does not exist", p)
		}
	}
	return s, nil
}

// defaults are the numbers of shards of collections whose request names none.
func (c *cluster) defaults(s config.Storage) config.Storage {
	peers := uint32(max(len(c.n.machine.State().Peers), 1))
	if s.Collection.ShardNumber == nil {
		number := peers
		if each := s.Collection.ShardNumberPerNode; each != nil {
			number *= *each
		}
		s.Collection.ShardNumber = &number
	}
	return s
}

// distribute places the shards of a new collection.
func (c *cluster) distribute(made *topology.Collection, archived []shardBody) {
	peers := slices.Sorted(maps.Keys(c.n.machine.State().Peers))
	factor := int(max(made.Config.Params.ReplicationFactor, 1))
	if len(archived) == 0 {
		if made.Custom() {
			return
		}
		for i := range made.Config.Params.ShardNumber {
			archived = append(archived, shardBody{ID: topology.ShardID(i), Elsewhere: true})
		}
	}
	here := slices.ContainsFunc(archived, func(s shardBody) bool { return !s.Elsewhere })
	for i, where := range topology.Distribute(len(archived), factor, peers, c.n.chance()) {
		switch at := slices.Index(where, c.n.peer); {
		case !archived[i].Elsewhere && at < 0:
			where[0] = c.n.peer // who brings the data
		case here && archived[i].Elsewhere && at >= 0:
			others := slices.DeleteFunc(slices.Clone(peers), func(p topology.PeerID) bool { return slices.Contains(where, p) })
			if len(others) > 0 { // who will bring these is another one
				where[at] = others[c.n.chance().IntN(len(others))]
			}
		}
		one := topology.NewShard(c.n.newUUID(), where, topology.Initializing)
		one.Key = archived[i].Key
		made.Shards[archived[i].ID] = &one
	}
}
