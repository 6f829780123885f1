package node

import (
	"encoding/json"
	"maps"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/config"
	"github.com/sextantdb/sextant/internal/document"
)

// completed fills a create request with the defaults of the server. What the user did not set and what has no default
// stays absent, since clients refuse keys that they do not know.
func completed(c CreateCollection, s config.Storage) sextant.CollectionConfig {
	out := sextant.CollectionConfig{
		Params: sextant.CollectionParams{
			ShardNumber:            1,
			ShardingMethod:         c.ShardingMethod,
			ReplicationFactor:      pick(c.ReplicationFactor, s.Collection.ReplicationFactor),
			WriteConsistencyFactor: pick(c.WriteConsistencyFactor, s.Collection.WriteConsistencyFactor),
			OnDiskPayload:          pick(c.OnDiskPayload, s.OnDiskPayload),
			Payload:                or(c.Payload, s.Payload),
			SparseVectors:          c.SparseVectors,
		},
		HNSW: sextant.HNSWConfig{M: s.HNSW.M, EfConstruct: s.HNSW.EfConstruct, FullScanThreshold: s.HNSW.FullScanThresholdKB,
			MaxIndexingThreads: s.HNSW.MaxIndexingThreads, OnDisk: s.HNSW.OnDisk, Memory: s.HNSW.Memory, PayloadM: s.HNSW.PayloadM,
			InlineStorage: s.HNSW.InlineStorage}.Apply(c.HNSW),
		Optimizer:    optimizer(s.Optimizers),
		WAL:          sextant.WALConfig{CapacityMB: s.WAL.CapacityMB, SegmentsAhead: s.WAL.SegmentsAhead, RetainClosed: s.WAL.RetainClosed},
		Quantization: or(c.Quantization, s.Collection.Quantization),
		StrictMode:   mergeStrict(s.Collection.StrictMode, c.StrictMode),
		Metadata:     c.Metadata,
	}
	if out.Quantization != nil && out.Quantization.Disabled {
		out.Quantization = nil
	}
	if c.Vectors != nil {
		out.Params.Vectors = sextant.VectorsConfig{Single: c.Vectors.Single, Map: placed(c.Vectors.Map, s.Collection.Vectors)}
	}
	byKey := c.ShardingMethod != nil && *c.ShardingMethod == "custom"
	switch d := s.Collection; {
	case c.ShardNumber != nil:
		out.Params.ShardNumber = *c.ShardNumber
	case byKey: // shards per key: one
	case d.ShardNumber != nil:
		out.Params.ShardNumber = *d.ShardNumber
	case d.ShardNumberPerNode != nil:
		out.Params.ShardNumber = *d.ShardNumberPerNode
	}
	applyOptimizer(&out.Optimizer, c.Optimizers)
	if w := c.WAL; w != nil {
		out.WAL.CapacityMB = pick(w.CapacityMB, out.WAL.CapacityMB)
		out.WAL.SegmentsAhead = pick(w.SegmentsAhead, out.WAL.SegmentsAhead)
		out.WAL.RetainClosed = pick(w.RetainClosed, out.WAL.RetainClosed)
	}
	return out
}

func pick[T any](given *T, otherwise T) T {
	if given != nil {
		return *given
	}
	return otherwise
}

func or[T any](given, otherwise *T) *T {
	if given != nil {
		return given
	}
	return otherwise
}

func optimizer(o config.Optimizers) sextant.OptimizerConfig {
	return sextant.OptimizerConfig{DeletedThreshold: o.DeletedThreshold, VacuumMinVectorNumber: o.VacuumMinVectorNumber,
		DefaultSegmentNumber: o.DefaultSegmentNumber, MaxSegmentSize: o.MaxSegmentSizeKB, MemmapThreshold: o.MemmapThresholdKB,
		IndexingThreshold: o.IndexingThresholdKB, FlushIntervalSec: o.FlushIntervalSec, MaxOptimizationThreads: o.MaxOptimizationThreads,
		PreventUnoptimized: o.PreventUnoptimized}
}

func placed(vectors map[string]sextant.VectorParams, d *config.VectorDefaults) map[string]sextant.VectorParams {
	if d == nil || d.OnDisk == nil && d.Memory == nil {
		return vectors
	}
	out := maps.Clone(vectors)
	for name, v := range out {
		if v.OnDisk == nil && v.Memory == nil {
			v.OnDisk, v.Memory = d.OnDisk, d.Memory
			out[name] = v
		}
	}
	return out
}

func applyOptimizer(o *sextant.OptimizerConfig, d *OptimizersDiff) {
	if d == nil {
		return
	}
	o.DeletedThreshold = pick(d.DeletedThreshold, o.DeletedThreshold)
	o.VacuumMinVectorNumber = pick(d.VacuumMinVectorNumber, o.VacuumMinVectorNumber)
	o.DefaultSegmentNumber = pick(d.DefaultSegmentNumber, o.DefaultSegmentNumber)
	o.MaxSegmentSize = or(d.MaxSegmentSize, o.MaxSegmentSize)
	o.MemmapThreshold = or(d.MemmapThreshold, o.MemmapThreshold)
	o.IndexingThreshold = or(d.IndexingThreshold, o.IndexingThreshold)
	o.FlushIntervalSec = pick(d.FlushIntervalSec, o.FlushIntervalSec)
	o.PreventUnoptimized = or(d.PreventUnoptimized, o.PreventUnoptimized)
	if t := d.MaxOptimizationThreads; t != nil {
		if o.MaxOptimizationThreads = nil; !t.Auto {
			o.MaxOptimizationThreads = &t.N
		}
	}
}

// effective is how shards are run: the settings of the collection, under what the server insists on.
func effective(c sextant.CollectionConfig, o *config.OptimizersOverwrite) sextant.CollectionConfig {
	if o == nil {
		return c
	}
	d := &OptimizersDiff{DeletedThreshold: o.DeletedThreshold, VacuumMinVectorNumber: o.VacuumMinVectorNumber,
		DefaultSegmentNumber: o.DefaultSegmentNumber, MaxSegmentSize: o.MaxSegmentSizeKB, MemmapThreshold: o.MemmapThresholdKB,
		IndexingThreshold: o.IndexingThresholdKB, FlushIntervalSec: o.FlushIntervalSec, PreventUnoptimized: o.PreventUnoptimized}
	if o.MaxOptimizationThreads != nil {
		d.MaxOptimizationThreads = &AutoThreads{N: *o.MaxOptimizationThreads}
	}
	applyOptimizer(&c.Optimizer, d)
	return c
}

// patched returns the settings after a PATCH. Nothing of the old ones is changed.
func patched(c sextant.CollectionConfig, p PatchCollection) (sextant.CollectionConfig, error) {
	applyOptimizer(&c.Optimizer, p.Optimizers)
	if q := p.Params; q != nil {
		c.Params.ReplicationFactor = pick(q.ReplicationFactor, c.Params.ReplicationFactor)
		c.Params.WriteConsistencyFactor = pick(q.WriteConsistencyFactor, c.Params.WriteConsistencyFactor)
		c.Params.ReadFanOutFactor = or(q.ReadFanOutFactor, c.Params.ReadFanOutFactor)
		c.Params.ReadFanOutDelayMs = or(q.ReadFanOutDelayMs, c.Params.ReadFanOutDelayMs)
		c.Params.OnDiskPayload = pick(q.OnDiskPayload, c.Params.OnDiskPayload)
		c.Params.Payload = or(q.Payload, c.Params.Payload)
	}
	c.HNSW = c.HNSW.Apply(p.HNSW)
	if len(p.Vectors) > 0 {
		c.Params.Vectors.Map = maps.Clone(c.Params.Vectors.Map)
		for name, change := range p.Vectors {
			v, ok := c.Params.Vectors.Map[name]
			if !ok {
				return c, sextant.Errorf(sextant.WrongInput, "Not existing vector name error: %s", name)
			}
			v.HNSW = mergeHNSW(v.HNSW, change.HNSW)
			v.Quantization = replaceQuantization(v.Quantization, change.Quantization)
			v.OnDisk = or(change.OnDisk, v.OnDisk)
			v.Memory = or(change.Memory, v.Memory)
			c.Params.Vectors.Map[name] = v
		}
	}
	c.Quantization = replaceQuantization(c.Quantization, p.Quantization)
	if len(p.SparseVectors) > 0 {
		c.Params.SparseVectors = maps.Clone(c.Params.SparseVectors)
		for name, change := range p.SparseVectors {
			v, ok := c.Params.SparseVectors[name]
			if !ok {
				return c, sextant.Errorf(sextant.WrongInput, "Not existing vector name error: %s", name)
			}
			c.Params.SparseVectors[name] = mergeSparse(v, change)
		}
	}
	c.StrictMode = mergeStrict(c.StrictMode, p.StrictMode)
	if len(p.Metadata) > 0 {
		merged := document.Merge(sextant.Payload(c.Metadata), sextant.Payload(p.Metadata), sextant.Path{})
		c.Metadata = json.RawMessage(merged)
	}
	return c, nil
}

func replaceQuantization(old, given *sextant.QuantizationConfig) *sextant.QuantizationConfig {
	switch {
	case given == nil:
		return old
	case given.Disabled:
		return nil
	}
	return given
}

func mergeHNSW(old, given *sextant.HNSWDiff) *sextant.HNSWDiff {
	if old == nil || given == nil {
		return or(given, old)
	}
	return &sextant.HNSWDiff{M: or(given.M, old.M), EfConstruct: or(given.EfConstruct, old.EfConstruct),
		FullScanThreshold: or(given.FullScanThreshold, old.FullScanThreshold), MaxIndexingThreads: or(given.MaxIndexingThreads, old.MaxIndexingThreads),
		OnDisk: or(given.OnDisk, old.OnDisk), Memory: or(given.Memory, old.Memory), PayloadM: or(given.PayloadM, old.PayloadM),
		InlineStorage: or(given.InlineStorage, old.InlineStorage)}
}

func mergeSparse(old, given sextant.SparseParams) sextant.SparseParams {
	out := sextant.SparseParams{Modifier: or(given.Modifier, old.Modifier), Index: or(given.Index, old.Index)}
	if old.Index != nil && given.Index != nil {
		out.Index = &sextant.SparseIndexParams{FullScanThreshold: or(given.Index.FullScanThreshold, old.Index.FullScanThreshold),
			OnDisk: or(given.Index.OnDisk, old.Index.OnDisk), Memory: or(given.Index.Memory, old.Index.Memory),
			Datatype: or(given.Index.Datatype, old.Index.Datatype)}
	}
	return out
}

// mergeStrict merges key by key, through the form that users see; the maps of vector names are replaced whole.
func mergeStrict(old, given *sextant.StrictModeConfig) *sextant.StrictModeConfig {
	if old == nil || given == nil {
		return or(given, old)
	}
	var out sextant.StrictModeConfig
	for _, layer := range []*sextant.StrictModeConfig{old, given} {
		if layer.Multivector != nil {
			out.Multivector = nil
		}
		if layer.Sparse != nil {
			out.Sparse = nil
		}
		raw, err := json.Marshal(layer)
		if err == nil {
			err = json.Unmarshal(raw, &out)
		}
		if err != nil {
			panic("node: strict mode settings are plain values: " + err.Error())
		}
	}
	return &out
}
