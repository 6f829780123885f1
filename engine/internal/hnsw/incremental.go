package hnsw

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// Gone stands in a map of rows for a row that is no longer there.
const Gone = ^uint32(0)

// Below what share of survivors, of the old graph and of the new one, a fresh build is better or hardly
// slower. Bridging many holes costs recall.
const (
	leastSurvivors = 0.7
	leastReuse     = 0.2
)

// BuildFrom is Build, but starts from a graph over rows of which most are among the new ones: moved gives the
// new row of each of its rows, or Gone. Links between survivors are kept; where a neighbour is gone, its
// neighbours take its place if they are near. The other rows are linked as Build does. When that is not
// worth it, or the graph was built with another M or a narrower beam, BuildFrom is Build.
func BuildFrom(
	ctx context.Context, old *Graph, moved []uint32, space Space, rows []uint32, n uint32, p Params,
) (*Graph, error) {
	p.fill()
	vertices, survivors := old.translate(moved, rows, n)
	reuse := old.M() == p.M && old.EfConstruct() >= p.EfConstruct &&
		float64(survivors) >= leastSurvivors*float64(old.Len()) && float64(survivors) >= leastReuse*float64(len(rows))
	if !reuse || survivors == 0 {
		return Build(ctx, space, rows, n, p)
	}
	t := &transplant{old: old, vertices: vertices}
	levels, order := t.arrange(drawLevels(rows, p))
	t.b = newBuilder(space, rows, n, p, levels, order)
	if err := t.copyLinks(ctx); err != nil {
		return nil, err
	}
	for place, vertex := range order {
		if !t.survives[vertex] {
			t.b.todo = append(t.b.todo, uint32(place))
		}
	}
	return t.b.finish(ctx)
}

// translate gives the new vertex of each old one, or Gone, and how many there are.
func (g *Graph) translate(moved, rows []uint32, n uint32) (vertices []uint32, survivors int) {
	vertices = make([]uint32, g.Len())
	for old := range vertices {
		vertices[old] = Gone
		row := g.row(uint32(old))
		if int(row) >= len(moved) || moved[row] == Gone {
			continue
		}
		at, ok := int(moved[row]), moved[row] < n
		if len(rows) != int(n) {
			at, ok = slices.BinarySearch(rows, moved[row])
		}
		if ok {
			vertices[old] = uint32(at)
			survivors++
		}
	}
	return vertices, survivors
}

// transplant carries links from an old graph into one that is being built.
type transplant struct {
	old      *Graph
	b        *builder
	vertices []uint32 // new vertex of each old one, or Gone
	places   []uint32 // new place of each old place, or Gone
	survives []bool   // by new vertex
}

// arrange gives survivors the levels they had and caps those of new vertices at the highest of a survivor.
// On each level survivors come first, so that the way in is one of them.
func (t *transplant) arrange(drawn []uint8) (levels []uint8, order []uint32) {
	t.survives = make([]bool, len(drawn))
	had := make([]uint8, t.old.Len())
	for i := range t.old.upper {
		for _, row := range t.old.tops[:t.old.upper[i].n] {
			if vertex, ok := t.old.vertexOf(row); ok {
				had[vertex] = uint8(i + 1)
			}
		}
	}
	top := uint8(0)
	for old, vertex := range t.vertices {
		if vertex != Gone {
			t.survives[vertex] = true
			drawn[vertex] = had[old]
			top = max(top, had[old])
		}
	}
	for vertex := range drawn {
		drawn[vertex] = min(drawn[vertex], top)
	}
	order = inOrder(drawn)
	slices.SortStableFunc(order[:firstOf(drawn, order, 0)], func(a, b uint32) int {
		if drawn[a] != drawn[b] || t.survives[a] == t.survives[b] {
			return int(drawn[b]) - int(drawn[a])
		}
		if t.survives[a] {
			return -1
		}
		return 1
	})
	return drawn, order
}

// firstOf is the first place in order of a vertex of a level.
func firstOf(levels []uint8, order []uint32, level uint8) int {
	for place, vertex := range order {
		if levels[vertex] == level {
			return place
		}
	}
	return len(order)
}

// copyLinks fills the blocks of survivors, on all threads.
func (t *transplant) copyLinks(ctx context.Context) error {
	t.places = make([]uint32, len(t.old.tops))
	for place, row := range t.old.tops {
		t.places[place] = Gone
		if vertex, ok := t.old.vertexOf(row); ok && t.vertices[vertex] != Gone {
			t.places[place] = t.b.place[t.vertices[vertex]]
		}
	}
	t.copyLevel(ctx, &t.old.base, &t.b.g.base, t.vertices)
	for i := range t.b.g.upper {
		t.copyLevel(ctx, &t.old.upper[i], &t.b.g.upper[i], t.places)
	}
	return ctx.Err()
}

// copyLevel carries over one level; to maps old ids to new ones.
func (t *transplant) copyLevel(ctx context.Context, old, now *level, to []uint32) {
	const chunk = 256
	var next atomic.Int64
	var group sync.WaitGroup
	for range t.b.p.Threads {
		group.Go(func() {
			c := &chooser{pairs: t.b.pairs}
			for ctx.Err() == nil {
				from := int(next.Add(chunk)) - chunk
				if from >= old.n {
					return
				}
				for id := from; id < min(from+chunk, old.n); id++ {
					if to[id] != Gone {
						c.bridge(old, now, uint32(id), to)
					}
				}
			}
		})
	}
	group.Wait()
}

// bridge writes the links of one survivor. Neighbours that are gone are replaced by their own neighbours,
// out of which the usual rule chooses.
func (c *chooser) bridge(old, now *level, id uint32, to []uint32) {
	links := make([]uint32, 0, 2*old.limit)
	block := old.block(id)
	holes := 0
	for _, neighbour := range block {
		if neighbour == id || int(neighbour) >= old.n {
			continue
		}
		if to[neighbour] != Gone {
			links = append(links, to[neighbour])
			continue
		}
		holes++
		for _, beyond := range old.block(neighbour) {
			if int(beyond) < old.n && beyond != id && to[beyond] != Gone {
				links = append(links, to[beyond])
			}
		}
	}
	if holes > 0 {
		slices.Sort(links)
		links = slices.Compact(links)
		links = c.trim(now, to[id], links, now.limit)
	}
	copy(now.block(to[id]), links)
}
