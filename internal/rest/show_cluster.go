package rest

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/sextantdb/sextant/internal/node"
	"github.com/sextantdb/sextant/internal/telemetry"
	"github.com/sextantdb/sextant/internal/topology"
)

// replicaView is a replica as /cluster/telemetry shows it: what the topology says of it, the members of the public schema, and
// members of our own. What its peer did not tell is left out.
type replicaView struct {
	Peer  uint64 `json:"peer_id"`
	State string `json:"state"`
	*node.DataSight
	Primary  bool     `json:"primary"`
	InSync   bool     `json:"in_sync"`
	Term     *uint64  `json:"term,omitempty"` // as its peer knows it
	Last     *uint64  `json:"last,omitempty"`
	Commit   *uint64  `json:"commit,omitempty"`
	Applied  *uint64  `json:"applied,omitempty"`
	Pending  *int     `json:"pending,omitempty"`
	Alarms   *uint64  `json:"alarms,omitempty"`
	Lag      *uint64  `json:"lag_entries,omitempty"`
	Behind   *float64 `json:"lag_seconds,omitempty"`
	Verified *float64 `json:"verified_seconds_ago,omitempty"`
	Error    string   `json:"error,omitempty"`
}

type shardView struct {
	ID       uint32          `json:"id"`
	Key      json.RawMessage `json:"key,omitempty"`
	UUID     string          `json:"uuid"`
	Term     uint64          `json:"term"`
	Version  uint64          `json:"set_version"`
	Primary  uint64          `json:"primary"`
	Replicas []replicaView   `json:"replicas"`
}

type collectionView struct {
	ID        string         `json:"id"`
	Shards    []shardView    `json:"shards"`
	Transfers []transferView `json:"shard_transfers,omitempty"`
}

type transferView struct {
	Shard   uint32  `json:"shard_id"`
	ToShard *uint32 `json:"to_shard_id,omitempty"`
	From    uint64  `json:"from"`
	To      uint64  `json:"to"`
	Sync    bool    `json:"sync"`
	Method  string  `json:"method"`
	Comment string  `json:"comment,omitempty"`
}

type peerView struct {
	URI        string       `json:"uri"`
	Responsive bool         `json:"responsive"`
	Details    *peerDetails `json:"details"`
}

type peerDetails struct {
	Version  string  `json:"version"`
	Role     *string `json:"role"`
	Voter    bool    `json:"is_voter"`
	Term     uint64  `json:"term"`
	Commit   uint64  `json:"commit"`
	Pending  uint64  `json:"num_pending_operations"`
	Thread   any     `json:"consensus_thread_status"`
	Leader   *uint64 `json:"leader"`
	Ready    bool    `json:"ready"`
	Failures any     `json:"message_send_failures"`
	Events   any     `json:"events,omitempty"`
}

// told is what one peer tells of its replica of a shard.
type told struct {
	peer  topology.PeerID
	shard string
}

// showCluster puts what peers tell of their replicas beside what the topology says of them.
func showCluster(t node.ClusterTelemetry) any {
	sights := map[told]*node.ReplicaSight{}
	for peer, s := range t.Peers {
		for i := range replicasOf(s) {
			sights[told{topology.PeerID(peer), s.Replicas[i].Shard}] = &s.Replicas[i]
		}
	}
	collections := map[string]collectionView{}
	for name, info := range t.State.Collections {
		view := collectionView{ID: name, Shards: []shardView{}}
		for _, id := range info.ShardIDs() {
			view.Shards = append(view.Shards, showShard(id, info.Shards[id], sights))
			for _, x := range info.Shards[id].Transfers {
				view.Transfers = append(view.Transfers, transferView{Shard: uint32(id), ToShard: (*uint32)(x.ToShard), From: uint64(x.From), To: uint64(x.To),
					Sync: x.Sync, Method: x.Method, Comment: comment(t.Peers[uint64(x.From)], name, uint32(id), x)})
			}
			for _, x := range info.Shards[id].Copies {
				view.Transfers = append(view.Transfers, transferView{Shard: uint32(id), ToShard: new(uint32(x.ToID)), From: uint64(x.From), To: uint64(x.To),
					Sync: true, Method: topology.StreamRecords})
			}
		}
		collections[name] = view
	}
	peers := map[string]peerView{}
	for id, p := range t.State.Peers {
		peers[strconv.FormatUint(uint64(id), 10)] = showPeer(p.URI, t.Peers[uint64(id)])
	}
	return map[string]any{"collections": collections, "cluster": map[string]any{"enabled": true, "number_of_peers": len(peers), "peers": peers}}
}

func replicasOf(s *node.PeerSight) []node.ReplicaSight {
	if s == nil {
		return nil
	}
	return s.Replicas
}

func showShard(id topology.ShardID, s *topology.Shard, sights map[told]*node.ReplicaSight) shardView {
	view := shardView{ID: uint32(id), Key: shardKeyJSON(s.Key), UUID: s.UUID, Term: uint64(s.Term), Version: s.Version, Primary: uint64(s.Primary)}
	lead := sights[told{s.Primary, s.UUID}]
	for _, p := range s.Peers() {
		r := replicaView{Peer: uint64(p), State: string(s.Replicas[p].State), InSync: s.Replicas[p].InSync, Primary: p == s.Primary}
		if own := sights[told{p, s.UUID}]; own != nil {
			r.DataSight, r.Term, r.Pending, r.Alarms = own.Data, &own.Term, &own.Pending, &own.Alarms
			r.Last, r.Commit, r.Applied, r.Verified, r.Error = &own.Last, &own.Commit, &own.Applied, own.Verified, own.Error
		}
		if lead != nil {
			if f, ok := lead.Followers[uint64(p)]; ok {
				r.Lag, r.Behind, r.Verified = &f.Lag, &f.Behind, f.Verified
				if r.Error == "" {
					r.Error = f.Refusal
				}
			}
		}
		view.Replicas = append(view.Replicas, r)
	}
	return view
}

// comment is what the sender of a transfer tells of it.
func comment(sender *node.PeerSight, collection string, shard uint32, t topology.Transfer) string {
	if sender == nil {
		return ""
	}
	list := sender.Transfers[collection]
	i := slices.IndexFunc(list, func(own node.TransferInfo) bool { return own.Shard == shard && own.To == uint64(t.To) })
	if i < 0 {
		return ""
	}
	return list[i].Comment
}

func showPeer(uri string, s *node.PeerSight) peerView {
	view := peerView{URI: uri}
	if s == nil {
		return view
	}
	view.Responsive = true
	view.Details = &peerDetails{Version: s.Version, Voter: s.Voter, Term: s.Term, Commit: s.Commit, Pending: s.Pending,
		Thread: telemetry.ThreadStatus(s.Stopped, s.Err, s.Updated), Ready: s.Ready, Failures: showFailures(s.Failures)}
	if len(s.Events) > 0 {
		view.Details.Events = s.Events
	}
	if s.Role != "" {
		view.Details.Role = &s.Role
	}
	if s.Leader != 0 {
		view.Details.Leader = &s.Leader
	}
	return view
}
