package hnsw

import (
	"context"
	"fmt"
	"math"
	mathbits "math/bits"
)

const (
	// traverseAllShare is the share of matching vertices from which walking through all vertices is cheaper
	// than leaping over those that do not match.
	traverseAllShare = 0.25
	// hopCap bounds the vertices scored in one step of a leaping walk.
	hopCap = 64
	// seeds is how many matching rows a leaping walk starts from besides the entry.
	seeds = 16
)

// spreadAll walks as if there were no filter, with a beam widened by the share of matches, and collects
// the matching rows among everything it scored.
func (w *walk) spreadAll(ctx context.Context, g *Graph, sc Scorer, ef int, f *Filter, entry uint32) error {
	l, seen := &g.base, &w.base
	w.results.reset(ef)
	if err := w.start(l, seen, sc, widened(ef, f.Count, g.Len()), entry); err != nil {
		return err
	}
	w.collect(g, f, w.ids[:1], w.scores[:1])
	for {
		id, ok := w.beam.take()
		if !ok {
			return nil
		}
		if w.stats.Hops++; w.stats.Hops%64 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		count, ok := seen.gather(l.block(id), w.ids)
		if !ok {
			return fmt.Errorf("%w: a link of %d leads out of the graph", ErrCorrupt, id)
		}
		ids := w.ids[:count]
		scores, err := w.score(l, sc, ids)
		if err != nil {
			return err
		}
		w.stats.Scored += count
		w.keep(ids, scores)
		w.collect(g, f, ids, scores)
	}
}

// widened is the beam for a walk through all vertices of which some match. What is nearest to the query is
// spread thinner among fewer matches; but the walk scores some twenty vertices for each it expands, and all
// of those can become results, so the beam need not grow as fast as the share shrinks.
func widened(ef, matches, n int) int {
	return int(float64(ef) * math.Sqrt(float64(n)/float64(max(1, min(matches, n)))))
}

// collect offers the matching ones to the results.
func (w *walk) collect(g *Graph, f *Filter, ids []uint32, scores []float32) {
	floor := w.results.floor()
	for i, id := range ids {
		if scores[i] >= floor && f.has(g.row(id)) {
			w.results.offer(pack(scores[i], id))
			floor = w.results.floor()
		}
	}
}

// spreadMatching scores matching vertices only; where a neighbour does not match it looks at the
// neighbours of that neighbour instead, so that the matching vertices stay connected. Some matching rows
// from all over the segment start the walk too: the matches may lie far from where the query points.
func (w *walk) spreadMatching(ctx context.Context, g *Graph, sc Scorer, ef int, f *Filter, entry uint32) error {
	l, seen := &g.base, &w.base
	w.divide(g, f)
	if err := w.seed(l, seen, sc, ef, entry); err != nil {
		return err
	}
	w.via.mark(entry)
	count := w.sample(g, f)
	for {
		ids := w.ids[:count]
		scores, err := w.score(l, sc, ids)
		if err != nil {
			return err
		}
		w.stats.Scored += count
		w.keep(ids, scores)
		id, ok := w.beam.take()
		if !ok {
			break
		}
		if w.stats.Hops++; w.stats.Hops%16 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if count, ok = w.leap(l, l.block(id)); !ok {
			return fmt.Errorf("%w: a link of %d leads out of the graph", ErrCorrupt, id)
		}
	}
	w.results.reset(ef)
	for _, c := range w.beam.at {
		if f.has(g.row(packedID(c))) { // the entry may not
			w.results.at = append(w.results.at, c)
		}
	}
	return nil
}

// divide makes the vertices that do not match count as seen, and those that match as leapt over, so that
// gathering with one set or the other sorts a block without a jump.
func (w *walk) divide(g *Graph, f *Filter) {
	bits := f.Bits
	if g.rows != nil {
		bits = make([]uint64, len(w.base.bits))
		for vertex, row := range g.rows {
			if f.has(row) {
				bits[vertex/64] |= 1 << (vertex % 64)
			}
		}
	}
	if w.via.bits == nil {
		w.via = newVisited(g.Len())
	}
	w.base.take(bits, ^uint64(0))
	w.via.take(bits, 0)
}

// leap gathers into w.ids the unseen matching neighbours of a block and, until there are hopCap, the unseen
// matching neighbours of those that do not match.
func (w *walk) leap(l *level, block []uint32) (count int, ok bool) {
	seen := &w.base
	if count, ok = seen.gather(block, w.ids); !ok {
		return 0, false
	}
	over, ok := w.via.gather(block, w.block)
	if !ok {
		return 0, false
	}
	for _, id := range w.block[:over] {
		l.prefetch(id)
	}
	for _, id := range w.block[:over] {
		if count >= hopCap {
			break
		}
		more, ok := seen.gather(l.block(id), w.ids[count:])
		if !ok {
			return 0, false
		}
		count += more
	}
	return count, true
}

// sample gathers up to seeds matching vertices at even distances of rows.
func (w *walk) sample(g *Graph, f *Filter) (count int) {
	n := int(g.head.rowsTotal)
	at := 0
	for i := 0; i < seeds && count < len(w.ids); i++ {
		row, ok := f.from(max(at, i*n/seeds))
		if !ok {
			return count
		}
		at = row + 1
		if vertex, ok := g.vertexOf(uint32(row)); ok && w.base.mark(vertex) {
			w.ids[count] = vertex
			count++
		}
	}
	return count
}

// from is the first row set at or after the given one.
func (f *Filter) from(row int) (int, bool) {
	at := row / 64
	if at >= len(f.Bits) {
		return 0, false
	}
	bits := f.Bits[at] >> (row % 64) << (row % 64)
	for bits == 0 {
		if at++; at == len(f.Bits) {
			return 0, false
		}
		bits = f.Bits[at]
	}
	return at*64 + mathbits.TrailingZeros64(bits), true
}
