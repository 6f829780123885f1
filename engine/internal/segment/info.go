package segment

import (
	"math/bits"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/hnsw"
	"github.com/sextantdb/sextant/engine/internal/payload"
)

// Info is what a view can tell about itself. All counts are of points or vectors that are alive, but for Indexed, which
// counts what was there when an index was built.
type Info struct {
	Points   uint64
	Indexed  uint64            // vectors in indexes, all names together
	Vectors  map[string]uint64 // by name
	Fields   map[string]uint64 // points with an indexed value, by field
	Segments []SegmentInfo
	// Hidden counts, by vector name, the points that a search with indexed_only leaves out.
	Hidden map[string]uint64
}

// SegmentInfo is one segment. Sizes are bytes.
type SegmentInfo struct {
	ID           SegmentID
	Head         bool
	Indexed      bool // some dense vector has a graph, or the shard has sparse vectors
	Points       uint64
	Deleted      uint64
	Vectors      map[string]VectorInfo
	PayloadBytes uint64
	RAM          uint64 // of a head
	Disk         uint64 // of files
}

// VectorInfo is one vector name in a segment.
type VectorInfo struct{ Live, Indexed, Deleted, Bytes uint64 }

// Info looks at every segment; it reads no point.
func (v *View) Info() (info Info, err error) {
	defer border(&err)()
	info = Info{Vectors: map[string]uint64{}, Fields: map[string]uint64{}, Hidden: map[string]uint64{}}
	sparse := false
	for name, slot := range v.schema.Vectors {
		info.Vectors[name] = 0
		sparse = sparse || slot.Spec.Kind == sextant.Sparse
	}
	for key := range v.schema.Fields {
		info.Fields[key] = 0
	}
	for _, p := range v.pieces {
		seg := v.segmentInfo(p)
		seg.Indexed = seg.Indexed || sparse
		for name, vector := range seg.Vectors {
			info.Vectors[name] += vector.Live
			info.Indexed += vector.Indexed
			info.Hidden[name] += v.hidden(name, seg.Points, vector)
		}
		for key, slot := range v.schema.Fields {
			if f := p.field(slotKey{key, slot.Seq}); f != nil {
				info.Fields[key] += p.aliveOf(f)
			}
		}
		info.Points += seg.Points
		info.Segments = append(info.Segments, seg)
	}
	return info, nil
}

func (v *View) segmentInfo(p *piece) SegmentInfo {
	seg := SegmentInfo{
		ID: p.segment, Head: p.head != nil, Points: uint64(p.live()), Deleted: uint64(p.tombs.dead),
		Vectors: map[string]VectorInfo{},
	}
	if p.head != nil {
		seg.PayloadBytes = uint64(max(0, p.head.bytes-rowBytes*int64(p.head.n)))
		seg.RAM = uint64(p.head.bytes)
	} else {
		seg.PayloadBytes = uint64(p.sealed.meta.Payload)
		m := p.sealed.Meta()
		seg.Disk = uint64(m.Bytes())
	}
	for name, slot := range v.schema.Vectors {
		key := slotKey{name, slot.Seq}
		total, inner := p.vectorCount(key)
		if total == 0 {
			continue
		}
		vector := VectorInfo{Live: p.liveVectors(key), Bytes: uint64(VectorMeta{Spec: slot.Spec, Inner: inner}.Bytes())}
		vector.Deleted = total - min(total, vector.Live)
		switch {
		case slot.Spec.Kind == sextant.Sparse:
			vector.Indexed = vector.Live
		case p.sealed != nil:
			if g := lookup[*hnsw.Graph](p.sealed, GraphFile, key); g != nil {
				vector.Indexed = uint64(g.Len())
				seg.Indexed = true
			}
		default:
			seg.RAM += uint64(p.head.slots[key].bytes)
		}
		seg.Vectors[name] = vector
	}
	return seg
}

// vectorCount returns how many rows have a vector, dead ones too, and their components.
func (p *piece) vectorCount(key slotKey) (rows, inner uint64) {
	if p.head != nil {
		if s := p.head.slots[key]; s != nil {
			return uint64(s.count), s.inner
		}
		return 0, 0
	}
	if s := p.sealed.slots[key]; s != nil {
		for _, m := range p.sealed.meta.Vectors {
			if m.Name == key.name && m.Seq == key.seq {
				return uint64(s.(*sealedVectors).count), m.Inner
			}
		}
	}
	return 0, 0
}

// liveVectors counts the live rows that have a vector; it looks at every row of a segment where some lack it.
func (p *piece) liveVectors(key slotKey) (n uint64) {
	total, _ := p.vectorCount(key)
	switch {
	case p.tombs.dead == 0:
		return total
	case total == uint64(p.len()):
		return uint64(p.live())
	}
	vs := p.rows.vectors(key)
	for w, word := range p.bits() {
		for ; word != 0; word &= word - 1 {
			if vs.has(uint32(w*64 + bits.TrailingZeros64(word))) {
				n++
			}
		}
	}
	return n
}

// aliveOf returns how many live points an index knows.
func (p *piece) aliveOf(f payload.FieldIndex) uint64 {
	if p.tombs.dead == 0 {
		return uint64(min(f.Points(), p.len()))
	}
	return uint64(f.PointsIn(p.bits()))
}

// hidden returns how many points of a segment a search with indexed_only leaves out.
func (v *View) hidden(name string, points uint64, vector VectorInfo) uint64 {
	spec := v.schema.Vectors[name].Spec
	if spec.Kind == sextant.Sparse || vector.Indexed > 0 {
		return 0
	}
	limit := max(v.tuning.IndexingThreshold, fullScan(v.tuning.Vector(name)))
	if int64(points)*int64(vectorBytes(spec)) > limit {
		return points
	}
	return 0
}

// Rows returns how many rows the part has, dead ones included, and Live how many are alive.
func (p *Part) Rows() uint32 { return p.piece().len() }

// Live returns how many rows are alive.
func (p *Part) Live() uint32 { return p.piece().live() }

// Size returns the size of a segment as the thresholds of builds count it: of its largest vector name, without what is
// dead.
func (p *Part) Size() (n int64) {
	all := p.piece()
	count := func(spec sextant.VectorSpec, inner uint64) {
		n = max(n, VectorMeta{Spec: spec, Inner: inner}.Bytes())
	}
	if all.head != nil {
		for _, s := range all.head.slots {
			count(s.spec, s.inner)
		}
	} else {
		for _, m := range all.sealed.meta.Vectors {
			count(m.Spec, m.Inner)
		}
	}
	return int64(float64(n) * float64(all.live()) / float64(max(all.len(), 1)))
}
