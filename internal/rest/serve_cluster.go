package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
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
		return sextant.Errorf(sextant.Malformed, "%q is no peer id", c.param(0))
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

// transferKey names a transfer.
type transferKey struct {
	Shard  *uint32 `json:"shard_id"`
	From   *uint64 `json:"from_peer_id"`
	To     *uint64 `json:"to_peer_id"`
	Method *string `json:"method"`
	// ToShard is of reshardings and of points that move between keys.
	ToShard *uint32 `json:"to_shard_id"`
}

func (k transferKey) check(operation string) error {
	for name, missing := range map[string]bool{"shard_id": k.Shard == nil, "from_peer_id": k.From == nil, "to_peer_id": k.To == nil} {
		if missing {
			return sextant.Errorf(sextant.Malformed, "Format error in JSON body: %s: missing field `%s`", operation, name)
		}
	}
	if *k.From == *k.To && operation != "abort_transfer" {
		return sextant.Errorf(sextant.Invalid, `Validation error in JSON body: [%s.to_peer_id: cannot transfer shard to itself, "to_peer_id" must be different than %d in "from_peer_id"]`, operation, *k.From)
	}
	if k.Method != nil && !slices.Contains([]string{"stream_records", "snapshot", "wal_delta", "resharding_stream_records"}, *k.Method) {
		return sextant.Errorf(sextant.Malformed, "Format error in JSON body: %s: unknown variant `%s`, expected one of `stream_records`, `snapshot`, `wal_delta`, `resharding_stream_records`", operation, *k.Method)
	}
	if k.ToShard != nil {
		return sextant.Errorf(sextant.NotImplemented, "%s with to_shard_id is not supported by this version", operation)
	}
	return nil
}

type keyBody struct {
	Key       json.RawMessage `json:"shard_key"`
	Shards    *uint32         `json:"shards_number"`
	Factor    *uint32         `json:"replication_factor"`
	Placement []uint64        `json:"placement"`
	Initial   *string         `json:"initial_state"`
}

func (b keyBody) key() (k node.ShardKey, err error) {
	if len(b.Key) == 0 || string(b.Key) == "null" {
		return k, sextant.Errorf(sextant.Malformed, "Format error in JSON body: missing field `shard_key`")
	}
	if err := json.Unmarshal(b.Key, &k); err != nil {
		return k, sextant.Errorf(sextant.Malformed, "Format error in JSON body: shard_key: data did not match any variant of untagged enum ShardKey")
	}
	return k, nil
}

func (b keyBody) request() (node.CreateShardKey, error) {
	k, err := b.key()
	for name, n := range map[string]*uint32{"shards_number": b.Shards, "replication_factor": b.Factor} {
		if n != nil && *n == 0 {
			return node.CreateShardKey{}, sextant.Errorf(sextant.Malformed, "Format error in JSON body: %s: invalid value: integer `0`, expected a nonzero u32", name)
		}
	}
	return node.CreateShardKey{Key: k, Shards: b.Shards, Factor: b.Factor, Placement: b.Placement, InitialState: b.Initial}, err
}

func strictJSON(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("trailing characters")
		}
	}
	if err != nil {
		return sextant.Errorf(sextant.Malformed, "Format error in JSON body: %v", err)
	}
	return nil
}

func (c *call) createShardKey() error {
	if !c.h.node.Settings().Cluster.Enabled {
		return c.h.node.ChangeCluster(c.access, c.param(0))
	}
	timeout, err := c.metaTimeout()
	if err != nil {
		return err
	}
	b, err := c.rawBody()
	if err != nil {
		return err
	}
	return c.withKey(b, func(body keyBody) error {
		k, err := body.request()
		if err != nil {
			return err
		}
		return c.h.node.CreateShardKey(c.r.Context(), c.access, c.param(0), k, timeout)
	})
}

func (c *call) dropShardKey() error {
	if !c.h.node.Settings().Cluster.Enabled {
		return c.h.node.ChangeCluster(c.access, c.param(0))
	}
	timeout, err := c.metaTimeout()
	if err != nil {
		return err
	}
	b, err := c.rawBody()
	if err != nil {
		return err
	}
	return c.withKey(b, func(body keyBody) error {
		k, err := body.key()
		if err != nil {
			return err
		}
		return c.h.node.DropShardKey(c.r.Context(), c.access, c.param(0), k, timeout)
	})
}

func (c *call) withKey(b []byte, do func(keyBody) error) error {
	var body keyBody
	if err := strictJSON(b, &body); err != nil {
		return err
	}
	if err := do(body); err != nil {
		return err
	}
	return c.raw("true")
}

// clusterOperations are what POST …/cluster can be asked for.
var clusterOperations = []string{"replicate_shard", "move_shard", "abort_transfer", "drop_replica", "restart_transfer", "create_sharding_key",
	"drop_sharding_key", "start_resharding", "finish_migrating_points", "commit_read_hash_ring", "commit_write_hash_ring", "finish_resharding",
	"abort_resharding", "replicate_points"}

func (c *call) changeCluster() error {
	if !c.h.node.Settings().Cluster.Enabled {
		return c.h.node.ChangeCluster(c.access, c.param(0))
	}
	timeout, err := c.metaTimeout()
	if err != nil {
		return err
	}
	b, err := c.rawBody()
	if err != nil {
		return err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil || len(all) != 1 {
		return sextant.Errorf(sextant.Malformed, "Format error in JSON body: data did not match any variant of untagged enum ClusterOperations")
	}
	for operation, body := range all {
		if !slices.Contains(clusterOperations, operation) {
			return sextant.Errorf(sextant.Malformed, "Format error in JSON body: unknown operation `%s`", operation)
		}
		if err := c.clusterOperation(operation, body, timeout); err != nil {
			return err
		}
	}
	return c.raw("true")
}

func (c *call) clusterOperation(operation string, b json.RawMessage, timeout time.Duration) error {
	ctx, name, n := c.r.Context(), c.param(0), c.h.node
	switch operation {
	case "replicate_shard", "move_shard", "abort_transfer", "restart_transfer":
		var k transferKey
		if err := strictJSON(b, &k); err != nil {
			return err
		}
		if err := k.check(operation); err != nil {
			return err
		}
		t := node.Transfer{Shard: *k.Shard, From: *k.From, To: *k.To, Sync: operation == "replicate_shard"}
		if k.Method != nil {
			t.Method = *k.Method
		}
		switch operation {
		case "abort_transfer":
			return n.AbortTransfer(ctx, c.access, name, t, timeout)
		case "restart_transfer":
			if k.Method == nil {
				return sextant.Errorf(sextant.Malformed, "Format error in JSON body: %s: missing field `method`", operation)
			}
			return n.RestartTransfer(ctx, c.access, name, t, timeout)
		}
		return n.StartTransfer(ctx, c.access, name, t, timeout)
	case "drop_replica":
		var k struct {
			Shard *uint32 `json:"shard_id"`
			Peer  *uint64 `json:"peer_id"`
		}
		if err := strictJSON(b, &k); err != nil {
			return err
		}
		if k.Shard == nil || k.Peer == nil {
			return sextant.Errorf(sextant.Malformed, "Format error in JSON body: %s: missing field `shard_id` or `peer_id`", operation)
		}
		return n.DropReplica(ctx, c.access, name, *k.Shard, *k.Peer, timeout)
	case "create_sharding_key", "drop_sharding_key":
		var body keyBody
		if err := strictJSON(b, &body); err != nil {
			return err
		}
		k, err := body.request()
		if err != nil {
			return err
		}
		if operation == "drop_sharding_key" {
			return n.DropShardKey(ctx, c.access, name, k.Key, timeout)
		}
		return n.CreateShardKey(ctx, c.access, name, k, timeout)
	}
	if err := n.MayChange(c.access, name); err != nil {
		return err
	}
	return sextant.Errorf(sextant.NotImplemented, "%s is not supported by this version", operation)
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
	timeout, _, err := c.seconds("timeout")
	if err != nil {
		return err
	}
	t, err := c.h.node.ClusterTelemetry(c.r.Context(), c.access, timeout)
	if err != nil {
		return err
	}
	return c.value(showCluster(t))
}
