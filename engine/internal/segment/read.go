package segment

import (
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/document"
)

// reader fills records with what was asked for.
type reader struct {
	view    *View
	payload sextant.PayloadSelector
	vectors []slotKey // to return
	ask     bool      // vectors were asked for
}

// newReader refuses vector names that do not exist.
func (v *View) newReader(wp sextant.PayloadSelector, wv sextant.VectorSelector) (*reader, error) {
	r := &reader{view: v, payload: wp, ask: !wv.None()}
	names := wv.Names
	if wv.All {
		names = make([]string, 0, len(v.schema.Vectors))
		for name := range v.schema.Vectors {
			names = append(names, name)
		}
		slices.Sort(names)
	}
	for i, name := range names {
		slot, ok := v.schema.Vectors[name]
		if !ok {
			return nil, unknownVector(name)
		}
		if !slices.Contains(names[:i], name) {
			r.vectors = append(r.vectors, slotKey{name, slot.Seq})
		}
	}
	return r, nil
}

// record returns a live row as a record that shares no memory with the segment.
func (r *reader) record(p *piece, row uint32) sextant.Record {
	rec := sextant.Record{ID: p.rows.id(row), Version: p.version(row)}
	if !r.payload.None() {
		rec.Payload = document.Project(p.payload(row), r.payload)
	}
	if r.ask {
		rec.Vectors = make([]sextant.NamedVector, 0, len(r.vectors))
		for _, slot := range r.vectors {
			if vs := p.rows.vectors(slot); vs != nil && vs.has(row) {
				rec.Vectors = append(rec.Vectors, sextant.NamedVector{Name: slot.name, Vector: vs.value(row)})
			}
		}
	}
	return rec
}

// Retrieve returns the points of the ids, in their order; unknown and repeated ids are left out.
func (v *View) Retrieve(ids []sextant.PointID, wp sextant.PayloadSelector, wv sextant.VectorSelector) (
	found []sextant.Record, err error,
) {
	defer border(&err)()
	r, err := v.newReader(wp, wv)
	if err != nil {
		return nil, err
	}
	var seen map[sextant.PointID]bool
	if len(ids) > 1 {
		seen = make(map[sextant.PointID]bool, min(len(ids), 1<<16))
	}
	for _, id := range ids {
		if seen[id] {
			continue
		}
		if seen != nil {
			seen[id] = true
		}
		if p, row, ok := v.find(id); ok {
			found = append(found, r.record(p, row))
		}
	}
	return found, nil
}

// Find reports whether the point exists, and its version.
func (v *View) Find(id sextant.PointID) (version uint64, ok bool, err error) {
	defer border(&err)()
	p, row, ok := v.find(id)
	if !ok {
		return 0, false, nil
	}
	return p.version(row), true, nil
}

// Vector returns a vector of a point; a point or vector that does not exist gives false.
func (v *View) Vector(id sextant.PointID, name string) (vector sextant.Vector, ok bool, err error) {
	defer border(&err)()
	slot, known := v.schema.Vectors[name]
	if !known {
		return vector, false, unknownVector(name)
	}
	p, row, ok := v.find(id)
	if !ok {
		return vector, false, nil
	}
	vs := p.rows.vectors(slotKey{name, slot.Seq})
	if vs == nil || !vs.has(row) {
		return vector, false, nil
	}
	return vs.value(row), true, nil
}
