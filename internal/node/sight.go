package node

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sextantdb/sextant/internal/auth"
	"github.com/sextantdb/sextant/internal/topology"
)

// ReplicaSight is what a peer tells of one of its replicas. Numbers of entries are seqs.
type ReplicaSight struct {
	Shard      string `json:"shard"` // uuid
	Collection string `json:"collection"`
	ID         uint32 `json:"id"`
	// As the topology of the peer has it.
	State   string `json:"state"`
	InSync  bool   `json:"in_sync"`
	Primary uint64 `json:"primary"` // a peer
	Term    uint64 `json:"term"`
	Version uint64 `json:"set_version"`

	Last     uint64 `json:"last"`
	Durable  uint64 `json:"durable"`
	Commit   uint64 `json:"commit"`
	Applied  uint64 `json:"applied"`
	Readable bool   `json:"readable"`
	Pending  int    `json:"pending"` // operations under way, of the primary
	Alarms   uint64 `json:"alarms"`  // since the start of the process
	// SentBytes and SentEntries went to the receivers of transfers since the start of the process; bytes both ways, without the wire's.
	SentBytes   uint64 `json:"transfer_sent_bytes"`
	SentEntries uint64 `json:"transfer_sent_entries"`
	// Of the primary in office, by peer: how far the others are.
	Office    bool                     `json:"office"`
	Followers map[uint64]FollowerSight `json:"followers,omitempty"`
	Verified  *float64                 `json:"verified_seconds_ago,omitempty"`
	Error     string                   `json:"error,omitempty"`
	Data      *DataSight               `json:"data,omitempty"` // nil: nobody asked, or it cannot be read
}

// DataSight is what a replica holds, as the telemetry of the whole cluster shows it.
type DataSight struct {
	Status       string            `json:"status"` // green, yellow, grey, red
	Optimized    uint64            `json:"total_optimized_points"`
	VectorBytes  uint64            `json:"vectors_size_bytes"`
	PayloadBytes uint64            `json:"payloads_size_bytes"`
	Points       uint64            `json:"num_points"`
	Vectors      uint64            `json:"num_vectors"`
	ByName       map[string]uint64 `json:"num_vectors_by_name,omitempty"`
}

// FollowerSight is a replica as its primary sees it.
type FollowerSight struct {
	Connected bool     `json:"connected"`
	Match     uint64   `json:"match"`
	Applied   uint64   `json:"applied"`
	Lag       uint64   `json:"lag_entries"`
	Behind    float64  `json:"lag_seconds"`
	InFlight  int      `json:"in_flight_bytes"`
	Refusal   string   `json:"refusal,omitempty"` // why it takes no entries
	Verified  *float64 `json:"verified_seconds_ago,omitempty"`
	Admitted  bool     `json:"admitted,omitempty"` // the receiver of a transfer that is counted already
}

// PeerSight is what a peer tells of itself.
type PeerSight struct {
	Version   string                    `json:"version"`
	Role      string                    `json:"role"`
	Voter     bool                      `json:"is_voter"`
	Term      uint64                    `json:"term"`
	Commit    uint64                    `json:"commit"`
	Pending   uint64                    `json:"num_pending_operations"`
	Leader    uint64                    `json:"leader,omitempty"`
	Updated   time.Time                 `json:"updated"`
	Err       string                    `json:"err,omitempty"`
	Stopped   bool                      `json:"stopped,omitempty"`
	Ready     bool                      `json:"ready"`
	Failures  map[string]SendFailure    `json:"failures,omitempty"` // by address, since the last message that arrived
	Replicas  []ReplicaSight            `json:"replicas"`
	Transfers map[string][]TransferInfo `json:"transfers,omitempty"` // by collection, those that this peer drives
	Events    []Event                   `json:"events,omitempty"`    // the last ones, oldest first
}

// sight tells of this peer.
func (c *cluster) sight() PeerSight {
	s := c.member.Status()
	out := PeerSight{Version: c.n.opts.Version, Role: s.Role, Voter: s.Voter, Term: s.Term, Commit: s.Commit, Pending: s.Pending, Leader: s.Leader,
		Updated: s.Updated, Stopped: s.Removed, Ready: c.n.Ready(), Failures: c.net.Failures(), Replicas: []ReplicaSight{}}
	if s.Err != nil {
		out.Err = s.Err.Error()
	}
	c.mu.Lock()
	out.Events = slices.Clone(c.events)
	c.mu.Unlock()
	state := c.n.machine.State()
	for _, name := range slices.Sorted(maps.Keys(state.Collections)) {
		info := state.Collections[name]
		h := (*c.n.hosted.Load())[info.UUID]
		if h == nil {
			continue
		}
		slots := h.slots()
		for _, id := range slices.Sorted(maps.Keys(slots)) {
			one := c.replicaSight(name, slots[id], info.Shards[id])
			if broken, _ := slots[id].state(); broken == nil {
				now := slots[id].current()
				data := dataOf(now.Info(), now.Optimizations())
				one.Data = &data
			}
			out.Replicas = append(out.Replicas, one)
		}
		for _, t := range c.n.transfersOf(info) {
			if t.From == uint64(c.n.peer) {
				if out.Transfers == nil {
					out.Transfers = map[string][]TransferInfo{}
				}
				out.Transfers[name] = append(out.Transfers[name], t)
			}
		}
	}
	return out
}

func dataOf(i ShardInfo, builds Optimizations) DataSight {
	out := DataSight{Status: i.Health.String(), VectorBytes: i.VectorBytes, PayloadBytes: i.PayloadBytes, Points: i.Points, ByName: i.Vectors,
		Optimized: builds.Optimized()}
	for _, n := range i.Vectors {
		out.Vectors += n
	}
	return out
}

// replicaSight tells where a replica of this node stands. It costs little: nothing is asked of the data.
func (c *cluster) replicaSight(name string, s *slot, shard *topology.Shard) ReplicaSight {
	out := ReplicaSight{Shard: s.uuid, Collection: name, ID: uint32(s.id), SentBytes: s.sent.bytes.Load(), SentEntries: s.sent.entries.Load()}
	if shard != nil {
		own := shard.Replicas[c.n.peer]
		out.State, out.InSync, out.Primary, out.Term, out.Version = string(own.State), own.InSync, uint64(shard.Primary), uint64(shard.Term), shard.Version
	}
	if broken, _ := s.state(); broken != nil {
		out.Error = broken.Error()
	}
	local := c.hub.Local(s.uuid)
	if local == nil {
		return out
	}
	at := local.Status()
	out.Last, out.Durable, out.Commit, out.Applied = uint64(at.Last), uint64(at.Durable), uint64(at.Commit), uint64(at.Applied)
	out.Readable, out.Office, out.Pending, out.Alarms, out.Verified = local.Readable() == nil, at.Office, at.Pending, at.Alarms, secondsAgo(at.Verified, at.Proven)
	if at.Broken != nil {
		out.Error = at.Broken.Error()
	}
	for _, f := range at.Followers {
		if out.Followers == nil {
			out.Followers = map[uint64]FollowerSight{}
		}
		out.Followers[uint64(f.Peer)] = FollowerSight{Connected: f.Connected, Match: uint64(f.Match), Applied: uint64(f.Applied), Lag: f.Lag,
			Behind: f.Behind.Seconds(), InFlight: f.InFlight, Refusal: f.Refusal, Verified: secondsAgo(f.Verified, f.Proven), Admitted: f.Admitee}
	}
	return out
}

func secondsAgo(d time.Duration, known bool) *float64 {
	if !known {
		return nil
	}
	v := d.Seconds()
	return &v
}

// states are the states of the replicas of a shard, by peer.
func (n *Node) states(s *topology.Shard) map[uint64]string {
	out := make(map[uint64]string, len(s.Replicas))
	for p, r := range s.Replicas {
		out[uint64(p)] = string(r.State)
	}
	return out
}

// transfersOf lists the transfers of a collection, and how far those are that have a task here.
func (n *Node) transfersOf(c *topology.Collection) (list []TransferInfo) {
	if n.cluster == nil {
		return nil
	}
	for _, id := range c.ShardIDs() {
		for _, t := range c.Shards[id].Transfers {
			list = append(list, TransferInfo{Shard: uint32(id), ToShard: (*uint32)(t.ToShard), From: uint64(t.From), To: uint64(t.To), Sync: t.Sync,
				Method: t.Method, Comment: n.cluster.comment(c.Shards[id].UUID, t)})
		}
		for _, x := range c.Shards[id].Copies {
			list = append(list, TransferInfo{Shard: uint32(id), ToShard: new(uint32(x.ToID)), From: uint64(x.From), To: uint64(x.To), Sync: true,
				Method: topology.StreamRecords, Comment: n.cluster.commentOf(copyKey(c.Shards[id].UUID, x.ID))})
		}
	}
	return list
}

// ClusterTelemetry is the whole cluster as this node can see it now.
type ClusterTelemetry struct {
	State *topology.State
	Peers map[uint64]*PeerSight // nil: it did not answer
}

// ClusterTelemetry asks every peer how it is.
func (n *Node) ClusterTelemetry(ctx context.Context, a auth.Access, timeout time.Duration) (ClusterTelemetry, error) {
	if err := a.GlobalRead(); err != nil {
		return ClusterTelemetry{}, err
	}
	if err := n.standalone(); err != nil {
		return ClusterTelemetry{}, err
	}
	if timeout <= 0 {
		timeout = time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c := n.cluster
	out := ClusterTelemetry{State: n.machine.State(), Peers: map[uint64]*PeerSight{}}
	var mu sync.Mutex
	var all sync.WaitGroup
	for p := range out.State.Peers {
		if p == n.peer {
			own := c.sight()
			mu.Lock()
			out.Peers[uint64(p)] = &own
			mu.Unlock()
			continue
		}
		all.Go(func() {
			var told *PeerSight
			if b, err := c.net.Call(ctx, p, callSight, nil); err == nil && json.Unmarshal(b, &told) != nil {
				told = nil
			}
			mu.Lock()
			defer mu.Unlock()
			out.Peers[uint64(p)] = told
		})
	}
	all.Wait()
	return out, nil
}
