package hnsw

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
)

// walk is the working memory of one search or of one building thread.
type walk struct {
	beam    beam
	base    visited // of level 0
	upper   visited // of the levels above, by place
	via     visited // of level 0, what was only leapt over; made when needed
	ids     []uint32
	rows    []uint32
	block   []uint32
	scores  []float32
	results beam // matching rows, when the beam also holds others
	stats   Stats
	edge    uint64 // the worst of a full beam through which results of a filter were collected, else 0
	live    bool   // other threads change the links
	nRows   uint32
}

func (g *Graph) newWalk() *walk {
	width := max(g.base.stride, int(g.head.strideUp), hopCap) + g.base.stride
	w := &walk{
		base: newVisited(g.Len()), ids: make([]uint32, width), rows: make([]uint32, width),
		block: make([]uint32, max(g.base.stride, int(g.head.strideUp))), scores: make([]float32, width),
		nRows: g.head.rowsTotal,
	}
	w.upper = newVisited(len(g.tops))
	return w
}

func (g *Graph) borrow() *walk {
	if w, ok := g.walks.Get().(*walk); ok {
		return w
	}
	return g.newWalk()
}

// links returns the block of id; while a build goes on, a copy that is stable.
func (w *walk) links(l *level, id uint32) []uint32 {
	block := l.block(id)
	if !w.live {
		return block
	}
	copied := w.block[:len(block)]
	for i := range block {
		copied[i] = atomic.LoadUint32(&block[i])
	}
	return copied
}

// score fills scores for ids of a level.
func (w *walk) score(l *level, sc Scorer, ids []uint32) ([]float32, error) {
	scores := w.scores[:len(ids)]
	if l.rows == nil {
		sc.ScoreBatch(ids, scores)
		return scores, nil
	}
	rows := w.rows[:len(ids)]
	for i, id := range ids {
		row := l.rows[id]
		if row >= w.nRows {
			return nil, fmt.Errorf("%w: row %d of %d", ErrCorrupt, row, w.nRows)
		}
		rows[i] = row
	}
	sc.ScoreBatch(rows, scores)
	return scores, nil
}

// start forgets the walk before and puts one id into the beam.
func (w *walk) start(l *level, seen *visited, sc Scorer, ef int, id uint32) error {
	seen.reset()
	return w.seed(l, seen, sc, ef, id)
}

// seed puts one id into an empty beam.
func (w *walk) seed(l *level, seen *visited, sc Scorer, ef int, id uint32) error {
	w.beam.reset(ef)
	if int(id) >= l.n {
		return fmt.Errorf("%w: entry %d of %d", ErrCorrupt, id, l.n)
	}
	seen.mark(id)
	w.ids[0] = id
	scores, err := w.score(l, sc, w.ids[:1])
	if err != nil {
		return err
	}
	w.beam.offer(pack(scores[0], id))
	w.stats.Scored++
	return nil
}

// spread expands the best candidate until none is left in the beam (algorithm 2).
func (w *walk) spread(ctx context.Context, l *level, seen *visited, sc Scorer) error {
	for {
		id, ok := w.beam.take()
		if !ok {
			return nil
		}
		if w.stats.Hops++; w.stats.Hops%64 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		count, ok := seen.gather(w.links(l, id), w.ids)
		if !ok {
			return fmt.Errorf("%w: a link of %d leads out of the graph", ErrCorrupt, id)
		}
		if next, ok := w.beam.peek(); ok {
			l.prefetch(next)
		}
		ids := w.ids[:count]
		scores, err := w.score(l, sc, ids)
		if err != nil {
			return err
		}
		w.stats.Scored += count
		w.keep(ids, scores)
	}
}

func (w *walk) keep(ids []uint32, scores []float32) {
	floor := w.beam.floor()
	for i, id := range ids {
		if scores[i] >= floor {
			w.beam.offer(pack(scores[i], id))
			floor = w.beam.floor()
		}
	}
}

// descend goes greedily from place 0 through the levels above the given one and returns the place it
// reached. Every step takes a better place that was not met before, so it ends.
func (w *walk) descend(g *Graph, sc Scorer, above int) (place uint32, err error) {
	seen := &w.upper
	if err = w.start(&g.upper[0], seen, sc, 1, 0); err != nil {
		return 0, err
	}
	best := packedScore(w.beam.at[0])
	for i := len(g.upper) - 1; i >= above; i-- {
		l := &g.upper[i]
		for moved := true; moved; {
			moved = false
			if int(place) >= l.n {
				return 0, fmt.Errorf("%w: place %d of %d", ErrCorrupt, place, l.n)
			}
			count, ok := seen.gather(w.links(l, place), w.ids)
			if !ok {
				return 0, fmt.Errorf("%w: a link of place %d leads out of the graph", ErrCorrupt, place)
			}
			ids := w.ids[:count]
			scores, err := w.score(l, sc, ids)
			if err != nil {
				return 0, err
			}
			w.stats.Scored += count
			for j, id := range ids {
				if scores[j] > best {
					best, place, moved = scores[j], id, true
				}
			}
		}
	}
	return place, nil
}

// vertexOf is the vertex of a row.
func (g *Graph) vertexOf(row uint32) (uint32, bool) {
	if g.rows == nil {
		return row, row < g.head.vertices
	}
	at, ok := slices.BinarySearch(g.rows, row)
	return uint32(at), ok
}
