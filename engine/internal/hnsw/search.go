package hnsw

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// Filter is the set of rows a search may return: one bit per row of the segment, tombstones already taken
// out and no row without the vector in, and how many bits are set. Rows beyond the bits do not match.
type Filter struct {
	Bits  []uint64
	Count int
}

func (f *Filter) has(row uint32) bool {
	w := uint(row >> 6)
	return w < uint(len(f.Bits)) && f.Bits[w]>>(row&63)&1 != 0
}

// Search returns up to k rows, best first, ties by ascending row. ef is the width of the beam; it is raised
// to k. A nil filter admits every row. What was done is added to st, which may be nil; see Stats.Short.
func (g *Graph) Search(ctx context.Context, sc Scorer, k, ef int, filter *Filter, st *Stats) ([]Hit, error) {
	return g.SearchRescored(ctx, sc, nil, k, ef, filter, st)
}

// SearchRescored walks with sc, which may be rough, and scores the best of what the beam holds again with
// exact, as many as it takes to be sure of the best k. With a nil exact the scores of sc are final.
func (g *Graph) SearchRescored(
	ctx context.Context, sc, exact Scorer, k, ef int, filter *Filter, st *Stats,
) ([]Hit, error) {
	if g.Len() == 0 || k <= 0 || filter != nil && filter.Count == 0 {
		return nil, ctx.Err()
	}
	w := g.borrow()
	defer g.walks.Put(w)
	w.stats, w.edge = Stats{}, 0
	found, err := w.search(ctx, g, sc, max(k, ef), filter)
	if err != nil {
		return nil, err
	}
	wanted := min(k, g.Len())
	if filter != nil {
		wanted = min(k, filter.Count)
	}
	w.stats.Short = len(found) < wanted
	w.stats.Sure = w.sure(found)
	if exact != nil {
		if found, err = w.refine(&g.base, exact, found, k); err != nil {
			return nil, err
		}
	}
	if st != nil {
		st.add(w.stats)
	}
	hits := make([]Hit, min(k, len(found)))
	for i := range hits {
		hits[i] = Hit{Row: g.row(packedID(found[i])), Score: packedScore(found[i])}
	}
	return hits, nil
}

func (s *Stats) add(o Stats) {
	s.Scored += o.Scored
	s.Hops += o.Hops
	s.Rescored += o.Rescored
	s.Sure += o.Sure
	s.Short = s.Short || o.Short
}

// search returns the best candidates that pass the filter, in order.
func (w *walk) search(ctx context.Context, g *Graph, sc Scorer, ef int, filter *Filter) ([]uint64, error) {
	entry, err := w.enter(g, sc)
	if err != nil {
		return nil, err
	}
	if filter == nil || filter.Count >= int(g.head.rowsTotal) {
		if err = w.start(&g.base, &w.base, sc, ef, entry); err == nil {
			err = w.spread(ctx, &g.base, &w.base, sc)
		}
		return w.beam.at, err
	}
	if float64(filter.Count) >= traverseAllShare*float64(g.Len()) {
		if err = w.spreadAll(ctx, g, sc, ef, filter, entry); err != nil {
			return nil, err
		}
		if len(w.beam.at) == w.beam.size {
			w.edge = w.beam.at[len(w.beam.at)-1]
		}
		return w.results.at, nil
	}
	err = w.spreadMatching(ctx, g, sc, ef, filter, entry)
	return w.results.at, err
}

// sure is how many candidates are nearer than the edge of the walk.
func (w *walk) sure(found []uint64) int {
	if w.edge == 0 {
		return len(found)
	}
	return rank(found, w.edge)
}

// enter finds the vertex of level 0 to start at.
func (w *walk) enter(g *Graph, sc Scorer) (uint32, error) {
	if len(g.upper) == 0 {
		return 0, nil
	}
	place, err := w.descend(g, sc, 0)
	if err != nil {
		return 0, err
	}
	vertex, ok := g.vertexOf(g.tops[place])
	if !ok {
		return 0, fmt.Errorf("%w: row %d is not in the graph", ErrCorrupt, g.tops[place])
	}
	return vertex, nil
}

// refine scores the candidates again, in order, until the k best cannot change any more: until the next
// candidate would have to be underrated by half as much again as any before it. What it returns is sorted.
func (w *walk) refine(l *level, exact Scorer, found []uint64, k int) ([]uint64, error) {
	var most float32 // that a candidate was underrated by
	done := 0
	for done < len(found) {
		step := min(max(2*k, 32), len(found)-done, len(w.ids))
		under, err := w.rescore(l, exact, found[done:done+step])
		if err != nil {
			return nil, err
		}
		most = max(most, under)
		done += step
		sortBestFirst(found[:done])
		if done < len(found) && done >= k &&
			packedScore(found[k-1]) >= packedScore(found[done])+1.5*most {
			break
		}
	}
	w.stats.Rescored += done
	return found[:done], nil
}

// rescore replaces the scores of candidates and returns the most by which one was underrated.
func (w *walk) rescore(l *level, exact Scorer, found []uint64) (most float32, err error) {
	for len(found) > 0 {
		part := found[:min(len(found), len(w.ids))]
		found = found[len(part):]
		ids := w.ids[:len(part)]
		for i, c := range part {
			ids[i] = packedID(c)
		}
		scores, err := w.score(l, exact, ids)
		if err != nil {
			return 0, err
		}
		for i, id := range ids {
			most = max(most, scores[i]-packedScore(part[i]))
			part[i] = pack(scores[i], id)
		}
	}
	return most, nil
}

// sortBestFirst sorts candidates that are mostly in order already, as they are when a rough order is made
// exact; only if they turn out not to be does it sort them in the general way.
func sortBestFirst(candidates []uint64) {
	moves := 0
	for i := 1; i < len(candidates); i++ {
		c := candidates[i]
		j := i
		for ; j > 0 && candidates[j-1] < c; j-- {
			candidates[j] = candidates[j-1]
		}
		candidates[j] = c
		if moves += i - j; moves > 32*len(candidates) {
			slices.SortFunc(candidates, func(a, b uint64) int { return cmp.Compare(b, a) })
			return
		}
	}
}
