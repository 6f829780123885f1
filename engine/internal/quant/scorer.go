package quant

import (
	"unsafe"

	"github.com/sextantdb/sextant/engine/internal/vec"
)

// Scorer compares a query with codes.
type Scorer struct {
	c     *Codes
	query []int8
	scale float32
	base  float32
}

// NewScorer makes ready to compare a query, normalised by the caller for cosine, with the codes.
//
// Dot: q·v = Σ q·low + Σ (q·step)·c. Euclid: with p = q−low, −Σ(q−v)² = −Σp² + 2·Σ(p·step)·c − Σ(step·c)².
func (c *Codes) NewScorer(query []float32) *Scorer {
	s := &Scorer{c: c, query: make([]int8, c.head.stride)}
	folded := make([]float32, len(query))
	var base float64
	for d, q := range query {
		low := c.low[d]
		if c.head.metric == vec.Euclid {
			p := q - low
			base -= float64(p) * float64(p)
			folded[d] = 2 * p * c.step[d]
		} else {
			base += float64(q) * float64(low)
			folded[d] = q * c.step[d]
		}
	}
	s.base = float32(base)
	s.scale = round(folded, s.query)
	return s
}

// round spreads values over [-127,127] and returns the value of one unit.
func round(values []float32, to []int8) (unit float32) {
	var most float32
	for _, v := range values {
		most = max(most, v, -v)
	}
	if most == 0 {
		return 0
	}
	unit = most / 127
	inverse := 127 / most
	for i, v := range values {
		x := v * inverse
		if x < 0 {
			to[i] = int8(x - 0.5)
		} else {
			to[i] = int8(x + 0.5)
		}
	}
	return unit
}

// ScoreBatch writes the approximate similarity of row ids[i] to out[i].
func (s *Scorer) ScoreBatch(ids []uint32, out []float32) {
	dots := asInts(out[:len(ids)])
	vec.DotU8I8Batch(s.query, s.c.codes, int(s.c.head.stride), ids, dots)
	if s.c.terms == nil {
		s.finish(dots, out)
		return
	}
	for i, id := range ids {
		out[i] = s.distance(dots[i], s.c.terms[id])
	}
}

// ScoreRange writes the approximate similarities of the rows from, from+1, … to all of out.
func (s *Scorer) ScoreRange(from uint32, out []float32) {
	dots := asInts(out)
	vec.DotU8I8Range(s.query, s.c.codes, int(s.c.head.stride), from, dots)
	if s.c.terms == nil {
		s.finish(dots, out)
		return
	}
	for i, term := range s.c.terms[from:][:len(out)] {
		out[i] = s.distance(dots[i], term)
	}
}

func (s *Scorer) finish(dots []int32, out []float32) {
	out = out[:len(dots)]
	for i, dot := range dots {
		out[i] = s.base + s.scale*float32(dot)
	}
}

// distance is never above zero, for its root is taken later.
func (s *Scorer) distance(dot int32, term float32) float32 {
	d := s.base + s.scale*float32(dot) - term
	if d > 0 {
		return 0
	}
	return d
}

// asInts lets the sums of a kernel lie where the scores made of them will: each is read before it is
// overwritten.
func asInts(out []float32) []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(out))), len(out))
}
