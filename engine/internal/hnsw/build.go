package hnsw

import (
	"context"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
)

// Params are the settings of a build.
type Params struct {
	M           int    // links of a new vertex; at least 2
	EfConstruct int    // beam width while building; at least M
	Threads     int    // building goroutines, up to 16; 0 means 1. With 1 equal input and seed give equal graphs
	Seed        uint64 // decides the levels
	// Progress, if set, is told now and then how many of the vertices to link are linked; calls do not overlap.
	Progress func(done, total int)
}

// maxThreads bounds how many vertices are linked at once without seeing each other.
const maxThreads = 16

// serialPrefix is how many vertices one goroutine links before others join: inserts that run at the same
// time cannot see each other, which matters while the graph is small.
const serialPrefix = 256

// Build links the given rows, which ascend, of a segment of n rows. It ends soon after ctx does.
func Build(ctx context.Context, space Space, rows []uint32, n uint32, p Params) (*Graph, error) {
	p.fill()
	levels := drawLevels(rows, p)
	b := newBuilder(space, rows, n, p, levels, inOrder(levels))
	for at := 1; at < len(b.order); at++ { // the first vertex is there without links
		b.todo = append(b.todo, uint32(at))
	}
	return b.finish(ctx)
}

func (p *Params) fill() {
	p.M, p.Threads = min(max(p.M, 2), maxM), min(max(p.Threads, 1), maxThreads)
	p.EfConstruct = max(p.EfConstruct, p.M)
}

// builder links vertices into a graph whose arrays have their final size from the start: levels are drawn
// before the first insert.
type builder struct {
	g     *Graph
	pairs PairSpace
	rough RoughSpace // nil: walk with exact scores
	p     Params
	order []uint32   // all vertices, those of the highest level first
	place []uint32   // in order of each vertex; in tops too if it has a level
	todo  []uint32   // places of the vertices to link, in turn
	locks []spinlock // level 0, by vertex
	above []spinlock // levels above, by place
	next  atomic.Int64
	done  atomic.Int64
}

// newBuilder lays out a graph without links. Vertices are linked in the given order, which descends by level,
// so that the way in never changes while the graph grows.
func newBuilder(space Space, rows []uint32, n uint32, p Params, levels []uint8, order []uint32) *builder {
	b := &builder{p: p, order: order, place: make([]uint32, len(rows))}
	b.rough, _ = space.(RoughSpace)
	if pairs, ok := space.(PairSpace); ok {
		b.pairs = pairs
	} else {
		b.pairs = onePairs{space}
	}
	h := newHeader(n, uint32(len(rows)), p.M, p.EfConstruct, reach(levels))
	image, free := newImage(int(h.sections().size))
	b.g = view(h, image)
	if free != nil {
		runtime.AddCleanup(b.g, func(free func()) { free() }, free)
	}
	copy(b.g.rows, rows)
	for place, vertex := range order {
		b.place[vertex] = uint32(place)
	}
	for place := range b.g.tops {
		b.g.tops[place] = rows[order[place]]
	}
	for l := range b.levels() {
		for id := range l.n {
			fill(l.block(uint32(id)), uint32(id))
		}
	}
	b.locks = make([]spinlock, len(rows))
	b.above = make([]spinlock, len(b.g.tops))
	return b
}

// finish links what is to do and completes the file.
func (b *builder) finish(ctx context.Context) (*Graph, error) {
	if err := b.run(ctx); err != nil {
		return nil, err
	}
	if err := b.reconnect(ctx); err != nil {
		return nil, err
	}
	b.g.seal()
	return b.g, nil
}

// onePairs lets any Space serve as a PairSpace.
type onePairs struct{ Space }

func (s onePairs) ScoreRow(row uint32, ids []uint32, out []float32) {
	s.RowScorer(row).ScoreBatch(ids, out)
}

func (b *builder) levels() func(yield func(*level) bool) {
	return func(yield func(*level) bool) {
		if !yield(&b.g.base) {
			return
		}
		for i := range b.g.upper {
			if !yield(&b.g.upper[i]) {
				return
			}
		}
	}
}

func fill(block []uint32, id uint32) {
	for i := range block {
		block[i] = id
	}
}

// drawLevels gives each row the level it reaches, geometrically with factor 1/m. The draw depends on the seed and the
// row number alone.
func drawLevels(rows []uint32, p Params) []uint8 {
	levels := make([]uint8, len(rows))
	perLevel := 1 / math.Log(float64(p.M))
	for i, row := range rows {
		u := (float64(mix(p.Seed^uint64(row))>>11) + 1) / (1 << 53)
		levels[i] = uint8(min(int(-math.Log(u)*perLevel), maxLevels))
	}
	return levels
}

// reach counts how many vertices reach each level above 0.
func reach(levels []uint8) (counts []uint32) {
	for _, l := range levels {
		for len(counts) < int(l) {
			counts = append(counts, 0)
		}
		for j := range l {
			counts[j]++
		}
	}
	return counts
}

// inOrder lists the vertices, those of the highest level first and otherwise as they come.
func inOrder(levels []uint8) []uint32 {
	var at [maxLevels + 2]int // at[l+1]: where the next vertex of level l goes
	for _, l := range levels {
		at[l]++
	}
	for l := maxLevels; l > 0; l-- {
		at[l-1] += at[l]
	}
	order := make([]uint32, len(levels))
	for vertex, l := range levels {
		order[at[l+1]] = uint32(vertex)
		at[l+1]++
	}
	return order
}

// mix is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (b *builder) run(ctx context.Context) error {
	total := len(b.todo)
	if err := b.work(ctx, min(serialPrefix, total), true); err != nil || total <= serialPrefix {
		return err
	}
	b.next.Store(serialPrefix)
	failed := make([]error, b.p.Threads)
	var group sync.WaitGroup
	for i := range b.p.Threads {
		group.Go(func() { failed[i] = b.work(ctx, total, i == 0) })
	}
	group.Wait()
	for _, err := range failed {
		if err != nil {
			return err
		}
	}
	if b.p.Progress != nil {
		b.p.Progress(total, total)
	}
	return nil
}

// work links vertices until those before end are taken.
func (b *builder) work(ctx context.Context, end int, reports bool) error {
	in := newInserter(b)
	for i := 0; ; i++ {
		at := b.next.Add(1) - 1
		if at >= int64(end) {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := in.insert(ctx, int(b.todo[at])); err != nil {
			return err
		}
		done := b.done.Add(1)
		if reports && b.p.Progress != nil && i%256 == 0 {
			b.p.Progress(int(done), len(b.todo))
		}
	}
}
