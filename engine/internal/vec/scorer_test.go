package vec

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

var kinds = []struct {
	metric Metric
	typ    Type
}{
	{Dot, F32}, {Euclid, F32}, {Manhattan, F32},
	{Dot, F16}, {Euclid, F16}, {Manhattan, F16},
	{Dot, U8}, {Euclid, U8}, {Manhattan, U8}, {CosineU8, U8},
}

// dims covers every tail of every kernel, then some sizes in use.
func dims() []int {
	var all []int
	for d := range 301 {
		all = append(all, d)
	}
	return append(all, 384, 500, 511, 512, 513, 768, 1000, 1024, 1535, 1536, 1537)
}

func newScorer(m Metric, rows Rows, query []byte, f features) (s Scorer) {
	s.bind(m, &rows, query, f)
	return s
}

func randomRows(r *rand.Rand, t Type, dim, n int) Rows {
	rows := Rows{Data: alignedBytes(Stride(t, dim) * n), Stride: Stride(t, dim), Dim: dim, Type: t}
	for i := range rows.Data { // padding that would be seen in a result
		rows.Data[i] = 0x7b
	}
	for i := range n {
		Encode(t, randomVector(r, t, dim), rows.Row(uint32(i)))
	}
	return rows
}

func randomVector(r *rand.Rand, t Type, dim int) []float32 {
	v := make([]float32, dim)
	for i := range v {
		if t == U8 {
			v[i] = float32(r.IntN(256))
		} else {
			v[i] = float32(r.NormFloat64())
		}
	}
	return v
}

// want is the plain answer in double precision, and the sum of the sizes of its terms, which bounds its error.
func want(m Metric, a, b []float32) (score, size float64) {
	var aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		aa, bb = aa+x*x, bb+y*y
		switch m {
		case Dot, CosineU8:
			score += x * y
			size += math.Abs(x * y)
		case Euclid:
			score -= (x - y) * (x - y)
		case Manhattan:
			score -= math.Abs(x - y)
		}
	}
	if m == CosineU8 {
		if aa*bb == 0 {
			return 0, 0
		}
		score /= math.Sqrt(aa * bb)
	}
	return score, max(size, math.Abs(score))
}

func near(m Metric, t Type, got float32, want, size float64) bool {
	if t == U8 && m != CosineU8 {
		return got == float32(want)
	}
	if m == CosineU8 {
		return math.Abs(float64(got)-want) <= 1e-6
	}
	return math.Abs(float64(got)-want) <= 5e-6*size
}

// Every tier gives the plain answer, for single rows, lists and ranges of all lengths.
func TestScoresEqualPlainGoOnEveryTier(t *testing.T) {
	const n = 11
	for name, f := range tiers() {
		for _, k := range kinds {
			t.Run(fmt.Sprintf("%s/metric=%d/type=%d", name, k.metric, k.typ), func(t *testing.T) {
				r := rand.New(rand.NewPCG(1, uint64(k.metric)<<8|uint64(k.typ)))
				for i, dim := range dims() {
					rows := randomRows(r, k.typ, dim, n)
					query := randomVector(r, k.typ, dim)
					encoded := alignedBytes(dim * k.typ.Size())
					Encode(k.typ, query, encoded)
					Decode(k.typ, encoded, query)
					s := newScorer(k.metric, rows, encoded, f)
					checkScores(t, r, &s, rows, query, 1+i%n)
					row := uint32(r.IntN(n))
					s = newScorer(k.metric, rows, rows.Row(row), f)
					checkScores(t, r, &s, rows, rows.Float32(row, nil), n)
				}
			})
		}
	}
}

func checkScores(t *testing.T, r *rand.Rand, s *Scorer, rows Rows, query []float32, n int) {
	t.Helper()
	const sentinel = 12345.5
	check := func(form string, row uint32, got float32) {
		t.Helper()
		score, size := want(s.metric, query, rows.Float32(row, nil))
		if !near(s.metric, rows.Type, got, score, size) || math.Signbit(float64(got)) && got == 0 && s.metric != Dot {
			t.Fatalf("%s dim %d row %d of %d: got %v, want %v", form, len(query), row, n, got, score)
		}
	}
	ids, out := make([]uint32, n), make([]float32, n+1)
	for i := range ids {
		ids[i] = uint32(r.IntN(rows.Len()))
	}
	out[n] = sentinel
	s.ScoreBatch(ids, out)
	for i, id := range ids {
		check("batch", id, out[i])
	}
	from := uint32(r.IntN(rows.Len() - n + 1))
	s.ScoreRange(from, out[:n])
	for i := range n {
		check("range", from+uint32(i), out[i])
	}
	if out[n] != sentinel {
		t.Fatalf("dim %d: wrote beyond %d results", len(query), n)
	}
	check("single", ids[0], s.Score(ids[0]))
}

// Sums over uint8 are exact even where they need all 32 bits.
func TestLargestUint8SumsAreExact(t *testing.T) {
	for name, f := range tiers() {
		for _, dim := range []int{MaxDim - 1, MaxDim} {
			rows := Rows{Data: make([]byte, 2*dim), Stride: dim, Dim: dim, Type: U8}
			for i := range dim {
				rows.Data[i] = 255
			}
			for _, c := range []struct {
				metric   Metric
				row      uint32
				expected float32
			}{
				{Dot, 0, float32(65025 * dim)}, {Dot, 1, 0}, {CosineU8, 0, 1}, {CosineU8, 1, 0},
				{Euclid, 0, 0}, {Euclid, 1, -float32(65025 * dim)}, {Manhattan, 1, -float32(255 * dim)},
			} {
				s := newScorer(c.metric, rows, rows.Row(0), f)
				if got := s.Score(c.row); got != c.expected {
					t.Errorf("%s metric %d dim %d row %d: got %v, want %v", name, c.metric, dim, c.row, got, c.expected)
				}
				out := make([]float32, 7)
				s.ScoreBatch([]uint32{0, 1, 0, 1, 0, 1, c.row}, out)
				if out[6] != c.expected || out[1] != out[3] {
					t.Errorf("%s metric %d dim %d: batch got %v, want %v", name, c.metric, dim, out, c.expected)
				}
			}
		}
	}
}

// Calls that are too long for one burst are cut without a seam.
func TestLongListsAreScoredInBursts(t *testing.T) {
	for _, dim := range []int{7, 100, MaxDim} {
		n := min(2*burst/Stride(F32, dim)+5, 40000)
		r := rand.New(rand.NewPCG(12, 13))
		rows := randomRows(r, F32, dim, min(n, 1000))
		rows.Data = append(rows.Data, make([]byte, (n-rows.Len())*rows.Stride)...)
		s := NewRowScorer(Euclid, rows, 1)
		ids, batch, span := make([]uint32, n), make([]float32, n), make([]float32, n)
		for i := range ids {
			ids[i] = uint32(i)
		}
		s.ScoreBatch(ids, batch)
		s.ScoreRange(0, span)
		for i := range ids {
			score, size := want(Euclid, rows.Float32(1, nil), rows.Float32(uint32(i), nil))
			if batch[i] != span[i] || !near(Euclid, F32, batch[i], score, size) {
				t.Fatalf("dim %d row %d of %d: list %v, range %v, want %v", dim, i, n, batch[i], span[i], score)
			}
		}
	}
}

func TestRowsOutsideTheArenaPanic(t *testing.T) {
	rows := randomRows(rand.New(rand.NewPCG(1, 2)), F32, 20, 8)
	rows.Data = rows.Data[:7*rows.Stride+20*4] // the last row lacks its padding
	for name, f := range tiers() {
		s := newScorer(Dot, rows, rows.Row(0), f)
		out := make([]float32, 8)
		s.ScoreRange(0, out)
		s.ScoreBatch([]uint32{7, 7, 7, 7, 7}, out)
		panics := func(what string, do func()) {
			t.Helper()
			defer func() {
				if recover() == nil {
					t.Errorf("%s: %s did not panic", name, what)
				}
			}()
			do()
		}
		for _, bad := range []uint32{8, 9, math.MaxUint32} {
			for n := 1; n <= 8; n++ {
				for at := range n {
					ids := make([]uint32, n)
					ids[at] = bad
					panics("batch", func() { s.ScoreBatch(ids, out) })
				}
			}
			panics("single", func() { s.Score(bad) })
		}
		panics("range", func() { s.ScoreRange(1, out) })
		panics("short out", func() { s.ScoreBatch([]uint32{1, 2}, out[:1:1]) })
		none := newScorer(Dot, Rows{Dim: 20, Stride: 128}, rows.Row(0), f)
		panics("empty arena", func() { none.ScoreBatch([]uint32{0}, out) })
		panics("empty arena", func() { none.Score(0) })
	}
}

func TestPairFunctionsEqualPlainGo(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, dim := range dims() {
		a, b := randomVector(r, F32, dim), randomVector(r, F32, dim)
		for m, got := range map[Metric][]float32{
			Dot:       {DotF32(a, b), twinPairDotF32(a, b)},
			Euclid:    {EuclidF32(a, b), twinPairEuclidF32(a, b)},
			Manhattan: {ManhattanF32(a, b), twinPairManhattanF32(a, b)},
		} {
			score, size := want(m, a, b)
			if !near(m, F32, got[0], score, size) || !near(m, F32, got[1], score, size) {
				t.Fatalf("metric %d dim %d: got %v, want %v", m, dim, got, score)
			}
		}
	}
}

func TestScoringDoesNotAllocate(t *testing.T) {
	for _, k := range kinds {
		rows := randomRows(rand.New(rand.NewPCG(5, 6)), k.typ, 100, 9)
		var sum float32
		if n := testing.AllocsPerRun(10, func() {
			s := NewRowScorer(k.metric, rows, 3)
			ids, out := [...]uint32{1, 2, 3, 4, 5, 6, 7}, [9]float32{}
			s.ScoreBatch(ids[:], out[:])
			s.ScoreRange(0, out[:])
			sum += out[0] + s.Score(8)
		}); n != 0 {
			t.Errorf("metric %d type %d: %v allocations", k.metric, k.typ, n)
		}
	}
}
