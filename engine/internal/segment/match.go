package segment

import (
	"context"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/payload"
)

// source shows a piece of a view to the filters.
type source struct {
	v *View
	p *piece
}

func (s source) Len() uint32                             { return s.p.len() }
func (s source) Payload(row uint32) sextant.Payload      { return s.p.payload(row) }
func (s source) ID(row uint32) sextant.PointID           { return s.p.rows.id(row) }
func (s source) Rows(id sextant.PointID, f func(uint32)) { s.p.eachRow(id, f) }

func (s source) HasVector(row uint32, name string) bool {
	slot, ok := s.v.schema.Vectors[name]
	if !ok {
		return false
	}
	vs := s.p.rows.vectors(slotKey{name, slot.Seq})
	return vs != nil && vs.has(row)
}

func (s source) Field(key string) payload.FieldIndex {
	if slot, ok := s.v.schema.Fields[key]; ok {
		return s.p.field(slotKey{key, slot.Seq})
	}
	return nil
}

// field returns the index of a field slot over the piece, nil if there is none.
func (p *piece) field(slot slotKey) payload.FieldIndex {
	if p.head == nil {
		return lookup[payload.FieldIndex](p.sealed, FieldFile, slot)
	}
	if f := p.head.fields[slot]; f != nil {
		return f
	}
	return nil
}

// eachRow visits all rows of an id in the piece.
func (p *piece) eachRow(id sextant.PointID, visit func(row uint32)) {
	row, ok := p.find(id)
	if !ok {
		return
	}
	visit(row)
	if p.head != nil {
		p.head.head.table.older(row, visit)
	}
}

// filter is a filter made ready for one piece. The zero m matches every row.
type filter struct {
	p *piece
	m *payload.Matcher // nil: everything matches
}

func (v *View) filter(p *piece, f *sextant.Filter) (filter, error) {
	if f.IsEmpty() {
		return filter{p: p}, nil
	}
	m, err := payload.Compile(f, source{v, p})
	if err != nil || m.MatchesAll() {
		return filter{p: p}, err
	}
	return filter{p, m}, nil
}

// estimate says how many rows match, dead ones included.
func (f filter) estimate() payload.Estimate {
	if f.m == nil {
		n := f.p.len()
		return payload.Estimate{Min: n, Expected: n, Max: n, Exact: true}
	}
	return f.m.Estimate()
}

// sel finds the live rows that match. nil bits mean all rows of the piece.
func (f filter) sel(ctx context.Context) (bits []uint64, count uint32, err error) {
	if f.m == nil {
		return f.p.bits(), f.p.live(), nil
	}
	s, err := f.m.Select(ctx, f.p.bits())
	return s.Bits, s.Count, err
}

// stopped ends a walk whose context has ended; see border.
func stopped(ctx context.Context) {
	if err := ctx.Err(); err != nil {
		panic(damage{err})
	}
}

// test returns a test of single rows that ends the walk with ctx; nil if all match.
func (f filter) test(ctx context.Context) func(row uint32) bool {
	if f.m == nil {
		return nil
	}
	calls := 0
	return func(row uint32) bool {
		if calls++; calls%512 == 0 {
			stopped(ctx)
		}
		return f.m.Match(row)
	}
}

// worthSelecting reports whether finding all matching rows at once is cheaper than testing rows one by one until want
// of them are found.
func (f filter) worthSelecting(want uint32) bool {
	if f.m == nil {
		return false
	}
	est, n := f.m.Estimate(), f.p.len()
	if !est.Exact && est.Max > n/8 {
		return false
	}
	// One by one, about n/Expected rows are read for each that is found.
	return float64(want)*float64(n) > 256*float64(max(est.Expected, 1))
}

// forWalk returns the test for a walk in id order that takes about want rows.
func (f filter) forWalk(ctx context.Context, want uint32) (func(row uint32) bool, error) {
	if !f.worthSelecting(want) {
		return f.test(ctx), nil
	}
	bits, _, err := f.sel(ctx)
	if err != nil {
		return nil, err
	}
	return func(row uint32) bool { return bits[row/64]>>(row%64)&1 != 0 }, nil
}
