// Package hnsw builds and searches a navigable small-world graph over the rows of one segment.
//
// Shapes: n rows have numbers [0,n); a graph holds some of them as vertices [0,len), in ascending order of row.
// Level 0 keeps at most 2m links per vertex, higher levels m.
// Units: a score is float32, larger is nearer; ef and m are counts; sizes are bytes.
// Errors: context errors, ErrCorrupt for a malformed file, and whatever a writer returns.
// Concurrency: a Graph is immutable after Build or Open; any number of searches may share it.
// Sources: Malkov, Yashunin 2016 (arXiv:1603.09320), algorithms 1, 2, 4, 5; Patel et al. 2024 (ACORN,
// arXiv:2403.04871) for the two-hop walk under a filter.
//
// # File
//
// All numbers are little-endian; every section starts at a multiple of 64 bytes and is padded with zeros.
//
//	  0  magic "SXHNSW01"
//	  8  u32 rows of the segment (n)
//	 12  u32 vertices (len)
//	 16  u32 m
//	 20  u32 ef_construct
//	 24  u32 ids per block of level 0 (the lesser of 2m and len, rounded up to 16)
//	 28  u32 ids per block of the levels above (the lesser of m and len, rounded up to 16)
//	 32  u32 vertices that reach above level 0 (u)
//	 36  u32 levels above 0
//	 40  u64 bytes of the whole file
//	 48  u32 × 32: how many vertices reach level 1, 2, …; the first is u, each is at most the one before
//	176  u32 zero × 3
//	188  u32 CRC32C of bytes 0-187
//	192  blocks of level 0, one per vertex: ids of vertices, the unused tail filled with the vertex's own id
//	     rows: u32 row of each vertex, ascending; absent when len = n, for then vertex = row
//	     tops: u32 × u, the rows of the vertices that reach above level 0, those of the highest level first
//	     blocks of level 1, one per place in tops; ids are places in tops, the tail filled with the own place
//	     blocks of level 2, …
//	end  u32 CRC32C of everything from byte 192 to here, u32 zero
//
// Since tops is ordered by level, a vertex has the same place on every level it reaches, level l is a
// prefix of tops, and the way into the graph is place 0. A block padded with its own id needs no count and
// no special case for its end: an expanded vertex is always visited already.
package hnsw

import (
	"errors"
	"sync"
	"unsafe"

	"github.com/sextantdb/sextant/engine/internal/vec"
)

// ErrCorrupt is wrapped by every error that a damaged file causes.
var ErrCorrupt = errors.New("graph file is damaged")

// Scorer scores rows against a fixed query: out[i] is the similarity of row ids[i], larger is nearer.
// One call is made per step of a walk. It is used by one goroutine at a time.
type Scorer interface {
	ScoreBatch(ids []uint32, out []float32)
}

// Space gives the scorers a build needs. It is called concurrently.
type Space interface {
	// RowScorer scores rows against a stored row.
	RowScorer(row uint32) Scorer
}

// PairSpace is a Space that can score against a stored row without making an object first. A build calls
// it some hundred times per vertex, so a Space should have it.
type PairSpace interface {
	Space
	ScoreRow(row uint32, ids []uint32, out []float32)
}

// RoughSpace is a PairSpace with a scorer that is cheaper and a little wrong, for the walks of a build. What a
// walk finds is scored again exactly before neighbours are chosen.
type RoughSpace interface {
	PairSpace
	RoughScorer(row uint32) Scorer
}

// Hit is one row found.
type Hit struct {
	Row   uint32
	Score float32
}

// Stats is what a search did. A search adds to the counters, so one value may collect several searches.
type Stats struct {
	Scored   int  // rows scored on the walk
	Hops     int  // vertices expanded on level 0
	Rescored int  // rows scored again by the exact scorer
	Sure     int  // candidates nearer than the edge of what the walk saw; with fewer than k the matches lie far off
	Short    bool // the walk ended with fewer than min(k, matches) hits: the caller has to scan
}

// Graph is an immutable graph, either just built or opened over the bytes of a file.
type Graph struct {
	head  header
	image []byte // the whole file
	base  level
	upper []level // upper[0] is level 1
	tops  []uint32
	rows  []uint32  // nil: vertex = row
	walks sync.Pool // of *walk
}

// level is the links of one level. ids on level 0 are vertices, above they are places in tops.
type level struct {
	links  []uint32
	stride int      // ids per block
	limit  int      // links a vertex may have
	n      int      // blocks
	rows   []uint32 // row of each id; nil: id = row
}

func (l *level) block(id uint32) []uint32 {
	at := int(id) * l.stride
	return l.links[at : at+l.stride : at+l.stride]
}

// prefetch asks for a block that is probably the next to be read.
func (l *level) prefetch(id uint32) {
	at := int(id) * l.stride
	vec.Prefetch((*byte)(unsafe.Pointer(&l.links[at])), l.stride/16)
}

// Len is the number of vertices.
func (g *Graph) Len() int { return int(g.head.vertices) }

// M is the link parameter the graph was built with.
func (g *Graph) M() int { return int(g.head.m) }

// EfConstruct is the beam width the graph was built with.
func (g *Graph) EfConstruct() int { return int(g.head.efConstruct) }

// MemoryBytes is the size of the links and tables, mapped or not.
func (g *Graph) MemoryBytes() int64 { return int64(len(g.image)) }

func (g *Graph) row(vertex uint32) uint32 {
	if g.rows == nil {
		return vertex
	}
	return g.rows[vertex]
}
