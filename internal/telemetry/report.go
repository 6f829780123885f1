package telemetry

import (
	"encoding/json"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/node"
)

// ReportOptions say how much is told.
type ReportOptions struct {
	Level         int  // 0 … 10: from totals to segments
	Anonymize     bool // hash the names of collections
	PerCollection bool // response times by collection too
}

// object is a JSON object whose keys depend on the level of detail.
type object map[string]any

// Report returns the telemetry, ready for encoding/json.
func Report(s State, r *Recorder, o ReportOptions) any {
	name := func(c string) string { return c }
	if o.Anonymize {
		name = anonymous
	}
	report := object{
		"id":          s.ID,
		"app":         app(s, o.Level),
		"collections": collections(s, o.Level, name),
		"cluster":     cluster(s, o.Level),
		"requests":    requests(r, o.PerCollection, name),
	}
	if s.Global {
		quotas := object{"enabled": s.Settings.Storage.Quotas.Enabled}
		report["quota"] = object{"config": quotas, "exceeded": object{}}
	}
	if o.Level >= 1 {
		threads := int(s.Settings.Storage.Performance.MaxSearchThreads)
		if threads == 0 {
			threads = runtime.GOMAXPROCS(0)
		}
		report["memory"] = readMemory()
		report["hardware"] = object{"collection_data": object{}}
		report["search_pool"] = object{"mode": "shared", "high_cpu_threads": threads, "high_io_threads": threads}
	}
	return report
}

func app(s State, level int) object {
	a := object{"name": "sextant", "version": s.Version, "startup": timestamp(s.Started),
		"jwt_rbac": s.Settings.Service.JWTRBAC, "hide_jwt_dashboard": s.Settings.Service.HideJWTDashboard}
	if level >= 1 {
		a["features"] = object{"debug": false, "service_debug_feature": false, "recovery_mode": s.Recovery, "gpu": false,
			"rocksdb": false, "staging": false}
	}
	return a
}

// cluster tells of consensus; a caller that may not see everything only learns whether there is one.
func cluster(s State, level int) object {
	c := object{"enabled": s.Settings.Cluster.Enabled}
	if s.Cluster == nil {
		return c
	}
	i, set := s.Cluster, s.Settings.Cluster
	c["status"] = object{"number_of_peers": len(i.Peers), "term": i.Term, "commit": i.Commit, "pending_operations": i.Pending, "role": orNull(i.Role),
		"is_voter": i.Voter, "peer_id": i.PeerID, "consensus_thread_status": ThreadStatus(i.Stopped, i.Err, i.Updated)}
	if level < 2 {
		return c
	}
	c["config"] = object{"grpc_timeout_ms": set.GRPCTimeoutMs, "p2p": object{"connection_pool_size": set.P2P.ConnectionPoolSize},
		"consensus": object{"max_message_queue_size": set.Consensus.MaxMessageQueueSize, "tick_period_ms": set.Consensus.TickPeriodMs,
			"bootstrap_timeout_sec": set.Consensus.BootstrapTimeoutSec}}
	peers, versions := object{}, object{}
	for p, uri := range i.Peers {
		peers[strconv.FormatUint(p, 10)] = object{"uri": uri}
	}
	for p, version := range i.Versions {
		versions[strconv.FormatUint(p, 10)] = object{"version": version}
	}
	c["peers"], c["peer_metadata"], c["resharding_enabled"] = peers, versions, set.ReshardingEnabled
	return c
}

// ThreadStatus tells how consensus is, in the words of the API.
func ThreadStatus(stopped bool, err string, updated time.Time) map[string]any {
	switch {
	case err != "":
		return object{"consensus_thread_status": "stopped_with_err", "err": err}
	case stopped:
		return object{"consensus_thread_status": "stopped"}
	}
	return object{"consensus_thread_status": "working", "last_update": timestamp(updated)}
}

func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func requests(r *Recorder, each bool, name func(string) string) object {
	rest := object{}
	all := byRoute{}
	keys, values := r.sorted(false)
	for _, key := range keys {
		all.add(key, values[key])
	}
	rest["responses"] = all
	if each {
		per := map[string]byRoute{}
		keys, values = r.sorted(true)
		for _, key := range keys {
			c := name(key.collection)
			if per[c] == nil {
				per[c] = byRoute{}
			}
			per[c].add(key, values[key])
		}
		rest["per_collection_responses"] = per
	}
	return object{"rest": rest, "grpc": object{"responses": object{}}}
}

func collections(s State, level int, name func(string) string) object {
	all := object{"number_of_collections": len(s.Collections)}
	if most := s.Settings.Storage.MaxCollections; most != nil {
		all["max_collections"] = *most
	}
	if level < 1 {
		return all
	}
	list, snapshots := []any{}, []any{}
	for i := range s.Collections {
		c := &s.Collections[i]
		if level == 1 {
			list = append(list, aggregated(c))
		} else {
			list = append(list, detailed(s.Peer, c, level, name))
		}
		snapshots = append(snapshots, object{"id": name(c.Name), "running_snapshots": c.SnapshotsCreating,
			"running_snapshot_recovery": c.SnapshotsLoading, "total_snapshot_creations": c.SnapshotsCreated})
	}
	all["collections"], all["snapshots"] = list, snapshots
	return all
}

// status is "ok" or an object with the error.
func status(text string) any {
	if text == "" {
		return "ok"
	}
	return object{"error": text}
}

func aggregated(c *node.CollectionReport) object {
	vectors, text := uint64(0), ""
	for i := range c.Shards {
		for _, n := range c.Shards[i].Info.Vectors {
			vectors += n
		}
		if text == "" {
			text = c.Shards[i].Info.OptimizerError
		}
	}
	return object{"vectors": vectors, "optimizers_status": status(text), "params": c.Config.Params}
}

func detailed(peer uint64, c *node.CollectionReport, level int, name func(string) string) object {
	d := object{"id": name(c.Name), "init_time_ms": c.InitTime.Milliseconds(), "config": c.Config}
	if level >= 3 {
		shards, transfers := []any{}, []any{}
		for i := range c.Shards {
			shards = append(shards, replicaSet(peer, c, &c.Shards[i], level))
		}
		for _, t := range c.Transfers {
			transfers = append(transfers, transfer(t))
		}
		d["shards"], d["transfers"], d["resharding"] = shards, transfers, []any{}
	}
	return d
}

func local(c *node.CollectionReport, s *node.ShardReport, level int) object {
	vectors := uint64(0)
	for _, n := range s.Info.Vectors {
		vectors += n
	}
	local := object{
		"variant_name": nil, "status": s.Info.Health.String(), "total_optimized_points": s.Builds.Optimized(),
		"vectors_size_bytes": s.Info.VectorBytes, "payloads_size_bytes": s.Info.PayloadBytes,
		"num_points": s.Info.Points, "num_vectors": vectors, "num_vectors_by_name": notNil(s.Info.Vectors),
		"optimizations": optimizations(s), "async_scorer": false,
		"indexed_only_excluded_vectors": notNil(s.Info.HiddenByIndexedOnly),
		"update_queue":                  object{"length": s.Info.QueueLength, "op_num": s.Info.LastSeq, "deferred_points": nil},
	}
	if level >= 4 {
		segments := []any{}
		for i := range s.Info.Segments {
			segments = append(segments, segment(c, s, i))
		}
		local["segments"] = segments
	}
	return local
}

// replicaSet is a shard with all its replicas: the one here in detail, the others by their states.
func replicaSet(peer uint64, c *node.CollectionReport, s *node.ShardReport, level int) object {
	states, remote := object{}, []any{}
	for _, p := range slices.Sorted(maps.Keys(s.Replicas)) {
		states[strconv.FormatUint(p, 10)] = s.Replicas[p]
		if p != peer {
			remote = append(remote, object{"shard_id": s.ID, "peer_id": p, "searches": nil, "updates": nil})
		}
	}
	v := object{"id": s.ID, "local": nil, "remote": remote, "replicate_states": states}
	if s.State != "" {
		v["local"] = local(c, s, level)
	}
	if s.Key != nil {
		v["key"] = shardKey(*s.Key)
	}
	return v
}

// transfer is a transfer as the API shows it.
func transfer(t node.TransferInfo) object {
	v := object{"shard_id": t.Shard, "from": t.From, "to": t.To, "sync": t.Sync, "method": t.Method}
	if t.ToShard != nil {
		v["to_shard_id"] = *t.ToShard
	}
	if t.Comment != "" {
		v["comment"] = t.Comment
	}
	return v
}

func shardKey(k node.ShardKey) any {
	if k.IsNumber {
		return json.Number(k.String())
	}
	return k.Word
}

func notNil(m map[string]uint64) map[string]uint64 {
	if m == nil {
		return map[string]uint64{}
	}
	return m
}

func optimizations(s *node.ShardReport) object {
	log := []any{}
	for _, b := range append(append([]node.Build{}, s.Builds.Running...), s.Builds.Completed...) {
		uuids := []string{}
		for _, source := range b.Segments {
			uuids = append(uuids, UUID(source.UUID))
		}
		var state any = b.State
		if b.State == "cancelled" || b.State == "error" {
			state = object{b.State: b.Text}
		}
		entry := object{"name": b.Optimizer, "uuid": UUID(b.UUID), "segment_ids": []int{}, "segment_uuids": uuids, "status": state,
			"start_at": timestamp(b.Started)}
		if !b.Ended.IsZero() {
			entry["end_at"] = timestamp(b.Ended)
		}
		log = append(log, entry)
	}
	return object{"status": status(s.Info.OptimizerError), "optimizations": object{"count": len(s.Builds.Completed)}, "log": log}
}

func segment(c *node.CollectionReport, s *node.ShardReport, i int) object {
	g := &s.Info.Segments[i]
	schema := object{}
	for key, f := range s.Info.Fields {
		field := object{"data_type": f.Spec.Type, "points": f.Points}
		if f.Spec.Params != nil {
			field["params"] = f.Spec.Params
		}
		schema[key] = field
	}
	data := object{}
	for name, v := range g.VectorData {
		data[name] = object{"num_vectors": v.Vectors, "num_indexed_vectors": v.Indexed, "num_deleted_vectors": v.Deleted}
	}
	info := object{
		"uuid": UUID(g.UUID), "segment_type": g.Type, "num_vectors": g.Vectors, "num_points": g.Points,
		"num_deferred_points": 0, "num_deleted_deferred_points": 0,
		"num_indexed_vectors": g.IndexedVectors, "num_deleted_vectors": g.DeletedPoints, "vectors_size_bytes": g.VectorBytes,
		"payloads_size_bytes": g.PayloadBytes, "ram_usage_bytes": g.RAMBytes, "disk_usage_bytes": g.DiskBytes,
		"is_appendable": g.Appendable, "index_schema": schema, "vector_data": data,
	}
	return object{"info": info, "config": segmentConfig(c, s, i), "vector_index_searches": []any{},
		"payload_field_indices": []any{}}
}

func segmentConfig(c *node.CollectionReport, s *node.ShardReport, i int) object {
	g := &s.Info.Segments[i]
	dense, sparse := object{}, object{}
	storage, postings := "Mmap", "Mmap"
	if g.Appendable {
		storage, postings = "InRamChunkedMmap", "MutableRam"
	}
	for name, v := range c.Config.Params.Vectors.Map {
		index := object{"type": "plain", "options": object{}}
		if g.VectorData[name].Indexed > 0 {
			index = object{"type": "hnsw", "options": c.Config.HNSW.Apply(v.HNSW)}
		}
		config := object{"size": v.Size, "distance": v.Distance, "storage_type": storage, "index": index}
		if v.Multivector != nil {
			config["multivector_config"] = v.Multivector
		}
		if v.Datatype != nil {
			config["datatype"] = *v.Datatype
		}
		if q := quantizationOf(c, v); q != nil {
			config["quantization_config"] = q
		}
		dense[name] = config
	}
	for name := range c.Config.Params.SparseVectors {
		sparse[name] = object{"index": object{"index_type": postings}, "storage_type": "mmap"}
	}
	return object{"vector_data": dense, "sparse_vector_data": sparse, "payload_storage_type": object{"type": "mmap"}}
}

func quantizationOf(c *node.CollectionReport, v sextant.VectorParams) *sextant.QuantizationConfig {
	q := v.Quantization
	if q == nil {
		q = c.Config.Quantization
	}
	if q == nil || q.Disabled {
		return nil
	}
	return q
}
