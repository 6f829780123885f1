package hnsw

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"unsafe"
)

const (
	magic       = "SXHNSW01"
	headerBytes = 192
	maxLevels   = 32
	maxM        = 1 << 16
	maxVertices = 1 << 31 // an id shares its word in the beam with one flag
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type header struct {
	rowsTotal   uint32
	vertices    uint32
	m           uint32
	efConstruct uint32
	stride0     uint32
	strideUp    uint32
	counts      []uint32 // vertices that reach level 1, 2, …
}

func newHeader(rowsTotal, vertices uint32, m, efConstruct int, counts []uint32) header {
	return header{
		rowsTotal: rowsTotal, vertices: vertices, m: uint32(m), efConstruct: uint32(efConstruct),
		stride0: roundUp(min(uint32(2*m), vertices), 16), strideUp: roundUp(min(uint32(m), vertices), 16), counts: counts,
	}
}

func roundUp[T uint32 | uint64](n, to T) T { return (n + to - 1) / to * to }

func (h *header) tops() uint32 {
	if len(h.counts) == 0 {
		return 0
	}
	return h.counts[0]
}

// sections gives the place of each part of the file.
type sections struct {
	base, rows, tops uint64
	levels           []uint64
	crc, size        uint64
}

func (h *header) sections() (s sections) {
	at := uint64(headerBytes)
	take := func(words uint64) (start uint64) {
		start = at
		at = roundUp(at+4*words, 64)
		return start
	}
	s.base = take(uint64(h.vertices) * uint64(h.stride0))
	s.rows = at
	if h.vertices != h.rowsTotal {
		take(uint64(h.vertices))
	}
	s.tops = take(uint64(h.tops()))
	for _, count := range h.counts {
		s.levels = append(s.levels, take(uint64(count)*uint64(h.strideUp)))
	}
	s.crc, s.size = at, at+8
	return s
}

func (h *header) put(b []byte) {
	clear(b[:headerBytes])
	copy(b, magic)
	le := binary.LittleEndian
	for i, v := range []uint32{
		h.rowsTotal, h.vertices, h.m, h.efConstruct, h.stride0, h.strideUp, h.tops(), uint32(len(h.counts)),
	} {
		le.PutUint32(b[8+4*i:], v)
	}
	le.PutUint64(b[40:], h.sections().size)
	for i, count := range h.counts {
		le.PutUint32(b[48+4*i:], count)
	}
	le.PutUint32(b[188:], crc32.Checksum(b[:188], castagnoli))
}

func readHeader(data []byte) (h header, err error) {
	bad := func(why string) (header, error) { return h, fmt.Errorf("%w: %s", ErrCorrupt, why) }
	if len(data) < headerBytes+8 || string(data[:8]) != magic {
		return bad("no graph header")
	}
	le := binary.LittleEndian
	if crc32.Checksum(data[:188], castagnoli) != le.Uint32(data[188:]) {
		return bad("checksum of the header differs")
	}
	word := func(at int) uint32 { return le.Uint32(data[at:]) }
	levels := word(36)
	if levels > maxLevels {
		return bad("too many levels")
	}
	counts := make([]uint32, levels)
	for i := range counts {
		counts[i] = word(48 + 4*i)
		if counts[i] == 0 || counts[i] > word(12) || i > 0 && counts[i] > counts[i-1] {
			return bad("level sizes do not descend")
		}
	}
	if m := word(16); m == 0 || m > maxM {
		return bad("m is out of range")
	}
	h = newHeader(word(8), word(12), int(word(16)), int(word(20)), counts)
	switch {
	case h.vertices > h.rowsTotal || h.vertices > maxVertices:
		return bad("more vertices than rows")
	case h.stride0 != word(24) || h.strideUp != word(28) || h.tops() != word(32):
		return bad("sizes contradict each other")
	case h.sections().size != le.Uint64(data[40:]) || le.Uint64(data[40:]) != uint64(len(data)):
		return bad("the file is cut or padded")
	}
	return h, nil
}

// words views bytes as little-endian numbers; both supported architectures are little-endian.
func words(b []byte, at uint64, n int) []uint32 {
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*uint32)(unsafe.Pointer(&b[at])), n)
}

// view lays a graph over the bytes of a file whose header has been checked.
func view(h header, image []byte) *Graph {
	s := h.sections()
	g := &Graph{head: h, image: image}
	if h.vertices != h.rowsTotal {
		g.rows = words(image, s.rows, int(h.vertices))
	}
	g.base = level{
		links:  words(image, s.base, int(h.vertices)*int(h.stride0)),
		stride: int(h.stride0), limit: min(2*int(h.m), int(h.stride0)), n: int(h.vertices), rows: g.rows,
	}
	g.tops = words(image, s.tops, int(h.tops()))
	for i, at := range s.levels {
		g.upper = append(g.upper, level{
			links:  words(image, at, int(h.counts[i])*int(h.strideUp)),
			stride: int(h.strideUp), limit: min(int(h.m), int(h.strideUp)), n: int(h.counts[i]), rows: g.tops,
		})
	}
	return g
}

// Open reads a graph in place: data must stay mapped and unchanged as long as the graph is used. It looks
// at the header only; a body damaged later than that makes searches fail with ErrCorrupt or find less, but
// never read outside of data and never loop. Verify finds such damage.
func Open(data []byte) (*Graph, error) {
	h, err := readHeader(data)
	if err != nil {
		return nil, err
	}
	if uintptr(unsafe.Pointer(&data[0]))%8 != 0 {
		aligned := heapImage(len(data))
		copy(aligned, data)
		data = aligned
	}
	return view(h, data), nil
}

// Verify reads the whole graph and checks its checksum and that every id is in range.
func (g *Graph) Verify() error {
	defer runtime.KeepAlive(g)
	s := g.head.sections()
	sum := crc32.Checksum(g.image[headerBytes:s.crc], castagnoli)
	if uint64(sum) != binary.LittleEndian.Uint64(g.image[s.crc:]) {
		return fmt.Errorf("%w: checksum of the links differs", ErrCorrupt)
	}
	for i, row := range g.rows {
		if row >= g.head.rowsTotal || i > 0 && row <= g.rows[i-1] {
			return fmt.Errorf("%w: rows do not ascend", ErrCorrupt)
		}
	}
	for _, l := range append([]level{{links: g.tops, n: int(g.head.rowsTotal)}, g.base}, g.upper...) {
		for _, id := range l.links {
			if int(id) >= l.n {
				return fmt.Errorf("%w: an id is out of range", ErrCorrupt)
			}
		}
	}
	return nil
}

// WriteTo writes the graph in the form Open reads.
func (g *Graph) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(g.image)
	runtime.KeepAlive(g)
	return int64(n), err
}

// seal fills in the header and the checksum of an image whose links are final.
func (g *Graph) seal() {
	g.head.put(g.image)
	s := g.head.sections()
	sum := crc32.Checksum(g.image[headerBytes:s.crc], castagnoli)
	binary.LittleEndian.PutUint64(g.image[s.crc:], uint64(sum))
}

// heapImage returns zeroed memory aligned for words.
func heapImage(bytes int) []byte {
	w := make([]uint64, (bytes+7)/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(&w[0])), len(w)*8)[:bytes]
}
