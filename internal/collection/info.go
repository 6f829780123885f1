package collection

import (
	"runtime"
	"slices"

	"github.com/sextantdb/sextant"
)

// Info describes the collection: sums over its shards, and the worst of their conditions.
func (c *Collection) Info() Info {
	v := c.view.Load()
	info := Info{Config: v.Config, Fields: map[string]FieldInfo{}, Warnings: warnings(v.Config)}
	for key, spec := range v.Fields {
		info.Fields[key] = FieldInfo{Spec: spec}
	}
	for _, id := range v.all.Shards() {
		s := v.Shards[id].Info()
		if s.Health > info.Health {
			info.Health = s.Health
		}
		if info.OptimizerError == "" {
			info.OptimizerError = s.OptimizerError
		}
		info.IndexedVectors += s.IndexedVectors
		info.Points += s.Points
		info.QueueLength += s.QueueLength
		segments := uint64(len(s.Segments))
		if s.IndexedVectors == 0 { // small: a head stands for all the segments that the settings ask for
			segments = max(segments, targetSegments(v.Config.Optimizer))
		}
		info.Segments += segments
		for key, f := range s.Fields {
			if have, ok := info.Fields[key]; ok {
				have.Points += f.Points
				info.Fields[key] = have
			}
		}
	}
	if p := v.Config.Optimizer.PreventUnoptimized; p != nil && *p {
		info.DeferredPoints = new(uint64) // every point is shown at once
	}
	return info
}

func targetSegments(o sextant.OptimizerConfig) uint64 {
	if o.DefaultSegmentNumber > 0 {
		return o.DefaultSegmentNumber
	}
	return uint64(min(max(runtime.NumCPU()/2, 2), 8))
}

// Optimizations merges what the optimizers of all shards do; completed ones newest first, at most limit.
func (c *Collection) Optimizations(limit int) Optimizations {
	v := c.view.Load()
	var out Optimizations
	for _, id := range v.all.Shards() {
		o := v.Shards[id].Optimizations()
		out.Running = append(out.Running, o.Running...)
		out.Queued = append(out.Queued, o.Queued...)
		out.Completed = append(out.Completed, o.Completed...)
		out.Idle = append(out.Idle, o.Idle...)
	}
	slices.SortStableFunc(out.Completed, func(a, b Build) int { return b.Started.Compare(a.Started) })
	out.Completed = out.Completed[:min(max(limit, 0), len(out.Completed))]
	return out
}

// Memory sums what all shards take.
func (c *Collection) Memory() Memory {
	v := c.view.Load()
	out := Memory{Vectors: []VectorMemory{}, Sparse: []VectorMemory{}, PayloadIndex: []FieldMemory{}, Other: map[string]MemoryUse{}}
	for _, id := range v.all.Shards() {
		m := v.Shards[id].Memory()
		out.Total.add(m.Total)
		out.Payload.add(m.Payload)
		out.Vectors = addVectors(out.Vectors, m.Vectors)
		out.Sparse = addVectors(out.Sparse, m.Sparse)
		for _, f := range m.PayloadIndex {
			i := slices.IndexFunc(out.PayloadIndex, func(have FieldMemory) bool { return have.Name == f.Name })
			if i < 0 {
				out.PayloadIndex = append(out.PayloadIndex, f)
			} else {
				out.PayloadIndex[i].Usage.add(f.Usage)
			}
		}
		for name, use := range m.Other {
			have := out.Other[name]
			have.add(use)
			out.Other[name] = have
		}
	}
	return out
}

func addVectors(sum, more []VectorMemory) []VectorMemory {
	for _, m := range more {
		i := slices.IndexFunc(sum, func(have VectorMemory) bool { return have.Name == m.Name })
		if i < 0 {
			sum = append(sum, m)
			continue
		}
		sum[i].Storage.add(m.Storage)
		sum[i].Index.add(m.Index)
		if m.Quantized != nil {
			if sum[i].Quantized == nil {
				sum[i].Quantized = new(MemoryUse)
			}
			sum[i].Quantized.add(*m.Quantized)
		}
	}
	return sum
}

func (u *MemoryUse) add(o MemoryUse) {
	u.DiskBytes += o.DiskBytes
	u.RAMBytes += o.RAMBytes
	u.CachedBytes += o.CachedBytes
	u.ExpectedCacheBytes += o.ExpectedCacheBytes
}
