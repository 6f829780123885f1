package segment

import "github.com/sextantdb/sextant"

// Tuning is how a shard's segments are built and searched: what may change without changing a stored byte. Sizes are bytes.
type Tuning struct {
	Vectors map[string]VectorTuning
	// Default is used for vector names that the configuration does not know (yet).
	Default VectorTuning

	IndexingThreshold  int64 // size of a vector name's data from which a graph is built; 0: never
	MaxSegment         int64 // 0: not limited
	DeletedThreshold   float64
	VacuumMin          uint64 // rows
	DefaultSegments    int    // 0: by cpus
	PreventUnoptimized bool
	OnDiskPayload      bool
	PayloadMemory      sextant.Memory
}

// VectorTuning is the effective settings of one vector name.
type VectorTuning struct {
	HNSW         sextant.HNSWConfig
	Quantization *sextant.QuantizationConfig // nil: none
	IDF          bool
	Memory       sextant.Memory // of the vectors, or of a sparse index
	GraphMemory  sextant.Memory
}

// NewTuning computes the effective settings of a collection.
func NewTuning(cfg sextant.CollectionConfig) Tuning {
	t := Tuning{
		Vectors:            map[string]VectorTuning{},
		Default:            vectorTuning(cfg, sextant.VectorParams{}),
		DeletedThreshold:   cfg.Optimizer.DeletedThreshold,
		VacuumMin:          cfg.Optimizer.VacuumMinVectorNumber,
		DefaultSegments:    int(min(cfg.Optimizer.DefaultSegmentNumber, 1<<16)),
		PreventUnoptimized: cfg.Optimizer.PreventUnoptimized != nil && *cfg.Optimizer.PreventUnoptimized,
		OnDiskPayload:      cfg.Params.OnDiskPayload,
		PayloadMemory:      sextant.Cached,
	}
	if cfg.Params.OnDiskPayload {
		t.PayloadMemory = sextant.Cold
	}
	if p := cfg.Params.Payload; p != nil && p.Memory != nil {
		t.PayloadMemory = *p.Memory
	}
	t.IndexingThreshold = kilobytes(cfg.Optimizer.IndexingThreshold, 10000)
	t.MaxSegment = kilobytes(cfg.Optimizer.MaxSegmentSize, 0)
	for name, v := range cfg.Params.Vectors.Map {
		t.Vectors[name] = vectorTuning(cfg, v)
	}
	for name, s := range cfg.Params.SparseVectors {
		v := VectorTuning{HNSW: cfg.HNSW, IDF: s.Modifier != nil && *s.Modifier == "idf"}
		if s.Index != nil {
			v.Memory = placement(s.Index.Memory, s.Index.OnDisk, sextant.Pinned)
		} else {
			v.Memory = sextant.Pinned
		}
		t.Vectors[name] = v
	}
	return t
}

// Vector returns the settings of a name.
func (t *Tuning) Vector(name string) VectorTuning {
	if v, ok := t.Vectors[name]; ok {
		return v
	}
	return t.Default
}

func vectorTuning(cfg sextant.CollectionConfig, v sextant.VectorParams) VectorTuning {
	t := VectorTuning{HNSW: cfg.HNSW.Apply(v.HNSW), Quantization: cfg.Quantization}
	if v.Quantization != nil {
		t.Quantization = v.Quantization
	}
	if t.Quantization != nil && t.Quantization.Disabled {
		t.Quantization = nil
	}
	t.Memory = placement(v.Memory, v.OnDisk, sextant.Cached)
	t.GraphMemory = placement(t.HNSW.Memory, t.HNSW.OnDisk, sextant.Cached)
	return t
}

func placement(m *sextant.Memory, onDisk *bool, otherwise sextant.Memory) sextant.Memory {
	switch {
	case m != nil:
		return *m
	case onDisk != nil && *onDisk:
		return sextant.Cold
	default:
		return otherwise
	}
}

func kilobytes(kb *uint64, otherwise int64) int64 {
	if kb == nil {
		return otherwise << 10
	}
	return int64(min(*kb, 1<<50)) << 10
}
