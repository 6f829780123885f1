// Package quant keeps one byte per component of a vector, for walks and scans that are finished with the
// stored vectors.
//
// Shapes: row i of the vectors has code i; a code is one byte per component, 64-byte aligned.
// Units: a score is float32, larger is nearer, in the units of package vec; sizes are bytes.
// Errors: context errors, ErrCorrupt for a malformed file, and whatever a writer returns.
// Concurrency: Codes are immutable; a Scorer belongs to one goroutine at a time.
//
// A component v of dimension d is stored as c = round((v−low[d])/step[d]), clamped to [0, levels], and read
// back as low[d] + step[d]·c. A query is folded with the steps and rounded to int8, so that a score is one
// dot product of bytes, a factor and a constant; for Euclid also a number per row, Σ(step·c)².
//
// # File
//
// All numbers are little-endian; every section starts at a multiple of 64 bytes and is padded with zeros.
//
//	  0  magic "SXCODE01"
//	  8  u32 rows
//	 12  u32 dim
//	 16  u32 metric (as in package vec)
//	 20  u32 levels
//	 24  u32 bytes from one code to the next
//	 28  u32 CRC32C of bytes 0-27
//	 64  low: f32 × dim
//	     step: f32 × dim
//	     codes
//	     terms: f32 × rows, for Euclid only
//	end  u32 CRC32C of everything from byte 64 to here, u32 zero
package quant

import (
	"errors"

	"github.com/sextantdb/sextant/engine/internal/vec"
)

// ErrCorrupt is wrapped by every error that a damaged file causes.
var ErrCorrupt = errors.New("code file is damaged")

// Options say how ranges are chosen. The zero value is for internal use: the full range of each dimension.
type Options struct {
	// Uniform uses one range and 127 levels for all dimensions, as a configured int8 quantization does.
	Uniform bool
	// Quantile, if within (0, 1), is the share of sampled values the range must hold; the tails are cut.
	Quantile float64
}

// Supports reports whether vectors of this kind can be coded. Bytes are small already, and Manhattan is no
// dot product.
func Supports(m vec.Metric, t vec.Type) bool {
	return (m == vec.Dot || m == vec.Euclid) && t != vec.U8
}

// Codes are the codes of all rows of a segment.
type Codes struct {
	head  header
	image []byte
	low   []float32
	step  []float32
	codes []byte
	terms []float32 // nil unless Euclid
}

// Len is the number of rows.
func (c *Codes) Len() int { return int(c.head.rows) }

// BytesPerRow is what scoring one row reads.
func (c *Codes) BytesPerRow() int { return int(c.head.stride) }

// MemoryBytes is the size of everything, mapped or not.
func (c *Codes) MemoryBytes() int64 { return int64(len(c.image)) }

// Decode writes the approximate vector of a row to dst, which has as many components.
func (c *Codes) Decode(row uint32, dst []float32) {
	code := c.codes[int(row)*int(c.head.stride):]
	for d := range dst {
		dst[d] = c.low[d] + c.step[d]*float32(code[d])
	}
}
