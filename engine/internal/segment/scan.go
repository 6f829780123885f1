package segment

import (
	"context"
	"math/bits"
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/sparse"
	"github.com/sextantdb/sextant/engine/internal/vec"
)

// block is a run of rows whose vectors lie in one piece of memory: row first+i is row i of rows.
type block struct {
	first, end uint32
	rows       vec.Rows
	stored     *section // what to check before reading; nil in a head
}

// denseVectors is vectors of which each row is one dense vector.
type denseVectors interface {
	vectors
	// blocks returns the rows that may have a vector, ascending.
	blocks() []block
}

// multiVectors is vectors of which each row is a run of rows of one of a few arenas.
type multiVectors interface {
	vectors
	arenas() []vec.Rows
	// span returns where the rows of a vector are, after checking them.
	span(row uint32) (arena int, first, n uint32)
}

// scanRows is how many rows are scored between two looks at the context.
const scanRows = 1024

// scanner scores rows of one piece exactly, and keeps the best.
type scanner struct {
	ctx   context.Context
	p     *piece
	index int32 // of p in the view
	match func(row uint32) bool
	top   *topK
}

// keep offers a row if it is alive, has the vector and matches. Cheap tests come first.
func (s *scanner) keep(v vectors, row uint32, score float32) {
	if score < s.top.floor() || s.p.tombs.has(row) || !v.has(row) || s.match != nil && !s.match(row) {
		return
	}
	s.top.offer(hit{score, row, s.index})
}

// dense scores all rows.
func (s *scanner) dense(spec sextant.VectorSpec, v denseVectors, query []float32) error {
	var scores [scanRows]float32
	for _, b := range v.blocks() {
		scorer := vec.NewScorer(metricOf(spec), b.rows, query)
		for from := b.first; from < b.end; from += scanRows {
			if s.ctx.Err() != nil {
				return s.ctx.Err()
			}
			out := scores[:min(b.end-from, scanRows)]
			b.check(from-b.first, len(out))
			scorer.ScoreRange(from-b.first, out)
			floor := s.top.floor()
			for i, score := range out {
				if !(score < floor) { // a NaN goes on, too
					s.keep(v, from+uint32(i), score)
					floor = s.top.floor()
				}
			}
		}
	}
	return nil
}

// denseSet scores the rows of a set, which are alive and match.
func (s *scanner) denseSet(spec sextant.VectorSpec, v denseVectors, query []float32, set []uint64) error {
	var scores [scanRows]float32
	rows := make([]uint32, 0, scanRows)
	for _, b := range v.blocks() {
		scorer := vec.NewScorer(metricOf(spec), b.rows, query)
		flush := func() error {
			out := scores[:len(rows)]
			b.checkRows(rows)
			scorer.ScoreBatch(rows, out)
			for i, score := range out {
				if row := b.first + rows[i]; score >= s.top.floor() && v.has(row) {
					s.top.offer(hit{score, row, s.index})
				}
			}
			rows = rows[:0]
			return s.ctx.Err()
		}
		for w := int(b.first / 64); w < len(set) && uint32(w)*64 < b.end; w++ {
			for word := set[w]; word != 0; word &= word - 1 {
				row := uint32(w*64 + bits.TrailingZeros64(word))
				if row < b.first || row >= b.end {
					continue
				}
				if rows = append(rows, row-b.first); len(rows) == scanRows {
					if err := flush(); err != nil {
						return err
					}
				}
			}
		}
		if err := flush(); err != nil {
			return err
		}
	}
	return nil
}

// each visits the rows to look at: those of the set, or all live ones that match.
func (s *scanner) each(v vectors, set []uint64, visit func(row uint32)) error {
	steps := 0
	for row := uint32(0); row < s.p.len(); row++ {
		if steps++; steps%scanRows == 0 && s.ctx.Err() != nil {
			return s.ctx.Err()
		}
		if set != nil {
			word := set[row/64] >> (row % 64)
			if word == 0 {
				row |= 63
				continue
			}
			row += uint32(bits.TrailingZeros64(word))
			if v.has(row) {
				visit(row)
			}
		} else if !s.p.tombs.has(row) && v.has(row) && (s.match == nil || s.match(row)) {
			visit(row)
		}
	}
	return nil
}

// multi scores multivectors: the sum over the query's rows of the best similarity to any row of the point.
func (s *scanner) multi(spec sextant.VectorSpec, v multiVectors, query sextant.Vector, set []uint64) error {
	arenas := v.arenas()
	scorers := make([][]vec.Scorer, len(arenas)) // by arena and row of the query; made when an arena is met
	var scores []float32
	return s.each(v, set, func(row uint32) {
		at, first, n := v.span(row)
		if scorers[at] == nil {
			for from := 0; from < len(query.Values); from += spec.Dim {
				scorer := vec.NewScorer(metricOf(spec), arenas[at], query.Values[from:from+spec.Dim])
				scorers[at] = append(scorers[at], scorer)
			}
		}
		scores = slices.Grow(scores[:0], int(n))[:n]
		var sum float32
		for i := range scorers[at] {
			scorers[at][i].ScoreRange(first, scores)
			best := scores[0]
			for _, score := range scores[1:] {
				best = max(best, score)
			}
			sum += best
		}
		s.top.offer(hit{sum, row, s.index})
	})
}

// sparse scores stored sparse vectors one by one. Only rows that share an index with the query are kept.
func (s *scanner) sparse(v vectors, query sextant.Vector, set []uint64) error {
	return s.each(v, set, func(row uint32) {
		indices, values := decodeSparse(v.raw(row))
		if score, shared := sparse.Dot(query.Indices, query.Values, indices, values); shared {
			s.top.offer(hit{score, row, s.index})
		}
	})
}

// check makes sure that stored rows from, from+1, … of the block are what was written.
func (b *block) check(from uint32, n int) {
	if b.stored != nil {
		b.stored.check(int64(from)*int64(b.rows.Stride), int64(n)*int64(b.rows.Stride))
	}
}

// checkRows does the same for single rows.
func (b *block) checkRows(rows []uint32) {
	if b.stored == nil || b.stored.file.left.Load() == 0 {
		return
	}
	for _, row := range rows {
		b.check(row, 1)
	}
}
