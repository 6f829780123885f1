package rest

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/node"
	"github.com/sextantdb/sextant/internal/telemetry"
)

// cluster describes the cluster as this peer sees it.
func (c *call) cluster() error {
	info, err := c.h.node.Cluster(c.access)
	if err != nil {
		return err
	}
	if !info.Enabled {
		return c.raw(`{"status":"disabled"}`)
	}
	type peer struct {
		URI string `json:"uri"`
	}
	peers := map[string]peer{}
	for id, uri := range info.Peers {
		peers[strconv.FormatUint(id, 10)] = peer{uri}
	}
	var leader *uint64
	if info.Leader != 0 {
		leader = &info.Leader
	}
	var role *string
	if info.Role != "" {
		role = &info.Role
	}
	return c.value(struct {
		Status string          `json:"status"`
		PeerID uint64          `json:"peer_id"`
		Peers  map[string]peer `json:"peers"`
		Raft   any             `json:"raft_info"`
		Thread any             `json:"consensus_thread_status"`
		Failed any             `json:"message_send_failures"`
	}{"enabled", info.PeerID, peers, struct {
		Term    uint64  `json:"term"`
		Commit  uint64  `json:"commit"`
		Pending uint64  `json:"pending_operations"`
		Leader  *uint64 `json:"leader"`
		Role    *string `json:"role"`
		Voter   bool    `json:"is_voter"`
	}{info.Term, info.Commit, info.Pending, leader, role, info.Voter}, telemetry.ThreadStatus(info.Stopped, info.Err, info.Updated), showFailures(info.Failures)})
}

type failureView struct {
	Count  uint64    `json:"count"`
	Latest string    `json:"latest_error"`
	At     time.Time `json:"latest_error_timestamp"`
}

// showFailures shows what does not reach others, by address.
func showFailures(list map[string]node.SendFailure) map[string]failureView {
	out := map[string]failureView{}
	for uri, f := range list {
		out[uri] = failureView{f.Count, f.Latest, f.At.UTC()}
	}
	return out
}

func (c *call) removePeer() error {
	if !c.h.node.Settings().Cluster.Enabled {
		return c.h.node.ChangeCluster(c.access, "")
	}
	id, err := strconv.ParseUint(c.param(0), 10, 64)
	if err != nil {
		return sextant.Errorf(sextant.Malformed, "Deserialize error in path parameters: can not parse %q to a u64", c.param(0))
	}
	force, err := c.flag("force", false)
	if err != nil {
		return err
	}
	timeout, err := c.metaTimeout()
	if err != nil {
		return err
	}
	if err := c.h.node.RemovePeer(c.r.Context(), c.access, id, force, timeout); err != nil {
		return err
	}
	return c.raw("true")
}

func (c *call) recoverConsensus() error {
	if err := c.h.node.RecoverConsensus(c.access); err != nil {
		return err
	}
	return c.raw("true")
}

func (c *call) metadataKeys() error {
	keys, err := c.h.node.MetadataKeys(c.access)
	if err != nil {
		return err
	}
	if keys == nil {
		keys = []string{}
	}
	return c.value(keys)
}

func (c *call) metadata() error {
	v, err := c.h.node.Metadata(c.access, c.param(0))
	if err != nil {
		return err
	}
	return c.value(v)
}

func (c *call) setMetadata() error {
	if !c.h.node.Settings().Cluster.Enabled {
		return c.h.node.ChangeCluster(c.access, "")
	}
	wait, err := c.flag("wait", true)
	if err != nil {
		return err
	}
	var value json.RawMessage
	if c.r.Method == "PUT" {
		if value, err = c.rawBody(); err != nil {
			return err
		}
	}
	if err := c.h.node.SetMetadata(c.r.Context(), c.access, c.param(0), value, wait); err != nil {
		return err
	}
	return c.raw("true")
}

// rawBody reads a body that is one JSON value.
func (c *call) rawBody() (json.RawMessage, error) {
	var buf bytes.Buffer
	if err := c.readBody(&buf); err != nil {
		return nil, err
	}
	if !json.Valid(buf.Bytes()) {
		return nil, sextant.Errorf(sextant.Malformed, "Format error in JSON body: it is not valid JSON")
	}
	return buf.Bytes(), nil
}

func (c *call) createShardKey() error {
	return c.changeShards(func(s *scanner) operation { return operation{name: "create_sharding_key", key: s.createKey()} })
}

func (c *call) dropShardKey() error {
	return c.changeShards(func(s *scanner) operation {
		return operation{name: "drop_sharding_key", key: node.CreateShardKey{Key: s.dropKey()}}
	})
}

func (c *call) changeCluster() error { return c.changeShards((*scanner).clusterOperation) }

// changeShards does one operation on the shards of a collection.
func (c *call) changeShards(read func(*scanner) operation) error {
	if !c.h.node.Settings().Cluster.Enabled {
		return c.h.node.ChangeCluster(c.access, c.param(0))
	}
	timeout, err := c.metaTimeout()
	if err != nil {
		return err
	}
	o, err := decode(c, read)
	if err != nil {
		return err
	}
	ctx, name, n := c.r.Context(), c.param(0), c.h.node
	switch o.name {
	case "replicate_shard", "move_shard":
		err = n.StartTransfer(ctx, c.access, name, o.transfer, timeout)
	case "abort_transfer":
		err = n.AbortTransfer(ctx, c.access, name, o.transfer, timeout)
	case "restart_transfer":
		err = n.RestartTransfer(ctx, c.access, name, o.transfer, timeout)
	case "drop_replica":
		err = n.DropReplica(ctx, c.access, name, o.transfer.Shard, o.transfer.From, timeout)
	case "create_sharding_key":
		err = n.CreateShardKey(ctx, c.access, name, o.key, timeout)
	case "drop_sharding_key":
		err = n.DropShardKey(ctx, c.access, name, o.key.Key, timeout)
	case "replicate_points":
		err = n.ReplicatePoints(ctx, c.access, name, o.from, o.to, o.filter, timeout)
	default:
		err = n.Reshard(c.access, name, o.resharding)
	}
	if err != nil {
		return err
	}
	return c.raw("true")
}

// clusterTelemetry shows the whole cluster as this peer can see it.
func (c *call) clusterTelemetry() error {
	if !c.h.node.Settings().Cluster.Enabled {
		return c.h.node.ChangeCluster(c.access, "")
	}
	if v := c.query().Get("details_level"); v != "" { // whatever it says, everything is shown
		if _, err := strconv.ParseUint(v, 10, 32); err != nil {
			return badQuery("details_level: invalid digit found in string")
		}
	}
	o, err := c.readOptions()
	if err != nil {
		return err
	}
	t, err := c.h.node.ClusterTelemetry(c.r.Context(), c.access, o.Timeout)
	if err != nil {
		return err
	}
	return c.value(showCluster(t))
}

// verifyShard has the replicas of a shard compared now; it is our own.
func (c *call) verifyShard() error {
	shard, err := c.shard()
	if err != nil {
		return err
	}
	timeout, err := c.metaTimeout()
	if err != nil {
		return err
	}
	seq, equal, err := c.h.node.VerifyShard(c.r.Context(), c.access, c.param(0), *shard, timeout)
	if err != nil {
		return err
	}
	return c.value(struct {
		Seq   uint64 `json:"seq"`
		Equal bool   `json:"equal"`
	}{seq, equal})
}
