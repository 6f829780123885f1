package node

import (
	"context"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/collection"
	"github.com/sextantdb/sextant/internal/task"
)

// engineShard shows a shard of the engine as collections and edges want to see it.
type engineShard struct{ *engine.Shard }

// Schema is empty once the shard is closed.
func (s *engineShard) Schema() sextant.Schema {
	schema, err := s.Shard.Schema()
	if err != nil {
		return sextant.Schema{}
	}
	return schema
}

// Snapshot leaves out at which entry the archive stands: for a user's snapshot the archive itself says it.
func (s *engineShard) Snapshot(ctx context.Context, w io.Writer) error {
	_, err := s.Shard.Snapshot(ctx, w)
	return err
}

func (s *engineShard) Info() collection.ShardInfo {
	seen, err := s.Shard.Info()
	if err != nil {
		return collection.ShardInfo{Health: collection.Red, OptimizerError: err.Error()}
	}
	schema := s.Schema()
	info := collection.ShardInfo{Health: health(seen.Status), OptimizerError: seen.OptimizerError, Points: seen.Points,
		IndexedVectors: seen.IndexedVectors, Vectors: seen.Vectors, Fields: map[string]collection.FieldInfo{},
		QueueLength: uint64(max(seen.QueueLength, 0)), LastSeq: uint64(seen.Applied), HiddenByIndexedOnly: seen.Hidden}
	if info.OptimizerError == "" {
		info.OptimizerError = seen.Failure
	}
	for key, spec := range schema.Fields {
		info.Fields[key] = collection.FieldInfo{Spec: spec, Points: seen.Fields[key]}
	}
	for _, g := range seen.Segments {
		one := segmentInfo(g)
		info.VectorBytes += one.VectorBytes
		info.PayloadBytes += one.PayloadBytes
		info.Segments = append(info.Segments, one)
	}
	return info
}

func health(s engine.Status) collection.Health {
	switch s {
	case engine.Yellow:
		return collection.Yellow
	case engine.Grey:
		return collection.Grey
	case engine.Red:
		return collection.Red
	}
	return collection.Green
}

func segmentInfo(g engine.SegmentInfo) collection.SegmentInfo {
	one := collection.SegmentInfo{UUID: g.UUID, Type: "plain", Appendable: g.Head, Points: g.Points, DeletedPoints: g.Deleted,
		PayloadBytes: share(g.PayloadBytes, g.Points, g.Deleted), RAMBytes: g.RAMBytes, DiskBytes: g.DiskBytes, VectorData: map[string]collection.SegmentVectors{}}
	if g.Indexed {
		one.Type = "indexed"
	}
	for name, v := range g.Vectors {
		one.Vectors += v.Live
		one.IndexedVectors += v.Indexed
		one.VectorBytes += share(v.Bytes, v.Live, v.Deleted)
		one.VectorData[name] = collection.SegmentVectors{Vectors: v.Live, Indexed: v.Indexed, Deleted: v.Deleted}
	}
	return one
}

// share is the part of a size that falls to what is alive. It is what users have stored: limits and reports of sizes go by it.
func share(bytes, live, dead uint64) uint64 {
	if dead == 0 {
		return bytes
	}
	return uint64(float64(bytes) * float64(live) / float64(live+dead))
}

func (s *engineShard) Optimizations() collection.Optimizations {
	seen := s.Shard.Optimizations()
	return collection.Optimizations{Running: builds(seen.Running), Queued: builds(seen.Queued), Completed: builds(seen.Completed), Idle: sources(seen.Idle)}
}

func builds(list []engine.Build) (out []collection.Build) {
	for _, b := range list {
		one := collection.Build{UUID: b.UUID, Optimizer: b.Optimizer, State: b.State, Text: b.Text, Segments: sources(b.Segments), Started: b.Started, Ended: b.Ended}
		if b.Progress != nil {
			p := progress(*b.Progress)
			one.Progress = &p
		}
		out = append(out, one)
	}
	return out
}

func sources(list []engine.BuildSource) (out []collection.BuildSegment) {
	for _, s := range list {
		out = append(out, collection.BuildSegment{UUID: s.UUID, Points: s.Points})
	}
	return out
}

// progress leaves out what has no value yet.
func progress(s task.Step) collection.Progress {
	p := collection.Progress{Name: s.Name}
	moment := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return &t
	}
	p.Started, p.Finished = moment(s.Started), moment(s.Finished)
	if p.Started != nil && p.Finished != nil {
		took := s.Finished.Sub(s.Started).Seconds()
		p.Seconds = &took
	}
	if s.Total > 0 {
		done, total := uint64(max(s.Done, 0)), uint64(s.Total)
		p.Done, p.Total = &done, &total
	}
	for _, child := range s.Children {
		p.Children = append(p.Children, progress(child))
	}
	return p
}

// Memory is empty once the shard is closed.
func (s *engineShard) Memory() collection.Memory {
	seen, err := s.Shard.Memory()
	if err != nil {
		return collection.Memory{}
	}
	m := collection.Memory{Total: use(seen.Total), Payload: use(seen.Payload),
		Other: map[string]collection.MemoryUse{"id_tracker": use(seen.IDs), "log": use(seen.Log)}}
	for _, name := range slices.Sorted(maps.Keys(seen.Vectors)) {
		v := seen.Vectors[name]
		one := collection.VectorMemory{Name: name, Storage: use(v.Storage), Index: use(v.Index)}
		if v.Quantized != (engine.MemoryUse{}) {
			quantized := use(v.Quantized)
			one.Quantized = &quantized
		}
		if v.Sparse {
			m.Sparse = append(m.Sparse, one)
		} else {
			m.Vectors = append(m.Vectors, one)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(seen.Fields)) {
		m.PayloadIndex = append(m.PayloadIndex, collection.FieldMemory{Name: key, Usage: use(seen.Fields[key])})
	}
	return m
}

func use(u engine.MemoryUse) collection.MemoryUse {
	return collection.MemoryUse{DiskBytes: u.Disk, RAMBytes: u.RAM, CachedBytes: u.Cached, ExpectedCacheBytes: u.Expected}
}
