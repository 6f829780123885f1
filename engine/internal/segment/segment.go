// Package segment holds the rows of one shard: a head in memory, sealed segments in files, tombstones over both, and the
// views that reads run on.
//
// Shapes: a segment has rows [0,n) of points. A head is append-only: every change of a point appends a whole new row and
// puts a tombstone on the old one, wherever that lies. A sealed segment never changes; its rows are in id order, so row
// order, scroll order and the order of ties are the same. An id has at most one row without tombstone in a view.
// Units: sizes are bytes; inside, a larger score is nearer, and the number users see is made once, in score.go.
// Errors: user errors as the API words them; sextant.Corrupt with file and offset for damaged stored bytes. Damage that is
// met deep in a scan travels as a panic with a private type and is turned into that error at the border of the package
// (guard.go), as are faults of mapped files: threading an error through every row access would cost each caller more.
// Concurrency: a State has one writer. A View is immutable and serves any number of goroutines; it pins its segments, and
// the files of a discarded segment go when the last view lets go.
// Files: see container.go (sealed segments) and tombfile.go (tombstones).
package segment

import "github.com/sextantdb/sextant"

// SegmentID names a segment inside one shard: the uuid of a sealed one, "head-<seq>" of a head.
type SegmentID string

// none stands for no row.
const none = ^uint32(0)

// slotKey names one life of a vector name or field: what was made anew under an old name never sees the old data.
type slotKey struct {
	name string
	seq  uint64
}

// rows is one segment as far as a view may see it. Rows are numbers below len(); what is dead among them only the
// tombstones know.
type rows interface {
	len() uint32
	id(row uint32) sextant.PointID
	version(row uint32) uint64
	// payload returns JSON bytes that alias the segment; nil when empty.
	payload(row uint32) sextant.Payload
	// find returns the newest row of the id, dead or alive.
	find(id sextant.PointID) (row uint32, ok bool)
	// vectors returns nil if the segment has no vector of that slot.
	vectors(slot slotKey) vectors
}

// vectors is one vector name in one segment.
type vectors interface {
	has(row uint32) bool
	// raw returns the stored bytes of the vector, which alias the segment; only rows that have it may be asked.
	raw(row uint32) []byte
	// value decodes the vector into fresh slices.
	value(row uint32) sextant.Vector
}
