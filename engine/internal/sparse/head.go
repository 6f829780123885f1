package sparse

import (
	"context"
	"math"
	"sync"

	"github.com/sextantdb/sextant/internal/invariant"
)

// Head is an inverted index that grows in memory, for rows that come in ascending order.
//
// Postings live in slabs without pointers. A list is a chain of extents of 4, 8, … 128 places: place 0 has the number of the
// next extent and the largest weight of this one, the others have postings. Places are written once, before a reader can
// learn of them; only place 0 of a list's last extent changes, and readers do not look at it. So a reader takes the lock to
// copy the states of its lists and then searches without it.
type Head struct {
	mu      sync.RWMutex
	slabs   []*slab
	used    uint32 // places handed out
	numbers map[uint32]uint32
	lists   []headState
	present []uint64
	vectors uint64
	rows    uint32 // one more than the last row
}

const (
	slabPlaces  = 1 << 13
	firstExtent = 4
	lastExtent  = 128
)

type slab struct {
	rows    [slabPlaces]uint32
	weights [slabPlaces]float32
}

// headState is one list.
type headState struct {
	first  uint32 // the first extent
	last   uint32 // the last one
	size   uint32 // places of the last one
	filled uint32 // of them in use
	count  uint32 // postings
	top    float32
}

// NewHead returns an empty head.
func NewHead() *Head { return &Head{numbers: map[uint32]uint32{}} }

// Add makes row the owner of a vector. Rows ascend from call to call; indices are ascending and unique. There is one writer.
func (h *Head) Add(row uint32, indices []uint32, values []float32) {
	invariant.Check(len(indices) == len(values), "a sparse vector has as many indices as values")
	h.mu.Lock()
	defer h.mu.Unlock()
	invariant.Check(row >= h.rows && row < none, "rows of a sparse head ascend")
	for len(h.present) <= int(row/64) {
		h.present = append(h.present, 0)
	}
	h.present[row/64] |= 1 << (row % 64)
	h.vectors++
	h.rows = row + 1
	for i, index := range indices {
		h.add(index, row, values[i])
	}
}

func (h *Head) add(index, row uint32, weight float32) {
	number, ok := h.numbers[index]
	if !ok {
		number = uint32(len(h.lists))
		h.numbers[index] = number
		at := h.extent(firstExtent)
		h.lists = append(h.lists, headState{first: at, last: at, size: firstExtent, filled: 1, top: float32(math.Inf(-1))})
	}
	l := &h.lists[number]
	s, at := h.slabs[l.last/slabPlaces], l.last%slabPlaces
	if l.filled == l.size {
		size := min(2*l.size, lastExtent)
		next := h.extent(size)
		s.rows[at] = next
		l.last, l.size, l.filled = next, size, 1
		s, at = h.slabs[next/slabPlaces], next%slabPlaces
	}
	s.rows[at+l.filled], s.weights[at+l.filled] = row, weight
	if weight > s.weights[at] {
		s.weights[at] = weight
	}
	l.filled++
	l.count++
	if weight > l.top {
		l.top = weight
	}
}

// extent hands out places; an extent does not cross slabs.
func (h *Head) extent(size uint32) uint32 {
	if left := uint32(len(h.slabs))*slabPlaces - h.used; left < size {
		h.used += left
		h.slabs = append(h.slabs, new(slab))
	}
	at := h.used
	h.used += size
	h.slabs[at/slabPlaces].weights[at%slabPlaces] = float32(math.Inf(-1))
	return at
}

// Search returns the K best rows, best first.
func (h *Head) Search(ctx context.Context, q Query) ([]Hit, error) {
	all := make([]headList, 0, len(q.Indices))
	lists := make([]list, len(q.Indices))
	postings := uint64(0)
	h.mu.RLock()
	n := h.rows
	for i, index := range q.Indices {
		if l, ok := h.list(index); ok {
			all = append(all, l)
			lists[i] = &all[len(all)-1]
			postings += uint64(l.left)
		}
	}
	h.mu.RUnlock()
	return run(ctx, &q, n, postings, lists)
}

// list returns the postings of an index as they are now. The lock is held.
func (h *Head) list(index uint32) (headList, bool) {
	number, ok := h.numbers[index]
	if !ok {
		return headList{}, false
	}
	s := h.lists[number]
	l := headList{slabs: h.slabs, left: s.count, top: s.top}
	l.enter(s.first, firstExtent)
	return l, true
}

// DF returns how many rows have the index, of all or of the alive ones.
func (h *Head) DF(index uint32, alive []uint64) uint64 {
	h.mu.RLock()
	l, ok := h.list(index)
	h.mu.RUnlock()
	if !ok || alive == nil {
		return uint64(l.left)
	}
	n := countAlive(l.rows, 0, alive)
	for l.advance() {
		n += countAlive(l.rows, 0, alive)
	}
	return n
}

// Vectors returns how many rows have a vector, be it empty, of all or of the alive ones.
func (h *Head) Vectors(alive []uint64) uint64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if alive == nil {
		return h.vectors
	}
	return countBoth(h.present, alive)
}

// Bytes returns about how much memory the head takes.
func (h *Head) Bytes() int64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return int64(len(h.slabs))*slabPlaces*8 + int64(len(h.lists))*(24+16) + int64(len(h.present))*8
}

// headList is a place in one list of a head, as it was when the list was taken.
type headList struct {
	slabs []*slab
	left  uint32 // postings from the current extent on
	top   float32

	at, size uint32 // the current extent
	rows     []uint32
	weights  []float32
}

// enter makes the extent the current one.
func (l *headList) enter(at, size uint32) {
	l.at, l.size = at, size
	s, place, n := l.slabs[at/slabPlaces], at%slabPlaces+1, min(size-1, l.left)
	l.rows, l.weights = s.rows[place:place+n], s.weights[place:place+n]
}

// advance goes to the next extent, if there is one with postings.
func (l *headList) advance() bool {
	n := uint32(len(l.rows))
	if l.left == n {
		l.left, l.rows, l.weights = 0, nil, nil
		return false
	}
	l.left -= n
	l.enter(l.slabs[l.at/slabPlaces].rows[l.at%slabPlaces], min(2*l.size, lastExtent))
	return true
}

func (l *headList) max() float32 { return l.top }

func (l *headList) next(row uint32) uint32 {
	for len(l.rows) > 0 {
		if l.rows[len(l.rows)-1] >= row {
			return max(row, l.rows[0])
		}
		l.advance()
	}
	return none
}

func (l *headList) bound(_, hi uint32) (bound float32, count int) {
	bound = float32(math.Inf(-1))
	ahead := *l
	for len(ahead.rows) > 0 && ahead.rows[0] < hi {
		count += len(ahead.rows)
		if ahead.left == uint32(len(ahead.rows)) {
			return l.top, count // the writer may be at work in the last extent
		}
		bound = max(bound, ahead.slabs[ahead.at/slabPlaces].weights[ahead.at%slabPlaces])
		ahead.advance()
	}
	return bound, count
}

func (l *headList) add(w *window, lo, hi uint32, q float64) {
	if l.next(lo) >= hi {
		return
	}
	for {
		rows, weights := l.rows, l.weights
		if rows[len(rows)-1] >= hi {
			rows = rows[:lowerBound(rows, hi)]
		}
		if l.rows[0] < lo {
			i := lowerBound(rows, lo)
			rows, weights = rows[i:], weights[i:]
		}
		addPostings(w, rows, weights, -lo, q)
		if l.rows[len(l.rows)-1] >= hi || !l.advance() || l.rows[0] >= hi {
			return
		}
	}
}

func (l *headList) weight(row uint32) (weight float32, ok bool) {
	if l.next(row) != row {
		return 0, false
	}
	i := lowerBound(l.rows, row)
	if l.rows[i] != row {
		return 0, false
	}
	return l.weights[i], true
}
