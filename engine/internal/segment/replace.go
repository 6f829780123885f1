package segment

import (
	"cmp"
	"maps"
	"slices"

	"github.com/sextantdb/sextant"
)

// Remap tells where the rows of a build's sources went.
type Remap struct{ sources []moves }

// moves is where the rows of one source went: row i became rows[i], or none if it was dead already.
type moves struct {
	id     SegmentID
	before tombstones // when the build's view was taken
	rows   []uint32
}

// Sources returns the names of the segments that were read.
func (r *Remap) Sources() []SegmentID {
	ids := make([]SegmentID, len(r.sources))
	for i, src := range r.sources {
		ids[i] = src.id
	}
	return ids
}

// Tombstones returns the rows of the output that are dead as of later tombstones of the sources: those of a view taken
// after the build's, of which all sources must be part.
func (r *Remap) Tombstones(now []Part) (Tombstones, error) {
	var out tombstones
	for _, src := range r.sources {
		i := slices.IndexFunc(now, func(p Part) bool { return p.ID == src.id })
		if i < 0 {
			return Tombstones{}, sextant.Errorf(sextant.Internal, "segment %s is gone while its rows were copied", src.id)
		}
		now[i].Tombs.set.since(&src.before, func(row uint32) {
			if int(row) < len(src.rows) { // a frozen head has no rows behind them; a head would
				out.set(src.rows[row], 0)
			}
		})
	}
	return Tombstones{out}, nil
}

// Replace puts the output of a build in the place of its sources; what died since the build's view was taken is dead in
// the output. out is nil if no row was alive. The caller's reference to out passes to the state; the references to sealed
// sources are given back. The sources' files stay until Discard.
func (s *State) Replace(out *Sealed, remap *Remap) error {
	now := make([]Part, 0, len(s.parts))
	for _, p := range s.parts {
		now = append(now, Part{ID: p.id, Tombs: Tombstones{p.tombs}})
	}
	tombs, err := remap.Tombstones(now)
	if err != nil {
		return err
	}
	gone := remap.Sources()
	var sealed, heads []*part
	for _, p := range s.parts {
		switch {
		case slices.Contains(gone, p.id):
			if p.sealed != nil {
				p.sealed.Release()
			}
		case p.sealed != nil:
			sealed = append(sealed, p)
		default:
			heads = append(heads, p)
		}
	}
	if out != nil {
		sealed = append(sealed, &part{id: out.ID(), sealed: out, tombs: tombs.set})
		// Lookups go from the last to the first: what changed last is what is changed next, most often.
		slices.SortStableFunc(sealed, func(a, b *part) int { return cmp.Compare(a.sealed.meta.MaxSeq, b.sealed.meta.MaxSeq) })
	}
	s.parts = append(sealed, heads...)
	return nil
}

// Attach publishes derived files of a segment; see Sealed.Attach. A segment that is gone is no error.
func (s *State) Attach(id SegmentID, refs ...FileRef) (replaced []FileRef, err error) {
	for _, p := range s.parts {
		if p.id == id && p.sealed != nil {
			return p.sealed.Attach(refs...)
		}
	}
	return nil, nil
}

// Close gives back the references to sealed segments. The state must not be used any more; views stay good.
func (s *State) Close() {
	for _, p := range s.parts {
		if p.sealed != nil {
			p.sealed.Release()
		}
	}
	s.parts = nil
}

// piece returns the part as a view sees it.
func (p *Part) piece() *piece {
	out := &piece{segment: p.ID, sealed: p.Sealed, tombs: p.Tombs.set, rows: p.rows}
	if p.Sealed != nil {
		out.rows = p.Sealed
	} else {
		out.head = p.rows.(*headView)
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
