package segment

import (
	"math/bits"
	"unsafe"
)

// Columns of a head grow without moving what is there: chunk 0 has firstChunk places, every later chunk as many as all
// before it together. A copy of a column's header is a stable prefix for readers while the one writer goes on.
const (
	firstChunkBits = 4
	firstChunk     = 1 << firstChunkBits
)

// locate returns the chunk of place i and the place inside it.
func locate(i uint32) (chunk int, at uint32) {
	chunk = bits.Len32(i >> firstChunkBits)
	if chunk == 0 {
		return 0, i
	}
	return chunk, i &^ (1 << (firstChunkBits - 1 + chunk))
}

// chunkStart returns the first place of a chunk; its size is the same number, for chunk 0 firstChunk.
func chunkStart(chunk int) uint32 {
	if chunk == 0 {
		return 0
	}
	return 1 << (firstChunkBits - 1 + chunk)
}

func chunkSize(chunk int) int {
	if chunk == 0 {
		return firstChunk
	}
	return 1 << (firstChunkBits - 1 + chunk)
}

// column is a growing list of pointer-free values.
type column[T any] struct {
	chunks [][]T
	n      uint32
}

func (c *column[T]) append(v T) {
	k, at := locate(c.n)
	if k == len(c.chunks) {
		c.chunks = append(c.chunks, make([]T, chunkSize(k)))
	}
	c.chunks[k][at] = v
	c.n++
}

func (c *column[T]) at(i uint32) T {
	k, at := locate(i)
	return c.chunks[k][at]
}

// rowColumn is a growing list of byte rows of one stride, each chunk aligned for vector instructions.
type rowColumn struct {
	chunks [][]byte
	stride int
	n      uint32
}

// grow appends a row of zeros and returns it.
func (c *rowColumn) grow() []byte {
	k, at := locate(c.n)
	if k == len(c.chunks) {
		c.chunks = append(c.chunks, aligned(chunkSize(k)*c.stride))
	}
	c.n++
	from := int(at) * c.stride
	return c.chunks[k][from : from+c.stride]
}

func (c *rowColumn) at(i uint32) []byte {
	k, at := locate(i)
	from := int(at) * c.stride
	return c.chunks[k][from : from+c.stride : from+c.stride]
}

// aligned returns n zero bytes that begin at a multiple of 64.
func aligned(n int) []byte {
	b := make([]byte, n+63)
	from := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & 63)
	return b[from : from+n : from+n]
}

// ref is where an arena keeps a run of bytes.
type ref struct{ chunk, off, n uint32 }

// noRef stands for no bytes at all, which is something else than a run of length 0.
var noRef = ref{chunk: none}

// arena keeps runs of bytes, each in one piece. If all runs are multiples of a stride, so are the places in a chunk.
type arena struct {
	chunks [][]byte
	used   int // of the last chunk
}

const (
	arenaFirst = 1 << 10
	arenaMost  = 4 << 20
)

// alloc returns a run of n zero bytes to be filled at once.
func (a *arena) alloc(n int) ([]byte, ref) {
	last := len(a.chunks) - 1
	if last < 0 || a.used+n > len(a.chunks[last]) {
		size := min(arenaFirst<<min(2*len(a.chunks), 20), arenaMost)
		a.chunks = append(a.chunks, aligned(max(size, n)))
		a.used, last = 0, last+1
	}
	r := ref{uint32(last), uint32(a.used), uint32(n)}
	a.used += n
	return a.get(r), r
}

func (a *arena) get(r ref) []byte {
	return a.chunks[r.chunk][r.off : r.off+r.n : r.off+r.n]
}
