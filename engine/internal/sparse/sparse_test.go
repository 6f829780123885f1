package sparse

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/sextantdb/sextant"
)

// vectors is a segment's sparse vectors; nil indices: the row has none.
type vectors struct {
	indices [][]uint32
	values  [][]float32
}

func (v *vectors) at(row uint32) ([]uint32, []float32, bool) {
	return v.indices[row], v.values[row], v.indices[row] != nil
}

// world says how random vectors are made.
type world struct {
	rows, dims, length int
	sparseDims         bool // indices spread over all of uint32
	negative, small    bool // small: weights are few small integers, so that scores tie
}

func (w world) vector(r *rand.Rand, length int) ([]uint32, []float32) {
	zipf := rand.NewZipf(r, 1.1, 8, uint64(w.dims-1))
	set := map[uint32]bool{}
	for range length {
		index := uint32(zipf.Uint64())
		if w.sparseDims {
			index *= 2654435761
		}
		set[index] = true
	}
	indices := make([]uint32, 0, len(set))
	for index := range set {
		indices = append(indices, index)
	}
	slices.Sort(indices)
	values := make([]float32, len(indices))
	for i := range values {
		if w.small {
			values[i] = float32(r.IntN(4))
		} else {
			values[i] = float32(r.ExpFloat64())
		}
		if w.negative && r.IntN(4) == 0 {
			values[i] = -values[i]
		}
	}
	return indices, values
}

func (w world) vectors(r *rand.Rand) *vectors {
	v := &vectors{make([][]uint32, w.rows), make([][]float32, w.rows)}
	for row := range w.rows {
		if r.IntN(10) > 0 {
			v.indices[row], v.values[row] = w.vector(r, r.IntN(2*w.length))
		}
	}
	return v
}

func (v *vectors) build(t testing.TB, dt sextant.Datatype) *Index {
	t.Helper()
	x, err := Open(v.bytes(t, dt))
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Verify(); err != nil {
		t.Fatal(err)
	}
	return x
}

func (v *vectors) bytes(t testing.TB, dt sextant.Datatype) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Build(uint32(len(v.indices)), v.at, dt, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (v *vectors) head() *Head {
	h := NewHead()
	for row, indices := range v.indices {
		if indices != nil {
			h.Add(uint32(row), indices, v.values[row])
		}
	}
	return h
}

// brute is the truth: it looks at every row.
func (v *vectors) brute(q Query) []Hit {
	var hits []Hit
	for row := range min(uint32(len(v.indices)), q.N) {
		if q.Alive != nil && (int(row/64) >= len(q.Alive) || q.Alive[row/64]>>(row%64)&1 == 0) {
			continue
		}
		score, shared := Dot(q.Indices, q.Values, v.indices[row], v.values[row])
		if shared && (q.Above == nil || score > *q.Above) {
			hits = append(hits, Hit{row, score})
		}
	}
	slices.SortStableFunc(hits, func(a, b Hit) int {
		switch {
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		}
		return 0
	})
	return hits[:min(len(hits), q.K)]
}

func randomQuery(r *rand.Rand, w world) Query {
	q := Query{N: uint32(w.rows), K: 1 + r.IntN(30)}
	q.Indices, q.Values = w.vector(r, 1+r.IntN(30))
	if r.IntN(5) == 0 {
		q.N = uint32(r.IntN(w.rows + 100))
	}
	if r.IntN(8) == 0 {
		q.K = w.rows
	}
	if r.IntN(5) == 0 {
		above := float32(r.ExpFloat64()) * 4
		q.Above = &above
	}
	if r.IntN(2) == 0 {
		density := math.Pow(2, -12*r.Float64())
		q.Alive = make([]uint64, max(1, (w.rows+63)/64-r.IntN(2)))
		for row := range 64 * len(q.Alive) {
			if r.Float64() < density {
				q.Alive[row/64] |= 1 << (row % 64)
			}
		}
	}
	return q
}

type searcher interface {
	Search(ctx context.Context, q Query) ([]Hit, error)
}

func find(t testing.TB, s searcher, q Query) []Hit {
	t.Helper()
	hits, err := s.Search(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	return hits
}

var worlds = map[string]world{
	"plain":    {rows: 12000, dims: 3000, length: 30},
	"few dims": {rows: 9000, dims: 40, length: 10},
	"wide":     {rows: 70000, dims: 20000, length: 3, sparseDims: true},
	"ties":     {rows: 6000, dims: 500, length: 20, small: true},
	"signed":   {rows: 6000, dims: 500, length: 20, negative: true},
	"zeros":    {rows: 6000, dims: 500, length: 20, negative: true, small: true},
	"one row":  {rows: 1, dims: 10, length: 10},
}

func TestSearchEqualsBruteForce(t *testing.T) {
	for name, w := range worlds {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			v := w.vectors(r)
			x, h := v.build(t, sextant.Float32), v.head()
			unsigned := w
			unsigned.negative = false
			for i := range 150 {
				q := randomQuery(r, w)
				if i%2 == 0 { // prune over negative weights too
					q.Indices, q.Values = unsigned.vector(r, 1+r.IntN(30))
				}
				want := v.brute(q)
				for _, s := range []searcher{x, h} {
					if got := find(t, s, q); !slices.Equal(got, want) {
						t.Fatalf("%T, query %d, K=%d N=%d alive=%v: %s", s, i, q.K, q.N, q.Alive != nil, difference(got, want))
					}
				}
			}
		})
	}
}

func difference(got, want []Hit) string {
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			return fmt.Sprintf("%d hits, want %d; at %d: got %v, want %v", len(got), len(want), i, got[i:min(i+3, len(got))], want[i:min(i+3, len(want))])
		}
	}
	return "equal"
}

// Halved or coded weights give approximate scores, but the same rows.
func TestNarrowWeightsAreNear(t *testing.T) {
	w := world{rows: 3000, dims: 300, length: 20, negative: true}
	r := rand.New(rand.NewPCG(3, 4))
	v := w.vectors(r)
	for dt, tolerance := range map[sextant.Datatype]float64{sextant.Float16: 2e-3, sextant.Uint8: 0.2} {
		x := v.build(t, dt)
		for range 50 {
			q := randomQuery(r, w)
			q.K, q.Above = w.rows, nil
			got, want := find(t, x, q), v.brute(q)
			exact := map[uint32]float32{}
			for _, hit := range want {
				exact[hit.Row] = hit.Score
			}
			if len(got) != len(want) {
				t.Fatalf("%s: %d hits, want %d", dt, len(got), len(want))
			}
			for _, hit := range got {
				if score, ok := exact[hit.Row]; !ok || math.Abs(float64(hit.Score-score)) > tolerance*float64(1+len(q.Indices)) {
					t.Fatalf("%s: row %d scores %v, want %v", dt, hit.Row, hit.Score, score)
				}
			}
			// The best of few are the first of all.
			if q.K = 7; !slices.Equal(find(t, x, q), got[:min(7, len(got))]) {
				t.Fatalf("%s: pruned search differs", dt)
			}
		}
	}
}

// A build in many batches writes the same bytes.
func TestBatchesOfABuildDoNotShow(t *testing.T) {
	v := world{rows: 2000, dims: 400, length: 20, sparseDims: true}.vectors(rand.New(rand.NewPCG(5, 6)))
	want := v.bytes(t, sextant.Float32)
	defer func(n uint64) { batchPostings = n }(batchPostings)
	batchPostings = 1000
	if !bytes.Equal(v.bytes(t, sextant.Float32), want) {
		t.Error("the files differ")
	}
}

func TestSearchAtTheEdges(t *testing.T) {
	v := &vectors{
		[][]uint32{0: {}, 1: nil, 2: {5, math.MaxUint32}, 3: {5}},
		[][]float32{0: {}, 1: nil, 2: {1, -1}, 3: {0}},
	}
	for _, s := range []interface {
		searcher
		DF(uint32, []uint64) uint64
		Vectors([]uint64) uint64
	}{v.build(t, ""), v.head()} {
		f := func(q Query, want ...Hit) {
			t.Helper()
			q.N, q.K = 4, 10
			if got := find(t, s, q); !slices.Equal(got, want) {
				t.Errorf("%T: got %v, want %v", s, got, want)
			}
		}
		f(Query{})
		f(Query{Indices: []uint32{6}, Values: []float32{1}})
		f(Query{Indices: []uint32{5}, Values: []float32{2}}, Hit{2, 2}, Hit{3, 0})
		f(Query{Indices: []uint32{5, math.MaxUint32}, Values: []float32{2, 2}}, Hit{2, 0}, Hit{3, 0}) // cancelled to 0
		f(Query{Indices: []uint32{5}, Values: []float32{-2}}, Hit{3, 0}, Hit{2, -2})
		f(Query{Indices: []uint32{math.MaxUint32}, Values: []float32{0}}, Hit{2, 0})
		f(Query{Indices: []uint32{5}, Values: []float32{2}, Alive: []uint64{1 << 3}}, Hit{3, 0})
		f(Query{Indices: []uint32{5}, Values: []float32{2}, Alive: []uint64{}})
		if got := find(t, s, Query{Indices: []uint32{5}, Values: []float32{1}, N: 4}); len(got) != 0 {
			t.Errorf("K=0: got %v", got)
		}
		if got := []uint64{s.DF(5, nil), s.DF(5, []uint64{1 << 2}), s.DF(6, nil), s.Vectors(nil), s.Vectors([]uint64{1<<0 | 1<<1 | 1<<2})}; !reflect.DeepEqual(got, []uint64{2, 1, 0, 3, 2}) {
			t.Errorf("%T: counts %v", s, got)
		}
	}
	none := (&vectors{}).build(t, "")
	if got := find(t, none, Query{Indices: []uint32{1}, Values: []float32{1}, K: 1, N: 1}); len(got) != 0 || none.Vectors(nil) != 0 {
		t.Errorf("empty index: got %v", got)
	}
}

func TestCountsEqualBruteForce(t *testing.T) {
	w := world{rows: 5000, dims: 50, length: 8}
	r := rand.New(rand.NewPCG(7, 8))
	v := w.vectors(r)
	x, h := v.build(t, ""), v.head()
	alive := make([]uint64, (w.rows+63)/64)
	for i := range alive {
		alive[i] = r.Uint64()
	}
	for index := range uint32(w.dims) {
		all, some := uint64(0), uint64(0)
		for row, indices := range v.indices {
			if slices.Contains(indices, index) {
				all++
				some += alive[row/64] >> (row % 64) & 1
			}
		}
		if x.DF(index, nil) != all || h.DF(index, nil) != all || x.DF(index, alive) != some || h.DF(index, alive) != some {
			t.Fatalf("index %d: want %d and %d", index, all, some)
		}
	}
}

func TestASearchEndsWithItsContext(t *testing.T) {
	w := worlds["plain"]
	v := w.vectors(rand.New(rand.NewPCG(1, 2)))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, s := range []searcher{v.build(t, ""), v.head()} {
		if _, err := s.Search(ctx, Query{Indices: []uint32{1}, Values: []float32{1}, K: 1, N: 100}); err != context.Canceled {
			t.Errorf("%T: got %v", s, err)
		}
	}
}

// failing fails after some bytes.
type failing struct{ left int }

func (f *failing) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, context.Canceled
	}
	return len(p), nil
}

func TestABuildEndsWithItsWriter(t *testing.T) {
	v := world{rows: 300, dims: 50, length: 8}.vectors(rand.New(rand.NewPCG(7, 8)))
	size := len(v.bytes(t, ""))
	for n := 0; n < size; n += 97 {
		if err := Build(300, v.at, "", &failing{n}); err != context.Canceled {
			t.Fatalf("after %d bytes: got %v", n, err)
		}
	}
	if err := Build(300, v.at, "", &failing{size}); err != nil {
		t.Fatal(err)
	}
}
