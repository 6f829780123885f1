package segment

import (
	"context"
	"math"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/sparse"
)

// sparseIndex is inverted lists, of a head or a file.
type sparseIndex interface {
	Search(ctx context.Context, q sparse.Query) ([]sparse.Hit, error)
	DF(index uint32, alive []uint64) uint64
	Vectors(alive []uint64) uint64
}

// sparseIndex returns the inverted lists of a slot in the piece, nil if there are none.
func (p *piece) sparseIndex(slot slotKey) sparseIndex {
	if p.head != nil {
		if s := p.head.slots[slot]; s != nil && s.index != nil {
			return s.index
		}
		return nil
	}
	if x := lookup[*sparse.Index](p.sealed, SparseFile, slot); x != nil {
		return x
	}
	return nil
}

// tieRoom is how many hits beyond k are asked of a head: its rows are not in id order, so equal scores at the end of the
// list must be seen to be put in order.
const tieRoom = 16

// searchSparse finds the nearest rows of a piece exactly. bits are the live rows that match; nil: all.
func (s *scanner) searchSparse(slot slotKey, v vectors, query sextant.Vector, bits []uint64) error {
	index := s.p.sparseIndex(slot)
	if index == nil {
		return s.sparse(v, query, bits)
	}
	k := min(s.top.k, int(s.p.len()))
	if s.p.head != nil {
		k += tieRoom
	}
	hits, err := index.Search(s.ctx, sparse.Query{
		Indices: query.Indices, Values: query.Values, K: k, N: s.p.len(), Alive: bits,
	})
	if err != nil {
		return err
	}
	if k > s.top.k && len(hits) == k && hits[s.top.k-1].Score == hits[k-1].Score {
		return s.sparse(v, query, bits) // more ties than room
	}
	for _, h := range hits {
		s.top.offer(hit{h.Score, h.Row, s.index})
	}
	return nil
}

// weighIDF multiplies the weights of a query by the rareness of their indices among the points of the view that match
// the corpus filter; nil: all points.
func (v *View) weighIDF(ctx context.Context, slot slotKey, query sextant.Vector, corpus *sextant.Filter) (
	sextant.Vector, error,
) {
	var n uint64
	df := make([]uint64, len(query.Indices))
	for _, p := range v.pieces {
		vs := p.rows.vectors(slot)
		if vs == nil || p.live() == 0 {
			continue
		}
		f, err := v.filter(p, corpus)
		if err != nil {
			return query, err
		}
		bits, _, err := f.sel(ctx)
		if err != nil {
			return query, err
		}
		if index := p.sparseIndex(slot); index != nil {
			if bits == nil && p.head != nil { // its lists may reach beyond the view
				bits = p.allBits()
			}
			n += index.Vectors(bits)
			for i, t := range query.Indices {
				df[i] += index.DF(t, bits)
			}
			continue
		}
		s := &scanner{ctx: ctx, p: p}
		err = s.each(vs, bits, func(row uint32) {
			n++
			indices, _ := decodeSparse(vs.raw(row))
			eachShared(indices, query.Indices, func(_, i int) { df[i]++ })
		})
		if err != nil {
			return query, err
		}
	}
	weighted := query
	weighted.Values = make([]float32, len(query.Values))
	for i, w := range query.Values {
		d, all := float64(df[i]), float64(n)
		weighted.Values[i] = float32(float64(w) * math.Log((all-d+0.5)/(d+0.5)+1))
	}
	return weighted, nil
}

// eachShared visits the places of the indices that both lists have.
func eachShared(a, b []uint32, visit func(i, j int)) {
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] < b[j]:
			i++
		case a[i] > b[j]:
			j++
		default:
			visit(i, j)
			i, j = i+1, j+1
		}
	}
}

// allBits returns all rows of the piece as a bitset.
func (p *piece) allBits() []uint64 {
	bits := make([]uint64, (p.len()+63)/64)
	for i := range bits {
		bits[i] = ^uint64(0)
	}
	if n := p.len(); n%64 != 0 {
		bits[len(bits)-1] = 1<<(n%64) - 1
	}
	return bits
}
