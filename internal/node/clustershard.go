package node

import (
	"context"
	"encoding/json"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/codec"
	"github.com/sextantdb/sextant/internal/collection"
	"github.com/sextantdb/sextant/internal/replica"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/wal"
)

func (c *cluster) requestID() wal.RequestID {
	return wal.RequestID{Peer: uint64(c.n.peer), Life: c.life, Number: c.numbers.Add(1)}
}

func sextant404(s *slot) error {
	return sextant.Errorf(sextant.NotFound, "shard %d is not here any more", s.id)
}

// view is the picture of a collection that requests see: every shard, wherever its replicas are.
func (c *cluster) view(h *hosted, info *topology.Collection) collection.View {
	v := collection.View{Config: info.Config, Fields: info.Fields, Shards: map[topology.ShardID]collection.Shard{},
		Keys: map[topology.ShardID]topology.ShardKey{}, Resident: c.n.space.residentPercent, Searches: c.n.searches}
	if info.Custom() { // judged when a request asks, since states change more often than views
		ids := map[topology.ShardID]string{}
		for id, shard := range info.Shards {
			ids[id] = shard.UUID
		}
		v.Standing = func(id topology.ShardID) collection.Standing {
			return collection.StandingOf(c.n.machine.State().Shard(ids[id]))
		}
		v.Gate = func(ctx context.Context, key topology.ShardKey) (func(), error) {
			return c.passGate(ctx, info.UUID, key)
		}
	}
	for id, shard := range info.Shards {
		v.Shards[id] = &clusterShard{c: c, h: h, id: id, set: c.set(h, id, shard.UUID), uuid: shard.UUID}
		if shard.Key != nil {
			v.Keys[id] = *shard.Key
		}
	}
	return v
}

// set returns the coordinator's side of a shard.
func (c *cluster) set(h *hosted, id topology.ShardID, uuid string) *replica.Set {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sets[uuid]; s != nil {
		return s
	}
	s := replica.NewSet(replica.SetOptions{Self: c.n.peer, Life: c.life, Numbers: &c.numbers, Seed: c.o.Seed + uint64(id),
		Shard: func() (*topology.Shard, uint64) {
			state := c.n.machine.State()
			return state.Shard(uuid), state.Index
		},
		Moved: c.n.machine.Watch,
		Local: func() (*replica.Local, replica.Reader) {
			local, slot := c.hub.Local(uuid), h.slots()[id]
			if local == nil || slot == nil {
				return nil, nil
			}
			return local, slot.current()
		},
		Peers: peers{c}, Alive: c.hub.Alive, Suspect: c.accuser.Suspect,
		Factor: func() int {
			state := c.n.machine.State()
			if name, _, ok := state.Place(uuid); ok {
				return int(state.Collections[name].Config.Params.WriteConsistencyFactor)
			}
			return 1
		}})
	c.sets[uuid] = s
	return s
}

// clusterShard is a shard of a cluster as collections see it.
type clusterShard struct {
	c    *cluster
	h    *hosted
	id   topology.ShardID
	uuid string
	set  *replica.Set
}

// Update goes on when the client goes away.
func (s *clusterShard) Update(ctx context.Context, u sextant.Update, wait sextant.Wait) (sextant.Receipt, error) {
	inner := context.WithoutCancel(ctx)
	cancel := context.CancelFunc(func() {})
	if deadline, ok := ctx.Deadline(); ok {
		inner, cancel = context.WithDeadline(inner, deadline)
	}
	defer cancel()
	return s.set.Update(inner, u, wait)
}

func (s *clusterShard) Query(ctx context.Context, q sextant.Query) ([]sextant.ScoredPoint, error) {
	a, err := s.set.Read(ctx, codec.Read{Query: &q})
	return a.Points, err
}

func (s *clusterShard) Scroll(ctx context.Context, sc sextant.Scroll) ([]sextant.Record, *sextant.PointID, error) {
	a, err := s.set.Read(ctx, codec.Read{Scroll: &sc})
	return a.Records, a.Next, err
}

func (s *clusterShard) Retrieve(ctx context.Context, ids []sextant.PointID, p sextant.PayloadSelector, v sextant.VectorSelector) ([]sextant.Record, error) {
	a, err := s.set.Read(ctx, codec.Read{Retrieve: &codec.Retrieve{IDs: ids, Payload: p, Vectors: v}})
	return a.Records, err
}

func (s *clusterShard) Count(ctx context.Context, f *sextant.Filter, exact bool) (uint64, error) {
	a, err := s.set.Read(ctx, codec.Read{Count: &codec.Count{Filter: f, Exact: exact}})
	return a.Count, err
}

// here is the shard on this node, if it may be asked.
func (s *clusterShard) here() shard {
	local, slot := s.c.hub.Local(s.uuid), s.h.slots()[s.id]
	if local == nil || slot == nil || local.Readable() != nil {
		return nil
	}
	return slot.current()
}

// shardSight is what a peer tells of a shard.
type shardSight struct {
	Info   collection.ShardInfo
	Builds collection.Optimizations
	Memory collection.Memory
}

// infoTime bounds the question to another peer how a shard is.
const infoTime = 2 * time.Second

// elsewhere asks a peer that has the shard.
func (s *clusterShard) elsewhere() shardSight {
	now := s.c.n.machine.State().Shard(s.uuid)
	if now == nil {
		return shardSight{}
	}
	for _, p := range now.Readable() {
		if p == s.c.n.peer || !s.c.hub.Alive(p) {
			continue
		}
		ctx, cancel := context.WithTimeout(s.c.n.life, infoTime)
		b, err := s.c.net.Call(ctx, p, callInfo, []byte(s.uuid))
		cancel()
		var out shardSight
		if err == nil && json.Unmarshal(b, &out) == nil {
			return out
		}
	}
	return shardSight{Info: collection.ShardInfo{Health: collection.Yellow}}
}

func (s *clusterShard) Info() collection.ShardInfo {
	if own := s.here(); own != nil {
		return own.Info()
	}
	return s.elsewhere().Info
}

func (s *clusterShard) Optimizations() collection.Optimizations {
	if own := s.here(); own != nil {
		return own.Optimizations()
	}
	return s.elsewhere().Builds
}

func (s *clusterShard) Memory() collection.Memory {
	if own := s.here(); own != nil {
		return own.Memory()
	}
	return s.elsewhere().Memory
}

// alignAll has the primaries of all shards take over the schema of the topology.
func (c *cluster) alignAll(ctx context.Context, h *hosted, w collection.Write) (sextant.Receipt, error) {
	_, info, err := c.n.machine.State().Collection(h.c.Name())
	if err != nil {
		return sextant.Receipt{}, err
	}
	nothing := map[topology.ShardID]sextant.Update{}
	for id := range info.Shards {
		nothing[id] = sextant.DeletePoints{Selector: sextant.Selector{IDs: []sextant.PointID{}}}
	}
	if len(nothing) == 0 {
		return sextant.Receipt{}, nil
	}
	return h.c.Each(ctx, nothing, collection.Write{Default: w.Default})
}
