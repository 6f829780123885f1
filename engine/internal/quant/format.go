package quant

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"unsafe"

	"github.com/sextantdb/sextant/engine/internal/vec"
)

const (
	magic       = "SXCODE01"
	headerBytes = 64
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type header struct {
	rows, dim uint32
	metric    vec.Metric
	levels    uint32
	stride    uint32
}

func newHeader(rows uint32, dim int, metric vec.Metric, o Options) header {
	h := header{rows: rows, dim: uint32(dim), metric: metric, levels: 255, stride: uint32(roundUp(uint64(dim), 64))}
	if o.Uniform {
		h.levels = 127
	}
	return h
}

func roundUp(n, to uint64) uint64 { return (n + to - 1) / to * to }

// sections gives the place of each part of the file.
type sections struct{ low, step, codes, terms, crc, size uint64 }

func (h *header) sections() (s sections) {
	s.low = headerBytes
	s.step = s.low + roundUp(4*uint64(h.dim), 64)
	s.codes = s.step + roundUp(4*uint64(h.dim), 64)
	s.terms = s.codes + uint64(h.rows)*uint64(h.stride)
	s.crc = s.terms
	if h.metric == vec.Euclid {
		s.crc += roundUp(4*uint64(h.rows), 64)
	}
	s.size = s.crc + 8
	return s
}

func (h *header) bytes() []byte {
	b := make([]byte, headerBytes)
	copy(b, magic)
	for i, v := range []uint32{h.rows, h.dim, uint32(h.metric), h.levels, h.stride} {
		binary.LittleEndian.PutUint32(b[8+4*i:], v)
	}
	binary.LittleEndian.PutUint32(b[28:], crc32.Checksum(b[:28], castagnoli))
	return b
}

// Open reads codes in place: data must stay mapped and unchanged as long as they are used. It looks at the
// header only; Verify reads the rest.
func Open(data []byte) (*Codes, error) {
	bad := func(why string) (*Codes, error) { return nil, fmt.Errorf("%w: %s", ErrCorrupt, why) }
	if len(data) < headerBytes+8 || string(data[:8]) != magic {
		return bad("no header of codes")
	}
	word := func(at int) uint32 { return binary.LittleEndian.Uint32(data[at:]) }
	if crc32.Checksum(data[:28], castagnoli) != word(28) {
		return bad("checksum of the header differs")
	}
	h := header{rows: word(8), dim: word(12), metric: vec.Metric(word(16)), levels: word(20), stride: word(24)}
	switch {
	case h.dim == 0 || h.dim > vec.MaxDim || uint64(h.stride) != roundUp(uint64(h.dim), 64):
		return bad("sizes contradict each other")
	case !Supports(vec.Metric(word(16)), vec.F32) || word(16) > 255:
		return bad("unknown metric")
	case h.sections().size != uint64(len(data)):
		return bad("the file is cut or padded")
	}
	if uintptr(unsafe.Pointer(&data[0]))%4 != 0 {
		aligned := make([]uint64, (len(data)+7)/8)
		b := unsafe.Slice((*byte)(unsafe.Pointer(&aligned[0])), len(data))
		copy(b, data)
		data = b
	}
	s := h.sections()
	c := &Codes{
		head: h, image: data, codes: data[s.codes:s.terms],
		low: floats(data, s.low, h.dim), step: floats(data, s.step, h.dim),
	}
	if h.metric == vec.Euclid {
		c.terms = floats(data, s.terms, h.rows)
	}
	return c, nil
}

// Verify reads everything and checks the checksum.
func (c *Codes) Verify() error {
	crc := c.head.sections().crc
	sum := crc32.Checksum(c.image[headerBytes:crc], castagnoli)
	if uint64(sum) != binary.LittleEndian.Uint64(c.image[crc:]) || [32]byte(c.image[32:64]) != [32]byte{} {
		return fmt.Errorf("%w: checksum of the codes differs", ErrCorrupt)
	}
	return nil
}

// floats views bytes as little-endian numbers; both supported architectures are little-endian.
func floats(b []byte, at uint64, n uint32) []float32 {
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&b[at])), n)
}

func floatBytes(f []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(f))), 4*len(f))
}
