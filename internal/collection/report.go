package collection

import (
	"time"

	"github.com/sextantdb/sextant"
)

// Health is the condition of a shard or collection; the larger is the worse.
type Health uint8

const (
	Green  Health = iota
	Yellow        // builds run, or wait to
	Grey          // builds could run but nothing asked since the start
	Red           // something failed
)

func (h Health) String() string { return [...]string{"green", "yellow", "grey", "red"}[h] }

// FieldInfo is a payload index as collection info shows it.
type FieldInfo struct {
	Spec   sextant.FieldSpec
	Points uint64 // that have a value
}

// ShardInfo is what a shard tells about itself.
type ShardInfo struct {
	Health         Health
	OptimizerError string // "" is ok
	Points         uint64
	IndexedVectors uint64
	Vectors        map[string]uint64 // live vectors by name
	Fields         map[string]FieldInfo
	QueueLength    uint64
	LastSeq        uint64 // of the last applied entry
	Segments       []SegmentInfo
	VectorBytes    uint64
	PayloadBytes   uint64
	// HiddenByIndexedOnly counts, per vector name, the points that a search with indexed_only leaves out.
	HiddenByIndexedOnly map[string]uint64
}

// SegmentInfo is one segment of a shard.
type SegmentInfo struct {
	UUID           string
	Type           string // plain, indexed, special
	Appendable     bool
	Points         uint64
	DeletedPoints  uint64
	Vectors        uint64
	IndexedVectors uint64
	VectorBytes    uint64
	PayloadBytes   uint64
	RAMBytes       uint64
	DiskBytes      uint64
	VectorData     map[string]SegmentVectors
}

// SegmentVectors is one vector name of a segment.
type SegmentVectors struct {
	Vectors, Indexed, Deleted uint64
}

// Build is one run of the optimizer, running, finished or waiting.
type Build struct {
	UUID      string // of the segment that results
	Optimizer string // merge, indexing, vacuum, config mismatch
	// State is optimizing, done, cancelled or error; Text tells why for the last two.
	State, Text string
	Segments    []BuildSegment
	Progress    *Progress
	Started     time.Time
	Ended       time.Time
}

// BuildSegment is a source of a build.
type BuildSegment struct {
	UUID   string `json:"uuid"`
	Points uint64 `json:"points_count"`
}

// Progress is a tree of named steps; what is nil has no value yet.
type Progress struct {
	Name     string     `json:"name"`
	Started  *time.Time `json:"started_at,omitempty"`
	Finished *time.Time `json:"finished_at,omitempty"`
	Seconds  *float64   `json:"duration_sec,omitempty"`
	Done     *uint64    `json:"done,omitempty"`
	Total    *uint64    `json:"total,omitempty"`
	Children []Progress `json:"children,omitempty"`
}

// Optimizations is everything the optimizers of a collection do, did or will do. Newest first.
type Optimizations struct {
	Running   []Build
	Queued    []Build
	Completed []Build
	Idle      []BuildSegment
}

// Optimized counts the points that completed builds have taken, as telemetry shows it.
func (o Optimizations) Optimized() (points uint64) {
	for _, b := range o.Completed {
		for _, source := range b.Segments {
			points += source.Points
		}
	}
	return points
}

// MemoryUse is what one component takes.
type MemoryUse struct {
	DiskBytes          uint64 `json:"disk_bytes"`
	RAMBytes           uint64 `json:"ram_bytes"`
	CachedBytes        uint64 `json:"cached_bytes"`
	ExpectedCacheBytes uint64 `json:"expected_cache_bytes"`
}

// Memory is what a collection takes, by component.
type Memory struct {
	Total        MemoryUse            `json:"total"`
	Vectors      []VectorMemory       `json:"vectors"`
	Sparse       []VectorMemory       `json:"sparse_vectors"`
	Payload      MemoryUse            `json:"payload"`
	PayloadIndex []FieldMemory        `json:"payload_index"`
	Other        map[string]MemoryUse `json:"other"`
}

// VectorMemory is what one vector name takes.
type VectorMemory struct {
	Name      string     `json:"name"`
	Storage   MemoryUse  `json:"storage"`
	Index     MemoryUse  `json:"index"`
	Quantized *MemoryUse `json:"quantized,omitempty"`
}

// FieldMemory is what one payload index takes.
type FieldMemory struct {
	Name  string    `json:"name"`
	Usage MemoryUse `json:"usage"`
}

// Info is what GET collection shows.
type Info struct {
	Health         Health
	OptimizerError string // "" is ok
	Warnings       []string
	IndexedVectors uint64
	Points         uint64
	Segments       uint64
	Config         sextant.CollectionConfig
	Fields         map[string]FieldInfo
	QueueLength    uint64
	DeferredPoints *uint64 // nil unless the collection hides unoptimized points
}
