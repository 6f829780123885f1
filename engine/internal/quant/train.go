package quant

import (
	"math"
	"slices"

	"github.com/sextantdb/sextant/engine/internal/vec"
)

// sampleRows is how many rows the ranges are taken from.
const sampleRows = 10_000

// coder turns vectors into codes.
type coder struct {
	header
	low, step []float32
	inverse   []float32 // 1/step
}

// train takes the ranges from an even sample of the rows given.
func train(h header, rows vec.Rows, present []uint32, o Options) *coder {
	c := &coder{
		header: h, low: make([]float32, h.dim), step: make([]float32, h.dim), inverse: make([]float32, h.dim),
	}
	columns := sample(rows, present)
	if o.Uniform {
		columns = [][]float32{slices.Concat(columns...)}
	}
	for d := range c.low {
		if d < len(columns) {
			low, high := span(columns[d], o.Quantile)
			c.low[d], c.step[d] = low, (high-low)/float32(h.levels)
		} else {
			c.low[d], c.step[d] = c.low[0], c.step[0]
		}
		if c.step[d] > 0 {
			c.inverse[d] = 1 / c.step[d]
		}
	}
	return c
}

// sample gives the values of each dimension.
func sample(rows vec.Rows, present []uint32) [][]float32 {
	n := min(len(present), sampleRows)
	columns := make([][]float32, rows.Dim)
	flat := make([]float32, n*rows.Dim)
	for d := range columns {
		columns[d] = flat[d*n : (d+1)*n]
	}
	row := make([]float32, rows.Dim)
	for i := range n {
		for d, v := range rows.Float32(present[i*len(present)/n], row) {
			columns[d][i] = v
		}
	}
	return columns
}

// span is the range that holds a share of the values, with equal tails cut; it reorders them.
func span(values []float32, share float64) (low, high float32) {
	if len(values) == 0 {
		return 0, 0
	}
	if share <= 0 || share >= 1 || len(values) < 127 {
		return slices.Min(values), slices.Max(values)
	}
	slices.Sort(values)
	cut := int(math.Round(float64(len(values)) * (1 - share) / 2))
	cut = min(cut, (len(values)-1)/2)
	return values[cut], values[len(values)-1-cut]
}

// encode writes the code of a vector and returns Σ(step·c)².
func (c *coder) encode(v []float32, code []byte) (term float32) {
	top := float32(c.levels)
	low, inverse, step := c.low[:len(v)], c.inverse[:len(v)], c.step[:len(v)]
	code = code[:len(v)]
	for d, x := range v {
		y := (x-low[d])*inverse[d] + 0.5
		if !(y > 0) { // not a number counts as low
			y = 0
		} else if y > top {
			y = top
		}
		b := byte(y)
		code[d] = b
		u := step[d] * float32(b)
		term += u * u
	}
	return term
}
