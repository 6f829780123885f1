package hnsw

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// Filter is the set of rows a search may return: one bit per row of the segment, tombstones already taken
// out, and how many bits are set. Rows beyond the bits do not match.
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

// SearchRescored walks with sc, which may be rough, and scores what the beam holds again with exact before
// it takes the best k. With a nil exact the scores of sc are final.
func (g *Graph) SearchRescored(
	ctx context.Context, sc, exact Scorer, k, ef int, filter *Filter, st *Stats,
) ([]Hit, error) {
	if g.Len() == 0 || k <= 0 || filter != nil && filter.Count == 0 {
		return nil, ctx.Err()
	}
	w := g.borrow()
	defer g.walks.Put(w)
	w.stats = Stats{}
	found, err := w.search(ctx, g, sc, max(k, ef), filter)
	if err != nil {
		return nil, err
	}
	wanted := min(k, g.Len())
	if filter != nil {
		wanted = min(k, filter.Count)
	}
	w.stats.Short = len(found) < wanted
	if exact != nil {
		if err := w.rescore(g, exact, found); err != nil {
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
	s.Short = s.Short || o.Short
}

// search returns the best candidates that pass the filter, in order.
func (w *walk) search(ctx context.Context, g *Graph, sc Scorer, ef int, filter *Filter) ([]uint64, error) {
	entry, err := w.enter(g, sc)
	if err != nil {
		return nil, err
	}
	switch {
	case filter == nil || filter.Count >= int(g.head.rowsTotal):
		if err = w.seed(&g.base, &w.base, sc, ef, entry); err == nil {
			err = w.spread(ctx, &g.base, &w.base, sc)
		}
		return w.beam.at, err
	case float64(filter.Count) >= traverseAllShare*float64(g.Len()):
		err = w.spreadAll(ctx, g, sc, ef, filter, entry)
		return w.results.at, err
	default:
		err = w.spreadMatching(ctx, g, sc, ef, filter, entry)
		return w.results.at, err
	}
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

// rescore replaces the scores of all candidates and sorts them again.
func (w *walk) rescore(g *Graph, exact Scorer, found []uint64) error {
	for lo := 0; lo < len(found); lo += len(w.ids) {
		part := found[lo:min(lo+len(w.ids), len(found))]
		ids := w.ids[:len(part)]
		for i, c := range part {
			ids[i] = packedID(c)
		}
		scores, err := w.score(&g.base, exact, ids)
		if err != nil {
			return err
		}
		for i, id := range ids {
			part[i] = pack(scores[i], id)
		}
	}
	w.stats.Rescored += len(found)
	sortBestFirst(found)
	return nil
}

func sortBestFirst(candidates []uint64) {
	slices.SortFunc(candidates, func(a, b uint64) int { return cmp.Compare(b, a) })
}
