package rest

import (
	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/node"
)

var (
	quantAlias      = map[string]string{"quantization": "quantization_config"}
	settingsAliases = map[string]string{"quantization": "quantization_config", "optimizer_config": "optimizers_config"}

	createFields = fieldSet{names: []string{"vectors", "shard_number", "sharding_method", "replication_factor",
		"write_consistency_factor", "on_disk_payload", "payload", "hnsw_config", "wal_config", "optimizers_config",
		"quantization_config", "sparse_vectors", "strict_mode_config", "metadata"}, aliases: settingsAliases}
	patchFields = fieldSet{names: []string{"vectors", "optimizers_config", "params", "hnsw_config", "quantization_config",
		"sparse_vectors", "strict_mode_config", "metadata"}, aliases: settingsAliases}
)

func (s *scanner) createCollection() (c node.CreateCollection) {
	for name := range createFields.of(s) {
		s.in(name)
		switch name {
		case "vectors":
			c.Vectors = s.vectorsConfig()
		case "shard_number":
			c.ShardNumber = s.factor()
		case "sharding_method":
			c.ShardingMethod = new(s.enum("auto", "custom"))
		case "replication_factor":
			c.ReplicationFactor = s.factor()
		case "write_consistency_factor":
			c.WriteConsistencyFactor = s.factor()
		case "on_disk_payload":
			c.OnDiskPayload = new(s.bool())
		case "payload":
			c.Payload = s.payloadStorage()
		case "hnsw_config":
			c.HNSW = s.hnswDiff()
		case "wal_config":
			c.WAL = s.walDiff()
		case "optimizers_config":
			c.Optimizers = s.optimizersDiff()
		case "quantization_config":
			c.Quantization = s.quantization(false)
		case "sparse_vectors":
			c.SparseVectors = s.sparseVectors()
		case "strict_mode_config":
			c.StrictMode = s.strictMode()
		case "metadata":
			c.Metadata = s.metadata()
		}
		s.out()
	}
	return c
}

func (s *scanner) patchCollection() (p node.PatchCollection) {
	for name := range patchFields.of(s) {
		s.in(name)
		switch name {
		case "vectors":
			p.Vectors = s.vectorPatches()
		case "optimizers_config":
			p.Optimizers = s.optimizersDiff()
		case "params":
			p.Params = s.paramsPatch()
		case "hnsw_config":
			p.HNSW = s.hnswDiff()
		case "quantization_config":
			p.Quantization = s.quantization(true)
		case "sparse_vectors":
			p.SparseVectors = s.sparseVectors()
		case "strict_mode_config":
			p.StrictMode = s.strictMode()
		case "metadata":
			p.Metadata = s.metadata()
		}
		s.out()
	}
	return p
}

// factor reads a number of which zero is a wrong value, not a wrong type.
func (s *scanner) factor() *uint32 { return new(uint32(s.atLeast("", uint64(s.uint32()), 1))) }

func (s *scanner) metadata() []byte { return s.payload() }

var memoryFields = fieldSet{names: []string{"memory"}}

func (s *scanner) payloadStorage() *sextant.PayloadStorage {
	p := &sextant.PayloadStorage{}
	for name := range memoryFields.of(s) {
		p.Memory = s.memory(name, "payload storage")
	}
	return p
}

var walFields = fieldSet{names: []string{"wal_capacity_mb", "wal_segments_ahead", "wal_retain_closed"}}

func (s *scanner) walDiff() *node.WALDiff {
	w := &node.WALDiff{}
	for name := range walFields.of(s) {
		switch name {
		case "wal_capacity_mb":
			w.CapacityMB = new(s.atLeast(name, s.uint64(), 1))
		case "wal_segments_ahead":
			w.SegmentsAhead = new(s.uint64())
		case "wal_retain_closed":
			w.RetainClosed = new(s.atLeast(name, s.uint64(), 1))
		}
	}
	return w
}

var optimizersFields = fieldSet{names: []string{"deleted_threshold", "vacuum_min_vector_number", "default_segment_number",
	"max_segment_size", "memmap_threshold", "indexing_threshold", "flush_interval_sec", "max_optimization_threads",
	"prevent_unoptimized"}, aliases: map[string]string{"max_segment_size_kb": "max_segment_size",
	"memmap_threshold_kb": "memmap_threshold", "indexing_threshold_kb": "indexing_threshold"}}

func (s *scanner) optimizersDiff() *node.OptimizersDiff {
	o := &node.OptimizersDiff{}
	for name := range optimizersFields.of(s) {
		switch name {
		case "deleted_threshold":
			o.DeletedThreshold = s.share(name)
		case "vacuum_min_vector_number":
			o.VacuumMinVectorNumber = new(s.atLeast(name, s.uint64(), 100))
		case "default_segment_number":
			o.DefaultSegmentNumber = new(s.uint64())
		case "max_segment_size":
			o.MaxSegmentSize = new(s.atLeast(name, s.uint64(), 1))
		case "memmap_threshold":
			o.MemmapThreshold = new(s.uint64())
		case "indexing_threshold":
			o.IndexingThreshold = new(s.uint64())
		case "flush_interval_sec":
			o.FlushIntervalSec = new(s.uint64())
		case "max_optimization_threads":
			o.MaxOptimizationThreads = s.autoThreads()
		case "prevent_unoptimized":
			o.PreventUnoptimized = new(s.bool())
		}
	}
	return o
}

func (s *scanner) autoThreads() *node.AutoThreads {
	switch s.peek() {
	case text:
		return &node.AutoThreads{Auto: s.enum("auto") != ""}
	case numeric:
		return &node.AutoThreads{N: s.uint64()}
	}
	s.noVariant("MaxOptimizationThreads")
	return nil
}

var vectorPatchFields = fieldSet{names: []string{"hnsw_config", "quantization_config", "on_disk", "memory"}, aliases: quantAlias}

func (s *scanner) vectorPatches() map[string]node.VectorPatch {
	all := map[string]node.VectorPatch{}
	s.in("?")
	for key := range s.members {
		vector := string(key)
		var v node.VectorPatch
		for name := range vectorPatchFields.of(s) {
			s.in(name)
			switch name {
			case "hnsw_config":
				v.HNSW = s.hnswDiff()
			case "quantization_config":
				v.Quantization = s.quantization(true)
			case "on_disk":
				v.OnDisk = new(s.bool())
			case "memory":
				v.Memory = s.memory("", "dense vector storage")
			}
			s.out()
		}
		all[vector] = v
	}
	s.out()
	return all
}

var paramsPatchFields = fieldSet{names: []string{"replication_factor", "write_consistency_factor", "read_fan_out_factor",
	"read_fan_out_delay_ms", "on_disk_payload", "payload"}}

func (s *scanner) paramsPatch() *node.ParamsPatch {
	p := &node.ParamsPatch{}
	for name := range paramsPatchFields.of(s) {
		switch name {
		case "replication_factor":
			p.ReplicationFactor = new(uint32(s.nonzero(32)))
		case "write_consistency_factor":
			p.WriteConsistencyFactor = new(uint32(s.nonzero(32)))
		case "read_fan_out_factor":
			p.ReadFanOutFactor = new(s.uint32())
		case "read_fan_out_delay_ms":
			p.ReadFanOutDelayMs = new(s.uint64())
		case "on_disk_payload":
			p.OnDiskPayload = new(s.bool())
		case "payload":
			s.in(name)
			p.Payload = s.payloadStorage()
			s.out()
		}
	}
	return p
}

var (
	strictFields = fieldSet{names: []string{"enabled", "max_query_limit", "max_timeout", "unindexed_filtering_retrieve",
		"unindexed_filtering_update", "search_max_hnsw_ef", "search_allow_exact", "search_max_oversampling",
		"upsert_max_batchsize", "search_max_batchsize", "max_collection_vector_size_bytes", "read_rate_limit",
		"write_rate_limit", "max_collection_payload_size_bytes", "max_points_count", "filter_max_conditions",
		"condition_max_size", "multivector_config", "sparse_config", "max_payload_index_count", "max_resident_memory_percent"}}
	maxVectorsFields = fieldSet{names: []string{"max_vectors"}}
	maxLengthFields  = fieldSet{names: []string{"max_length"}}
)

func (s *scanner) strictMode() *sextant.StrictModeConfig {
	m := &sextant.StrictModeConfig{}
	for name := range strictFields.of(s) {
		switch name {
		case "enabled":
			m.Enabled = new(s.bool())
		case "unindexed_filtering_retrieve":
			m.UnindexedFilteringRetrieve = new(s.bool())
		case "unindexed_filtering_update":
			m.UnindexedFilteringUpdate = new(s.bool())
		case "search_allow_exact":
			m.SearchAllowExact = new(s.bool())
		case "search_max_oversampling":
			m.SearchMaxOversampling = new(s.float64())
		case "multivector_config":
			m.Multivector = map[string]sextant.StrictMultivector{}
			for key := range s.members {
				v := string(key)
				m.Multivector[v] = sextant.StrictMultivector{MaxVectors: s.strictLimit(&maxVectorsFields, name)}
			}
		case "sparse_config":
			m.Sparse = map[string]sextant.StrictSparse{}
			for key := range s.members {
				v := string(key)
				m.Sparse[v] = sextant.StrictSparse{MaxLength: s.strictLimit(&maxLengthFields, name)}
			}
		case "max_resident_memory_percent":
			n := s.uint(8)
			if s.err == nil && (n < 1 || n > 100) {
				s.violated(name, "value %d invalid, must be from 1 to 100", n)
			}
			m.MaxResidentMemoryPercent = &n
		default:
			s.strictCount(m, name)
		}
	}
	return m
}

// strictCount reads one of the limits that are plain counts.
func (s *scanner) strictCount(m *sextant.StrictModeConfig, name string) {
	n, least := s.uint64(), uint64(0)
	switch name {
	case "max_query_limit":
		m.MaxQueryLimit, least = &n, 1
	case "max_timeout":
		m.MaxTimeout, least = &n, 1
	case "read_rate_limit":
		m.ReadRateLimit, least = &n, 1
	case "write_rate_limit":
		m.WriteRateLimit, least = &n, 1
	case "max_points_count":
		m.MaxPointsCount, least = &n, 1
	case "search_max_hnsw_ef":
		m.SearchMaxHNSWEf = &n
	case "upsert_max_batchsize":
		m.UpsertMaxBatchsize = &n
	case "search_max_batchsize":
		m.SearchMaxBatchsize = &n
	case "max_collection_vector_size_bytes":
		m.MaxCollectionVectorSize = &n
	case "max_collection_payload_size_bytes":
		m.MaxCollectionPayloadSize = &n
	case "filter_max_conditions":
		m.FilterMaxConditions = &n
	case "condition_max_size":
		m.ConditionMaxSize = &n
	case "max_payload_index_count":
		m.MaxPayloadIndexCount = &n
	}
	s.atLeast(name, n, least)
}

func (s *scanner) strictLimit(fields *fieldSet, name string) (limit *uint64) {
	for key := range fields.of(s) {
		limit = new(s.atLeast(name+".?."+key, s.uint64(), 1))
	}
	return limit
}
