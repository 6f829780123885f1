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

// ReplicaSight is what a peer tells of one of its replicas.
type ReplicaSight struct {
	Shard      string `json:"shard"` // uuid
	Collection string `json:"collection"`
	ID         uint32 `json:"id"`
	Points     uint64 `json:"points"`
	Last       uint64 `json:"last"`
	Commit     uint64 `json:"commit"`
	Applied    uint64 `json:"applied"`
	Readable   bool   `json:"readable"`
	// Of the primary in office, by peer: how far the others are.
	Office    bool                     `json:"office"`
	Followers map[uint64]FollowerSight `json:"followers,omitempty"`
	Verified  *float64                 `json:"verified_seconds_ago,omitempty"`
	Error     string                   `json:"error,omitempty"`
}

// FollowerSight is a replica as its primary sees it.
type FollowerSight struct {
	Match    uint64   `json:"match"`
	Applied  uint64   `json:"applied"`
	Lag      uint64   `json:"lag_entries"`
	Behind   float64  `json:"lag_seconds"`
	Verified *float64 `json:"verified_seconds_ago,omitempty"`
}

// PeerSight is what a peer tells of itself.
type PeerSight struct {
	Version  string         `json:"version"`
	Role     string         `json:"role"`
	Voter    bool           `json:"is_voter"`
	Term     uint64         `json:"term"`
	Commit   uint64         `json:"commit"`
	Pending  uint64         `json:"num_pending_operations"`
	Updated  time.Time      `json:"updated"`
	Err      string         `json:"err,omitempty"`
	Stopped  bool           `json:"stopped,omitempty"`
	Replicas []ReplicaSight `json:"replicas"`
}

// sight tells of this peer.
func (c *cluster) sight() PeerSight {
	s := c.member.Status()
	out := PeerSight{Version: c.n.opts.Version, Role: s.Role, Voter: s.Voter, Term: s.Term, Commit: s.Commit, Pending: s.Pending, Updated: s.Updated, Stopped: s.Removed, Replicas: c.n.Replicas()}
	if s.Err != nil {
		out.Err = s.Err.Error()
	}
	return out
}

// Replicas tells where every replica of this node stands, by collection and shard; nothing on a standalone node.
func (n *Node) Replicas() []ReplicaSight {
	c := n.cluster
	if c == nil {
		return nil
	}
	out := []ReplicaSight{}
	state := n.machine.State()
	for _, name := range slices.Sorted(maps.Keys(state.Collections)) {
		h := (*n.hosted.Load())[state.Collections[name].UUID]
		if h == nil {
			continue
		}
		slots := h.slots()
		for _, id := range slices.Sorted(maps.Keys(slots)) {
			s := slots[id]
			one := ReplicaSight{Shard: s.uuid, Collection: name, ID: uint32(id)}
			if broken, _ := s.state(); broken != nil {
				one.Error = broken.Error()
			}
			local := c.hub.Local(s.uuid)
			if local == nil {
				out = append(out, one)
				continue
			}
			seconds := func(d time.Duration, known bool) *float64 {
				if !known {
					return nil
				}
				v := d.Seconds()
				return &v
			}
			at := local.Status()
			one.Points = s.current().Info().Points
			one.Last, one.Commit, one.Applied = uint64(at.Last), uint64(at.Commit), uint64(at.Applied)
			one.Readable, one.Office, one.Verified = local.Readable() == nil, at.Office, seconds(at.Verified, at.Proven)
			if at.Broken != nil {
				one.Error = at.Broken.Error()
			}
			for _, f := range at.Followers {
				if one.Followers == nil {
					one.Followers = map[uint64]FollowerSight{}
				}
				one.Followers[uint64(f.Peer)] = FollowerSight{Match: uint64(f.Match), Applied: uint64(f.Applied), Lag: f.Lag, Behind: f.Behind.Seconds(), Verified: seconds(f.Verified, f.Proven)}
			}
			out = append(out, one)
		}
	}
	return out
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
