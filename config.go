package sextant

import "encoding/json"

// CollectionConfig is a collection's settings as users see them (GET collection) and as they are stored. What the user did
// not set stays absent, since clients refuse keys that they do not know.
type CollectionConfig struct {
	Params       CollectionParams    `json:"params"`
	HNSW         HNSWConfig          `json:"hnsw_config"`
	Optimizer    OptimizerConfig     `json:"optimizer_config"`
	WAL          WALConfig           `json:"wal_config"`
	Quantization *QuantizationConfig `json:"quantization_config"` // null: off
	StrictMode   *StrictModeConfig   `json:"strict_mode_config,omitempty"`
	Metadata     json.RawMessage     `json:"metadata,omitempty"`
}

// CollectionParams is the shape of a collection and its replication.
type CollectionParams struct {
	Vectors                VectorsConfig           `json:"vectors"`
	ShardNumber            uint32                  `json:"shard_number"`
	ShardingMethod         *string                 `json:"sharding_method,omitempty"` // auto, custom
	ReplicationFactor      uint32                  `json:"replication_factor"`
	WriteConsistencyFactor uint32                  `json:"write_consistency_factor"`
	ReadFanOutFactor       *uint32                 `json:"read_fan_out_factor,omitempty"`
	ReadFanOutDelayMs      *uint64                 `json:"read_fan_out_delay_ms,omitempty"`
	OnDiskPayload          bool                    `json:"on_disk_payload"`
	Payload                *PayloadStorage         `json:"payload,omitempty"`
	SparseVectors          map[string]SparseParams `json:"sparse_vectors,omitempty"`
}

// Memory is where a component lives: cold, cached or pinned.
type Memory string

const (
	Cold   Memory = "cold"   // mapped or read on demand
	Cached Memory = "cached" // preloaded into the page cache
	Pinned Memory = "pinned" // in memory, never evicted
)

// PayloadStorage places payloads.
type PayloadStorage struct {
	Memory *Memory `json:"memory,omitempty"`
}

// VectorsConfig is the dense vectors of a collection. Single keeps the form it was given in: one unnamed vector's
// parameters instead of a map. Then Map has the one key "".
type VectorsConfig struct {
	Single bool
	Map    map[string]VectorParams
}

// MarshalJSON prints the form that the user gave.
func (c VectorsConfig) MarshalJSON() ([]byte, error) {
	if c.Single {
		return json.Marshal(c.Map[""])
	}
	if c.Map == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(c.Map)
}

// UnmarshalJSON reads either form: an object whose "size" is a number is one vector's parameters.
func (c *VectorsConfig) UnmarshalJSON(b []byte) error {
	var probe struct {
		Size     json.RawMessage `json:"size"`
		Distance json.RawMessage `json:"distance"`
	}
	if err := json.Unmarshal(b, &probe); err != nil {
		return err
	}
	isParams := func(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] != '{' }
	if isParams(probe.Size) || isParams(probe.Distance) {
		var one VectorParams
		if err := json.Unmarshal(b, &one); err != nil {
			return err
		}
		*c = VectorsConfig{Single: true, Map: map[string]VectorParams{"": one}}
		return nil
	}
	c.Single, c.Map = false, nil
	return json.Unmarshal(b, &c.Map)
}

// VectorParams is one dense vector name as created.
type VectorParams struct {
	Size         uint64              `json:"size"`
	Distance     Distance            `json:"distance"`
	HNSW         *HNSWDiff           `json:"hnsw_config,omitempty"`
	Quantization *QuantizationConfig `json:"quantization_config,omitempty"`
	OnDisk       *bool               `json:"on_disk,omitempty"`
	Memory       *Memory             `json:"memory,omitempty"`
	Datatype     *Datatype           `json:"datatype,omitempty"`
	Multivector  *MultivectorConfig  `json:"multivector_config,omitempty"`
}

// MultivectorConfig makes a dense vector name hold several rows per point.
type MultivectorConfig struct {
	Comparator string `json:"comparator"` // max_sim
}

// SparseParams is one sparse vector name as created.
type SparseParams struct {
	Index    *SparseIndexParams `json:"index,omitempty"`
	Modifier *string            `json:"modifier,omitempty"` // none, idf
}

// SparseIndexParams tunes the inverted index of a sparse vector.
type SparseIndexParams struct {
	FullScanThreshold *uint64   `json:"full_scan_threshold,omitempty"`
	OnDisk            *bool     `json:"on_disk,omitempty"`
	Memory            *Memory   `json:"memory,omitempty"`
	Datatype          *Datatype `json:"datatype,omitempty"`
}

// HNSWConfig is the graph settings of a collection.
type HNSWConfig struct {
	M                  uint64  `json:"m"`            // 0: no graph
	EfConstruct        uint64  `json:"ef_construct"` // ≥ 4
	FullScanThreshold  uint64  `json:"full_scan_threshold"`
	MaxIndexingThreads uint64  `json:"max_indexing_threads"` // 0: auto
	OnDisk             *bool   `json:"on_disk,omitempty"`
	Memory             *Memory `json:"memory,omitempty"`
	PayloadM           *uint64 `json:"payload_m,omitempty"`
	InlineStorage      *bool   `json:"inline_storage,omitempty"`
}

// HNSWDiff is a change of HNSWConfig: what is nil stays.
type HNSWDiff struct {
	M                  *uint64 `json:"m,omitempty"`
	EfConstruct        *uint64 `json:"ef_construct,omitempty"`
	FullScanThreshold  *uint64 `json:"full_scan_threshold,omitempty"`
	MaxIndexingThreads *uint64 `json:"max_indexing_threads,omitempty"`
	OnDisk             *bool   `json:"on_disk,omitempty"`
	Memory             *Memory `json:"memory,omitempty"`
	PayloadM           *uint64 `json:"payload_m,omitempty"`
	InlineStorage      *bool   `json:"inline_storage,omitempty"`
}

// OptimizerConfig says when segments are built. Sizes are in KB of 1024 bytes.
type OptimizerConfig struct {
	DeletedThreshold       float64 `json:"deleted_threshold"`
	VacuumMinVectorNumber  uint64  `json:"vacuum_min_vector_number"`
	DefaultSegmentNumber   uint64  `json:"default_segment_number"` // 0: by cpus
	MaxSegmentSize         *uint64 `json:"max_segment_size"`
	MemmapThreshold        *uint64 `json:"memmap_threshold"`
	IndexingThreshold      *uint64 `json:"indexing_threshold"` // 0: never
	FlushIntervalSec       uint64  `json:"flush_interval_sec"`
	MaxOptimizationThreads *uint64 `json:"max_optimization_threads"` // nil: auto, 0: off
	PreventUnoptimized     *bool   `json:"prevent_unoptimized"`
}

// WALConfig sizes the log.
type WALConfig struct {
	CapacityMB    uint64 `json:"wal_capacity_mb"`
	SegmentsAhead uint64 `json:"wal_segments_ahead"`
	RetainClosed  uint64 `json:"wal_retain_closed"`
}

// QuantizationConfig holds exactly one of its members.
type QuantizationConfig struct {
	Scalar  *ScalarQuantization  `json:"scalar,omitempty"`
	Product *ProductQuantization `json:"product,omitempty"`
	Binary  *BinaryQuantization  `json:"binary,omitempty"`
	Turbo   *TurboQuantization   `json:"turbo,omitempty"`
	// Disabled stands for the word "Disabled": no quantization for this vector whatever the collection says.
	Disabled bool `json:"-"`
}

// ScalarQuantization codes each component in 8 bits.
type ScalarQuantization struct {
	Type      string   `json:"type"` // int8
	Quantile  *float32 `json:"quantile,omitempty"`
	AlwaysRAM *bool    `json:"always_ram,omitempty"`
	Memory    *Memory  `json:"memory,omitempty"`
}

// ProductQuantization codes chunks of components by the nearest of 256 centroids.
type ProductQuantization struct {
	Compression string  `json:"compression"`
	AlwaysRAM   *bool   `json:"always_ram,omitempty"`
	Memory      *Memory `json:"memory,omitempty"`
}

// BinaryQuantization codes components in one or two bits.
type BinaryQuantization struct {
	AlwaysRAM     *bool   `json:"always_ram,omitempty"`
	Memory        *Memory `json:"memory,omitempty"`
	Encoding      *string `json:"encoding,omitempty"`
	QueryEncoding *string `json:"query_encoding,omitempty"`
}

// TurboQuantization rotates and codes components in few bits.
type TurboQuantization struct {
	AlwaysRAM *bool   `json:"always_ram,omitempty"`
	Bits      *string `json:"bits,omitempty"`
	Memory    *Memory `json:"memory,omitempty"`
}

// MarshalJSON prints the word for a disabled one.
func (q QuantizationConfig) MarshalJSON() ([]byte, error) {
	if q.Disabled {
		return []byte(`"Disabled"`), nil
	}
	type plain QuantizationConfig
	return json.Marshal(plain(q))
}

// UnmarshalJSON reads an object with one member, or the word "Disabled".
func (q *QuantizationConfig) UnmarshalJSON(b []byte) error {
	if string(b) == `"Disabled"` {
		*q = QuantizationConfig{Disabled: true}
		return nil
	}
	type plain QuantizationConfig
	return json.Unmarshal(b, (*plain)(q))
}

// StrictModeConfig limits what requests may ask of a collection; enforced only when Enabled is true.
type StrictModeConfig struct {
	Enabled                    *bool                        `json:"enabled,omitempty"`
	MaxQueryLimit              *uint64                      `json:"max_query_limit,omitempty"`
	MaxTimeout                 *uint64                      `json:"max_timeout,omitempty"`
	UnindexedFilteringRetrieve *bool                        `json:"unindexed_filtering_retrieve,omitempty"`
	UnindexedFilteringUpdate   *bool                        `json:"unindexed_filtering_update,omitempty"`
	SearchMaxHNSWEf            *uint64                      `json:"search_max_hnsw_ef,omitempty"`
	SearchAllowExact           *bool                        `json:"search_allow_exact,omitempty"`
	SearchMaxOversampling      *float64                     `json:"search_max_oversampling,omitempty"`
	UpsertMaxBatchsize         *uint64                      `json:"upsert_max_batchsize,omitempty"`
	SearchMaxBatchsize         *uint64                      `json:"search_max_batchsize,omitempty"`
	MaxCollectionVectorSize    *uint64                      `json:"max_collection_vector_size_bytes,omitempty"`
	ReadRateLimit              *uint64                      `json:"read_rate_limit,omitempty"`
	WriteRateLimit             *uint64                      `json:"write_rate_limit,omitempty"`
	MaxCollectionPayloadSize   *uint64                      `json:"max_collection_payload_size_bytes,omitempty"`
	MaxPointsCount             *uint64                      `json:"max_points_count,omitempty"`
	FilterMaxConditions        *uint64                      `json:"filter_max_conditions,omitempty"`
	ConditionMaxSize           *uint64                      `json:"condition_max_size,omitempty"`
	Multivector                map[string]StrictMultivector `json:"multivector_config,omitempty"`
	Sparse                     map[string]StrictSparse      `json:"sparse_config,omitempty"`
	MaxPayloadIndexCount       *uint64                      `json:"max_payload_index_count,omitempty"`
	MaxResidentMemoryPercent   *uint64                      `json:"max_resident_memory_percent,omitempty"`
}

// StrictMultivector limits one multivector name.
type StrictMultivector struct {
	MaxVectors *uint64 `json:"max_vectors,omitempty"`
}

// StrictSparse limits one sparse vector name.
type StrictSparse struct {
	MaxLength *uint64 `json:"max_length,omitempty"`
}

// Apply returns c with what d sets.
func (c HNSWConfig) Apply(d *HNSWDiff) HNSWConfig {
	if d == nil {
		return c
	}
	set := func(dst, src *uint64) {
		if src != nil {
			*dst = *src
		}
	}
	set(&c.M, d.M)
	set(&c.EfConstruct, d.EfConstruct)
	set(&c.FullScanThreshold, d.FullScanThreshold)
	set(&c.MaxIndexingThreads, d.MaxIndexingThreads)
	if d.OnDisk != nil {
		c.OnDisk = d.OnDisk
	}
	if d.Memory != nil {
		c.Memory = d.Memory
	}
	if d.PayloadM != nil {
		c.PayloadM = d.PayloadM
	}
	if d.InlineStorage != nil {
		c.InlineStorage = d.InlineStorage
	}
	return c
}

// DefaultConfig returns the settings of a collection for which nobody said anything.
func DefaultConfig() CollectionConfig {
	indexing := uint64(10000)
	return CollectionConfig{
		Params:    CollectionParams{ShardNumber: 1, ReplicationFactor: 1, WriteConsistencyFactor: 1, OnDiskPayload: true},
		HNSW:      HNSWConfig{M: 16, EfConstruct: 100, FullScanThreshold: 10000},
		Optimizer: OptimizerConfig{DeletedThreshold: 0.2, VacuumMinVectorNumber: 1000, IndexingThreshold: &indexing, FlushIntervalSec: 5},
		WAL:       WALConfig{CapacityMB: 32, RetainClosed: 1},
	}
}

// Schema returns the vector names of the configuration as a shard stores them.
func (c CollectionConfig) Schema() Schema {
	s := Schema{Vectors: map[string]VectorSpec{}}
	for name, v := range c.Params.Vectors.Map {
		spec := VectorSpec{Kind: Dense, Dim: int(v.Size), Distance: v.Distance, Datatype: Float32}
		if v.Multivector != nil {
			spec.Kind = Multi
		}
		if v.Datatype != nil {
			spec.Datatype = *v.Datatype
		}
		s.Vectors[name] = spec
	}
	for name, v := range c.Params.SparseVectors {
		spec := VectorSpec{Kind: Sparse, Datatype: Float32}
		if v.Index != nil && v.Index.Datatype != nil {
			spec.Datatype = *v.Index.Datatype
		}
		s.Vectors[name] = spec
	}
	return s
}
