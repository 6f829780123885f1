package quant

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/sextantdb/sextant/engine/internal/vec"
)

func randomRows(n, dim int, seed uint64) (vec.Rows, *rand.Rand) {
	rng := rand.New(rand.NewPCG(seed, 0))
	stride := vec.Stride(vec.F32, dim)
	data := make([]float32, n*stride/4)
	for i := range n {
		for d := range dim {
			data[i*stride/4+d] = float32(rng.NormFloat64()) + float32(d%3)
		}
	}
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&data[0])), n*stride)
	return vec.Rows{Data: bytes, Stride: stride, Dim: dim, Type: vec.F32}, rng
}

func everyRow(n int) []uint32 {
	rows := make([]uint32, n)
	for i := range rows {
		rows[i] = uint32(i)
	}
	return rows
}

func encoded(t testing.TB, m vec.Metric, rows vec.Rows, n int, o Options) ([]byte, *Codes) {
	t.Helper()
	var b bytes.Buffer
	written, err := Write(t.Context(), &b, m, rows, uint32(n), everyRow(n), o)
	if err != nil || written != int64(b.Len()) {
		t.Fatal(written, err)
	}
	c, err := Open(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), c
}

// The scores of codes stay within what rounding vector and query allows; lists and ranges agree.
func TestScoresAreNearTheExactOnes(t *testing.T) {
	for _, m := range []vec.Metric{vec.Dot, vec.Euclid} {
		for _, dim := range []int{1, 3, 64, 100, 200} {
			for _, o := range []Options{{}, {Uniform: true}} {
				const n = 500
				rows, rng := randomRows(n, dim, uint64(dim))
				_, c := encoded(t, m, rows, n, o)
				q := make([]float32, dim)
				for d := range q {
					q[d] = float32(rng.NormFloat64())
				}
				exact := make([]float32, n)
				sc := vec.NewScorer(m, rows, q)
				sc.ScoreRange(0, exact)
				batch, span := make([]float32, n), make([]float32, n)
				c.NewScorer(q).ScoreBatch(everyRow(n), batch)
				c.NewScorer(q).ScoreRange(0, span)
				allowed := 0.3*math.Sqrt(float64(dim)) + 0.3 + 0.01*math.Abs(float64(exact[0]))
				for i := range n {
					if batch[i] != span[i] {
						t.Fatalf("row %d: %g in a list, %g in a range", i, batch[i], span[i])
					}
					if diff := math.Abs(float64(batch[i] - exact[i])); diff > allowed {
						t.Fatalf("metric %d, dim %d, row %d: %g instead of %g", m, dim, i, batch[i], exact[i])
					}
				}
			}
		}
	}
}

// The worked example of a configured int8 quantization over [−1, 1].
func TestUniformCodesHave127Levels(t *testing.T) {
	data := []float32{-1, -0.3, 0.5, 1}
	rows := vec.Rows{Data: unsafe.Slice((*byte)(unsafe.Pointer(&data[0])), 16), Stride: 16, Dim: 4}
	_, c := encoded(t, vec.Dot, rows, 1, Options{Uniform: true})
	if got := [4]byte(c.codes[:4]); got != [4]byte{0, 44, 95, 127} {
		t.Errorf("codes %v", got)
	}
	got := make([]float32, 4)
	c.Decode(0, got)
	for d, want := range []float32{-1, -0.307087, 0.496063, 1} {
		if math.Abs(float64(got[d]-want)) > 1e-6 {
			t.Errorf("component %d is %g, not %g", d, got[d], want)
		}
	}
}

func TestQuantileCutsTheTails(t *testing.T) {
	rows, _ := randomRows(1000, 1, 3)
	*(*float32)(unsafe.Pointer(&rows.Data[0])) = 1e6
	_, c := encoded(t, vec.Dot, rows, 1000, Options{Quantile: 0.99})
	if high := c.low[0] + 255*c.step[0]; high > 4 || high < 2 {
		t.Errorf("range ends at %g", high)
	}
}

func TestDegenerateVectors(t *testing.T) {
	rows := vec.Rows{Data: make([]byte, 64*4), Stride: 64, Dim: 16} // all zero: no range at all
	for _, m := range []vec.Metric{vec.Dot, vec.Euclid} {
		_, c := encoded(t, m, rows, 4, Options{})
		out := make([]float32, 4)
		c.NewScorer(make([]float32, 16)).ScoreRange(0, out)
		if out[0] != 0 || out[3] != 0 {
			t.Errorf("scores of zeros: %v", out)
		}
	}
	if _, c := encoded(t, vec.Euclid, rows, 0, Options{}); c.Len() != 0 {
		t.Error("no rows, yet some codes")
	}
}

func TestADamagedFileIsNoticed(t *testing.T) {
	rows, rng := randomRows(50, 10, 1)
	good, _ := encoded(t, vec.Euclid, rows, 50, Options{})
	for i := range 2000 {
		data := bytes.Clone(good)
		at := rng.IntN(len(data))
		if i < 64 {
			at = i
		}
		data[at] ^= byte(1 + rng.IntN(255))
		c, err := Open(data)
		if err == nil {
			out := make([]float32, 50)
			c.NewScorer(make([]float32, 10)).ScoreRange(0, out)
			err = c.Verify()
		}
		if !errors.Is(err, ErrCorrupt) {
			t.Fatalf("damage at %d is not noticed: %v", at, err)
		}
	}
	if _, err := Open(good[:len(good)-1]); !errors.Is(err, ErrCorrupt) {
		t.Error("a cut file is opened")
	}
}
