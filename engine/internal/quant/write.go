package quant

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"

	"github.com/sextantdb/sextant/engine/internal/vec"
)

// chunkRows is how many rows are coded between two looks at the context.
const chunkRows = 1024

// Write codes the first n rows and writes them in the form Open reads. Ranges are taken from the rows listed
// in present; the others are coded like them, whatever they hold. The kind of vectors must be supported.
func Write(
	ctx context.Context, w io.Writer, m vec.Metric, rows vec.Rows, n uint32, present []uint32, o Options,
) (int64, error) {
	h := newHeader(n, rows.Dim, m, o)
	c := train(h, rows, present, o)
	out := &summed{w: w}
	out.write(h.bytes())
	out.sum = 0
	out.padded(floatBytes(c.low))
	out.padded(floatBytes(c.step))
	var terms []float32
	if m == vec.Euclid {
		terms = make([]float32, n)
	}
	stride := int(h.stride)
	chunk := make([]byte, chunkRows*stride)
	row := make([]float32, rows.Dim)
	for from := 0; from < int(n) && out.err == nil; from += chunkRows {
		if err := ctx.Err(); err != nil {
			return out.n, err
		}
		count := min(chunkRows, int(n)-from)
		for i := range count {
			term := c.encode(rows.Float32(uint32(from+i), row), chunk[i*stride:])
			if terms != nil {
				terms[from+i] = term
			}
		}
		out.write(chunk[:count*stride])
	}
	out.padded(floatBytes(terms))
	out.write(binary.LittleEndian.AppendUint64(nil, uint64(out.sum)))
	return out.n, out.err
}

// summed writes and keeps the checksum; after an error it does nothing.
type summed struct {
	w   io.Writer
	n   int64
	sum uint32
	err error
}

func (s *summed) write(b []byte) {
	if s.err != nil || len(b) == 0 {
		return
	}
	s.sum = crc32.Update(s.sum, castagnoli, b)
	var n int
	n, s.err = s.w.Write(b)
	s.n += int64(n)
}

func (s *summed) padded(b []byte) {
	s.write(b)
	s.write(make([]byte, int(roundUp(uint64(len(b)), 64))-len(b)))
}
