package hnsw

import (
	"context"
	"fmt"
	mathbits "math/bits"
)

const (
	// traverseAllShare is the share of matching vertices from which walking through all vertices is cheaper
	// than leaping over those that do not match.
	traverseAllShare = 0.3
	// hopCap bounds the vertices scored in one step of a leaping walk.
	hopCap = 64
	// seeds is how many matching rows a leaping walk starts from besides the entry.
	seeds = 16
)

// spreadAll walks as if there were no filter, with a beam widened by the share of matches, and collects
// the matching rows among everything it scored.
func (w *walk) spreadAll(ctx context.Context, g *Graph, sc Scorer, ef int, f *Filter, entry uint32) error {
	l, seen := &g.base, &w.base
	beam := min(ef*g.Len()/f.Count, g.Len())
	w.results.reset(ef)
	if err := w.seed(l, seen, sc, max(ef, beam), entry); err != nil {
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
	if err := w.seed(l, seen, sc, ef, entry); err != nil {
		return err
	}
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
		if w.stats.Hops++; w.stats.Hops%64 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if count, ok = w.leap(g, f, l.block(id)); !ok {
			return fmt.Errorf("%w: a link of %d leads out of the graph", ErrCorrupt, id)
		}
	}
	w.results.reset(ef)
	for _, c := range w.beam.at {
		if f.has(g.row(packedID(c))) {
			w.results.at = append(w.results.at, c)
		}
	}
	return nil
}

// leap gathers into w.ids the unseen matching neighbours of a block and, up to hopCap, the unseen matching
// neighbours of those that do not match.
func (w *walk) leap(g *Graph, f *Filter, block []uint32) (count int, ok bool) {
	seen := &w.base
	fresh, ok := seen.gather(block, w.block)
	if !ok {
		return 0, false
	}
	blocked := w.block[:0]
	for _, id := range w.block[:fresh] {
		if f.has(g.row(id)) {
			w.ids[count] = id
			count++
		} else {
			blocked = append(blocked, id)
		}
	}
	for _, via := range blocked {
		if count >= hopCap {
			break
		}
		for _, id := range g.base.block(via) {
			if int(id) >= g.base.n {
				return 0, false
			}
			if f.has(g.row(id)) && seen.mark(id) {
				w.ids[count] = id
				count++
			}
		}
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
