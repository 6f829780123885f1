package engine

import (
	"slices"
	"time"

	"github.com/sextantdb/sextant/engine/internal/segment"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/task"
)

// Status is a shard's condition as clients know it, from best to worst.
type Status uint8

const (
	Green  Status = iota // nothing is left to do
	Yellow               // builds run or are due
	Grey                 // builds are due and wait for the first update after the start
	Red                  // an entry could not be applied, or a build failed
)

func (s Status) String() string { return [...]string{"green", "yellow", "grey", "red"}[s] }

// Info is what a shard tells about itself. Counts are of points or vectors that are alive; sizes are bytes.
type Info struct {
	Status         Status
	OptimizerError string // of a failed build or seal; "" is none
	Failure        string // why the shard takes no updates any more; "" if it does
	Points         uint64
	IndexedVectors uint64
	Vectors        map[string]uint64 // by name
	Fields         map[string]uint64 // points with an indexed value, by field
	QueueLength    int
	Applied        order.Seq
	Segments       []SegmentInfo
	// Hidden counts, by vector name, the points that a search with indexed_only leaves out.
	Hidden map[string]uint64
	Log    LogInfo
}

// SegmentInfo is one segment of a shard.
type SegmentInfo struct {
	UUID         string
	Head         bool // it takes new points
	Indexed      bool
	Points       uint64
	Deleted      uint64
	Vectors      map[string]VectorInfo
	PayloadBytes uint64
	RAMBytes     uint64
	DiskBytes    uint64
}

// VectorInfo is one vector name of a segment.
type VectorInfo struct{ Live, Indexed, Deleted, Bytes uint64 }

// LogInfo is what a shard's log holds and did since it was opened.
type LogInfo struct {
	First, Last, Checkpoint order.Seq
	Files                   int
	Bytes                   int64
	Appends, Syncs          uint64
	SyncTime                time.Duration
}

// Info looks at the shard without reading points or waiting for anybody.
func (s *Shard) Info() (Info, error) {
	status, optimizerError := s.status() // before the view is taken: what is green was all there, then and since
	seen, err := read(s, (*segment.View).Info)
	if err != nil {
		return Info{}, err
	}
	info := Info{
		Status: status, OptimizerError: optimizerError,
		Points: seen.Points, IndexedVectors: seen.Indexed, Vectors: seen.Vectors, Fields: seen.Fields, Hidden: seen.Hidden,
		QueueLength: s.queue.length(), Applied: s.writer.place().Seq,
	}
	for _, g := range seen.Segments {
		vectors := make(map[string]VectorInfo, len(g.Vectors))
		for name, v := range g.Vectors {
			vectors[name] = VectorInfo(v)
		}
		info.Segments = append(info.Segments, SegmentInfo{
			UUID: string(g.ID), Head: g.Head, Indexed: g.Indexed, Points: g.Points, Deleted: g.Deleted, Vectors: vectors,
			PayloadBytes: g.PayloadBytes, RAMBytes: g.RAM, DiskBytes: g.Disk,
		})
	}
	l := s.log.Stats()
	info.Log = LogInfo{First: l.First, Last: l.Last, Checkpoint: s.keeper.manifest().At.Seq, Files: l.Files, Bytes: l.Bytes,
		Appends: l.Appends, Syncs: l.Syncs, SyncTime: l.SyncTime}
	if err := s.usable(); err != nil {
		info.Failure = err.Error()
	}
	return info, nil
}

// status judges by what there is to do, not by what happens to run, so that it does not turn green between two builds.
func (s *Shard) status() (status Status, optimizerError string) {
	k := &s.keeper
	h := s.head()
	pending := h.indexDue || h.sealDue() || s.vacuumDue() || len(k.plan(k.candidates(), false)) > 0
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, err := range []error{k.sealErr, k.buildErr} {
		if err != nil && optimizerError == "" {
			optimizerError = err.Error()
		}
	}
	switch {
	case s.usable() != nil || optimizerError != "":
		return Red, optimizerError
	case len(k.builds) > 0 || k.sealing || pending && k.asked:
		return Yellow, ""
	case pending:
		return Grey, ""
	}
	return Green, ""
}

// Build is one run of the optimizer, or one that is due.
type Build struct {
	UUID      string // of the segment that results
	Optimizer string // merge, indexing, vacuum, config mismatch
	State     string // optimizing, done, cancelled or error
	Text      string // why, for the last two
	Segments  []BuildSource
	Progress  *task.Step // nil for one that is due
	Started   time.Time
	Ended     time.Time
}

// BuildSource is a segment that a build reads, or one that no build wants.
type BuildSource struct {
	UUID   string
	Points uint64
}

// Optimizations are the builds of a shard. Completed ones come newest first.
type Optimizations struct {
	Running, Queued, Completed []Build
	Idle                       []BuildSource
}

// Optimizations lists what runs, what is due, what ended last, and the segments that nothing is planned for.
func (s *Shard) Optimizations() Optimizations {
	k := &s.keeper
	var out Optimizations
	candidates := k.candidates()
	taken := map[segment.SegmentID]bool{}
	sources := func(ids []segment.SegmentID) (list []BuildSource) {
		for _, c := range candidates {
			if slices.Contains(ids, c.id) {
				list = append(list, BuildSource{UUID: string(c.id), Points: uint64(c.rows - c.dead)})
			}
		}
		return list
	}
	for _, j := range k.plan(candidates, false) {
		out.Queued = append(out.Queued, Build{Optimizer: j.name, Segments: sources(j.sources)})
		for _, id := range j.sources {
			taken[id] = true
		}
	}
	for _, c := range candidates {
		if !c.busy && !taken[c.id] {
			out.Idle = append(out.Idle, sources([]segment.SegmentID{c.id})...)
		}
	}
	if info, err := read(s, (*segment.View).Info); err == nil {
		for _, g := range info.Segments {
			if g.Head {
				out.Idle = append(out.Idle, BuildSource{UUID: string(g.ID), Points: g.Points})
			}
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, b := range k.builds {
		out.Running = append(out.Running, b.report())
	}
	for _, b := range slices.Backward(k.past) {
		out.Completed = append(out.Completed, b)
	}
	return out
}

// report describes a build as it is now.
func (b *build) report() Build {
	r := Build{UUID: b.uuid, Optimizer: b.job.name, State: "optimizing", Segments: b.from, Started: b.begun}
	if b.task != nil {
		steps := b.task.Status().Steps
		steps.Name = "Segment Optimizing"
		r.Progress = &steps
	}
	return r
}
