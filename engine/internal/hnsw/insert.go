package hnsw

import (
	"context"
	"runtime"
	"sync/atomic"
)

// inserter is one building thread.
type inserter struct {
	*walk
	b      *builder
	self   fixedRow   // scores against the vertex at hand
	guide  Scorer     // leads the walks: self, or something rough
	picks  [][]uint32 // chosen neighbours per level, level 0 first
	choice chooser
}

func newInserter(b *builder) *inserter {
	in := &inserter{walk: b.g.newWalk(), b: b, picks: make([][]uint32, len(b.g.upper)+1)}
	in.live = b.p.Threads > 1
	in.self.pairs = b.pairs
	in.choice.pairs = b.pairs
	return in
}

// fixedRow is a Scorer of a stored row that can be moved to another row.
type fixedRow struct {
	pairs PairSpace
	row   uint32
}

func (f *fixedRow) ScoreBatch(ids []uint32, out []float32) { f.pairs.ScoreRow(f.row, ids, out) }

// insert links the vertex at one place of the order (algorithm 1). Nothing can reach it until its own links
// are there on all its levels, so no walk ends in a vertex that is half linked.
func (in *inserter) insert(ctx context.Context, at int) error {
	g := in.b.g
	vertex := in.b.order[at]
	in.aim(g.row(vertex))
	top := 0 // the highest level it reaches
	for top < len(g.upper) && at < g.upper[top].n {
		top++
	}
	entry, err := in.chooseAbove(ctx, top)
	if err != nil {
		return err
	}
	if err := in.find(ctx, 0, &g.base, &in.base, entry); err != nil {
		return err
	}
	for i := top; i >= 0; i-- {
		l, id := in.at(i, vertex)
		in.publish(l, id, in.picks[i])
	}
	for i := top; i >= 0; i-- {
		l, id := in.at(i, vertex)
		for _, to := range in.picks[i] {
			in.linkBack(l, i, to, id)
		}
	}
	return nil
}

// aim makes a row the query of the walks to come.
func (in *inserter) aim(row uint32) {
	in.self.row = row
	in.guide = &in.self
	if in.b.rough != nil {
		in.guide = in.b.rough.RoughScorer(row)
	}
}

// find walks one level and picks the neighbours there: as many as the level allows, which the paper does not
// do on level 0. It costs a tenth of the build; walks then find as much with a beam a third narrower.
func (in *inserter) find(ctx context.Context, i int, l *level, seen *visited, entry uint32) error {
	if err := in.start(l, seen, in.guide, in.b.p.EfConstruct, entry); err != nil {
		return err
	}
	if err := in.spread(ctx, l, seen, in.guide); err != nil {
		return err
	}
	if in.b.rough != nil {
		if _, err := in.rescore(l, &in.self, in.beam.at); err != nil {
			return err
		}
		sortBestFirst(in.beam.at)
	}
	in.picks[i] = in.choice.choose(l, in.beam.at, l.limit, in.picks[i])
	return nil
}

// at gives a level and the vertex's id on it.
func (in *inserter) at(i int, vertex uint32) (*level, uint32) {
	if i == 0 {
		return &in.b.g.base, vertex
	}
	return &in.b.g.upper[i-1], in.b.place[vertex]
}

// chooseAbove picks the neighbours on the levels from top down to 1 and returns the vertex at which to
// enter level 0.
func (in *inserter) chooseAbove(ctx context.Context, top int) (uint32, error) {
	g := in.b.g
	if len(g.upper) == 0 {
		return in.b.order[0], nil
	}
	place, err := in.descend(g, in.guide, top)
	if err != nil {
		return 0, err
	}
	for i := top; i > 0; i-- {
		l := &g.upper[i-1]
		if err := in.find(ctx, i, l, &in.upper, place); err != nil {
			return 0, err
		}
		place = packedID(in.beam.at[0])
	}
	vertex, _ := g.vertexOf(g.tops[place])
	return vertex, nil
}

// publish writes the links of a vertex nobody can reach yet.
func (in *inserter) publish(l *level, id uint32, picks []uint32) {
	block := l.block(id)
	for i, pick := range picks {
		atomic.StoreUint32(&block[i], pick)
	}
}

// linkBack adds a link from one vertex to another, choosing anew among all its links when it has no room.
func (in *inserter) linkBack(l *level, levelIndex int, from, to uint32) {
	lock := &in.b.locks
	if levelIndex > 0 {
		lock = &in.b.above
	}
	(*lock)[from].lock()
	defer (*lock)[from].unlock()
	block := l.block(from)
	used := 0
	for used < l.limit && block[used] != from {
		if block[used] == to {
			return
		}
		used++
	}
	if used < l.limit {
		atomic.StoreUint32(&block[used], to)
		return
	}
	in.ids = append(append(in.ids[:0], block[:used]...), to)
	kept := in.choice.trim(l, from, in.ids, l.limit)
	for i := range block {
		id := from
		if i < len(kept) {
			id = kept[i]
		}
		atomic.StoreUint32(&block[i], id)
	}
	in.ids = in.ids[:cap(in.ids)]
}

// spinlock guards one block while it is rewritten: microseconds at most.
type spinlock struct{ held atomic.Uint32 }

func (s *spinlock) lock() {
	for tries := 0; !s.held.CompareAndSwap(0, 1); tries++ {
		if tries > 50 {
			runtime.Gosched()
		}
	}
}

func (s *spinlock) unlock() { s.held.Store(0) }
