package rest

import (
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/node"
)

// operation is what POST …/cluster is asked for. What else is set depends on its name.
type operation struct {
	name       string
	transfer   node.Transfer // of drop_replica, Shard and From
	key        node.CreateShardKey
	from, to   node.ShardKey // of replicate_points, as is filter
	filter     *sextant.Filter
	resharding node.Resharding
}

var clusterFields = fieldSet{names: []string{"replicate_shard", "move_shard", "abort_transfer", "drop_replica", "restart_transfer",
	"create_sharding_key", "drop_sharding_key", "start_resharding", "finish_migrating_points", "commit_read_hash_ring",
	"commit_write_hash_ring", "finish_resharding", "abort_resharding", "replicate_points"}}

// clusterOperation reads an object with one key, the operation.
func (s *scanner) clusterOperation() (o operation) {
	s.space()
	start, count := s.pos, 0
	for name := range clusterFields.of(s) {
		s.in(name)
		o.name = name
		count++
		switch name {
		case "replicate_shard", "move_shard", "abort_transfer", "restart_transfer":
			o.transfer = s.transferKey(name)
		case "drop_replica":
			o.transfer.Shard, o.transfer.From = s.replica()
		case "create_sharding_key":
			o.key = s.createKey()
		case "drop_sharding_key":
			o.key.Key = s.dropKey()
		case "replicate_points":
			o.from, o.to, o.filter = s.replicatePoints()
		default:
			o.resharding = s.reshardingStep(name)
		}
		s.out()
	}
	if count != 1 {
		s.failAt(start, "data did not match any variant of untagged enum ClusterOperations: expected %s", oneOf(clusterFields.names))
	}
	return o
}

var (
	transferFields = fieldSet{names: []string{"shard_id", "from_peer_id", "to_peer_id", "method", "to_shard_id"},
		required: []string{"shard_id", "from_peer_id", "to_peer_id"}}
	restartFields = fieldSet{names: transferFields.names, required: append(slices.Clone(transferFields.required), "method")}
)

const reshardingMethod = "resharding_stream_records"

// transferKey reads which transfer is meant.
func (s *scanner) transferKey(operation string) node.Transfer {
	fields := &transferFields
	if operation == "restart_transfer" {
		fields = &restartFields
	}
	t := node.Transfer{Sync: operation == "replicate_shard"}
	for name := range fields.of(s) {
		switch name {
		case "shard_id":
			t.Shard = s.uint32()
		case "from_peer_id":
			t.From = s.uint64()
		case "to_peer_id":
			t.To = s.uint64()
		case "method":
			t.Method = s.enum("stream_records", "snapshot", "wal_delta", reshardingMethod)
		case "to_shard_id":
			t.ToShard = new(s.uint32())
		}
	}
	if t.From == t.To && operation != "abort_transfer" && s.err == nil {
		s.violated("to_peer_id", `cannot transfer shard to itself, "to_peer_id" must be different than %d in "from_peer_id"`, t.From)
	}
	switch {
	case t.ToShard == nil || operation == "abort_transfer":
	case t.Method != reshardingMethod:
		s.refuse(sextant.Errorf(sextant.BadRequest,
			"Target shard %d can only be set for ReshardingStreamRecords or filtered streaming records transfers", *t.ToShard))
	default:
		s.lacks("%s with to_shard_id", operation)
	}
	return t
}

var replicaFields = allOf("shard_id", "peer_id")

func (s *scanner) replica() (shard uint32, peer uint64) {
	for name := range replicaFields.of(s) {
		if name == "shard_id" {
			shard = s.uint32()
		} else {
			peer = s.uint64()
		}
	}
	return shard, peer
}

// replicaStates are all words for the state of a replica.
var replicaStates = []string{"Active", "Dead", "Partial", "Initializing", "Listener", "PartialSnapshot", "Recovery", "Resharding",
	"ReshardingScaleDown", "ActiveRead", "ManualRecovery"}

var (
	createKeyFields = fieldSet{names: []string{"shard_key", "shards_number", "replication_factor", "placement", "initial_state"}, required: []string{"shard_key"}}
	dropKeyFields   = allOf("shard_key")
)

func (s *scanner) createKey() (k node.CreateShardKey) {
	for name := range createKeyFields.of(s) {
		switch name {
		case "shard_key":
			k.Key = s.shardKey()
		case "shards_number":
			k.Shards = new(s.positive())
		case "replication_factor":
			k.Factor = new(s.positive())
		case "placement":
			k.Placement = []uint64{}
			for range s.elements {
				k.Placement = append(k.Placement, s.uint64())
			}
		case "initial_state":
			k.InitialState = new(s.enum(replicaStates...))
		}
	}
	return k
}

func (s *scanner) dropKey() (k node.ShardKey) {
	for range dropKeyFields.of(s) {
		k = s.shardKey()
	}
	return k
}

// positive reads an integer that cannot be 0.
func (s *scanner) positive() uint32 {
	n := s.uint32()
	if n == 0 {
		s.fail("invalid value: integer `0`, expected a nonzero u32")
	}
	return n
}

var replicatePointsFields = fieldSet{names: []string{"filter", "from_shard_key", "to_shard_key"}, required: []string{"from_shard_key", "to_shard_key"}}

func (s *scanner) replicatePoints() (from, to node.ShardKey, f *sextant.Filter) {
	for name := range replicatePointsFields.of(s) {
		switch name {
		case "filter":
			s.in(name)
			f = s.filter()
			s.out()
		case "from_shard_key":
			from = s.shardKey()
		case "to_shard_key":
			to = s.shardKey()
		}
	}
	if from == to && s.err == nil {
		s.violated("to_shard_key", `cannot replicate points to the same shard key, "to_shard_key" must be different than %s in "from_shard_key"`, from)
	}
	return from, to, f
}

var (
	startReshardingFields = fieldSet{names: []string{"uuid", "direction", "peer_id", "shard_key"}, required: []string{"direction"}}
	finishMigratingFields = fieldSet{names: []string{"shard_id", "peer_id"}}
	noFields              = fieldSet{}
)

// reshardingStep reads one step of a resharding.
func (s *scanner) reshardingStep(name string) node.Resharding {
	r := node.Resharding{Step: name}
	switch name {
	case "start_resharding":
		for field := range startReshardingFields.of(s) {
			switch field {
			case "uuid":
				if _, ok := sextant.ParseUUID(s.str()); !ok {
					s.fail("UUID parsing failed")
				}
			case "direction":
				r.Down = s.enum("up", "down") == "down"
			case "peer_id":
				r.Peer = new(s.uint64())
			case "shard_key":
				r.Key = new(s.shardKey())
			}
		}
	case "finish_migrating_points":
		for field := range finishMigratingFields.of(s) {
			if field == "peer_id" {
				r.Peer = new(s.uint64())
			} else {
				s.uint32()
			}
		}
	default:
		for range noFields.of(s) {
		}
	}
	return r
}
