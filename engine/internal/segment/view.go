package segment

import (
	"sync"
	"sync/atomic"

	"github.com/sextantdb/sextant"
)

// View is a shard at one seq. It never changes. Whoever uses it holds a reference; see Current.
type View struct {
	Seq    uint64
	schema Schema
	tuning *Tuning
	pieces []*piece // the newest head last
	refs   atomic.Int64
}

// piece is one segment as one view sees it. Views share pieces while nothing changes.
type piece struct {
	rows
	segment SegmentID
	head    *headView // one of head and sealed is set
	sealed  *Sealed
	tombs   tombstones

	once  sync.Once
	alive []uint64 // by bits(); nil if nothing is dead
}

// bits returns the live rows as a dense bitset, nil if all are alive.
func (p *piece) bits() []uint64 {
	p.once.Do(func() { p.alive = p.tombs.alive(p.len()) })
	return p.alive
}

// live returns how many rows are alive.
func (p *piece) live() uint32 { return p.len() - p.tombs.dead }

// Publish returns a view of the state as it is now, with one reference that the caller owns.
func (s *State) Publish() *View {
	v := &View{Seq: s.seq, schema: s.schema, tuning: s.tuning, pieces: make([]*piece, 0, len(s.parts))}
	v.refs.Store(1)
	for _, p := range s.parts {
		next := p.piece()
		if next.sealed != nil {
			next.sealed.Acquire()
		}
		v.pieces = append(v.pieces, next)
	}
	s.epoch++
	return v
}

// piece returns what a view sees of the part now.
func (p *part) piece() *piece {
	if p.last != nil && p.last.tombs.dead == p.tombs.dead && (p.head == nil || p.last.head.unchanged(p.head)) {
		return p.last
	}
	next := &piece{segment: p.id, sealed: p.sealed, tombs: p.tombs}
	if p.head != nil {
		next.head = p.head.view()
		next.rows = next.head
	} else {
		next.rows = p.sealed
	}
	p.last = next
	return next
}

// Acquire takes another reference; it fails if the last one is gone already.
func (v *View) Acquire() bool {
	for {
		n := v.refs.Load()
		if n == 0 {
			return false
		}
		if v.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release gives a reference back.
func (v *View) Release() {
	if v.refs.Add(-1) > 0 {
		return
	}
	for _, p := range v.pieces {
		if p.sealed != nil {
			p.sealed.Release()
		}
	}
}

// Schema returns the schema as of the view.
func (v *View) Schema() Schema { return v.schema }

// Parts returns the segments with their tombstones, for checkpoints and builds. They are good as long as the view is held.
func (v *View) Parts() []Part {
	parts := make([]Part, len(v.pieces))
	for i, p := range v.pieces {
		parts[i] = Part{ID: p.segment, Sealed: p.sealed, Tombs: Tombstones{p.tombs}, rows: p.rows}
	}
	return parts
}

// find returns the live row of an id.
func (v *View) find(id sextant.PointID) (*piece, uint32, bool) {
	for i := len(v.pieces) - 1; i >= 0; i-- {
		p := v.pieces[i]
		if row, ok := p.find(id); ok && !p.tombs.has(row) {
			return p, row, true
		}
	}
	return nil, 0, false
}

// Current holds the newest view of a shard for its readers. The zero value holds none.
type Current struct{ view atomic.Pointer[View] }

// Set makes v the newest view and takes over the caller's reference to it; the one before is released.
func (c *Current) Set(v *View) {
	if old := c.view.Swap(v); old != nil {
		old.Release()
	}
}

// Get returns the newest view, acquired, or nil.
func (c *Current) Get() *View {
	for {
		v := c.view.Load()
		if v == nil || v.Acquire() {
			return v
		}
	}
}
