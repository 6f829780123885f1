package hnsw

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/sextantdb/sextant/engine/internal/vec"
)

// field is random vectors in clumps, as a Space.
type field struct {
	rows   vec.Rows
	metric vec.Metric
	n      int
	rng    *rand.Rand
	dim    int
	centre []float32
}

func newField(n, dim int, metric vec.Metric, seed uint64) *field {
	f := &field{metric: metric, n: n, dim: dim, rng: rand.New(rand.NewPCG(seed, 1))}
	f.centre = make([]float32, 20*dim)
	for i := range f.centre {
		f.centre[i] = float32(f.rng.NormFloat64())
	}
	stride := vec.Stride(vec.F32, dim)
	data := make([]float32, n*stride/4)
	for i := range n {
		copy(data[i*stride/4:], f.draw())
	}
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(data))), n*stride)
	f.rows = vec.Rows{Data: bytes, Stride: stride, Dim: dim, Type: vec.F32}
	return f
}

// draw makes a vector near one of the centres.
func (f *field) draw() []float32 {
	v := make([]float32, f.dim)
	at := f.rng.IntN(len(f.centre)/f.dim) * f.dim
	for i := range v {
		v[i] = f.centre[at+i] + float32(f.rng.NormFloat64())*0.7
	}
	return v
}

func (f *field) RowScorer(row uint32) Scorer {
	s := vec.NewRowScorer(f.metric, f.rows, row)
	return &s
}

func (f *field) query(q []float32) *vec.Scorer {
	s := vec.NewScorer(f.metric, f.rows, q)
	return &s
}

func (f *field) all() []uint32 {
	rows := make([]uint32, f.n)
	for i := range rows {
		rows[i] = uint32(i)
	}
	return rows
}

// nearest is the oracle: the best k of the rows by scanning them all.
func (f *field) nearest(q []float32, rows []uint32, k int) []Hit {
	scores := make([]float32, len(rows))
	f.query(q).ScoreBatch(rows, scores)
	hits := make([]Hit, len(rows))
	for i, row := range rows {
		hits[i] = Hit{row, scores[i]}
	}
	slices.SortFunc(hits, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Row, b.Row))
	})
	return hits[:min(k, len(hits))]
}

func (f *field) build(t testing.TB, rows []uint32, p Params) *Graph {
	t.Helper()
	g, err := Build(context.Background(), f, rows, uint32(f.n), p)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// recall is the share of the true k nearest that a search finds, over some queries; every answer is also
// checked to be sorted, free of repetitions and inside the allowed rows.
func (f *field) recall(t testing.TB, g *Graph, rows []uint32, k, ef int, filter *Filter) float64 {
	t.Helper()
	found, queries := 0, 60
	for range queries {
		q := f.draw()
		var st Stats
		hits, err := g.Search(context.Background(), f.query(q), k, ef, filter, &st)
		if err != nil {
			t.Fatal(err)
		}
		if len(hits) < min(k, len(rows)) && !st.Short {
			t.Fatalf("%d hits of %d and the walk says it is complete", len(hits), min(k, len(rows)))
		}
		met := map[uint32]bool{}
		for i, h := range hits {
			if _, ok := slices.BinarySearch(rows, h.Row); !ok || met[h.Row] {
				t.Fatalf("row %d is not allowed or came twice", h.Row)
			}
			met[h.Row] = true
			if i > 0 && (h.Score > hits[i-1].Score || h.Score == hits[i-1].Score && h.Row < hits[i-1].Row) {
				t.Fatalf("hits are out of order: %v", hits)
			}
		}
		for _, want := range f.nearest(q, rows, k) {
			if met[want.Row] {
				found++
			}
		}
	}
	return float64(found) / float64(queries*min(k, len(rows)))
}

func TestSearchFindsWhatAScanFinds(t *testing.T) {
	for name, metric := range map[string]vec.Metric{"dot": vec.Dot, "euclid": vec.Euclid, "manhattan": vec.Manhattan} {
		t.Run(name, func(t *testing.T) {
			f := newField(2500, 24, metric, 7)
			for _, threads := range []int{1, 3} {
				g := f.build(t, f.all(), Params{M: 16, EfConstruct: 100, Threads: threads})
				if r := f.recall(t, g, f.all(), 10, 100, nil); r < 0.97 {
					t.Errorf("recall %.3f with %d threads", r, threads)
				}
			}
		})
	}
}

// Rows without the vector are no vertices, and are never returned.
func TestRowsThatAreNotListedAreNotFound(t *testing.T) {
	f := newField(3000, 16, vec.Euclid, 3)
	var rows []uint32
	for row := range uint32(f.n) {
		if row%3 != 1 {
			rows = append(rows, row)
		}
	}
	g := f.build(t, rows, Params{M: 12, EfConstruct: 80})
	if r := f.recall(t, g, rows, 10, 80, nil); r < 0.97 {
		t.Errorf("recall %.3f", r)
	}
	for _, every := range []uint32{2, 40} {
		allowed, filter := pass(f, rows, func(row uint32) bool { return row%every == 0 })
		if r := f.recall(t, g, allowed, 10, 80, filter); r < 0.9 {
			t.Errorf("recall %.3f under a filter of one in %d", r, every)
		}
	}
}

func pass(f *field, rows []uint32, keep func(uint32) bool) ([]uint32, *Filter) {
	filter := &Filter{Bits: make([]uint64, (f.n+63)/64)}
	var allowed []uint32
	for _, row := range rows {
		if keep(row) {
			allowed = append(allowed, row)
			filter.Bits[row/64] |= 1 << (row % 64)
			filter.Count++
		}
	}
	return allowed, filter
}

func TestFilteredSearchFindsWhatAScanFinds(t *testing.T) {
	f := newField(4000, 16, vec.Dot, 5)
	g := f.build(t, f.all(), Params{M: 16, EfConstruct: 100, Threads: 2})
	for _, every := range []uint32{1, 2, 3, 5, 10} {
		allowed, filter := pass(f, f.all(), func(row uint32) bool { return mix(uint64(row))%uint64(every) == 0 })
		if r := f.recall(t, g, allowed, 10, 100, filter); r < 0.93 {
			t.Errorf("recall %.3f under a filter of one in %d", r, every)
		}
	}
}

func TestOneThreadIsDeterministic(t *testing.T) {
	f := newField(1500, 8, vec.Euclid, 11)
	p := Params{M: 8, EfConstruct: 40, Seed: 9}
	if a, b := f.build(t, f.all(), p), f.build(t, f.all(), p); !slices.Equal(a.image, b.image) {
		t.Error("two builds differ")
	}
}

// Every vertex is found when one asks for its own vector, even among many equal ones.
func TestEveryVertexIsReachable(t *testing.T) {
	f := newField(2000, 8, vec.Euclid, 2)
	for row := 100; row < 1500; row++ { // fourteen hundred copies of row 99
		copy(f.rows.Row(uint32(row)), f.rows.Row(99))
	}
	p := Params{M: 4, EfConstruct: 10, Threads: 2}
	levels := drawLevels(f.all(), p)
	b := newBuilder(f, f.all(), uint32(f.n), p, levels, inOrder(levels))
	for at := 1; at < f.n; at++ {
		b.todo = append(b.todo, uint32(at))
	}
	if _, err := b.finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if lost := b.unreached(t.Context()); len(lost) != 0 {
		t.Errorf("%d vertices are lost", len(lost))
	}
}

func TestSmallAndEmptyGraphs(t *testing.T) {
	f := newField(40, 4, vec.Dot, 1)
	for n := range 6 {
		rows := f.all()[:n]
		g := f.build(t, rows, Params{M: 2, EfConstruct: 4})
		if g.Len() != n || f.recall(t, g, rows, 3, 10, nil) < 1 && n > 0 {
			t.Errorf("a graph of %d vertices loses some", n)
		}
		none := &Filter{Bits: make([]uint64, 1)}
		for _, filter := range []*Filter{nil, none} {
			if hits, err := g.Search(t.Context(), f.query(f.draw()), 0, 10, filter, nil); len(hits) > 0 || err != nil {
				t.Errorf("limit 0 gives %v, %v", hits, err)
			}
		}
	}
}

func TestBuildAndSearchStopWithTheContext(t *testing.T) {
	f := newField(3000, 8, vec.Dot, 1)
	ctx, cancel := context.WithCancel(t.Context())
	p := Params{M: 8, EfConstruct: 100, Threads: 2, Progress: func(done, _ int) {
		if done > 300 {
			cancel()
		}
	}}
	if _, err := Build(ctx, f, f.all(), uint32(f.n), p); err != context.Canceled {
		t.Errorf("build ended with %v", err)
	}
	g := f.build(t, f.all(), Params{M: 8, EfConstruct: 20})
	if _, err := g.Search(ctx, f.query(f.draw()), 10, 1000, nil, nil); err != context.Canceled {
		t.Errorf("search ended with %v", err)
	}
}

// Few matches are scanned, many are walked to, and one number lies between.
func TestPreferScanTurnsOnTheNumberOfMatches(t *testing.T) {
	for _, bytes := range []int{64, 400, 3072} {
		for _, codes := range []bool{false, true} {
			const n = 10_000_000
			turns := 0
			last := true
			for matches := 1; matches <= n; matches = matches*5/4 + 1 {
				if now := PreferScan(matches, n, 128, 10, bytes, codes); now != last {
					turns, last = turns+1, now
				}
			}
			if turns != 1 || PreferScan(n, n, 128, 10, bytes, codes) {
				t.Errorf("%d bytes, codes %v: the answer turns %d times", bytes, codes, turns)
			}
		}
	}
}

// A rough scorer in the build and in the search costs next to nothing in recall, and the scores are exact.
func TestRoughScoresAreMadeExact(t *testing.T) {
	f := newField(3000, 24, vec.Euclid, 13)
	g, err := Build(t.Context(), blurred{f}, f.all(), uint32(f.n), Params{M: 16, EfConstruct: 100})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for range 60 {
		q := f.draw()
		var st Stats
		hits, err := g.SearchRescored(t.Context(), blur{f.query(q)}, f.query(q), 10, 200, nil, &st)
		if err != nil {
			t.Fatal(err)
		}
		if st.Rescored < 10 || st.Rescored >= 200 {
			t.Errorf("%d candidates are rescored", st.Rescored)
		}
		for i, want := range f.nearest(q, f.all(), 10) {
			if slices.Contains(hits, want) {
				found++
			}
			if i > 0 && hits[i].Score > hits[i-1].Score {
				t.Fatal("hits are out of order")
			}
		}
	}
	if found < 580 {
		t.Errorf("%d of 600 found", found)
	}
}

type blurred struct{ *field }

func (b blurred) ScoreRow(row uint32, ids []uint32, out []float32) {
	b.RowScorer(row).ScoreBatch(ids, out)
}

func (b blurred) RoughScorer(row uint32) Scorer { return blur{b.RowScorer(row)} }

// blur changes scores by up to a hundredth.
type blur struct{ Scorer }

func (b blur) ScoreBatch(ids []uint32, out []float32) {
	b.Scorer.ScoreBatch(ids, out)
	for i, id := range ids {
		out[i] *= 1 + float32(mix(uint64(id))%1000)/1e5
	}
}

// When what matches lies away from the query, a walk around the query may see none of it: then the nearest
// matches are found all the same, or the walk says how few it is sure of.
func TestMatchesFarFromTheQueryAreFoundOrMissed(t *testing.T) {
	f := newField(4000, 16, vec.Euclid, 17)
	g := f.build(t, f.all(), Params{M: 16, EfConstruct: 100, Threads: 2})
	for _, nearer := range []int{400, 2000, 3600} { // how many of the nearest rows do not match
		found, wanted := 0, 0
		for range 40 {
			q := f.draw()
			near := map[uint32]bool{}
			for _, h := range f.nearest(q, f.all(), nearer) {
				near[h.Row] = true
			}
			allowed, filter := pass(f, f.all(), func(row uint32) bool { return !near[row] })
			var st Stats
			hits, err := g.Search(t.Context(), f.query(q), 10, 100, filter, &st)
			if err != nil {
				t.Fatal(err)
			}
			if st.Short || st.Sure < 10 {
				continue
			}
			wanted += 10
			for _, want := range f.nearest(q, allowed, 10) {
				if slices.Contains(hits, want) {
					found++
				}
			}
		}
		if found*10 < wanted*9 {
			t.Errorf("without the nearest %d rows, %d of %d are found", nearer, found, wanted)
		}
	}
}
