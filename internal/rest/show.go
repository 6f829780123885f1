package rest

import (
	"encoding/json"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/node"
	"github.com/sextantdb/sextant/internal/telemetry"
)

// optimizerStatus is "ok" or an object with the error.
func optimizerStatus(text string) any {
	if text == "" {
		return "ok"
	}
	return map[string]string{"error": text}
}

type warning struct {
	Message string `json:"message"`
}

// indexInfo is a payload index as collection info shows it; params only when it was made with an object.
type indexInfo struct {
	Type   sextant.FieldType `json:"data_type"`
	Params json.RawMessage   `json:"params,omitempty"`
	Points uint64            `json:"points"`
}

type queueInfo struct {
	Length   uint64  `json:"length"`
	Deferred *uint64 `json:"deferred_points,omitempty"`
}

func (c *call) collectionInfo() error {
	info, err := c.h.node.CollectionInfo(c.r.Context(), c.access, c.param(0))
	if err != nil {
		return err
	}
	var warnings []warning
	for _, w := range info.Warnings {
		warnings = append(warnings, warning{w})
	}
	fields := map[string]indexInfo{}
	for key, f := range info.Fields {
		fields[key] = indexInfo{f.Spec.Type, f.Spec.Params, f.Points}
	}
	return c.value(struct {
		Status    string                   `json:"status"`
		Optimizer any                      `json:"optimizer_status"`
		Warnings  []warning                `json:"warnings,omitempty"`
		Indexed   uint64                   `json:"indexed_vectors_count"`
		Points    uint64                   `json:"points_count"`
		Segments  uint64                   `json:"segments_count"`
		Config    sextant.CollectionConfig `json:"config"`
		Fields    map[string]indexInfo     `json:"payload_schema"`
		Queue     queueInfo                `json:"update_queue"`
	}{
		info.Health.String(), optimizerStatus(info.OptimizerError), warnings, info.IndexedVectors, info.Points, info.Segments,
		info.Config, fields, queueInfo{info.QueueLength, info.DeferredPoints},
	})
}

// shardKeyJSON prints a shard key, or leaves it out.
func shardKeyJSON(k *node.ShardKey) json.RawMessage {
	if k == nil {
		return nil
	}
	return appendShardKey(nil, *k)
}

func (c *call) collectionCluster() error {
	info, err := c.h.node.CollectionCluster(c.access, c.param(0))
	if err != nil {
		return err
	}
	type local struct {
		ID     uint32          `json:"shard_id"`
		Key    json.RawMessage `json:"shard_key,omitempty"`
		Points uint64          `json:"points_count"`
		State  string          `json:"state"`
	}
	type remote struct {
		ID    uint32          `json:"shard_id"`
		Key   json.RawMessage `json:"shard_key,omitempty"`
		Peer  uint64          `json:"peer_id"`
		State string          `json:"state"`
	}
	locals, remotes := []local{}, []remote{}
	for _, s := range info.Local {
		locals = append(locals, local{s.ID, shardKeyJSON(s.Key), s.Points, s.State})
	}
	for _, s := range info.Remote {
		remotes = append(remotes, remote{s.ID, shardKeyJSON(s.Key), s.Peer, s.State})
	}
	type transfer struct {
		ID      uint32  `json:"shard_id"`
		ToShard *uint32 `json:"to_shard_id,omitempty"`
		From    uint64  `json:"from"`
		To      uint64  `json:"to"`
		Sync    bool    `json:"sync"`
		Method  string  `json:"method"`
		Comment string  `json:"comment,omitempty"`
	}
	transfers := []transfer{}
	for _, t := range info.Transfers {
		transfers = append(transfers, transfer{t.Shard, t.ToShard, t.From, t.To, t.Sync, t.Method, t.Comment})
	}
	return c.value(struct {
		Peer      uint64     `json:"peer_id"`
		Shards    int        `json:"shard_count"`
		Local     []local    `json:"local_shards"`
		Remote    []remote   `json:"remote_shards"`
		Transfers []transfer `json:"shard_transfers"`
	}{info.PeerID, info.ShardCount, locals, remotes, transfers})
}

type optimizationInfo struct {
	UUID      string        `json:"uuid"`
	Optimizer string        `json:"optimizer"`
	Status    any           `json:"status"`
	Segments  []segmentInfo `json:"segments"`
	Progress  any           `json:"progress"`
}

type pendingInfo struct {
	Optimizer string        `json:"optimizer"`
	Segments  []segmentInfo `json:"segments"`
}

type segmentInfo struct {
	UUID   string `json:"uuid"`
	Points uint64 `json:"points_count"`
}

type optimizationsInfo struct {
	Summary struct {
		Queued         int    `json:"queued_optimizations"`
		QueuedSegments int    `json:"queued_segments"`
		QueuedPoints   uint64 `json:"queued_points"`
		Idle           int    `json:"idle_segments"`
	} `json:"summary"`
	Running   []optimizationInfo  `json:"running"`
	Queued    *[]pendingInfo      `json:"queued,omitempty"`
	Completed *[]optimizationInfo `json:"completed,omitempty"`
	Idle      *[]segmentInfo      `json:"idle_segments,omitempty"`
}

// showOptimizations prints what runs, and the lists that were asked for.
func showOptimizations(all node.Optimizations, with map[string]bool) (v optimizationsInfo) {
	pending := []pendingInfo{}
	for _, b := range all.Queued {
		v.Summary.Queued++
		v.Summary.QueuedSegments += len(b.Segments)
		for _, s := range b.Segments {
			v.Summary.QueuedPoints += s.Points
		}
		pending = append(pending, pendingInfo{b.Optimizer, showSources(b)})
	}
	v.Summary.Idle = len(all.Idle)
	idle := []segmentInfo{}
	for _, s := range all.Idle {
		idle = append(idle, segmentInfo{telemetry.UUID(s.UUID), s.Points})
	}
	v.Running = showBuilds(all.Running)
	if with["queued"] {
		v.Queued = &pending
	}
	if with["completed"] {
		v.Completed = new(showBuilds(all.Completed))
	}
	if with["idle_segments"] {
		v.Idle = &idle
	}
	return v
}

func showSources(b node.Build) []segmentInfo {
	list := []segmentInfo{}
	for _, s := range b.Segments {
		list = append(list, segmentInfo{telemetry.UUID(s.UUID), s.Points})
	}
	return list
}

func showBuilds(builds []node.Build) []optimizationInfo {
	list := []optimizationInfo{}
	for _, b := range builds {
		var status any = b.State
		switch b.State {
		case "cancelled", "error":
			status = map[string]string{b.State: b.Text}
		}
		var progress any = map[string]string{"name": "Segment Optimizing"}
		if b.Progress != nil {
			progress = b.Progress
		}
		list = append(list, optimizationInfo{telemetry.UUID(b.UUID), b.Optimizer, status, showSources(b), progress})
	}
	return list
}
